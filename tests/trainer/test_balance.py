"""Equation 7 of the KTO paper."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.balance import balanced_weights, is_balanced

COUNTS = st.integers(1, 10**6)


def test_the_papers_own_example() -> None:
    """One desirable for ten undesirable: lambda_U = 1, lambda_D = 13.33 (section 4.3)."""
    assert balanced_weights(10, 100) == {"desirable_weight": 13.33}


def test_more_desirable_than_undesirable_raises_the_other_weight() -> None:
    assert balanced_weights(400, 100) == {"undesirable_weight": 3.0}


@pytest.mark.parametrize(("desirable", "undesirable"), [(1, 1), (3, 2), (5, 4)])
def test_balanced_labels_need_no_weights(desirable: int, undesirable: int) -> None:
    assert balanced_weights(desirable, undesirable) == {}


@given(desirable=COUNTS, undesirable=COUNTS)
def test_the_weights_satisfy_equation_7_and_none_is_below_1(desirable: int, undesirable: int) -> None:
    weights = balanced_weights(desirable, undesirable)
    both = {"desirable_weight": 1.0, "undesirable_weight": 1.0, **weights}
    ratio = both["desirable_weight"] * desirable / (both["undesirable_weight"] * undesirable)
    assert is_balanced(ratio)
    assert min(both.values()) >= 1
