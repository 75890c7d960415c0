"""Counterexamples to the conditions on log-ratios, put back into the loss."""

from collections.abc import Callable

import pytest
import sympy
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from halotheory import losses
from halotheory.contract import loss_of
from halotheory.reading.forms import examples
from halotheory.reading.refute import Refutation, no_reference_point, reference_outside_ratio, simple_value
from halotheory.tracing.operations import exact
from halotheory.tracing.trace import argument_symbol, trace


def _refuted(loss: Callable[..., Tensor]) -> Refutation | None:
    traced = trace(loss_of(loss))
    settings = {s: exact(traced.loss.hyperparameters[n]) for n, s in traced.hyperparameters.items()}
    return no_reference_point(examples(traced), settings, kl=traced.loss.needs_kl)


def half_of_kl(policy_logps, reference_logps, desirable, kl):
    value = torch.sigmoid(policy_logps - reference_logps - 0.5 * kl)
    return torch.where(desirable, 1 - value, value)


def three_quarters(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    chosen, rejected = policy_chosen_logps - reference_chosen_logps, policy_rejected_logps - reference_rejected_logps
    return F.softplus(0.75 * rejected - chosen)


def weighted_by_the_reference(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    chosen, rejected = policy_chosen_logps - reference_chosen_logps, policy_rejected_logps - reference_rejected_logps
    return F.softplus(rejected - chosen * reference_chosen_logps.exp())


@pytest.mark.parametrize("loss", [half_of_kl, three_quarters, losses.sft, losses.unlikelihood])
def test_a_loss_that_changes_when_all_rewards_rise_alike_has_no_reference_point(loss: Callable[..., Tensor]) -> None:
    found = _refuted(loss)
    assert found is not None
    assert found.final
    assert found.finding.witness is not None
    before, _, after = found.finding.witness["loss"].partition(" -> ")
    assert abs(float(sympy.sympify(before)) - float(sympy.sympify(after))) > 1e-9


def test_the_witness_of_a_halved_kl_is_the_code_at_these_numbers() -> None:
    found = _refuted(half_of_kl)
    assert found is not None
    assert found.finding.witness is not None
    witness = found.finding.witness
    ratio, kl, loss = ([float(sympy.sympify(x)) for x in witness[n].split(" -> ")] for n in ("log_ratio", "kl", "loss"))
    good = torch.tensor([witness["label"] == "desirable"])
    for rho, point, expected in zip(ratio, kl, loss, strict=True):
        p, r, z0 = (torch.tensor([x], dtype=torch.float64) for x in (rho - 60, -60.0, point))
        assert float(half_of_kl(p, r, good, z0)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("loss", [losses.dpo, losses.kto, losses.ipo, losses.hinge])
def test_a_function_of_z_is_not_refuted(loss: Callable[..., Tensor]) -> None:
    assert _refuted(loss) is None


def test_the_reference_outside_the_ratio_shows_in_a_cross_difference() -> None:
    finding = reference_outside_ratio(examples(trace(loss_of(weighted_by_the_reference))), {})
    assert finding is not None
    assert finding.witness is not None
    changes = [float(sympy.sympify(text)) for name, text in finding.witness.items() if name.startswith("change")]
    assert changes[0] != changes[1]
    assert reference_outside_ratio(examples(trace(loss_of(losses.dpo))), {}) is None


def test_simple_values_are_values_that_the_symbols_can_take() -> None:
    assert simple_value(argument_symbol("chosen_lengths", 0)) > 0
    assert simple_value(argument_symbol("policy_logps", 0)) <= 0
    assert simple_value(sympy.Symbol("beta", positive=True)) == 1
