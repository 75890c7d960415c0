"""The curves of runs on one page that opens without a network, also of runs that are still going on."""

import io
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from trainer import metrics
from trainer.config import differing_keys, read_recipe
from trainer.errors import TrainerError
from trainer.files import write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Across = Literal["step", "epoch"]
Line = Mapping[str, Any]

POINTS = 100
"""Lines of metrics.jsonl that are drawn one by one; of more, the mean of equal blocks, and each block's range."""

_SIGNED = b"Drawn by halotheory"
"""What every page says at its end, and no other file."""

# Okabe and Ito's colours, told apart by the colour-blind; the line styles tell them apart in print
_LOOKS: list[tuple[str, Any]] = [
    ("#0072B2", "-"),
    ("#D55E00", "--"),
    ("#009E73", "-."),
    ("#CC79A7", (0, (5, 1, 1, 1, 1, 1))),
    ("#E69F00", ":"),
    ("#000000", (0, (1, 1))),
]
_STYLE: Any = {"svg.hashsalt": "halotheory", "svg.fonttype": "path", "font.size": 9}


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """What a panel shows.

    Attributes:
        title: above it.
        axis: beside it, with the unit.
        names: in metrics.jsonl, with a word for each.
        least: where the vertical axis begins; None where the values say.
        most: where it ends; None where the values say.
    """

    title: str
    axis: str
    names: Mapping[str, str]
    least: float | None = None
    most: float | None = None


QUANTITIES = (
    Quantity(title="Loss", axis="mean loss per example", names={"loss": "loss"}),
    Quantity(
        title="Rewards, log π(y|x)/π_ref(y|x)",
        axis="mean reward, nats",
        names={"reward_desirable": "desirable", "reward_undesirable": "undesirable", "reward_margin": "margin"},
    ),
    Quantity(
        title="Reward accuracy",
        axis="share of pairs, chosen above rejected",
        names={"reward_accuracy": "accuracy"},
        least=0.0,
        most=1.0,
    ),
    Quantity(
        title="Reference point z0", axis="nats", names={"kl": "as used, at least 0", "kl_raw": "before the clamp"}
    ),
    Quantity(title="Negative log-likelihood", axis="nats per token", names={"nats_per_token": "of completions"}),
    Quantity(
        title="Log-probabilities of completions",
        axis="log π(y|x), nats",
        names={"logps_desirable": "desirable", "logps_undesirable": "undesirable"},
    ),
    Quantity(title="Gradient norm, before clipping", axis="Euclidean norm", names={"grad_norm": "norm"}, least=0.0),
    Quantity(
        title="Saturation: examples with next to no slope",
        axis="share of examples",
        names={"saturation": "saturated"},
        least=0.0,
        most=1.0,
    ),
    Quantity(title="Learning rate", axis="per step", names={"learning_rate": "rate"}, least=0.0),
    Quantity(title="Length of completions", axis="mean tokens", names={"completion_length": "mean"}, least=0.0),
    Quantity(
        title="Desirable completions",
        axis="share of examples",
        names={"desirable_share": "share"},
        least=0.0,
        most=1.0,
    ),
    Quantity(title="Speed", axis="tokens per second", names={"tokens_per_second": "speed"}, least=0.0),
    Quantity(title="Peak memory", axis="GB (10⁹ bytes)", names={"memory_gb": "memory"}, least=0.0),
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run as its folder has it.

    Attributes:
        name: of the folder.
        lines: of metrics.jsonl, at least one.
        evaluations: lines of eval.jsonl.
        settings: of config.yaml; empty where it cannot be read.
        finished: whether its model is there.
    """

    name: str
    lines: Sequence[Line]
    evaluations: Sequence[Line]
    settings: Mapping[str, Any]
    finished: bool


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A series of a panel: what it is called, where its points are, and whether they are of held-out examples."""

    label: str
    x: np.ndarray
    y: np.ndarray
    held_out: bool
    look: int


def draw_curves(folders: Sequence[Path | str], output: Path, *, across: Across = "step") -> Path:
    """Write the page of some runs' curves and return its path.

    Args:
        folders: of runs, finished or not.
        output: the page, .html.
        across: what the horizontal axis counts; epochs compare runs of unlike batch sizes.

    Raises:
        TrainerError: a folder that holds no run, a page that cannot be written, or a file in its place that is none.
    """
    if output.suffix.lower() != ".html":
        raise TrainerError(f"--output {output}: the curves are a page; give a name that ends in .html")
    if output.is_file() and not is_page(output):
        raise TrainerError(f"{output}: exists, and is no page of trainer curves; give another --output")
    runs = [read_run(Path(folder)) for folder in folders]
    write_text(output, page(_told_apart(runs, folders), across))
    return output


def is_page(path: Path) -> bool:
    """Return whether a file is a page of curves, which another may replace.

    Raises:
        TrainerError: it cannot be read.
    """
    try:
        return _SIGNED in path.read_bytes()
    except OSError as error:
        raise TrainerError(f"{path}: cannot be read: {error.strerror}; give another --output") from error


def read_run(folder: Path) -> Run:
    """Return a run.

    Raises:
        TrainerError: the folder holds none, or one that has not taken a step.
    """
    path = folder / "metrics.jsonl"
    if not path.is_file():
        raise TrainerError(f"{folder}: holds no metrics.jsonl; name the --output of a run")
    lines = metrics.read(path)
    if not lines:
        raise TrainerError(f"{path}: holds no line yet; wait for the first step")
    evaluations = metrics.read(folder / "eval.jsonl")
    _check(path, lines)
    _check(folder / "eval.jsonl", evaluations)
    try:
        settings = read_recipe(str(folder / "config.yaml"))
    except TrainerError:  # of another version, or removed: the curves need none of it
        settings = {}
    return Run(
        name=folder.resolve().name,
        lines=lines,
        evaluations=evaluations,
        settings=settings,
        finished=(folder / "model" / "README.md").is_file(),
    )


def _check(path: Path, lines: Sequence[Any]) -> None:
    """Check that lines hold what is drawn of them: numbers, or null where there was none."""
    drawn = [name for quantity in QUANTITIES for name in quantity.names]
    for at, line in enumerate(lines, 1):
        values = line if isinstance(line, dict) else {}
        wrong = [name for name in ("step", "epoch") if not isinstance(values.get(name), int | float)]
        wrong += [name for name in drawn if not isinstance(values.get(name, 0), int | float | None)]
        if wrong:
            raise TrainerError(f"{path}:{at}: {wrong[0]} is no number; a run writes this file, and nothing else should")


def page(runs: Sequence[Run], across: Across) -> str:
    """Return the page, HTML in one piece."""
    import jinja2

    from halotheory import __version__

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("trainer"), undefined=jinja2.StrictUndefined, autoescape=True, trim_blocks=True
    )
    drawn = [
        (title, b64encode(_drawing(title, quantity, curves, across)).decode("ascii"), _spoken(title, curves))
        for title, quantity, curves in _panels(runs, across)
    ]
    return environment.get_template("curves.html.j2").render(
        runs=runs, panels=drawn, last=_last(runs), settings=_settings(runs), points=POINTS, version=__version__
    )


def _told_apart(runs: Sequence[Run], folders: Sequence[Path | str]) -> list[Run]:
    """Return the runs, those of one name called by their paths."""
    names = [run.name for run in runs]
    if len(set(names)) == len(names):
        return list(runs)
    return [replace(run, name=str(folder)) for run, folder in zip(runs, folders, strict=True)]


def _panels(runs: Sequence[Run], across: Across) -> Iterator[tuple[str, Quantity, list[Curve]]]:
    """Yield title, quantity and curves of each panel: the series of one run that belong together, or one of several."""
    for quantity in QUANTITIES:
        if len(runs) == 1:
            curves = [
                curve
                for look, (name, word) in enumerate(quantity.names.items())
                for curve in _curves(runs[0], name, word if len(quantity.names) > 1 else "training", across, look)
            ]
            if curves:
                yield quantity.title, quantity, curves
            continue
        for name, word in quantity.names.items():
            title = quantity.title if len(quantity.names) == 1 else f"{quantity.title}: {word}"
            curves = [curve for look, run in enumerate(runs) for curve in _curves(run, name, run.name, across, look)]
            if curves:
                yield title, quantity, curves


def _curves(run: Run, name: str, label: str, across: Across, look: int) -> Iterator[Curve]:
    for lines, held_out in ((run.lines, False), (run.evaluations, True)):
        there = [line for line in lines if line.get(name) is not None]
        if there:
            x, y = (np.array([line[key] for line in there], float) for key in (across, name))
            told = label if not held_out else "held out" if label == "training" else f"{label}, held out"
            yield Curve(label=told, x=x, y=y, held_out=held_out, look=look)


def _drawing(title: str, quantity: Quantity, curves: Sequence[Curve], across: Across) -> bytes:
    """Return a panel as SVG; the bytes depend on the curves alone."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.8, 3.0 + 0.09 * len(curves)), layout="constrained")
        axes = figure.add_subplot()
        for curve in curves:
            _draw(axes, curve)
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel({"step": "optimizer steps", "epoch": "epochs"}[across])
        axes.set_ylabel(quantity.axis)
        _bound(axes, quantity)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="0.9", linewidth=0.6)
        axes.set_axisbelow(True)
        if len(curves) > 1:
            columns = 3 if len(curves) % 3 == 0 and all(len(curve.label) < 16 for curve in curves) else 2
            figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=8)
        content = io.BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()


def _bound(axes: "Axes", quantity: Quantity) -> None:
    """Let the vertical axis begin and end where the quantity does, with room for a line that lies there."""
    low, high = axes.get_ylim()
    low = low if quantity.least is None else quantity.least
    high = high if quantity.most is None else quantity.most
    room = 0.03 * (high - low)
    axes.set_ylim(low if quantity.least is None else low - room, high if quantity.least is None else high + room)


def _draw(axes: "Axes", curve: Curve) -> None:
    colour, style = _LOOKS[curve.look % len(_LOOKS)]
    if curve.held_out:
        axes.plot(
            curve.x, curve.y, color=colour, linestyle=style, linewidth=0.9, marker="o", markersize=3.5,
            markerfacecolor="white", label=curve.label,
        )  # fmt: skip
        return
    x, y, low, high = blocks(curve.x, curve.y)
    if len(y) < len(curve.y):
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    marker = "." if len(y) == 1 else ""
    axes.plot(x, y, color=colour, linestyle=style, linewidth=1.4, marker=marker, label=curve.label)


def blocks(x: np.ndarray, y: np.ndarray, most: int = POINTS) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the means of x and y, and the least and largest y, of equal blocks: at most `most` of them.

    Args:
        x: (n,).
        y: (n,).
        most: points.
    """
    if len(y) <= most:
        return x, y, y, y
    parts = np.array_split(np.arange(len(y)), most)
    return (
        np.array([x[part].mean() for part in parts]),
        np.array([y[part].mean() for part in parts]),
        np.array([y[part].min() for part in parts]),
        np.array([y[part].max() for part in parts]),
    )


def _spoken(title: str, curves: Sequence[Curve]) -> str:
    """Return a panel in words, for those who do not see it."""
    ends = (f"{curve.label} from {curve.y[0]:.4g} to {curve.y[-1]:.4g}" for curve in curves)
    return f"{title}: {'; '.join(ends)}"


def _last(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """Return the last value of each series, a column for each run, and of its held-out examples."""
    rows = [("steps", [f"{run.lines[-1]['step']}{'' if run.finished else ', not finished'}" for run in runs])]
    rows.append(("epochs", [f"{run.lines[-1]['epoch']:.4g}" for run in runs]))
    for quantity in QUANTITIES:
        for name in quantity.names:
            for word, where in (("", "lines"), (", held out", "evaluations")):
                values = [_last_value(getattr(run, where), name) for run in runs]
                if any(values):
                    rows.append((f"{name}{word}", values))
    return rows


def _last_value(lines: Sequence[Line], name: str) -> str:
    found = [line[name] for line in lines if line.get(name) is not None]
    return f"{found[-1]:.5g}" if found else ""


def _settings(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """Return the settings of a run, or those in which several differ."""
    names = list(dict.fromkeys(name for run in runs for name in run.settings))
    if len(runs) > 1:
        first = runs[0].settings
        changed = {name for run in runs[1:] for name in differing_keys(first, run.settings)}
        names = [name for name in names if name in changed and name != "output"]
    return [
        (name, [_told(run.settings.get(name)) for run in runs])
        for name in names
        if any(_told(run.settings.get(name)) for run in runs)
    ]


def _told(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={number}" for name, number in value.items())
    return "" if value is None or value == [] else str(value)
