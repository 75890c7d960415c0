"""The results of a judged run as text."""

from collections.abc import Mapping
from typing import Any, TextIO

from evalkit.tables import interval_cell, p_cell, print_table


def print_judged(results: Mapping[str, Any], stream: TextIO) -> None:
    """Print win rates, then what bears on them: slots, swaps, lengths, missing verdicts, cost."""
    header = ("criterion", "win rate", "95% interval", "pairs", "wins:ties:losses", "p", "won outright, 90% exact")
    print_table(stream, "", header, [_row(name, found) for name, found in results["benchmarks"].items()])
    for name, found in results["benchmarks"].items():
        for line in _details(found):
            print(f"{name}: {line}", file=stream)
        if "quality" in found:
            print_quality(name, found["quality"], stream)
    print(_cost(results["usage"]), file=stream)
    for note in results["notes"]:
        print(f"note: {note}", file=stream)


def print_quality(name: str, found: Mapping[str, Any], stream: TextIO) -> None:
    """Print how far a judge agrees with people's labels, and its biases."""
    rows = [
        (what, _kappa(found[kappa]), f"{share['share']:.4f}", interval_cell(share["interval"]), str(share["n"]))
        for what, key, kappa in (
            ("all, ties a category", "agreement", "kappa"),
            ("decided by both", "agreement_decided", "kappa_decided"),
        )
        if (share := found[key]) is not None
    ]
    print_table(stream, name, ("pairs", "Cohen's kappa", "agreement", "95% interval", "n"), rows)
    for line in _quality_details(found):
        print(f"{name}: {line}", file=stream)


def _kappa(found: Mapping[str, Any]) -> str:
    return "none" if found["kappa"] is None else f"{found['kappa']:.4f} {interval_cell(found['interval'], signed=True)}"


def _quality_details(found: Mapping[str, Any]) -> list[str]:
    lines = []
    if found["swap"] is not None:
        lines.append(f"{_swapped(found['swap'])}, p {p_cell(found['swap']['p_value'])}")
    for key, what in (("first_answer", "the first answer"), ("longer", "the longer answer")):
        bias = found[key]
        if bias is not None:
            lines.append(
                f"the judge picks {what} {bias['judge']:.4f}, people {bias['human']:.4f}; difference "
                f"{bias['difference']:+.4f} {interval_cell(bias['interval'], signed=True)}, p {p_cell(bias['p_value'])}"
            )
    if found["unlabelled"] or found["without_verdict"]:
        lines.append(f"left out: {found['unlabelled']} without a label, {found['without_verdict']} without a verdict")
    return lines


def _swapped(swap: Mapping[str, Any]) -> str:
    equal = f"; {swap['equal_answers']} pairs of equal answers left out" if swap.get("equal_answers") else ""
    return (
        f"the same verdict in both orders {swap['share']:.4f} {interval_cell(swap['interval'])}; else "
        f"{swap['first_slot_twice']} leaned to the first slot, {swap['second_slot_twice']} to the second{equal}"
    )


def _row(name: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    if found["score"] is None:
        return (name, "none", "none", "0", "0:0:0", "", "")
    outright = found["outright"]
    return (
        name,
        f"{found['score']:.4f}",
        interval_cell(found["interval"]),
        str(found["n"]),
        f"{found['wins']}:{found['ties']}:{found['losses']}",
        p_cell(found["p_value"]),
        f"{outright['share']:.4f} {interval_cell(outright['interval'])}",
    )


def _details(found: Mapping[str, Any]) -> list[str]:
    lines = []
    slots, swap, length = found.get("slots"), found.get("swap"), found.get("length")
    if slots is not None:
        lines.append(
            f"win rate shown first {slots['shown_first']:.4f}, second {slots['shown_second']:.4f}; gap "
            f"{slots['gap']:+.4f} {interval_cell(slots['interval'], signed=True)}, p {p_cell(slots['p_value'])}"
        )
    if swap is not None:
        lines.append(_swapped(swap))
    if length is not None:
        lines.append(_length(length))
    lines.extend(f"{count} without a verdict: {reason}" for reason, count in found["missing"].items())
    return lines


def _length(length: Mapping[str, Any]) -> str:
    parts = [
        f"{what} {length[key]['win_rate']:.4f} (n {length[key]['n']})"
        for key, what in (("judged_longer", "where longer"), ("judged_shorter", "where shorter"))
        if length[key] is not None
    ]
    adjusted = length["adjusted"]
    if adjusted is None:
        parts.append(f"not adjusted for length: {length['not_adjusted']}")
    else:
        parts.append(f"at equal lengths {adjusted['win_rate']:.4f} {interval_cell(adjusted['interval'])}")
    return f"win rate {', '.join(parts)}"


def _cost(usage: Mapping[str, Any]) -> str:
    cost = "price unknown" if usage["cost"] is None else f"${usage['cost']:.4f} ({usage['prices']})"
    return f"{usage['calls']} calls, {usage['tokens_in']} tokens in, {usage['tokens_out']} out: {cost}"
