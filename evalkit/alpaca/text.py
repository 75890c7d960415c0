"""The scores of AlpacaEval as text."""

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from evalkit.tables import p_cell, print_table


def print_scores(results: Mapping[str, Any], stream: TextIO) -> None:
    """Print one model's scores."""
    level = f"{100 * results['level']:g}% interval"
    header = ("", "percent", level, "standard error", "method")
    rows = [
        _row(
            "win rate",
            results["win_rate"],
            results["win_rate_interval"],
            results["standard_error"],
            results["interval_method"],
        )
    ]
    for one in results["length_controlled"]:
        error = one["standard_error"]
        rows.append(
            _row(
                f"length-controlled, {_short(one['glm'])}",
                one["length_controlled_winrate"],
                one["interval"],
                error,
                one["interval_method"] if error is not None else "no bootstrap",
            )
        )
    published = results["length_controlled_from_published_coefficients"]
    if published is not None:
        rows.append(_row("length-controlled, published coefficients", published, None, None, "not fitted"))
    title = f"{results['model']} against {results['baseline']}, judged by {results['judge'] or 'an unnamed judge'}"
    print_table(stream, title, header, rows)
    print(
        f"{results['n_total']} instructions: {results['n_wins']} wins, {results['n_wins_base']} losses, "
        f"{results['n_draws']} ties, {results['n_missing']} without a verdict; mean length {results['avg_length']} "
        "characters",
        file=stream,
    )
    for one in results["length_controlled"][:1]:
        print(
            f"alpaca_eval's own standard error of the length-controlled rate: "
            f"{one['alpaca_eval_lc_standard_error']:.2f} (it takes the fitted coefficients as known)",
            file=stream,
        )
    _print_gap(results["slot_gap"], stream)
    _print_notes(results["notes"], stream)


def print_differences(found: Mapping[str, Any], stream: TextIO) -> None:
    """Print the differences of two models."""
    rows = []
    for name, one in found["differences"].items():
        label = "win rate" if name == "win_rate" else f"length-controlled, {_short(name)}"
        difference = f"{one['difference']:+.2f}"
        rows.append((label, difference, _interval(one["interval"], signed=True), p_cell(one["p_value"]), one["test"]))
    title = f"{found['first']} minus {found['second']}, percentage points, each against {found['baseline']}"
    print_table(stream, title, ("", "difference", f"{100 * found['level']:g}% interval", "p", "test"), rows)
    _print_notes(found["notes"], stream)


def _row(
    label: str, rate: float, interval: Sequence[float] | None, error: float | None, method: str
) -> tuple[str, str, str, str, str]:
    return label, f"{rate:.2f}", _interval(interval), "none" if error is None else f"{error:.2f}", method


def _interval(interval: Sequence[float] | None, *, signed: bool = False) -> str:
    if interval is None:
        return "none"
    low, high = interval
    return f"[{low:+.2f}, {high:+.2f}]" if signed else f"[{low:.2f}, {high:.2f}]"


def _print_gap(gap: Mapping[str, Any] | None, stream: TextIO) -> None:
    if gap is None:
        return
    how = "the same pairs in both orders" if gap["paired"] else "each pair in one order, drawn by AlpacaEval's seed"
    consistency = ""
    if gap["consistency"] is not None:
        consistency = f"; the same winner in both orders: {100 * gap['consistency']['share']:.1f} %"
    print(
        f"slot gap, shown second minus shown first: {gap['second_minus_first']:+.2f} "
        f"{_interval(gap['interval'], signed=True)} ({how}){consistency}",
        file=stream,
    )


def _print_notes(notes: Sequence[str], stream: TextIO) -> None:
    for note in notes:
        print(f"note: {note}", file=stream)


def _short(glm: str) -> str:
    """Return AlpacaEval's name of a GLM without what all have in common."""
    return glm.removeprefix("length_controlled_")
