"""The built-in losses: hand-worked values with unequal hyperparameters, gradients, and laws over the catalogue."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from halotheory import losses
from halotheory.contract import Loss, load_loss

CATALOGUE = losses.__all__
UNEQUAL = {"beta": 0.3, "desirable_weight": 1.4, "undesirable_weight": 0.6}


def tuned(name: str) -> Loss:
    loss = load_loss(name)
    return loss.with_settings({key: value for key, value in UNEQUAL.items() if key in loss.hyperparameters})


def batch_of(loss: Loss, size: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name in loss.arguments:
        if name == "desirable":
            tensors[name] = torch.arange(size) % 3 != 0
        elif name == "kl":
            tensors[name] = torch.tensor(0.7, dtype=dtype)
        else:
            tensors[name] = -30 * torch.rand(size, generator=generator, dtype=dtype)
    return tensors


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# one pair with log-ratios 2 (chosen) and -1 (rejected), one with the order reversed; beta = 0.5
PAIRS = {
    "policy_chosen_logps": [-8.0, -11.0],
    "policy_rejected_logps": [-11.0, -8.0],
    "reference_chosen_logps": [-10.0, -10.0],
    "reference_rejected_logps": [-10.0, -10.0],
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dpo", [-math.log(sigmoid(1.5)), -math.log(sigmoid(-1.5))]),
        ("ipo", [(3 - 1) ** 2, (-3 - 1) ** 2]),
        ("hinge", [0.0, 2.5]),
    ],
)
def test_paired_losses_on_a_worked_example(name: str, expected: list[float]) -> None:
    loss = load_loss(name, {"beta": 0.5})
    found = loss(**{key: torch.tensor(value, dtype=torch.float64) for key, value in PAIRS.items()})
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_kto_on_a_worked_example_with_unequal_weights() -> None:
    found = losses.kto(
        torch.tensor([-8.0, -8.0, -13.0]).double(),
        torch.tensor([-10.0, -10.0, -10.0]).double(),
        torch.tensor([True, False, False]),
        torch.tensor(0.5).double(),
        beta=0.4,
        desirable_weight=1.5,
        undesirable_weight=0.5,
    )
    expected = [1.5 * (1 - sigmoid(0.4 * 1.5)), 0.5 * (1 - sigmoid(-0.4 * 1.5)), 0.5 * (1 - sigmoid(0.4 * 3.5))]
    torch.testing.assert_close(found, torch.tensor(expected).double())


def test_sft_is_the_negative_log_likelihood() -> None:
    torch.testing.assert_close(losses.sft(torch.tensor([-3.0, -0.5])), torch.tensor([3.0, 0.5]))


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


@pytest.mark.parametrize("name", CATALOGUE)
def test_batch_order_does_not_matter(name: str) -> None:
    loss = tuned(name)
    tensors = batch_of(loss, 7)
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    shuffled = {key: value[order] if value.ndim else value for key, value in tensors.items()}
    torch.testing.assert_close(loss(**shuffled), loss(**tensors)[order], rtol=0, atol=0)


@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dtype_in_is_dtype_out(name: str, dtype: torch.dtype) -> None:
    loss = tuned(name)
    assert loss(**batch_of(loss, 4, dtype=dtype)).dtype is dtype


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name != "sft"])
def test_only_log_ratios_matter(name: str) -> None:
    loss = tuned(name)
    tensors = batch_of(loss, 5)
    moved = {key: value + 3.25 if key.endswith("logps") else value for key, value in tensors.items()}
    torch.testing.assert_close(loss(**moved), loss(**tensors), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CATALOGUE)
def test_autograd_agrees_with_finite_differences(name: str) -> None:
    loss = tuned(name)
    tensors = batch_of(loss, 4)
    policy = [key for key in loss.arguments if key.startswith("policy_")]

    def of_policy(*values: Tensor) -> Tensor:
        return loss(**{**tensors, **dict(zip(policy, values, strict=True))})

    inputs = tuple((tensors[key] / 10).requires_grad_() for key in policy)
    check: Callable[..., bool] = torch.autograd.gradcheck
    assert check(of_policy, inputs)


@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.parametrize("size", [-1e4, 1e4])
def test_extreme_log_ratios_give_finite_gradients(name: str, size: float) -> None:
    loss = tuned(name)
    tensors = batch_of(loss, 4, dtype=torch.float32)
    first = next(key for key in loss.arguments if key.startswith("policy_"))
    tensors[first] = (tensors[first] + size).requires_grad_()
    losses_of_batch = loss(**tensors)
    losses_of_batch.sum().backward()
    gradient = tensors[first].grad
    assert gradient is not None
    assert torch.isfinite(losses_of_batch).all()
    assert torch.isfinite(gradient).all()
