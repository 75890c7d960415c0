"""Reference points: which weights make z = r(y) - E_Q[r], and which do not."""

import pytest
import sympy
import torch.nn.functional as F  # noqa: N812
from hypothesis import given
from hypothesis import strategies as st
from sympy import Rational, exp, sqrt

from halotheory import losses
from halotheory.checking import check
from halotheory.contract import loss_of
from halotheory.proving.shape import Z
from halotheory.reading.outputs import KL, outputs
from halotheory.reading.reference import readings
from halotheory.tracing.trace import trace

PAIR = outputs(trace(loss_of(losses.dpo)))
W, L = (output.log_ratio for output in PAIR)
BATCH = outputs(trace(loss_of(losses.kto)), batch=3)
weight = st.integers(1, 30)


def test_the_other_output_of_a_pair_is_a_reference_point() -> None:
    first = next(readings(exp(W - L), PAIR[0], PAIR, kl=False))
    assert first.point == "Q the point mass on the other output of the pair"
    assert (first.normalizer, first.shape) == (1, exp(Z))


@pytest.mark.parametrize("term", [exp(W - L / 2), exp(2 * W - L), exp(W + L), exp(W)])
def test_weights_that_do_not_sum_to_one_are_no_reference_point(term: sympy.Expr) -> None:
    assert list(readings(term, PAIR[0], PAIR, kl=False)) == []


def test_kl_is_subtracted_whole_or_not_at_all() -> None:
    y = BATCH[0]
    assert next(readings(exp(y.log_ratio - KL), y, BATCH, kl=True)).shape == exp(Z)
    assert list(readings(exp(y.log_ratio - KL / 2), y, BATCH, kl=True)) == []
    assert list(readings(exp(y.log_ratio), y, BATCH, kl=True)) == []


@given(weight, weight)
def test_any_positive_weights_of_the_others_that_sum_to_one_are_a_q(m: int, n: int) -> None:
    y, one, other = BATCH
    share = Rational(m, m + n)
    point = share * one.log_ratio + (1 - share) * other.log_ratio
    assert any(found.shape == exp(Z) for found in readings(exp(y.log_ratio - point), y, BATCH, kl=False))
    assert list(readings(exp(y.log_ratio - point - one.log_ratio / 7), y, BATCH, kl=False)) == []


@pytest.mark.parametrize("power", [1, 2, Rational(1, 2), -1])
def test_lengths_may_normalise_each_output_by_its_own(power: sympy.Expr) -> None:
    chosen, rejected = PAIR
    term = exp(W / chosen.length**power - L / rejected.length**power)
    first = next(readings(term, chosen, PAIR, kl=False))
    assert sympy.simplify(first.normalizer - chosen.length**-power) == 0
    assert list(readings(exp(W / chosen.length**power - L), chosen, PAIR, kl=False)) == []


def test_the_normaliser_is_positive_whatever_the_sign_of_the_direction() -> None:
    chosen, rejected = PAIR
    for found in readings(exp(L / sqrt(rejected.length) - W / sqrt(chosen.length)), chosen, PAIR, kl=False):
        assert found.normalizer.is_positive
        assert found.shape == exp(-Z)


def test_a_softplus_written_from_its_other_side_is_not_judged_on_its_losses() -> None:
    """-z - log(1 + exp(-z)) is -softplus(z): v is convex in gains, or falls."""

    def other_side(policy_logps, reference_logps, lengths):
        r = (policy_logps - reference_logps) / lengths.sqrt()
        z = r - r.mean()
        return -z + F.logsigmoid(z)

    def one_side(policy_logps, reference_logps, lengths):
        r = (policy_logps - reference_logps) / lengths.sqrt()
        return -F.softplus(r - r.mean())

    assert check(one_side).verdict == check(other_side).verdict == "not_halo"


def test_what_does_not_move_has_any_reference_point() -> None:
    assert [found.point for found in readings(PAIR[0].reference, PAIR[0], PAIR, kl=False)] == ["any Q"]


def test_the_mean_of_a_batch_includes_y_itself() -> None:
    y = BATCH[0]
    mean = sum(output.log_ratio for output in BATCH) / 3
    first = next(readings(exp(y.log_ratio - mean), y, BATCH, kl=False))
    assert first.own_included
    assert first.point == "Q the empirical distribution of the batch"
    assert first.shape == exp(Z)
