"""What one form of a loss comes to where its sign, or its output y, depends on the context."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from halotheory.checking import check


def margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    return (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)


def relabelled_by_the_reference(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    h = margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    side = torch.where(reference_chosen_logps >= reference_rejected_logps, 1.0, -1.0)
    return F.softplus(-beta * side * h)


def weighted_by_either_sign(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
):
    h = margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return (chosen_lengths - rejected_lengths) * F.logsigmoid(h)


def labels_swapped_beyond_100_tokens(policy_logps, reference_logps, desirable, kl, lengths):
    p = torch.sigmoid(policy_logps - reference_logps - kl)
    return torch.where(desirable ^ (lengths > 100), 1 - p, p)


def linear_or_squared_beyond_a_million_tokens(policy_logps, reference_logps, desirable, kl, lengths):
    z = policy_logps - reference_logps - kl
    v = torch.where(lengths > 1e6, z**2, z)
    return torch.where(desirable, -v, v)


@pytest.mark.parametrize(
    ("loss", "relaxations"),
    [
        (relabelled_by_the_reference, []),
        (weighted_by_either_sign, ["context_indexed_value"]),
        (labels_swapped_beyond_100_tokens, []),
    ],
)
def test_the_context_may_choose_the_sign_and_which_output_is_judged(loss, relaxations: list[str]) -> None:
    verdict = check(loss)
    assert (verdict.verdict, list(verdict.relaxations)) == ("halo", relaxations)
    assert any("depend on the context" in note for note in verdict.notes)


def test_a_rare_context_refutes_with_a_witness_in_it() -> None:
    verdict = check(linear_or_squared_beyond_a_million_tokens)
    assert verdict.verdict == "not_halo"
    witness = next(finding.witness for finding in verdict.conditions if finding.witness)
    assert int(witness["lengths"]) > 1_000_000


def test_a_constant_may_depend_on_the_context() -> None:
    made = check(labels_swapped_beyond_100_tokens).construction
    assert made is not None
    assert made.constant.startswith("Piecewise((1, lengths <= 100), (0, True)) for desirable")


def squared_residual_of_the_batch(policy_logps, reference_logps, desirable, *, tau=1.0):
    rho = policy_logps - reference_logps
    label = desirable.to(rho.dtype)
    return ((label - label.mean()) - tau * (rho - rho.mean())) ** 2


def tempered_reference_of_the_batch(policy_logps, reference_logps, desirable, *, beta=0.1):
    r = beta * (policy_logps - 0.5 * reference_logps)
    v = torch.sigmoid(r - r.mean())
    return torch.where(desirable, -v, v)


def mean_over_four_at_most(policy_logps, reference_logps, desirable):
    rho = policy_logps - reference_logps
    v = torch.sigmoid(rho - rho.sum() / torch.ones_like(rho).sum().clamp(max=4))
    return torch.where(desirable, -v, v)


def temperature_of_the_batch(policy_logps, reference_logps, desirable, kl):
    share = desirable.to(policy_logps.dtype).mean()
    v = torch.tanh((0.5 + share) * (policy_logps - reference_logps - kl))
    return torch.where(desirable, -v, v)


def test_what_fails_in_one_composition_of_the_batch_is_refuted_and_what_holds_there_is_open() -> None:
    assert check(squared_residual_of_the_batch).verdict == "not_halo"
    assert check(temperature_of_the_batch).verdict == "undecided"
    assert check(tempered_reference_of_the_batch).verdict == "undecided"
    assert check(mean_over_four_at_most).verdict == "not_halo"
