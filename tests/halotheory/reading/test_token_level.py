"""Tokens: the reward of an implied policy, with the reference point inside the advantage."""

import pytest
import sympy
import torch

from halotheory import losses
from halotheory.checking import check
from halotheory.contract import loss_of
from halotheory.proving.shape import Z
from halotheory.reading.forms import ONE_TERM
from halotheory.reading.token_level import ADVANTAGE as A
from halotheory.reading.token_level import LOG_RATIO, excluded, sequence_examples, token_forms, token_terms
from halotheory.tracing.trace import token_symbol, trace


def reinforce(policy_token_logps, reference_token_logps, advantages, mask):
    ratio = torch.exp(policy_token_logps - reference_token_logps)
    return -(ratio * advantages * mask).sum(-1) / mask.sum(-1)


def imitation(policy_token_logps, mask):
    return -(policy_token_logps * mask).sum(-1)


def with_penalty(policy_token_logps, reference_token_logps, advantages, mask):
    log_ratio = policy_token_logps - reference_token_logps
    return ((log_ratio**2 - log_ratio.exp() * advantages) * mask).sum(-1)


def whole_sequence(policy_token_logps, reference_token_logps, advantages, mask):
    ratio = torch.exp(((policy_token_logps - reference_token_logps) * mask).sum(-1))
    return -ratio * (advantages * mask).sum(-1)


def test_the_surrogate_of_a_token_is_minus_z() -> None:
    form, _ = token_forms(trace(loss_of(reinforce)))
    assert sympy.simplify(form.shapes[ONE_TERM] / Z).is_negative
    assert form.context == ()
    assert set(form.relaxations) == {"implied_policy", "context_indexed_value"}  # the mean's weight is a context


def test_a_sum_of_surrogates_has_one_value_function() -> None:
    def summed(policy_token_logps, reference_token_logps, advantages, mask):
        return -((policy_token_logps - reference_token_logps).exp() * advantages * mask).sum(-1)

    form, _ = token_forms(trace(loss_of(summed)))
    assert list(form.relaxations) == ["implied_policy"]


def test_v_is_asked_for_on_the_side_of_zero_on_which_the_advantage_is() -> None:
    for form in token_forms(trace(loss_of(reinforce))):
        sides = [(case.context[A].is_positive, case.where) for case in form.cases]
        assert sides == [(True, (Z > 0,)), (False, (Z < 0,))]


def test_the_sign_may_be_the_other_one_for_negative_advantages() -> None:
    sides = [[case.side for case in form.cases] for form in token_forms(trace(loss_of(reinforce)))]
    assert sides == [[1, 1], [1, -1]]


@pytest.mark.parametrize(("advantage", "ratio"), [(2, 0.5), (2, 1.1), (2, 1.5), (-2, 0.5), (-2, 0.9), (-2, 3.0)])
def test_ppo_clip_is_the_shape_at_z_equal_to_ratio_times_advantage(advantage: float, ratio: float) -> None:
    traced = trace(loss_of(losses.ppo_clip))
    form, _ = token_forms(traced)
    epsilon = traced.hyperparameters["epsilon"]
    at = {Z: advantage * ratio, A: advantage, epsilon: sympy.Rational(1, 5)}
    rebuilt = float(form.shapes[ONE_TERM].subs(at) + form.constants[ONE_TERM].subs(at))
    policy = torch.tensor([[ratio]], dtype=torch.float64).log() - 9
    one = torch.ones(1, 1, dtype=torch.float64)
    assert float(losses.ppo_clip(policy, -9 * one, advantage * one, one.bool())) == pytest.approx(rebuilt)


def test_ppo_clip_is_written_as_two_minima_and_holds_for_every_epsilon() -> None:
    found = check("ppo_clip")
    assert found.construction is not None
    assert found.construction.value_function == (
        "Piecewise((Min(z, advantage*(epsilon + 1)), advantage > 0), (Min(z, -advantage*(epsilon - 1)), True))"
    )
    assert found.holds_for == "every 0 < epsilon < 1"
    point = next(finding for finding in found.conditions if finding.name == "reference_point")
    assert point.method.startswith("assumed, not derived: implied_policy")  # log-ratios raised alike change the loss


def is_excluded(loss) -> bool:
    traced = trace(loss_of(loss))
    values = {symbol: sympy.Rational(1, 5) for symbol in traced.hyperparameters.values()}
    return excluded(sequence_examples(traced), traced, values)


def test_a_loss_that_moves_without_an_advantage_is_excluded() -> None:
    for loss in (with_penalty, imitation):
        assert list(token_forms(trace(loss_of(loss)))) == []
        assert is_excluded(loss)


def log_ratio_times_advantage(policy_token_logps, reference_token_logps, advantages, mask):
    return -((policy_token_logps - reference_token_logps) * advantages * mask).sum(-1)


def rises_and_falls(policy_token_logps, reference_token_logps, advantages, mask):
    ratio = torch.exp(policy_token_logps - reference_token_logps)
    return -((ratio - ratio**2 / 4) * advantages * mask).sum(-1)


def convex_in_gains(policy_token_logps, reference_token_logps, advantages, mask):
    return -(torch.exp(policy_token_logps - reference_token_logps) ** 2 * advantages * mask).sum(-1)


def test_what_is_no_value_function_of_ratio_times_advantage_is_excluded() -> None:
    for loss in (log_ratio_times_advantage, rises_and_falls, convex_in_gains):
        assert is_excluded(loss)
    for loss in (reinforce, losses.ppo_clip):
        assert not is_excluded(loss)


def other_after_the_hundredth(policy_token_logps, reference_token_logps, advantages, mask):
    ratio = torch.exp(policy_token_logps - reference_token_logps)
    late = mask.cumsum(-1) > 100
    return -(torch.where(late, ratio**2, ratio) * advantages * mask).sum(-1)


def test_tokens_far_into_a_completion_are_read_too() -> None:
    assert len(token_terms(trace(loss_of(other_after_the_hundredth))) or ()) == 2
    assert is_excluded(other_after_the_hundredth)


def classifier(policy_token_logps, reference_token_logps, mask):
    return -torch.nn.functional.logsigmoid(((policy_token_logps - reference_token_logps) * mask).sum(-1))


def test_without_advantages_tokens_that_meet_are_outputs_side_by_side() -> None:
    sizes = [len(example.among) for example in sequence_examples(trace(loss_of(classifier)))]
    assert sizes == [1, 2, 3]


def test_tokens_that_meet_in_one_term_have_no_form() -> None:
    traced = trace(loss_of(whole_sequence))
    assert token_terms(traced) is None
    assert list(token_forms(traced)) == []
    assert sequence_examples(traced) == []


def test_a_token_is_read_as_a_single_output() -> None:
    example = sequence_examples(trace(loss_of(reinforce)))[0]
    assert example.term.free_symbols == {LOG_RATIO, token_symbol("advantages", 0)}
