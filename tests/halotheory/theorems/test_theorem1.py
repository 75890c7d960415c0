"""Theorem 1: what holds of it, claim by claim, and that the claims about PPO-Clip are about the built-in loss."""

import numpy as np
import pytest
import torch
from sympy import sympify

from halotheory.checking import check
from halotheory.findings import Status
from halotheory.losses import ppo_clip
from halotheory.theorems import theorem1

STATEMENT = theorem1.verify()
CLAIMS = {claim.name: claim for claim in STATEMENT.claims}
PROVED, REFUTED = Status.PROVED, Status.REFUTED
CONDITIONS = (
    "log_ratio_only",
    "reference_point",
    "single_value_function",
    "non_decreasing",
    "concave_in_gains",
    "non_constant",
)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        *((f"dpo_{condition}", PROVED) for condition in CONDITIONS),
        ("dpo_reference_of_the_input_alone", REFUTED),
        ("ppo_piecewise_form", PROVED),
        ("ppo_combined_form", PROVED),
        ("ppo_combined_form_at_ratio_zero", REFUTED),
        ("ppo_combined_form_on_the_line", REFUTED),
        ("ppo_a_value_function_for_each_advantage", PROVED),
        ("ppo_one_value_function", REFUTED),
        ("ppo_one_advantage_for_each_sign", PROVED),
        ("ppo_one_advantage_for_each_sign_suffices", PROVED),
        ("ppo_reference_point", REFUTED),
        ("ppo_the_policy_as_reference_distribution", REFUTED),
        ("ppo_where_it_is_a_reference_point", PROVED),
        ("ppo_constant_keeps_the_advantage", PROVED),
        ("ppo_constant_depends_on_the_input_alone", REFUTED),
        ("ppo_nonnegative_rewards_are_logarithms", PROVED),
        ("ppo_implied_policies_exist", REFUTED),
        ("ppo_where_implied_policies_exist", PROVED),
        ("ppo_two_tokens_have_no_other_implied_policies", REFUTED),
        ("ppo_three_tokens_have_many_implied_policies", PROVED),
        ("ppo_repaired_reference_point", PROVED),
        ("ppo_repair_with_kept_advantages", REFUTED),
        ("ppo_one_reference_for_all_policies", REFUTED),
        ("ppo_as_written", REFUTED),
        ("ppo_as_written_with_two_tokens", PROVED),
        ("ppo_as_written_with_any_distribution", PROVED),
        *((f"ppo_clip_{condition}", PROVED) for condition in CONDITIONS if condition != "reference_point"),
    ],
)
def test_each_claim(name: str, status: Status) -> None:
    assert CLAIMS[name].status is status, CLAIMS[name].method


def test_no_claim_is_left_out_above() -> None:
    assert len(CLAIMS) == len(STATEMENT.claims) == 36
    assert all(trial.passed for claim in STATEMENT.claims for trial in claim.trials)


def test_what_the_checker_says_is_told() -> None:
    assert "halotheory check dpo: halo, strictly; holds for every beta > 0." in STATEMENT.notes
    (told,) = (note for note in STATEMENT.notes if note.startswith("halotheory check ppo_clip"))
    assert "only with context_indexed_value, implied_policy" in told
    assert "context_indexed_value" in (CLAIMS["ppo_clip_concave_in_gains"].reading or "")


def test_what_a_relaxation_grants_is_told_and_is_no_claim() -> None:
    assert "ppo_clip_reference_point" not in CLAIMS
    (told,) = (note for note in STATEMENT.notes if note.startswith("halotheory check ppo_clip"))
    assert told.endswith("Granted by a relaxation, not derived: reference_point.")


def test_each_advantage_has_a_value_function_of_its_own() -> None:
    said = CLAIMS["ppo_clip_single_value_function"].statement
    assert said == "for each value A of the advantage, every example's loss is a v_A(z) + C with the same v_A"
    assert CLAIMS["dpo_single_value_function"].statement == "every example's loss is a v(z) + C with the same v"


def test_a_loss_that_is_no_halo_has_a_refuted_condition() -> None:
    claims = {claim.name: claim for claim in theorem1.conditions(check("ipo"))}
    assert claims["ipo_non_decreasing"].status is REFUTED
    assert claims["ipo_non_decreasing"].witness is not None
    assert theorem1._told(check("ipo")).startswith("halotheory check ipo: not_halo; holds for")


def test_the_surrogate_is_the_built_in_loss() -> None:
    """v_A(z) = min(z, A + epsilon |A|) at z = q A is what `ppo_clip` minimises the negative of."""
    generator = torch.Generator().manual_seed(0)
    log_ratio, advantage = torch.randn(2, 1000, 1, generator=generator, dtype=torch.float64)
    epsilon = 0.3
    loss = ppo_clip(
        log_ratio, torch.zeros_like(log_ratio), advantage, torch.ones_like(log_ratio).bool(), epsilon=epsilon
    )
    z, level = (log_ratio.exp() * advantage)[:, 0], (advantage + epsilon * advantage.abs())[:, 0]
    np.testing.assert_allclose(-loss, torch.minimum(z, level), rtol=1e-12, atol=1e-12)


def test_dpo_reads_contradictory_pairs_from_two_reference_points() -> None:
    witness = CLAIMS["dpo_reference_of_the_input_alone"].witness or {}
    rewards = [float(sympify(witness[name])) for name in ("r(y_a)", "r(y_b)")]
    assert rewards[0] > rewards[1]
    policy, reference = (np.array([float(x) for x in sympify(witness[name])]) for name in ("pi", "pi_ref"))
    np.testing.assert_allclose(np.log(policy / reference), rewards)
