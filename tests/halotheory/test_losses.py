"""The built-in losses: values and gradients worked by hand, with unequal hyperparameters."""

import math
from math import exp, log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from halotheory import losses
from halotheory.contract import load_loss


def s(x: float) -> float:
    """Return the logistic function."""
    return 1 / (1 + exp(-x))


def sp(x: float) -> float:
    """Return log(1 + e^x), which is -log sigmoid(-x)."""
    return log(1 + exp(x))


def logit(log_p: float) -> float:
    """Return log(p / (1 - p))."""
    return log_p - log(1 - exp(log_p))


def f64(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def opposed(chosen: float) -> tuple[float, float]:
    """Return the two gradients of a loss of the margin."""
    return chosen, -chosen


# Two pairs: log-ratios 2 (chosen) and -1 (rejected), margin 3; then the other way round, margin -3.
PAIRS = {
    "policy_chosen_logps": [-8.0, -11.0],
    "policy_rejected_logps": [-11.0, -8.0],
    "reference_chosen_logps": [-10.0, -10.0],
    "reference_rejected_logps": [-10.0, -10.0],
    "chosen_lengths": [4.0, 2.0],
    "rejected_lengths": [5.0, 8.0],
}
FORWARD = 0.5 * (exp(1) - exp(-2))  # beta (1/u_l - 1/u_w) of the first pair, minus that of the second
SHANNON = 0.5 * (log(s(2)) - log(s(-1)))
ALPHA = 0.5 * (exp(0.25) - exp(-0.5)) / 0.25
ODDS = (logit(-2) - logit(-2.2), logit(-5.5) - logit(-1))  # tokens' mean log-probabilities -2, -2.2; -5.5, -1


def discopop_gradient(x: float, beta: float, tau: float) -> float:
    """Return d/dh of (1 - t) sp(-x) + t e^-x, x = beta h, t = s(x / tau)."""
    t = s(x / tau)
    return beta * (t * (1 - t) / tau * (exp(-x) - sp(-x)) - (1 - t) * s(-x) - t * exp(-x))


def exo_gradient(p: float, beta: float, eps: float) -> float:
    """Return d/dh of KL((p, 1 - p) || (1 - eps, eps)), p = s(beta h)."""
    return beta * p * (1 - p) * (log(p / (1 - eps)) - log((1 - p) / eps))


# name: settings, the two losses, the gradients by (log pi(y_w), log pi(y_l)) of the two pairs
PAIRED = {
    "dpo": (
        {"beta": 0.5},
        [sp(-1.5), sp(1.5)],
        [opposed(-0.5 * s(-1.5)), opposed(-0.5 * s(1.5))],
    ),
    "cdpo": (
        {"beta": 0.5, "label_smoothing": 0.2},
        [0.8 * sp(-1.5) + 0.2 * sp(1.5), 0.8 * sp(1.5) + 0.2 * sp(-1.5)],
        [opposed(0.5 * (-0.8 * s(-1.5) + 0.2 * s(1.5))), opposed(0.5 * (-0.8 * s(1.5) + 0.2 * s(-1.5)))],
    ),
    "robust_dpo": (
        {"beta": 0.5, "label_smoothing": 0.2},
        [(0.8 * sp(-1.5) - 0.2 * sp(1.5)) / 0.6, (0.8 * sp(1.5) - 0.2 * sp(-1.5)) / 0.6],
        [opposed(-0.5 * (0.8 * s(-1.5) + 0.2 * s(1.5)) / 0.6), opposed(-0.5 * (0.8 * s(1.5) + 0.2 * s(-1.5)) / 0.6)],
    ),
    "ipo": ({"beta": 0.25}, [(3 - 2) ** 2, (-3 - 2) ** 2], [opposed(2), opposed(-10)]),
    "hinge": ({"beta": 0.5}, [0, 2.5], [opposed(0), opposed(-0.5)]),
    "odpo": (
        {"beta": 0.5, "offset": 0.7},
        [sp(-0.8), sp(2.2)],
        [opposed(-0.5 * s(-0.8)), opposed(-0.5 * s(2.2))],
    ),
    "exo": (
        {"beta": 0.5, "label_smoothing": 0.2},
        [
            s(1.5) * log(s(1.5) / 0.8) + s(-1.5) * log(s(-1.5) / 0.2),
            s(-1.5) * log(s(-1.5) / 0.8) + s(1.5) * log(s(1.5) / 0.2),
        ],
        [opposed(exo_gradient(s(1.5), 0.5, 0.2)), opposed(exo_gradient(s(-1.5), 0.5, 0.2))],
    ),
    "aot": (
        {"beta": 0.5, "label_smoothing": 0.3},
        [0.7 * sp(-1.5) + 0.3 * sp(1.5), 0.7 * sp(1.5) + 0.3 * sp(-1.5)],
        [opposed(0.5 * (-0.7 * s(-1.5) + 0.3 * s(1.5))), opposed(0.5 * (-0.7 * s(1.5) + 0.3 * s(-1.5)))],
    ),
    "discopop": (
        {"beta": 0.5, "tau": 0.5},
        [s(-3) * sp(-1.5) + s(3) * exp(-1.5), s(3) * sp(1.5) + s(-3) * exp(1.5)],
        [opposed(discopop_gradient(1.5, 0.5, 0.5)), opposed(discopop_gradient(-1.5, 0.5, 0.5))],
    ),
    "nca": (
        {"beta": 0.5},
        [sp(-1) + sp(1) / 2 + sp(-0.5) / 2, sp(0.5) + sp(-0.5) / 2 + sp(1) / 2],
        [(0.5 * (s(1) / 2 - s(-1)), 0.25 * s(-0.5)), (0.5 * (s(-0.5) / 2 - s(0.5)), 0.25 * s(1))],
    ),
    "bco_pair": (
        {"beta": 0.5},
        [sp(-1) + sp(-0.5), sp(0.5) + sp(1)],
        [(-0.5 * s(-1), 0.5 * s(-0.5)), (-0.5 * s(0.5), 0.5 * s(1))],
    ),
    "apo_zero": (
        {"beta": 0.5},
        [s(-1) + s(-0.5), s(0.5) + s(1)],
        [(-0.5 * s(1) * s(-1), 0.5 * s(0.5) * s(-0.5)), (-0.5 * s(0.5) * s(-0.5), 0.5 * s(1) * s(-1))],
    ),
    "apo_down": (
        {"beta": 0.5},
        [s(1) + s(-1.5), s(-0.5) + s(1.5)],
        [
            (0.5 * (s(1) * s(-1) - s(1.5) * s(-1.5)), 0.5 * s(1.5) * s(-1.5)),
            (0.5 * (s(0.5) * s(-0.5) - s(1.5) * s(-1.5)), 0.5 * s(1.5) * s(-1.5)),
        ],
    ),
    "sppo": ({"beta": 0.25}, [0 + 1, 9 + 16], [(0, 2), (-6, 8)]),
    "dpop": (
        {"beta": 0.5, "penalty": 3},  # the second pair's chosen output became less likely: 3 - 3 * 1 more is asked
        [sp(-1.5), sp(3)],
        [opposed(-0.5 * s(-1.5)), (-0.5 * (1 + 3) * s(3), 0.5 * s(3))],
    ),
    "rdpo": (
        {"beta": 0.5, "length_weight": 0.1},
        [sp(-1.5 + 0.1), sp(1.5 + 0.6)],
        [opposed(-0.5 * s(-1.4)), opposed(-0.5 * s(2.1))],
    ),
    "ln_dpo": (
        {"beta": 2},
        [sp(-2 * (2 / 4 + 1 / 5)), sp(2 * (1 / 2 + 2 / 8))],
        [(-2 / 4 * s(-1.4), 2 / 5 * s(-1.4)), (-2 / 2 * s(1.5), 2 / 8 * s(1.5))],
    ),
    "slic": ({"margin": 2, "sft_weight": 0.25}, [0 + 0.25 * 8, 5 + 0.25 * 11], [(-0.25, 0), (-1.25, 1)]),
    "cpo": (
        {"beta": 0.5, "sft_weight": 0.25},
        [sp(-1.5) + 0.25 * 8, sp(1.5) + 0.25 * 11],
        [(-0.5 * s(-1.5) - 0.25, 0.5 * s(-1.5)), (-0.5 * s(1.5) - 0.25, 0.5 * s(1.5))],
    ),
    "simpo": (
        {"beta": 2, "target_margin": 0.7},
        [sp(-2 * (-8 / 4 + 11 / 5) + 0.7), sp(-2 * (-11 / 2 + 8 / 8) + 0.7)],
        [(-2 / 4 * s(0.3), 2 / 5 * s(0.3)), (-2 / 2 * s(9.7), 2 / 8 * s(9.7))],
    ),
    "orpo": (
        {"odds_weight": 0.3},
        [2 + 0.3 * sp(-ODDS[0]), 5.5 + 0.3 * sp(-ODDS[1])],
        [
            ((-1 - 0.3 * s(-ODDS[0]) / (1 - exp(-2))) / 4, 0.3 * s(-ODDS[0]) / (1 - exp(-2.2)) / 5),
            ((-1 - 0.3 * s(-ODDS[1]) / (1 - exp(-5.5))) / 2, 0.3 * s(-ODDS[1]) / (1 - exp(-1)) / 8),
        ],
    ),
    "fdpo_forward_kl": (
        {"beta": 0.5},
        [sp(-FORWARD), sp(FORWARD)],
        [
            (-0.5 * exp(-2) * s(-FORWARD), 0.5 * exp(1) * s(-FORWARD)),
            (-0.5 * exp(1) * s(FORWARD), 0.5 * exp(-2) * s(FORWARD)),
        ],
    ),
    "fdpo_js": (
        {"beta": 0.5},
        [sp(-SHANNON), sp(SHANNON)],
        [
            (-0.5 * s(-2) * s(-SHANNON), 0.5 * s(1) * s(-SHANNON)),
            (-0.5 * s(1) * s(SHANNON), 0.5 * s(-2) * s(SHANNON)),
        ],
    ),
    "fdpo_alpha": (
        {"beta": 0.5, "alpha": 0.25},
        [sp(-ALPHA), sp(ALPHA)],
        [
            (-0.5 * exp(-0.5) * s(-ALPHA), 0.5 * exp(0.25) * s(-ALPHA)),
            (-0.5 * exp(0.25) * s(ALPHA), 0.5 * exp(-0.5) * s(ALPHA)),
        ],
    ),
    "beta_dpo": (
        {"beta": 0.5, "modulation": 0.4, "threshold": -0.5, "smallest_beta": 0.2},  # M = 0: b = 0.5 (1 + 0.4 * 0.5)
        [sp(-0.6 * 3), sp(0.6 * 3)],
        [opposed(-0.6 * s(-1.8)), opposed(-0.6 * s(1.8))],
    ),
    "wpo": (
        {"beta": 0.5},
        [exp(-8 / 4 - 11 / 5) * sp(-1.5), exp(-11 / 2 - 8 / 8) * sp(1.5)],
        [opposed(-0.5 * exp(-4.2) * s(-1.5)), opposed(-0.5 * exp(-6.5) * s(1.5))],
    ),
}

# Three outputs: a desirable one with log-ratio 2, undesirable ones with 2 and -3; the reference point is 0.5.
THUMBS = {
    "policy_logps": [-8.0, -8.0, -13.0],
    "reference_logps": [-10.0, -10.0, -10.0],
    "desirable": [True, False, False],
    "kl": 0.5,
}
WEIGHTS = {"beta": 0.4, "desirable_weight": 1.5, "undesirable_weight": 0.5}

# name: settings, the three losses, the gradients by log pi(y)
UNPAIRED = {
    "kto": (
        WEIGHTS,
        [1.5 * s(-0.6), 0.5 * s(0.6), 0.5 * s(-1.4)],
        [-0.6 * s(0.6) * s(-0.6), 0.2 * s(0.6) * s(-0.6), 0.2 * s(1.4) * s(-1.4)],
    ),
    "kto_without_reference_point": (
        WEIGHTS,
        [1.5 * s(-0.8), 0.5 * s(0.8), 0.5 * s(-1.2)],
        [-0.6 * s(0.8) * s(-0.8), 0.2 * s(0.8) * s(-0.8), 0.2 * s(1.2) * s(-1.2)],
    ),
    "kto_concave": (
        WEIGHTS,
        [1.5 * sp(-0.6), 0.5 * sp(0.6), 0.5 * sp(-1.4)],
        [-0.6 * s(-0.6), 0.2 * s(0.6), 0.2 * s(-1.4)],
    ),
    "kto_risk_neutral": (WEIGHTS, [1.5 * 0.4, 0.5 * 1.6, 0.5 * -0.4], [-0.6, 0.2, 0.2]),
    "kto_without_reference": (  # the mean of log pi is -29/3: z = 5/3, 5/3, -10/3
        WEIGHTS,
        [1.5 * s(-2 / 3), 0.5 * s(2 / 3), 0.5 * s(-4 / 3)],
        [-0.6 * s(2 / 3) * s(-2 / 3), 0.2 * s(2 / 3) * s(-2 / 3), 0.2 * s(4 / 3) * s(-4 / 3)],
    ),
    "bco": (  # the rewards 0.8, 0.8, -1.2 have the mean 2/15
        {"beta": 0.4},
        [sp(-2 / 3), sp(2 / 3), sp(-4 / 3)],
        [-0.4 * s(-2 / 3), 0.4 * s(2 / 3), 0.4 * s(-4 / 3)],
    ),
    "sft": ({}, [8, 8, 13], [-1, -1, -1]),
    "csft": ({}, [8, 8, 13], [-1, -1, -1]),
    "unlikelihood": (
        {"undesirable_weight": 0.5},
        [8, -0.5 * log(1 - exp(-8)), -0.5 * log(1 - exp(-13))],
        [-1, 0.5 * exp(-8) / (1 - exp(-8)), 0.5 * exp(-13) / (1 - exp(-13))],
    ),
}


def test_every_loss_is_worked_by_hand() -> None:
    assert {*PAIRED, *UNPAIRED, "ppo_clip"} == set(losses.__all__)


def assert_worked(
    name: str, settings: dict[str, float], batch: dict[str, Tensor], values: Tensor, grad: Tensor
) -> None:
    """Compare a loss and its gradient by the policy's log-probabilities, (batch, ...), with what is expected."""
    loss = load_loss(name, settings)
    policy = [key for key in loss.arguments if key.startswith("policy_")]
    tensors = {**batch, **{key: batch[key].clone().requires_grad_() for key in policy}}
    found = loss(**tensors)
    torch.testing.assert_close(found.detach(), values, rtol=1e-12, atol=1e-14)
    found.sum().backward()
    gradients = [tensors[key].grad for key in policy]
    torch.testing.assert_close(
        torch.stack([one for one in gradients if one is not None], dim=-1), grad, rtol=1e-7, atol=1e-12
    )


@pytest.mark.parametrize("name", PAIRED)
def test_paired_losses_on_a_worked_example(name: str) -> None:
    settings, values, gradients = PAIRED[name]
    batch = {key: f64(value) for key, value in PAIRS.items()}
    assert_worked(name, settings, batch, f64(values), f64(gradients))


@pytest.mark.parametrize("name", UNPAIRED)
def test_unpaired_losses_on_a_worked_example(name: str) -> None:
    settings, values, gradients = UNPAIRED[name]
    batch = {key: torch.tensor(value) if key == "desirable" else f64(value) for key, value in THUMBS.items()}
    expected = f64(gradients).unsqueeze(-1)
    assert_worked(name, settings, batch, f64(values), expected)


def test_ppo_clip_on_a_worked_example() -> None:
    """Free, clipped above, clipped below; then free, a loss that no clip bounds, and a token that is masked."""
    log_ratio = f64([[0.1, 1.0, -5.0], [-1.0, 1.0, 99.0]])
    batch = {
        "policy_token_logps": log_ratio - 100,
        "reference_token_logps": f64([[-100.0] * 3] * 2),
        "advantages": f64([[2.0, 3.0, -1.0], [2.0, -3.0, 5.0]]),
        "mask": torch.tensor([[True, True, True], [True, True, False]]),
    }
    values = [-(2 * exp(0.1) + 3 * 1.3 - 0.7) / 3, -(2 * exp(-1) - 3 * exp(1)) / 2]
    gradients = [[-2 * exp(0.1) / 3, 0, 0], [-exp(-1), 1.5 * exp(1), 0]]
    expected = f64(gradients).unsqueeze(-1)
    assert_worked("ppo_clip", {"epsilon": 0.3}, batch, f64(values), expected)


def test_ppo_clip_is_the_minimum_of_the_free_and_the_clipped_surrogate() -> None:
    log_ratio, advantages = torch.linspace(-2, 2, 41).double(), f64([-1.5, 0.0, 2.0])
    grid, each = torch.meshgrid(log_ratio, advantages, indexing="ij")
    found = losses.ppo_clip(grid[..., None], 0 * grid[..., None], each[..., None], torch.ones_like(grid[..., None]))
    q = grid.exp()
    torch.testing.assert_close(found, -torch.minimum(q * each, q.clip(0.8, 1.2) * each))


def test_beta_dpos_temperature_follows_the_batchs_margin_and_never_falls_below_its_smallest() -> None:
    zero = f64([0.0, 0.0])
    for margins, beta in (((4.0, 8.0), 0.5 * (1 + 0.6 * (3 - 1))), ((-40.0, -20.0), 0.2)):
        margin = f64(margins)
        found = losses.beta_dpo(margin, zero, zero, zero, beta=0.5, modulation=0.6, threshold=1.0, smallest_beta=0.2)
        torch.testing.assert_close(found, losses.dpo(margin, zero, zero, zero, beta=beta))


@given(log_p=st.floats(-700, -1e-6))
def test_the_complements_log_probability_is_exact(log_p: float) -> None:
    from halotheory.losses.likelihood import log1mexp

    found = float(log1mexp(f64(log_p)))
    exact = log(-math.expm1(log_p)) if log_p > -0.7 else math.log1p(-exp(log_p))
    assert found == pytest.approx(exact, rel=1e-9, abs=1e-15)


@given(
    log_ratio=st.floats(-40, 40),
    kl=st.floats(0, 20),
    beta=st.floats(0.01, 2),
    weights=st.tuples(st.floats(0.1, 5), st.floats(0.1, 5)),
    desirable=st.booleans(),
)
def test_kto_gradient_is_equation_8(
    log_ratio: float, kl: float, beta: float, weights: tuple[float, float], desirable: bool
) -> None:
    """d(y) lambda_y sigmoid(beta z) (1 - sigmoid(beta z)) beta, with d = -1 for desirable outputs."""
    policy = torch.tensor([log_ratio - 50], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([-50.0], dtype=torch.float64)
    label, z0 = torch.tensor([desirable]), torch.tensor(kl, dtype=torch.float64)
    losses.kto(
        policy, reference, label, z0, beta=beta, desirable_weight=weights[0], undesirable_weight=weights[1]
    ).sum().backward()
    value = torch.sigmoid(torch.tensor(beta * (log_ratio - kl), dtype=torch.float64))
    sign, weight = (-1, weights[0]) if desirable else (1, weights[1])
    assert policy.grad is not None
    torch.testing.assert_close(policy.grad[0], sign * weight * value * (1 - value) * beta, rtol=1e-9, atol=1e-12)


@given(margin=st.floats(-40, 40), beta=st.floats(0.01, 2))
def test_dpo_gradient_is_minus_beta_times_the_probability_of_error(margin: float, beta: float) -> None:
    chosen = torch.tensor([margin - 50], dtype=torch.float64, requires_grad=True)
    zero = torch.tensor([-50.0], dtype=torch.float64)
    losses.dpo(chosen, zero, zero, zero, beta=beta).sum().backward()
    assert chosen.grad is not None
    expected = -beta * torch.sigmoid(torch.tensor(-beta * margin, dtype=torch.float64))
    torch.testing.assert_close(chosen.grad[0], expected, rtol=1e-9, atol=1e-15)
