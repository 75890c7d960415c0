import math
from typing import Any

import pytest
import torch

from halotheory import losses
from halotheory.contract import load_loss
from halotheory.errors import HaloTheoryError
from halotheory.worlds.optima import two_output_dpo_optimum
from halotheory.worlds.phase import phase_of_dynamics, phase_of_minimum

SHARES, BETAS, REFERENCES = (0.55, 0.7, 0.95), (0.05, 0.3, 2.0), (0.1, 0.5, 0.9)
AXES: dict[str, Any] = {"shares": SHARES, "betas": BETAS, "reference_probabilities": REFERENCES}


@pytest.mark.parametrize("phase", [phase_of_dynamics, phase_of_minimum])
def test_dpo_ends_at_theorem_4s_optimum(phase):
    axes = (torch.tensor(each, dtype=torch.float64) for each in (SHARES, BETAS, REFERENCES))
    p, beta, q = torch.meshgrid(*axes, indexing="ij")
    found = phase("dpo", **AXES).probabilities
    tolerance = (
        1e-10 if phase is phase_of_dynamics else 1e-6
    )  # a minimum is flat: its place is known to half the digits
    torch.testing.assert_close(found, two_output_dpo_optimum(p, q, beta), rtol=0, atol=tolerance)


def test_dpo_prefers_the_minority_beyond_theorem_4s_condition():
    diagram = phase_of_dynamics("dpo", **AXES)
    for i, p in enumerate(SHARES):
        for j, beta in enumerate(BETAS):
            for k, q in enumerate(REFERENCES):
                wins = math.log(p / (1 - p)) / beta + math.log(q / (1 - q)) > 0
                assert bool(diagram.majority_wins[i, j, k]) == wins


@pytest.mark.parametrize("point", ["kl", 0.0, 1.0])
def test_kto_with_a_fixed_reference_point_goes_to_the_majority(point):
    assert phase_of_dynamics("kto", **AXES, reference_point=point).probabilities.eq(1).all()
    few = {**AXES, "shares": (0.05, 0.45)}
    assert phase_of_dynamics("kto", **few, reference_point=point).probabilities.eq(0).all()


def test_an_even_split_stays_where_it_is():
    found = phase_of_dynamics("kto", shares=[0.5], betas=[0.3], reference_probabilities=[0.2]).probabilities
    assert found.item() == pytest.approx(0.2)


def test_the_least_kto_loss_with_its_own_kl_is_no_indicator_for_a_large_beta():
    least = phase_of_minimum("kto", **AXES).probabilities
    assert bool((least[:, 2] < 1).all())  # beta = 2
    through = phase_of_dynamics("kto", **AXES, reference_point="moving_kl").probabilities
    assert bool((through[:, 2] < 1).all())
    constant = phase_of_minimum("kto", **AXES, reference_point=0.0).probabilities
    torch.testing.assert_close(constant, torch.ones_like(constant), rtol=0, atol=1e-12)


def test_where_the_flow_rests_is_where_small_steps_go():
    from halotheory.worlds import GradientDescent, contradicting, pairs, thumbs_of_pairs, train, two_output_worlds

    world = two_output_worlds(torch.tensor([0.3]).double())
    data = thumbs_of_pairs(pairs(world, contradicting(world, 0.8)))
    run = train(
        world, "kto", data, steps=20_000, optimizer=GradientDescent(learning_rate=0.5), settings={"beta": 2.0},
        reference_point="moving_kl", tolerance=1e-13,
    )  # fmt: skip
    found = phase_of_dynamics(
        "kto", shares=[0.8], betas=[2.0], reference_probabilities=[0.3], reference_point="moving_kl"
    )
    assert found.probabilities.item() == pytest.approx(float(run.policies[0, 0, 0]), abs=1e-8)


@pytest.mark.parametrize("name", [name for name in losses.__all__ if "beta" in load_loss(name).hyperparameters])
def test_every_loss_with_a_beta_has_a_phase_diagram(name):
    found = phase_of_dynamics(name, shares=[0.6, 0.9], betas=[0.3, 0.5], reference_probabilities=[0.3, 0.5, 0.8])
    assert found.probabilities.shape == (2, 2, 3)
    assert bool(((found.probabilities >= 0) & (found.probabilities <= 1)).all())


def test_a_loss_without_beta_is_refused():
    with pytest.raises(HaloTheoryError, match="no hyperparameter 'beta'"):
        phase_of_dynamics("sft", **AXES)
