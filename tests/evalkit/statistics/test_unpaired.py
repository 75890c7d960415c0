"""Different items: what their differences and tests do at the ends."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.statistics import paired_difference, two_proportions, unpaired_difference

counts = st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts, counts)
def test_the_other_way_round_is_the_negative(first: tuple[int, int], second: tuple[int, int]) -> None:
    ours, theirs = two_proportions(*first, *second), two_proportions(*second, *first)
    assert ours.difference == -theirs.difference
    assert ours.p_value == pytest.approx(theirs.p_value)
    assert ours.interval is not None
    assert theirs.interval is not None
    assert ours.interval == pytest.approx((-theirs.interval[1], -theirs.interval[0]))
    assert -1 <= ours.interval[0] <= ours.difference <= ours.interval[1] <= 1


def test_scores_that_do_not_vary_are_dealt_out() -> None:
    found = unpaired_difference([0.5] * 3, [0.7] * 3)
    assert (found.interval, found.test) == (None, "permutation, exact")
    assert found.p_value == 2 / math.comb(6, 3)
    assert unpaired_difference([0.5] * 3, [0.5] * 3).p_value == 1.0


def test_pairing_finds_what_two_samples_hide() -> None:
    first, second = [1] * 60 + [0] * 40, [1] * 50 + [0] * 50
    assert paired_difference(first, second).p_value < 0.01
    assert unpaired_difference(first, second).p_value > 0.1
