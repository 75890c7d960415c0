"""What a theorem's verification consists of: claims that follow from steps, each of which was decided."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import sympy
from sympy import Expr
from sympy.core.relational import Relational
from sympy.printing.str import StrPrinter

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.proving.decide import decide
from halotheory.proving.enclose import sign
from halotheory.proving.nonnegative import identically_zero

_PATIENCE = 5.0  # seconds for one step

Sign = Literal["=", ">", ">="]


@dataclass(frozen=True, kw_only=True)
class Formula:
    """Two sides and what stands between them, as SymPy-readable strings."""

    left: str
    sign: Sign
    right: str

    def __str__(self) -> str:
        return f"{self.left} {self.sign} {self.right}"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line of a derivation.

    Attributes:
        text: what it says, a sentence.
        formula: the same as a formula, where there is one.
        status: of the formula, where it was decided here; None for a definition, an assumption, or an inference
            that is stated in words.
        method: what decided it.
        conditions: on the formula's symbols, under which it was decided; real numbers where nothing is said.
    """

    text: str
    formula: Formula | None = None
    status: Status | None = None
    method: str | None = None
    conditions: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A claim computed on random tabular worlds: never a proof, a check of the formulas against another way.

    Attributes:
        text: what was compared with what.
        count: the number of worlds.
        largest_error: of all of them.
        tolerance: what it must not exceed.
    """

    text: str
    count: int
    largest_error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether every world agreed; a NaN does not."""
        return self.largest_error <= self.tolerance


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One sentence, under one reading, with what was found of it.

    Attributes:
        name: in snake_case, unique within its statement.
        statement: the sentence.
        reading: how the paper's words were taken, where they leave it open.
        status: proved, refuted or undecided.
        method: how, in a few words.
        assumptions: what the status rests on.
        steps: the derivation, or what shows that the witness refutes the sentence.
        witness: exact numbers; there are some exactly where the status is refuted.
        trials: the same on random worlds.
    """

    name: str
    statement: str
    status: Status
    method: str
    steps: Sequence[Step]
    reading: str | None = None
    assumptions: Sequence[str] = ()
    witness: Mapping[str, str] | None = None
    trials: Sequence[Trial] = ()

    def __post_init__(self) -> None:
        if (self.status is Status.REFUTED) != (self.witness is not None):
            raise ValueError(f"{self.name}: a witness belongs to a refutation, and a refutation needs one")
        if self.status is not Status.UNDECIDED and not any(step.status is Status.PROVED for step in self.steps):
            raise ValueError(f"{self.name}: {self.status.value} without a step that was decided")


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """Where a statement stops being true as an assumption is dropped.

    Attributes:
        name: in snake_case.
        statement: the assumption, and what holds on each side.
        formula: the boundary in closed form, where there is one.
        points: on it: named numbers as strings, an enclosed one as "[low, high]".
        asymptotes: what it tends to, and where.
        axes: the names of the points' numbers to draw across and up, and of that which tells curves apart, if any.
    """

    name: str
    statement: str
    formula: str | None = None
    points: Sequence[Mapping[str, str]] = ()
    asymptotes: Sequence[str] = ()
    axes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A statement of the paper, verified.

    Attributes:
        name: as on the command line.
        title: what it is about.
        source: paper and place.
        formal: its formal reading: the sentence, with its quantifiers.
        assumptions: what the formal reading takes for granted.
        claims: with their statuses.
        boundaries: where it stops being true.
        notes: what it means, for those who use the losses.
        seconds: wall time.
    """

    name: str
    title: str
    source: str
    formal: str
    assumptions: Sequence[str]
    claims: Sequence[Claim]
    boundaries: Sequence[Boundary] = ()
    notes: Sequence[str] = ()
    seconds: float = field(default=0.0, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the object that `--json` prints: statuses as words, formulas as text, what is not finite as null."""
        return _plain(self)


def given(text: str) -> Step:
    """Return a definition, an assumption, or an inference in words."""
    return Step(text=text)


def equal(text: str, left: Expr, right: Expr) -> Step:
    """Return the step that two expressions are equal wherever both are defined, decided by exact rewriting.

    Parts in `sympy.UnevaluatedExpr` are shown as they are written; SymPy would else rewrite both sides alike.
    """
    formula = Formula(left=written(left), sign="=", right=written(right))
    needed = conditions(left, right)
    difference = released(left) - released(right)
    if identically_zero(difference):
        return _decided(text, formula, Status.PROVED, "exact rewriting", needed)
    if sympy.simplify(difference) == 0 or sympy.simplify(difference.doit()) == 0:
        return _decided(text, formula, Status.PROVED, "exact rewriting by SymPy", needed)
    return _decided(text, formula, Status.UNDECIDED, "the difference does not cancel", needed)


def at_least(text: str, left: Expr, right: Expr, where: Sequence[Relational] = (), *, strictly: bool = False) -> Step:
    """Return the step that left >= right (or > right) wherever the conditions hold, decided for all real numbers there.

    Args:
        text: the step in words.
        left: built of rationals, powers, exp, log, atan, erf and tanh.
        right: the same.
        where: conditions on the symbols, beside what SymPy assumes of them.
        strictly: ask for >.
    """
    formula = Formula(left=written(left), sign=">" if strictly else ">=", right=written(right))
    needed = conditions(left, right, where)
    difference = released(left) - released(right)
    if not difference.free_symbols:
        found = sign(difference)
        holds = found == 1 or (found == 0 and not strictly)
        return _decided(text, formula, Status.PROVED if holds else Status.UNDECIDED, "ball arithmetic", needed)
    decision = decide(difference, where, Deadline(_PATIENCE), strictly=strictly)
    status = Status.PROVED if decision.status is Status.PROVED else Status.UNDECIDED
    return _decided(text, formula, status, decision.method, needed)


def more_than(text: str, left: Expr, right: Expr, where: Sequence[Relational] = ()) -> Step:
    """Return the step that left > right wherever the conditions hold; see `at_least`."""
    return at_least(text, left, right, where, strictly=True)


def conditions(left: Expr, right: Expr, where: Sequence[Relational] = ()) -> list[str]:
    """Return as text what is taken for granted of the symbols of two sides: their signs, and further conditions."""
    found = {symbol for side in (left, right, *where) for symbol in sympy.sympify(side).free_symbols}
    named = sorted({symbol for symbol in found if isinstance(symbol, sympy.Symbol)}, key=str)
    signs = [_sign_of(symbol) for symbol in named if not any(_bounds(one, symbol) for one in where)]
    return list(dict.fromkeys([*filter(None, signs), *(written(one) for one in where)]))


def _sign_of(symbol: sympy.Symbol) -> str | None:
    """Return what SymPy assumes of a symbol beside that it is real."""
    if symbol.is_integer:
        return f"{symbol} a positive integer" if symbol.is_positive else f"{symbol} an integer"
    if symbol.is_positive or symbol.is_negative:
        return f"{symbol} > 0" if symbol.is_positive else f"{symbol} < 0"
    return f"{symbol} >= 0" if symbol.is_nonnegative else None


def _bounds(condition: Relational, symbol: sympy.Symbol) -> bool:
    """Return whether a condition says by itself that a symbol is positive."""
    if condition.lhs != symbol or not condition.rhs.is_number:
        return False
    strict = isinstance(condition, sympy.Gt) and condition.rhs.is_nonnegative
    return bool(strict or (isinstance(condition, sympy.Ge) and condition.rhs.is_positive))


sigmoid = sympy.Function("sigmoid")
"""1/(1 + exp(-x)), shown by its name in a step's formula."""


def released(expression: Expr) -> Expr:
    """Return an expression with its `sympy.UnevaluatedExpr` evaluated and `sigmoid` written out."""
    evaluated = sympy.sympify(expression).replace(sympy.UnevaluatedExpr, lambda inner: inner)
    return evaluated.replace(sigmoid, lambda x: 1 / (1 + sympy.exp(-x)))


class _Printer(StrPrinter):
    """Prints a dummy by its name alone, which here is the text of a part."""

    def _print_Dummy(self, expr: sympy.Dummy) -> str:  # noqa: N802 - SymPy's name
        return expr.name


def written(expression: Expr) -> str:
    """Return an expression as text, its `sympy.UnevaluatedExpr` in parentheses."""
    return _Printer().doprint(sympy.sympify(expression).replace(sympy.UnevaluatedExpr, _as_atom))


def _as_atom(part: Expr) -> Expr:
    text = written(part)
    return sympy.Dummy(text if part.is_Symbol or (part.is_nonnegative and part.is_Integer) else f"({text})")


def claim(name: str, statement: str, steps: Sequence[Step], **others: Any) -> Claim:
    """Return a claim that is proved if all its decided steps are, else undecided.

    Args:
        name: of the claim.
        statement: the sentence.
        steps: the derivation; at least one is decided.
        others: reading, assumptions, trials.
    """
    return _concluded(Status.PROVED, name, statement, steps, None, others)


def refutation(name: str, statement: str, witness: Mapping[str, Any], steps: Sequence[Step], **others: Any) -> Claim:
    """Return a claim that is refuted if all the steps about its witness are proved, else undecided.

    Args:
        name: of the claim.
        statement: the sentence that is false.
        witness: exact numbers, by name.
        steps: what they show, decided exactly or by ball arithmetic.
        others: reading, assumptions, trials.
    """
    numbers = {key: str(value) for key, value in witness.items()}
    return _concluded(Status.REFUTED, name, statement, steps, numbers, others)


def _plain(value: Any) -> Any:
    """Return what JSON can hold."""
    match value:
        case Status():
            return value.value
        case Formula():
            return str(value)
        case float():
            return value if math.isfinite(value) else None
        case str() | int() | None:
            return value
        case Mapping():
            return {name: _plain(part) for name, part in value.items()}
        case Sequence():
            return [_plain(part) for part in value]
    return {part.name: _plain(getattr(value, part.name)) for part in fields(value)}


def _decided(text: str, formula: Formula, status: Status, method: str, needed: Sequence[str]) -> Step:
    return Step(text=text, formula=formula, status=status, method=method, conditions=needed)


def _concluded(
    wanted: Status,
    name: str,
    statement: str,
    steps: Sequence[Step],
    witness: Mapping[str, str] | None,
    others: Mapping[str, Any],
) -> Claim:
    """Return the claim with the status that its steps and trials allow."""
    decided = [step for step in steps if step.status is not None]
    missing = [step.text for step in decided if step.status is not Status.PROVED]
    failed = [trial.text for trial in others.get("trials", ()) if not trial.passed]
    if missing or failed or not decided:
        tried = "; ".join([*(f"open: {text}" for text in missing), *(f"disagrees: {text}" for text in failed)])
        return Claim(
            name=name, statement=statement, status=Status.UNDECIDED, method=tried or "no step", steps=steps, **others
        )
    methods = ", ".join(dict.fromkeys(step.method for step in decided if step.method))
    return Claim(name=name, statement=statement, status=wanted, method=methods, steps=steps, witness=witness, **others)
