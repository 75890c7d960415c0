"""The demo's pictures, as SVG text that depends on the numbers alone."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

# Okabe and Ito's colours, told apart by the colour-blind; line styles tell curves apart in print
BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#555555"
COLOURS = {"sft": GREY, "kto": BLUE, "dpo": VERMILION, "my_loss": GREEN}
MARKERS = {"sft": "s", "kto": "o", "dpo": "D", "my_loss": "^"}
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "halotheory",
    "svg.fonttype": "path",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "0.4",
    "axes.linewidth": 0.8,
}

Lines = Sequence[Mapping[str, Any]]


def rewards_figure(metrics: Mapping[str, Lines]) -> dict[str, str]:
    """Return one picture per loss: mean rewards of desirable and undesirable outputs by step, on one scale.

    Args:
        metrics: lines of metrics.jsonl by loss; a reward is log pi/pi_ref, nats.
    """
    names = ("reward_desirable", "reward_undesirable")
    values = [line[name] for lines in metrics.values() for line in lines for name in names if name in line]
    room = 0.06 * (max(values) - min(values))
    limits = (min(values) - room, max(values) + room)
    return {loss: _rewards(loss, lines, limits) for loss, lines in metrics.items()}


def _rewards(loss: str, lines: Lines, limits: tuple[float, float]) -> str:
    figure, axes = _axes((3.4, 2.7))
    for name, label, style in (
        ("reward_desirable", "desirable", "-"),
        ("reward_undesirable", "undesirable", "--"),
    ):
        steps, values = _series(lines, name)
        axes.plot(steps, values, style, color=COLOURS[loss], linewidth=1.8, label=label)
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set_ylim(*limits)
    axes.set_title(loss, loc="left", fontsize=11, fontweight="bold", color=COLOURS[loss])
    axes.set_xlabel("step")
    axes.set_ylabel("reward  log π/π$_{ref}$  (nats)")
    axes.legend(loc="lower left", fontsize=9, frameon=False)
    return _svg(figure)


def kl_figure(metrics: Mapping[str, Lines]) -> str:
    """Return the estimate of the reference point by step: as the losses get it, and before its clamp at 0."""
    figure, axes = _axes((3.4, 2.7))
    estimated = {run: lines for run, lines in metrics.items() if any("kl" in line for line in lines)}
    for width, (run, lines) in zip((3.2, 1.6), estimated.items(), strict=False):  # where they coincide, both are seen
        axes.plot(*_series(lines, "kl_raw"), ":", color=COLOURS[run], linewidth=width, label=f"{run}, unclamped")
        axes.plot(*_series(lines, "kl"), "-", color=COLOURS[run], linewidth=width, label=f"{run}, as used")
    axes.set_title("reference point", loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel("step")
    axes.set_ylabel("estimate of KL(π ‖ π$_{ref}$)  (nats)")
    axes.legend(loc="lower left", fontsize=8, frameon=False)
    return _svg(figure)


def sft_figure(lines: Lines) -> str:
    """Return the loss of supervised finetuning by step, nats per token."""
    figure, axes = _axes((3.4, 2.7))
    axes.plot(*_series(lines, "nats_per_token"), "-", color=GREY, linewidth=1.8)
    axes.set_yscale("log")
    axes.set_title("sft", loc="left", fontsize=11, fontweight="bold", color=GREY)
    axes.set_xlabel("step")
    axes.set_ylabel("loss  (nats per token)")
    return _svg(figure)


def scores_figure(scores: Lines) -> str:
    """Return one dot per run with its interval.

    Args:
        scores: rows with run, score and interval, shares of the held-out problems.
    """
    figure, axes = _axes((6.4, 0.5 + 0.42 * len(scores)))
    for place, one in enumerate(reversed(scores)):
        low, high = (100 * bound for bound in one["interval"])
        colour = COLOURS.get(one["run"], GREY)
        axes.plot([low, high], [place, place], "-", color=colour, linewidth=2.2, solid_capstyle="butt")
        axes.plot(100 * one["score"], place, MARKERS.get(one["run"], "o"), color=colour, markersize=7)
    axes.set_yticks(range(len(scores)), [one["run"] for one in reversed(scores)])
    axes.set_ylim(-0.6, len(scores) - 0.4)
    axes.set_xlim(0, 100)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("held-out problems answered right  (%, with 95 % interval)")
    return _svg(figure)


def _series(lines: Lines, name: str) -> tuple[list[int], list[float]]:
    known = [line for line in lines if name in line]
    return [line["step"] for line in known], [line[name] for line in known]


def _axes(inches: tuple[float, float]) -> tuple[Any, Any]:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=inches, layout="constrained")
        return figure, figure.add_subplot()


def _svg(figure: Any) -> str:
    import matplotlib as mpl

    text = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
    return text.getvalue()
