"""What h(x) moves in worlds: small ones written out, as witnesses, and random ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Expr, Integer, Max, UnevaluatedExpr

from halotheory.theorems.claims import Claim, Step, Trial, equal, more_than, refutation

_WORLDS, _INPUTS, _OUTPUTS, _TOLERANCE = 1000, 3, 4, 1e-9

EXISTS = "There is an h such that r_a + h gives another distribution of human values than r_a."
CONSTANT = "Every constant h other than 0 gives another distribution of human values."

Table = Sequence[Sequence[Expr]]
"""A number for each input (rows) and output."""
ReferencePoint = Callable[[Table], Sequence[Expr]]
"""From rewards to z0 of each input; Q and the distribution of inputs are uniform."""


def fixed_number(table: Table) -> list[Expr]:
    """Return z0 = 0, whatever the rewards are."""
    return [Integer(0) for _ in table]


def means(table: Table) -> list[Expr]:
    """Return z0 = E_Q[r(x, .)] of each input."""
    return [sum(row, start=Integer(0)) / len(row) for row in table]


def clamped_means(table: Table) -> list[Expr]:
    """Return z0 = max(0, E_Q[r(x, .)]) of each input."""
    return [Max(0, mean) for mean in means(table)]


def shared_mean(table: Table) -> list[Expr]:
    """Return the mean of E_Q[r(x, .)] over inputs, for each input."""
    return [sum(means(table), start=Integer(0)) / len(table) for _ in table]


def clamped_shared_mean(table: Table) -> list[Expr]:
    """Return the same, not below 0."""
    return [Max(0, mean) for mean in shared_mean(table)]


@dataclass(frozen=True, kw_only=True)
class World:
    """Rewards for each input and output, and an h; D, Q and the distribution of inputs are uniform.

    Attributes:
        before: r_a.
        h: by input.
    """

    before: Table
    h: Sequence[Expr]

    @property
    def after(self) -> Table:
        """r_b = r_a + h."""
        return [[reward + shift for reward in row] for row, shift in zip(self.before, self.h, strict=True)]

    def witness(self, point: ReferencePoint) -> Mapping[str, Any]:
        """Return what a reader needs to evaluate it again."""
        rows = {f"r_a(x_{k}, .)": listed(row) for k, row in enumerate(self.before, 1)}
        points = {"z0 of r_a": listed(point(self.before)), "z0 of r_a + h": listed(point(self.after))}
        return {**rows, "h": listed(self.h), "D, Q": "uniform", **points}


def listed(numbers: Sequence[Expr]) -> str:
    """Return numbers as a witness shows them."""
    return str(tuple(numbers)) if len(numbers) > 1 else str(numbers[0])


def relative(reward: Expr, z0: Expr) -> Expr:
    """Return r - z0 as it is written."""
    return UnevaluatedExpr(reward) - (z0 if z0.is_Rational else UnevaluatedExpr(z0))


def world(before: Sequence[Sequence[int]], h: Sequence[int]) -> World:
    """Return a world of whole numbers."""
    return World(before=[[Integer(each) for each in row] for row in before], h=[Integer(each) for each in h])


def unchanged(
    name: str, statement: str, small: World, point: ReferencePoint, reading: str, further: Sequence[Step] = ()
) -> Claim:
    """Return the refutation of a sentence by a world in which an h that is not 0 changes no value."""
    pairs = zip(_relative(small.before, point).items(), _relative(small.after, point).values(), strict=True)
    steps = [equal(f"At {place}, r - z0 is the same for r_a + h and r_a.", b, a) for (place, a), b in pairs]
    return refutation(name, statement, small.witness(point), [*further, *steps], reading=reading)


def exchanged(name: str, statement: str, small: World, point: ReferencePoint, reading: str) -> Claim:
    """Return the refutation of a sentence by a world in which h exchanges the values of two inputs, x_1's rising."""
    before, after = _relative(small.before, point), _relative(small.after, point)
    swapped = [
        (f"(x_{one}, y_{k})", f"(x_{3 - one}, y_{k})") for one in (1, 2) for k in range(1, len(small.before[0]) + 1)
    ]
    steps = [
        equal(f"r_a + h has at {here} the r - z0 that r_a has at {there}.", after[here], before[there])
        for here, there in swapped
    ]
    first = "(x_1, y_1)"
    rises = more_than(f"So the distribution stays. Yet the value at {first} rises.", after[first], before[first])
    return refutation(name, statement, small.witness(point), [*steps, rises], reading=reading)


def _relative(table: Table, point: ReferencePoint) -> dict[str, Expr]:
    """Return r - z0 at each place, as it is written."""
    return {
        f"(x_{row}, y_{k})": relative(reward, z0)
        for row, (rewards, z0) in enumerate(zip(table, point(table), strict=True), 1)
        for k, reward in enumerate(rewards, 1)
    }


def shift_trial(
    point: Callable[[np.ndarray], np.ndarray], shift: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> Trial:
    """Return by how much the log-odds of values move in random worlds, by the values and by a formula.

    Args:
        point: z0 (worlds, inputs) from rewards (worlds, inputs, outputs), Q and the inputs' distribution uniform.
        shift: of r - z0 (worlds, inputs), from m(x) = E_Q[r_a(x, .)] and h(x), alike.
    """
    generator = np.random.default_rng(0)
    rewards = generator.normal(size=(_WORLDS, _INPUTS, _OUTPUTS))
    h, beta = generator.normal(size=(_WORLDS, _INPUTS)), generator.uniform(0.05, 2, size=(_WORLDS, 1, 1))

    def log_odds(table: np.ndarray) -> np.ndarray:
        value = 1 / (1 + np.exp(-beta * (table - point(table)[..., None])))
        return np.log(value) - np.log1p(-value)

    moved = (log_odds(rewards + h[..., None]) - log_odds(rewards)) / beta
    error = np.abs(moved - shift(rewards.mean(axis=-1), h)[..., None]).max()
    return Trial(
        text="by how much r - z0 moves: by the log-odds of the values, and by the formula",
        count=_WORLDS,
        largest_error=float(error),
        tolerance=_TOLERANCE,
    )
