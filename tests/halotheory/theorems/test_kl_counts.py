"""Exact distributions of the KTO estimate, against every microbatch in turn and against the floats."""

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Rational, log, simplify

from halotheory.theorems import kl_counts, kl_worlds
from halotheory.theorems.kl_counts import RationalWorld

_weights = st.lists(st.integers(1, 6), min_size=2, max_size=2)
_shares = _weights.map(lambda row: tuple(Fraction(weight, sum(row)) for weight in row))
_rows = st.tuples(_shares, _shares)
_worlds = st.builds(RationalWorld, prompt_probabilities=_shares, data=_rows, policy=_rows, reference=_rows)


def every_microbatch(world: RationalWorld, size: int, pairs: int) -> dict[tuple[int, ...], Fraction]:
    """Return how often each ratio occurs in the first so many pairs (x_i, y_{i+1}) of each microbatch."""
    ratios, found = world.ratios, {}
    for batch in product(product(range(2), range(2)), repeat=size):
        chance = Fraction(1)
        for x, y in batch:
            chance *= world.prompt_probabilities[x] * world.data[x][y]
        seen = [world.ratio_rows[batch[k][0]][batch[(k + 1) % size][1]] for k in range(pairs)]
        key = tuple(seen.count(ratio) for ratio in ratios)
        found[key] = found.get(key, 0) + chance
    return found


@pytest.mark.parametrize("size", [2, 3, 4])
@given(world=_worlds)
@settings(max_examples=10)
def test_counts_are_those_of_every_microbatch(size: int, world: RationalWorld) -> None:
    assert kl_counts.counts(world, size) == every_microbatch(world, size, size)
    assert kl_counts.printed_counts(world, size) == every_microbatch(world, size, size - 1)


@given(_worlds, st.integers(2, 9))
@settings(max_examples=20)
def test_moments_are_those_of_the_floats(world: RationalWorld, size: int) -> None:
    found, arrays = kl_counts.counts(world, size), world.as_floats()
    assert sum(found.values()) == 1
    before, after = kl_worlds.mismatched(arrays, size), kl_worlds.clamped(arrays, size, points=2**13)
    mean, clamped = (float(part(world, found, size)) for part in (kl_counts.mean, kl_counts.clamped_mean))
    assert mean == pytest.approx(before.mean, abs=1e-12)
    assert clamped == pytest.approx(after.mean, abs=after.tolerance + 1e-12)
    seconds = (kl_counts.second_moment, kl_counts.clamped_second_moment)
    for part, first, expected in zip(seconds, (mean, clamped), (before, after), strict=True):
        variance = float(part(world, found, size)) - first**2
        assert variance == pytest.approx(expected.variance, abs=expected.tolerance + 1e-12)


@given(_worlds)
def test_kl_and_the_mismatched_mean_are_those_of_the_floats(world: RationalWorld) -> None:
    arrays = world.as_floats()
    assert float(world.kl) == pytest.approx(arrays.kl, abs=1e-12)
    assert float(world.mismatched_mean) == pytest.approx(kl_worlds.mismatched(arrays, 3).mean, abs=1e-12)


def test_a_world_worked_by_hand() -> None:
    """Ratios 2 and 1/4; of two pairs, both prompts alike or not: (6/7)^2 or (1/7)^2 for twice log 2."""
    half, rows = Fraction(1, 2), ((Fraction(6, 7), Fraction(1, 7)), (Fraction(1, 7), Fraction(6, 7)))
    reference = ((Fraction(3, 7), Fraction(4, 7)), (Fraction(4, 7), Fraction(3, 7)))
    world = RationalWorld(prompt_probabilities=(half, half), data=rows, policy=rows, reference=reference)
    assert world.ratios == [2, Fraction(1, 4)]
    assert simplify(world.kl - Rational(4, 7) * log(2)) == 0
    found = kl_counts.counts(world, 2)
    assert found[2, 0] == Fraction(37, 98)
    assert simplify(kl_counts.clamped_mean(world, found, 2) - Rational(37, 98) * log(2)) == 0


def test_sizes_come_in_order() -> None:
    half = Fraction(1, 2)
    row = (Fraction(1, 3), Fraction(2, 3))
    world = RationalWorld(prompt_probabilities=(Fraction(1),), data=(row,), policy=(row,), reference=((half, half),))
    found = dict(kl_counts.counts_by_size(world, 5))
    assert list(found) == [2, 3, 4, 5]
    assert found[4] == kl_counts.counts(world, 4)
    assert found[3][0, 3] == Fraction(1, 27)
