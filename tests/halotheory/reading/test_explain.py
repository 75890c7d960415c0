"""Explanations: the smallest guilty part, and what would mend it."""

import pytest
import sympy
import torch
import torch.nn.functional as F  # noqa: N812

from halotheory.checking import check
from halotheory.findings import Finding, Status
from halotheory.proving.shape import Z
from halotheory.reading.explain import shown


def _guilty(loss) -> Finding:
    return next(finding for finding in check(loss).conditions if finding.status is Status.REFUTED)


def test_a_halved_reference_point_should_be_subtracted_whole() -> None:
    def loss(policy_logps, reference_logps, desirable, kl):
        value = torch.sigmoid(policy_logps - reference_logps - 0.5 * kl)
        return torch.where(desirable, 1 - value, value)

    found = _guilty(loss)
    assert found.guilty in {"-kl/2 + log_ratio", "kl/2 - log_ratio"}
    assert found.remedy == "subtract kl whole: z = log_ratio - kl"


def test_a_pair_should_be_compared_with_one_factor() -> None:
    def loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
        chosen = policy_chosen_logps - reference_chosen_logps
        return F.softplus(-2 * chosen + policy_rejected_logps - reference_rejected_logps)

    found = _guilty(loss)
    assert found.guilty is not None
    assert "chosen_log_ratio" in found.guilty
    assert found.remedy is not None
    assert "chosen_log_ratio - rejected_log_ratio" in found.remedy


def test_the_label_that_does_not_fit_is_told_how_it_would() -> None:
    def loss(policy_logps, reference_logps, desirable, kl):
        z = policy_logps - reference_logps - kl
        return torch.where(desirable, torch.sigmoid(-z), F.softplus(z))

    found = _guilty(loss)
    assert found.name == "single_value_function"
    assert found.remedy is not None
    assert found.remedy.startswith("becomes a HALO if the")
    assert "sigmoid" in found.remedy


def test_the_term_that_bends_v_is_named_and_v_is_mended_without_it() -> None:
    def loss(policy_logps, reference_logps, desirable, kl):
        z = policy_logps - reference_logps - kl
        value = torch.tanh(z) + torch.relu(z - 3)
        return torch.where(desirable, -value, value)

    found = _guilty(loss)
    assert found.name == "concave_in_gains"
    assert found.guilty is not None
    assert "z - 3" in found.guilty
    assert "exp" not in found.guilty
    assert found.remedy is not None
    assert found.remedy.startswith("without it v would be")


def test_a_proof_needs_no_remedy() -> None:
    assert all(finding.guilty is None and finding.remedy is None for finding in check("kto").conditions)


@pytest.mark.parametrize(("text", "words"), [("1/(1 + exp(-z))", "sigmoid(z)"), ("1/(1 + exp(z))", "sigmoid(-z)")])
def test_logistic_functions_are_shown_under_their_name(text: str, words: str) -> None:
    assert shown(sympy.sympify(text, locals={"z": Z})) == words
