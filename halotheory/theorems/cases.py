"""Steps with minima, maxima and signs, decided in every order that their arguments may have."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import sympy
from sympy import Eq, Expr, Ge, Gt, Integer, Le, Lt, Max, Min, sign
from sympy.core.relational import Relational

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.proving.decide import decide
from halotheory.theorems.claims import Formula, Step, conditions, released, written

_PATIENCE = 5.0  # seconds for one case

Case = tuple[Expr, list[Relational]]


def equal_by_cases(text: str, left: Expr, right: Expr, where: Sequence[Relational] = ()) -> Step:
    """Return the step that left = right wherever the conditions hold; both may hold Min, Max and sign."""
    difference = released(left) - released(right)
    step = Step(
        text=text,
        formula=Formula(left=written(left), sign="=", right=written(right)),
        conditions=conditions(left, right, where),
    )
    return _decided(step, [difference, -difference], where)


def at_least_by_cases(
    text: str, left: Expr, right: Expr, where: Sequence[Relational] = (), *, strictly: bool = False
) -> Step:
    """Return the step that left >= right (or >) wherever the conditions hold; both may hold Min, Max and sign."""
    comparison: Literal[">", ">="] = ">" if strictly else ">="
    formula = Formula(left=written(left), sign=comparison, right=written(right))
    step = Step(text=text, formula=formula, conditions=conditions(left, right, where))
    return _decided(step, [released(left) - released(right)], where, strictly=strictly)


def cases(expression: Expr, where: Sequence[Relational]) -> Iterator[Case]:
    """Yield what is left of an expression in each case, with the conditions of the case; an impossible one, too.

    The comparisons are left as they are: whether they can hold is for the decision procedure to say.
    """
    inner = [part for part in sorted(expression.atoms(Min, Max, sign), key=str) if not _holds_choices(part)]
    if not inner:
        yield expression, list(where)
        return
    for value, comparisons in _choices(inner[0]):
        yield from cases(expression.xreplace({inner[0]: value}), [*where, *comparisons])


def _holds_choices(part: Expr) -> bool:
    return any(argument.has(Min, Max, sign) for argument in part.args)


def _choices(part: Expr) -> list[Case]:
    if isinstance(part, sign):
        (inner,) = part.args
        comparisons = ((1, Gt), (0, Eq), (-1, Lt))
        return [(Integer(value), [compare(inner, 0, evaluate=False)]) for value, compare in comparisons]
    compare = Le if isinstance(part, Min) else Ge
    return [
        (one, [compare(one, other, evaluate=False) for other in part.args if other is not one]) for one in part.args
    ]


def _decided(step: Step, claims: Sequence[Expr], where: Sequence[Relational], *, strictly: bool = False) -> Step:
    """Return the step with what was found of it."""
    methods = []
    for smooth, holding in (case for claim in claims for case in cases(claim, where)):
        decision = decide(sympy.expand(smooth), holding, Deadline(_PATIENCE), strictly=strictly)
        if decision.status is not Status.PROVED and not _impossible(holding):
            return replace(step, status=Status.UNDECIDED, method=decision.method)
        methods.append(decision.method)
    how = "; ".join(sorted(set(methods)))
    return replace(step, status=Status.PROVED, method=f"case by case: {how}")


def _impossible(holding: Sequence[Relational]) -> bool:
    """Return whether the opposite of one condition was shown to follow from the others."""
    return any(_excluded(one, [*holding[:k], *holding[k + 1 :]]) for k, one in enumerate(holding))


def _excluded(one: Relational, others: Sequence[Relational]) -> bool:
    gap = sympy.expand(one.lhs - one.rhs)
    opposites = {Le: [gap], Lt: [gap], Ge: [-gap], Gt: [-gap], sympy.Ne: [gap, -gap]}.get(one.func, [])
    strictly = isinstance(one, (Le, Ge))
    found = [decide(opposite, others, Deadline(_PATIENCE), strictly=strictly) for opposite in opposites]
    return bool(found) and all(decision.status is Status.PROVED for decision in found)
