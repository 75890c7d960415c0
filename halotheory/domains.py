"""What an annotation says of a hyperparameter: `Annotated[float, "0 <= label_smoothing < 0.5"]`."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sympy import Expr, Rational, Symbol
from sympy.core.relational import Relational

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?:/\d+)?"
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_COMPARE: dict[str, Callable[[Expr, Expr], Expr]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


@dataclass(frozen=True, kw_only=True)
class Bound:
    """One side of a domain: the value stands in this relation (<, <=, > or >=) to a number."""

    relation: str
    number: Rational

    def holds(self, value: Expr) -> Expr:
        """Return the condition on a value: a truth value where this is a number."""
        return _COMPARE[self.relation](value, self.number)


def parse_domain(name: str, text: str) -> list[Bound]:
    """Return the bounds that a domain sets to a hyperparameter.

    Args:
        name: of the hyperparameter.
        text: comparisons with decimals or fractions, chained or joined by `and`: `0 <= epsilon < 1/2`.

    Raises:
        ValueError: anything else; the message says what would be right.
    """
    form = rf"(?:({_NUMBER})\s*([<>]=?)\s*)?{re.escape(name)}(?:\s*([<>]=?)\s*({_NUMBER}))?"
    bounds: list[Bound] = []
    for chain in re.split(r"\band\b", text):
        match = re.fullmatch(form, chain.strip())
        if match is None or match.lastindex is None:
            raise ValueError(f"the domain {text!r} is not understood; write it as '0 <= {name} < 0.5', with this name")
        left, before, after, right = match.groups()
        if left is not None:
            bounds.append(Bound(relation=_TURNED[before], number=Rational(left)))
        if right is not None:
            bounds.append(Bound(relation=after, number=Rational(right)))
    return bounds


def is_inside(name: str, text: str, value: float) -> bool:
    """Return whether a number lies in the domain.

    Raises:
        ValueError: the domain is not understood.
    """
    return all(bool(bound.holds(Rational(repr(value)))) for bound in parse_domain(name, text))


def domain_symbol(name: str, text: str | None) -> tuple[Symbol, Sequence[Relational]]:
    """Return a hyperparameter's symbol, and what is known beyond the symbol's own sign.

    Without a domain it is positive.
    """
    if text is None:
        return Symbol(name, positive=True), []
    bounds = parse_domain(name, text)
    low = [bound for bound in bounds if bound.relation in {">", ">="} and bound.number >= 0]
    if any(bound.relation == ">" or bound.number > 0 for bound in low):
        symbol = Symbol(name, positive=True)
    else:
        symbol = Symbol(name, nonnegative=True) if low else Symbol(name, real=True)
    relations = [bound.holds(symbol) for bound in bounds]
    return symbol, [relation for relation in relations if isinstance(relation, Relational)]
