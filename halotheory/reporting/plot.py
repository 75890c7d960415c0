"""Pictures of implied value functions, in the manner of the KTO paper's Figure 1."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from halotheory.errors import HaloTheoryError
from halotheory.files import write_bytes
from halotheory.findings import Verdict
from halotheory.reporting.implied import implied_value, numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by the colour-blind; the line styles tell them apart in print
_LINES = [
    ("#0072B2", "-"),
    ("#D55E00", "--"),
    ("#009E73", "-."),
    ("#CC79A7", (0, (5, 1, 1, 1, 1, 1))),
    ("#E69F00", ":"),
]
_ALPHA, _LAMBDA = 0.88, 2.25  # median human values, Tversky and Kahneman 1992; eq. 4 of the KTO paper


def kahneman_tversky(z: np.ndarray) -> np.ndarray:
    """Return the median human value of monetary outcomes: z^0.88 for gains, -2.25 (-z)^0.88 for losses.

    Source: Ethayarajh et al. 2024, arXiv 2402.01306, eq. 4.

    Args:
        z: outcomes relative to the reference point, any shape.
    """
    size = np.abs(z) ** _ALPHA
    return np.where(z >= 0, size, -_LAMBDA * size)


def picture_suffix(path: Path) -> str:
    """Return the suffix that names a picture's format: .svg, .png or .pdf.

    Raises:
        HaloTheoryError: it names another one.
    """
    suffix = path.suffix.lower()
    if suffix not in {".svg", ".png", ".pdf"}:
        raise HaloTheoryError(f"{path}: a picture is written as .svg, .png or .pdf, not '{path.suffix}'")
    return suffix


def draw_value_functions(verdicts: Sequence[Verdict], path: Path, *, reach: float = 5.0) -> None:
    """Write a picture of the value functions of some HALOs beside the Kahneman-Tversky one.

    Each curve is moved up or down so that the value of z = 0, the reference point, is 0; a constant is free in a HALO.

    Args:
        verdicts: of losses that are HALOs.
        path: a file whose suffix names the format: .svg, .png or .pdf.
        reach: half the width of the picture, in units of z.

    Raises:
        HaloTheoryError: a loss without a value function, or a format that cannot be written.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    suffix = picture_suffix(path)
    z = np.linspace(-reach, reach, 1001)
    curves = [(f"{verdict.loss}{_settings(verdict)}", _values(verdict, z)) for verdict in verdicts]
    with mpl.rc_context({"svg.hashsalt": "halotheory", "svg.fonttype": "path", "font.size": 10}):
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(z, kahneman_tversky(z), color="0.35", linewidth=1, label="Kahneman-Tversky (humans, money)")
        for i, (name, values) in enumerate(curves):
            colour, style = _LINES[i % len(_LINES)]
            axes.plot(z, values, color=colour, linestyle=style, linewidth=2, label=name)
        axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        axes.axvline(0, color="0.8", linewidth=0.8, zorder=0)
        top = max(1.0, *(float(np.nanmax(np.abs(values))) for _, values in curves)) if curves else reach
        axes.set_ylim(-min(1.15 * top, 2.5 * reach), min(1.15 * top, 1.2 * reach))
        axes.set_xlabel("z: implied reward minus reference point")
        axes.set_ylabel("implied value v(z) - v(0)")
        axes.set_title("Value functions implied by human-aware losses", loc="left", fontsize=11)
        axes.legend(frameon=False, loc="lower right", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        content = _picture(figure, suffix)
    write_bytes(path, content)


def _values(verdict: Verdict, z: np.ndarray) -> np.ndarray:
    try:
        v = implied_value(verdict).as_set
        return numbers(v, z) - numbers(v, np.zeros(()))
    except HaloTheoryError as error:
        text = str(error).removeprefix(f"{verdict.loss}: ")
        raise HaloTheoryError(f"{verdict.loss}: {text}; leave it out") from error


def _settings(verdict: Verdict) -> str:
    shown = ", ".join(f"{name}={value:g}" for name, value in verdict.hyperparameters.items() if name == "beta")
    return f" ({shown})" if shown else ""


def _picture(figure: "Figure", suffix: str) -> bytes:
    """Return the picture as a file has it; the bytes depend on the picture alone."""
    content = io.BytesIO()
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}, ".png": {}}[suffix]
    figure.savefig(content, format=suffix[1:], metadata=metadata, dpi=200)
    return content.getvalue()
