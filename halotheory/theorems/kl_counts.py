"""The exact distribution of the KTO estimate of KL(pi || pi_ref), in fractions, on worlds given as fractions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
from flint import Ordering, fmpq, fmpq_mpoly_ctx
from sympy import Add, Expr, Rational, log

from halotheory.theorems.kl_worlds import World

Row = Sequence[Fraction]
Counts = Mapping[tuple[int, ...], Fraction]
"""The probability that each of the ratios occurs so many times among the mismatched pairs of a microbatch."""

_Terms = Sequence[tuple[tuple[int, ...], Fraction]]


@dataclass(frozen=True, kw_only=True)
class RationalWorld:
    """A `World` in fractions.

    Attributes:
        prompt_probabilities: P(x).
        data: D(y|x), a row for each prompt.
        policy: pi(y|x), alike.
        reference: pi_ref(y|x), alike.
    """

    prompt_probabilities: Row
    data: Sequence[Row]
    policy: Sequence[Row]
    reference: Sequence[Row]

    @property
    def ratios(self) -> list[Fraction]:
        """The different values of pi/pi_ref, falling."""
        return sorted({ratio for row in self.ratio_rows for ratio in row}, reverse=True)

    @property
    def ratio_rows(self) -> list[list[Fraction]]:
        """pi(y|x)/pi_ref(y|x), a row for each prompt."""
        rows = zip(self.policy, self.reference, strict=True)
        return [[p / w for p, w in zip(*pair, strict=True)] for pair in rows]

    @property
    def kl(self) -> Expr:
        """The mean over prompts of KL(pi(.|x) || pi_ref(.|x)), nats."""
        return Add(*(p * term for p, term in zip(self._prompts(), self.kl_by_prompt, strict=True)))

    @property
    def kl_by_prompt(self) -> list[Expr]:
        """KL(pi(.|x) || pi_ref(.|x)) for each prompt, nats."""
        rows = zip(self.policy, self.ratio_rows, strict=True)
        return [Add(*(_rational(p) * _log(ratio) for p, ratio in zip(*pair, strict=True))) for pair in rows]

    @property
    def mismatched_mean(self) -> Expr:
        """The mean log-ratio of a prompt and an output of the data for another one, nats."""
        columns = zip(*self.data, strict=True)
        outputs = [sum(p * d for p, d in zip(self.prompt_probabilities, column, strict=True)) for column in columns]
        means = [Add(*(_rational(d) * _log(r) for d, r in zip(outputs, row, strict=True))) for row in self.ratio_rows]
        return Add(*(p * mean for p, mean in zip(self._prompts(), means, strict=True)))

    def as_floats(self) -> World:
        """Return the same world as arrays."""
        parts = {name: np.array(getattr(self, name), dtype=np.float64) for name in self.__dataclass_fields__}
        return World(**parts)

    def _prompts(self) -> list[Rational]:
        return [_rational(p) for p in self.prompt_probabilities]


def counts(world: RationalWorld, size: int) -> Counts:
    """Return how often each ratio occurs among the m pairs (x_i, y_{i+1}), i + 1 modulo m, of independent (x_i, y_i).

    Args:
        world: of prompts and outputs.
        size: m, >= 2.
    """
    *_, (_, found) = counts_by_size(world, size)
    return found


def counts_by_size(world: RationalWorld, largest: int) -> Iterator[tuple[int, Counts]]:
    """Yield m and the counts for m = 2, 3, ..., `largest`, each the trace of a power of the transfer matrix."""
    for size, power in enumerate(_powers(_transfer(world), largest), 1):
        if size > 1:
            yield size, _terms(sum(row[k] for k, row in enumerate(power)))


def printed_counts(world: RationalWorld, size: int) -> Counts:
    """Return the same for the m - 1 pairs of the sum as printed, (x_1, y_2) to (x_{m-1}, y_m)."""
    *_, power = _powers(_transfer(world), size - 1)
    prompts = [fmpq(p.numerator, p.denominator) for p in world.prompt_probabilities]
    return _terms(sum(p * entry for p, row in zip(prompts, power, strict=True) for entry in row))


def clamped_mean(world: RationalWorld, found: Counts, size: int) -> Expr:
    """Return E max(0, (1/m) sum of log-ratios), nats: rational multiples of logarithms of the ratios."""
    return _mean(world, list(_positive(world, found)), size)


def clamped_second_moment(world: RationalWorld, found: Counts, size: int) -> Expr:
    """Return E max(0, (1/m) sum of log-ratios)^2, nats squared, alike."""
    return _squares(world, list(_positive(world, found)), size)


def mean(world: RationalWorld, found: Counts, size: int) -> Expr:
    """Return E (1/m) sum of log-ratios, nats."""
    return _mean(world, list(found.items()), size)


def second_moment(world: RationalWorld, found: Counts, size: int) -> Expr:
    """Return E of the square of (1/m) sum of log-ratios, nats squared."""
    return _squares(world, list(found.items()), size)


def matched_variance(world: RationalWorld, size: int) -> Expr:
    """Return the variance of the mean of m log-ratios of outputs that the policy gives for their own prompts."""
    rows = zip(world.prompt_probabilities, world.policy, world.ratio_rows, strict=True)
    squares = [
        _rational(prompt * p) * _log(ratio) ** 2
        for prompt, policy, ratios in rows
        for p, ratio in zip(policy, ratios, strict=True)
    ]
    return (Add(*squares) - world.kl**2) / size


def _mean(world: RationalWorld, found: _Terms, size: int) -> Expr:
    weights = [sum((p * n[k] for n, p in found), Fraction(0)) / size for k in range(len(world.ratios))]
    return Add(*(_rational(weight) * _log(ratio) for weight, ratio in zip(weights, world.ratios, strict=True)))


def _squares(world: RationalWorld, found: _Terms, size: int) -> Expr:
    terms = []
    for k, one in enumerate(world.ratios):
        for j, other in enumerate(world.ratios):
            weight = sum((p * n[k] * n[j] for n, p in found), Fraction(0)) / size**2
            terms.append(_rational(weight) * _log(one) * _log(other))
    return Add(*terms)


def _positive(world: RationalWorld, found: Counts) -> Iterator[tuple[tuple[int, ...], Fraction]]:
    """Yield the counts whose log-ratios sum to more than 0: the product of the ratios is more than 1."""
    ratios = world.ratios
    for n, p in found.items():
        above = prod(ratio.numerator**k for ratio, k in zip(ratios, n, strict=True))
        below = prod(ratio.denominator**k for ratio, k in zip(ratios, n, strict=True))
        if above > below:
            yield n, p


def _transfer(world: RationalWorld) -> list[list[Any]]:
    """Return T[x][x'] = P(x') sum_y D(y|x') u(x, y), u the variable of the ratio pi(y|x)/pi_ref(y|x)."""
    ratios, rows = world.ratios, world.ratio_rows
    variables = fmpq_mpoly_ctx.get([f"u{k}" for k in range(len(ratios))], Ordering.lex).gens()
    return [
        [
            sum(fmpq((p * d).numerator, (p * d).denominator) * variables[ratios.index(ratio)]
                for d, ratio in zip(data, row, strict=True))
            for p, data in zip(world.prompt_probabilities, world.data, strict=True)
        ]
        for row in rows
    ]  # fmt: skip


def _powers(matrix: list[list[Any]], largest: int) -> Iterator[list[list[Any]]]:
    """Yield the powers of a matrix, from the first."""
    columns, power = list(zip(*matrix, strict=True)), matrix
    for _ in range(largest):
        yield power
        power = [[sum(a * b for a, b in zip(row, column, strict=True)) for column in columns] for row in power]


def _terms(polynomial: Any) -> Counts:
    return {tuple(map(int, powers)): Fraction(int(c.p), int(c.q)) for powers, c in polynomial.terms()}


def _rational(number: Fraction | int) -> Rational:
    return Rational(number.numerator, number.denominator)


def _log(ratio: Fraction) -> Expr:
    return log(_rational(ratio))
