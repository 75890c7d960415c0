"""How long the checker takes, and what cvxpy's rules and dense grids of floats decide of the same value functions.

python tests/benchmarks/checker.py [--runs 3] [--only dpo kto] [--json] [--markdown docs/benchmarks.inc]
"""

import argparse
import json
import multiprocessing
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the batches are tiny, and the checks are timed one by one

import dense_grid
import disciplined
import numpy as np
import sympy
import torch
from command_line import argv, seconds
from sympy import Expr, Rational
from traps import TRAPS, Z, is_fall, is_sag

import halotheory
import halotheory.losses
from halotheory.findings import Status, Verdict
from halotheory.scaffold import new_loss, write_loss

COMMANDS = {'python -c "import torch"': None, "halotheory check dpo": 4.0, "halotheory check kto": 4.0}
"""Command lines, each with the seconds that it may take."""

COLD_RUNS = 5
MEDIAN_TARGET = 0.5
WORST_TARGET = 20.0
NO_REPETITION = 20.0  # seconds; a longer check is run once
GRIDS = (10**5, 10**6)
DECIDERS = ("halotheory", "cvxpy", *(f"grid {num_points:.0e}".replace("e+0", "e") for num_points in GRIDS))

EXAMINED = {
    "ipo": "-(z - 1/(2*beta))**2",
    "exo": "-(log(1/(1+exp(-beta*z))/(1-label_smoothing))/(1+exp(-beta*z))"
    " + log(1/(1+exp(beta*z))/label_smoothing)/(1+exp(beta*z)))",
    "discopop": "-(log(1+exp(-beta*z))/(1+exp(beta*z/tau)) + exp(-beta*z)/(1+exp(-beta*z/tau)))",
}
"""The value functions of losses of the margin that are no HALOs, which a verdict does not carry: minus the loss."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One loss and the checks of it.

    Attributes:
        loss: its name.
        verdict: what was decided.
        detail: the relaxations, the conditions refuted or open, or the error.
        seconds: the median of the runs.
        slowest: the slowest run, in seconds.
    """

    loss: str
    verdict: str
    detail: str
    seconds: float
    slowest: float


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What one method says of one value function.

    Attributes:
        non_decreasing: "yes", "no", "open", "no form" where the method cannot express the function, or "error".
        concave_in_gains: alike.
        seconds: how long that took.
    """

    non_decreasing: str
    concave_in_gains: str
    seconds: float

    @property
    def answers(self) -> tuple[str, str]:
        """The two answers, in this order."""
        return self.non_decreasing, self.concave_in_gains


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One value function and what every method says of it.

    Attributes:
        name: the trap, or the losses that have this value function.
        formula: v(z) with the hyperparameters as set.
        truth: the two answers that are right; "open" where nobody knows.
        decisions: by method.
    """

    name: str
    formula: str
    truth: tuple[str, str]
    decisions: Mapping[str, Decision]

    def wrong(self, method: str) -> list[bool]:
        """Return for each condition whether the method decided it, and wrongly."""
        pairs = zip(self.decisions[method].answers, self.truth, strict=True)
        return [{answer, right} == {"yes", "no"} for answer, right in pairs]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table to print, as text or as markdown."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """Return the table with its columns aligned."""
        lines = [self.header, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.header))]
        padded = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        return "\n".join([self.title, *(line.rstrip() for line in padded)])

    def markdown(self) -> str:
        """Return the table in markdown."""
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        cells = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
        return "\n".join([f"**{self.title}**", "", *cells])


def main() -> int:
    """Measure, print, and return 1 where the checker is wrong of a trap."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="checks of each loss, of which the median counts")
    parser.add_argument("--only", nargs="*", metavar="LOSS", help="these built-in losses, and no traps")
    parser.add_argument("--json", action="store_true", help="print one object in place of the tables")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there too")
    options = parser.parse_args()
    names = halotheory.losses.__all__ if options.only is None else options.only
    checked = [_timed(name, options.runs) for name in names]
    compared = [*_catalogue_compared(checked), *(() if options.only is not None else _traps_compared(options.runs))]
    timings = [timing for timing, _ in checked]
    commands = [_cold(line, target) for line, target in COMMANDS.items()]
    tables = [
        _commands_table(commands),
        _timings_table(timings, options.runs),
        _summary_table(compared),
        _compared_table(compared),
    ]
    if options.json:
        record = {"machine": _machine(), "commands": commands, "losses": timings, "value_functions": compared}
        print(json.dumps(record, indent=2, default=asdict))
    else:
        print("\n\n".join([_machine(), *(table.text() for table in tables)]))
    if options.markdown:
        pages = "\n\n".join([_machine(), *(table.markdown() for table in tables)])
        options.markdown.write_text(pages + "\n", encoding="utf-8")
    return int(any(any(each.wrong("halotheory")) for each in compared))


# Measuring


def _cold(line: str, target: float | None) -> dict[str, object]:
    _say(f"{line}, {COLD_RUNS} processes")
    times = [seconds(argv(line)) for _ in range(COLD_RUNS)]
    return {"command": line, "median": statistics.median(times), "max": max(times), "target": target}


def _checked(loss: str) -> tuple[float, Verdict | str]:
    """Return the seconds of one check, and the verdict or the error."""
    began = time.perf_counter()
    try:
        verdict = halotheory.check(loss)
    except Exception as error:  # a loss that breaks the checker is a row of the table, not its end
        verdict = f"{type(error).__name__}: {error}"
    return time.perf_counter() - began, verdict


def _apart(loss: str) -> tuple[float, Verdict | str]:
    """Return one check in a fork of this process, which has the imports and none of the other checks' caches."""
    began = time.perf_counter()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        try:
            return pool.submit(_checked, loss).result()
        except BrokenProcessPool:
            return time.perf_counter() - began, "the process died"


def _timed(loss: str, runs: int, shown: str | None = None) -> tuple[Timing, Verdict | str]:
    """Return the median time of the checks of one loss, and its verdict."""
    _warm_up()
    _say(f"check {shown or loss}")
    times, verdict = [], ""
    while len(times) < runs and max(times, default=0.0) < NO_REPETITION:
        took, verdict = _apart(loss)
        times.append(took)
    if isinstance(verdict, str):
        _say(f"    {verdict}")
    word, detail = ("error", verdict) if isinstance(verdict, str) else (verdict.verdict, _detail(verdict))
    median = statistics.median(times)
    return Timing(loss=shown or loss, verdict=word, detail=detail, seconds=median, slowest=max(times)), verdict


_warm: list[Verdict] = []


def _warm_up() -> None:
    """Check one loss, once, which loads what is loaded on first use."""
    if not _warm:
        _warm.append(halotheory.check("dpo"))


def _detail(verdict: Verdict) -> str:
    unmet = [f"{each.name} {each.status.value}" for each in verdict.conditions if each.status is not Status.PROVED]
    return ", ".join(verdict.relaxations or unmet)


def _decided(method: Callable[[], tuple[str, str]]) -> Decision:
    began = time.perf_counter()
    non_decreasing, concave_in_gains = method()
    took = time.perf_counter() - began
    return Decision(non_decreasing=non_decreasing, concave_in_gains=concave_in_gains, seconds=took)


def _decisions(v: Expr, verdict: Verdict | str, took: float) -> dict[str, Decision]:
    """Return what every method says of v, the checker's answers taken from a verdict on a loss that has it."""
    non_decreasing = concave_in_gains = "error"
    if isinstance(verdict, Verdict):
        non_decreasing = _answer(verdict, "non_decreasing", v, is_fall)
        concave_in_gains = _answer(verdict, "concave_in_gains", v, is_sag)
    checked = Decision(non_decreasing=non_decreasing, concave_in_gains=concave_in_gains, seconds=took)
    _decided(partial(disciplined.answers, v))  # SymPy's first look at an expression is not cvxpy's time
    others = [partial(disciplined.answers, v), *(partial(dense_grid.answers, v, points) for points in GRIDS)]
    return dict(zip(DECIDERS, [checked, *map(_decided, others)], strict=True))


def _answer(verdict: Verdict, name: str, v: Expr, fails: Callable[[Expr, list[Expr]], bool]) -> str:
    """Return a finding as an answer; a refutation counts where its witness, as z or as beta * z, is one of this v."""
    finding = next((finding for finding in verdict.conditions if finding.name == name), None)
    if finding is None or finding.status is Status.UNDECIDED:
        return "open"
    if finding.status is Status.PROVED:
        return "yes"
    witness = finding.witness or {}
    points = [_expression(witness[z], verdict.hyperparameters) for z in ("z1", "z2", "z3") if z in witness]
    if len(points) != (2 if fails is is_fall else 3):
        return "open"
    units = [Rational(repr(float(value))) for name, value in verdict.hyperparameters.items() if name == "beta"]
    return "no" if any(fails(v, [point / unit for point in points]) for unit in [1, *units]) else "open"


# The value functions


def _expression(text: str, hyperparameters: Mapping[str, float]) -> Expr:
    """Return an expression of z with the hyperparameters as set; a context, such as a detached weight, is 1."""
    names = set(re.findall(r"\b[A-Za-z_]\w*\b(?!\()", text)) - {"z", "True", "False", "pi", "E"}
    values = {name: Rational(repr(float(hyperparameters.get(name, 1)))) for name in names}
    return sympy.sympify(text, locals={"z": Z, **values}, rational=True)


def _value_function(verdict: Verdict) -> Expr | None:
    """Return v as the verdict gives it or, for a loss that is no HALO, as examined here; None where there is none."""
    if verdict.construction is not None:
        return _expression(verdict.construction.value_function, verdict.hyperparameters)
    if verdict.loss not in EXAMINED:
        return None
    v = _expression(EXAMINED[verdict.loss], verdict.hyperparameters)
    margins = np.linspace(-7, 9, 50)
    zeros = torch.zeros(50, dtype=torch.float64)
    loss = halotheory.load_loss(verdict.loss).function(torch.tensor(margins), zeros, zeros, zeros)
    if not np.allclose(-loss.numpy(), sympy.lambdify(Z, v)(margins), rtol=1e-9, atol=1e-12):
        raise ValueError(f"EXAMINED['{verdict.loss}'] is not minus the loss of the margin z")
    return v


def _catalogue_compared(checked: Sequence[tuple[Timing, Verdict | str]]) -> Iterator[Compared]:
    """Yield the distinct value functions of built-in losses; what is right is what the checker proved or refuted."""
    groups: dict[Expr, list[tuple[Timing, Verdict]]] = {}
    for timing, verdict in checked:
        v = None if isinstance(verdict, str) else _value_function(verdict)
        if v is not None and isinstance(verdict, Verdict):
            groups.setdefault(v, []).append((timing, verdict))
    for v, losses in groups.items():
        name = ", ".join(timing.loss for timing, _ in losses)
        _say(f"compare {name}")
        decisions = _decisions(v, losses[0][1], max(timing.seconds for timing, _ in losses))
        yield Compared(name=name, formula=str(v), truth=decisions["halotheory"].answers, decisions=decisions)


def _traps_compared(runs: int) -> Iterator[Compared]:
    """Yield the traps, each checked as the loss that `halotheory new` writes from its formula."""
    with tempfile.TemporaryDirectory() as folder:
        for i, trap in enumerate(TRAPS):
            path = Path(folder) / f"trap_{i}.py"
            write_loss(path, new_loss(trap.formula))
            timing, verdict = _timed(str(path), runs, shown=trap.name)
            truth = ("yes" if trap.falls is None else "no", "yes" if trap.sags is None else "no")
            decisions = _decisions(trap.expression, verdict, timing.seconds)
            yield Compared(name=trap.name, formula=trap.formula, truth=truth, decisions=decisions)


# Printing


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _machine() -> str:
    versions = f"Python {platform.python_version()}, PyTorch {torch.__version__}, cvxpy {disciplined.cvxpy.__version__}"
    return f"{platform.system()}, {os.cpu_count()} cores, {versions}."


def _commands_table(commands: Sequence[Mapping[str, object]]) -> Table:
    rows = [
        [
            str(row["command"]),
            f"{row['median']:.2f}",
            f"{row['max']:.2f}",
            "" if row["target"] is None else f"{row['target']:.0f}",
        ]
        for row in commands
    ]
    title = f"Whole commands, cold: {COLD_RUNS} processes each, seconds"
    return Table(title=title, header=["command", "median", "slowest", "target"], rows=rows)


def _timings_table(timings: Sequence[Timing], runs: int) -> Table:
    slowest = max(timings, key=lambda timing: timing.seconds)
    median = statistics.median(timing.seconds for timing in timings)
    ends = (
        f"median {median:.2f} (target {MEDIAN_TARGET}), "
        f"worst {slowest.seconds:.2f}, {slowest.loss} (target {WORST_TARGET:.0f})"
    )
    return Table(
        title=f"The built-in losses, import apart, {runs} checks each, seconds: {ends}",
        header=["loss", "median", "slowest", "verdict", "relaxations, or what is refuted or open"],
        rows=[[t.loss, f"{t.seconds:.2f}", f"{t.slowest:.2f}", t.verdict, t.detail] for t in timings],
    )


def _summary_table(compared: Sequence[Compared]) -> Table:
    rows = []
    for method in DECIDERS:
        answers = [answer for each in compared for answer in each.decisions[method].answers]
        wrong = [wrong for each in compared for wrong in each.wrong(method)]
        times = [each.decisions[method].seconds for each in compared]
        decided = sum(answer in {"yes", "no"} for answer in answers)
        counts = [f"{decided} of {len(answers)}", str(sum(wrong))]
        rows.append([method, *counts, *(f"{value:.3f}" for value in (statistics.median(times), max(times)))])
    title = f"{len(compared)} value functions, two conditions each"
    return Table(title=title, header=["method", "decided", "wrong", "median s", "slowest s"], rows=rows)


def _compared_table(compared: Sequence[Compared]) -> Table:
    """Return one row per value function: non-decreasing / concave in gains, and what is wrong in capitals."""
    return Table(
        title="Each value function: non-decreasing / concave in gains, and seconds",
        header=["value function", "right", *DECIDERS],
        rows=[[each.name, " / ".join(each.truth), *(_cell(each, method) for method in DECIDERS)] for each in compared],
    )


def _cell(each: Compared, method: str) -> str:
    decision = each.decisions[method]
    pairs = zip(decision.answers, each.wrong(method), strict=True)
    shown = [f"WRONG: {answer}" if wrong else answer for answer, wrong in pairs]
    return f"{' / '.join(shown)}, {decision.seconds:.3f}"


if __name__ == "__main__":
    sys.exit(main())
