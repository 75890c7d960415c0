"""Laws over the whole catalogue of losses: a new loss enters every one of them by being in it."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from halotheory import losses
from halotheory.contract import Loss, load_loss

CATALOGUE = losses.__all__
OF_THE_BATCH = {"bco", "beta_dpo", "kto_without_reference"}
"""Losses whose reference point, or temperature, is a mean over the batch."""
DETACHED = {*OF_THE_BATCH, "wpo"}
"""Losses with a part that no gradient passes through: finite differences of the value would not agree."""
NO_REFERENCE = {name for name in CATALOGUE if not load_loss(name).needs_reference}
UNEQUAL = {"beta": 0.3, "desirable_weight": 1.4, "undesirable_weight": 0.6, "label_smoothing": 0.2, "sft_weight": 0.7}
OF_RATIOS = {"fdpo_forward_kl": 50.0, "fdpo_alpha": 130.0}
"""Losses of pi/pi_ref itself rather than its logarithm, and log-ratios that float32 has room for, nats."""


def tuned(name: str) -> Loss:
    loss = load_loss(name)
    return loss.with_settings({key: value for key, value in UNEQUAL.items() if key in loss.hyperparameters})


def batch_of(loss: Loss, size: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Return a random batch for a loss: log-probabilities below 0, lengths of whole tokens."""
    generator = torch.Generator().manual_seed(seed)
    shape = (size, 5) if loss.kind == "token" else (size,)
    tensors = {}
    for name in loss.arguments:
        drawn = torch.rand(shape, generator=generator, dtype=dtype)
        if name == "desirable":
            tensors[name] = torch.arange(size) % 3 != 0
        elif name == "mask":
            tensors[name] = torch.arange(5) <= torch.arange(size)[:, None] % 5
        elif name == "kl":
            tensors[name] = torch.tensor(0.7, dtype=dtype)
        elif name == "advantages":
            tensors[name] = 4 * drawn - 2
        elif name.endswith("lengths"):
            tensors[name] = torch.ceil(20 * drawn)
        else:
            tensors[name] = -0.5 - 30 * drawn
    return tensors


def picked(tensors: dict[str, Tensor], examples: Tensor) -> dict[str, Tensor]:
    return {name: value[examples] if value.ndim else value for name, value in tensors.items()}


@pytest.mark.parametrize("name", CATALOGUE)
def test_batch_order_does_not_matter(name: str) -> None:
    loss = tuned(name)
    tensors, order = batch_of(loss, 7), torch.tensor([3, 0, 6, 2, 5, 1, 4])
    torch.testing.assert_close(loss(**picked(tensors, order)), loss(**tensors)[order], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_batch_of_one_is_enough_and_only_batch_means_see_the_others(name: str) -> None:
    loss = tuned(name)
    tensors = batch_of(loss, 5)
    alone = torch.cat([loss(**picked(tensors, torch.tensor([at]))) for at in range(5)])
    assert alone.shape == (5,)
    assert torch.isfinite(alone).all()
    assert torch.allclose(alone, loss(**tensors), rtol=1e-12, atol=1e-12) == (name not in OF_THE_BATCH)


@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dtype_in_is_dtype_out(name: str, dtype: torch.dtype) -> None:
    loss = tuned(name)
    assert loss(**batch_of(loss, 4, dtype=dtype)).dtype is dtype


@pytest.mark.parametrize("name", CATALOGUE)
def test_only_log_ratios_matter_unless_the_loss_has_no_reference_or_weighs_by_likelihood(name: str) -> None:
    loss = tuned(name)
    tensors = batch_of(loss, 5)
    shift = -torch.arange(5, dtype=torch.float64) / 4
    shift = shift[:, None] if loss.kind == "token" else shift
    moved = {key: value + shift if key.endswith("logps") else value for key, value in tensors.items()}
    same = torch.allclose(loss(**moved), loss(**tensors), rtol=1e-12, atol=1e-12)
    assert same == (name not in NO_REFERENCE and name != "wpo")


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name not in DETACHED])
def test_autograd_agrees_with_finite_differences(name: str) -> None:
    loss = tuned(name)
    tensors = batch_of(loss, 4)
    policy = [key for key in loss.arguments if key.startswith("policy_")]

    def of_policy(*values: Tensor) -> Tensor:
        return loss(**{**tensors, **dict(zip(policy, values, strict=True))})

    inputs = tuple((tensors[key] / 10).requires_grad_() for key in policy)
    check: Callable[..., bool] = torch.autograd.gradcheck
    assert check(of_policy, inputs)


@pytest.mark.parametrize("name", sorted(DETACHED))
def test_what_is_detached_has_no_gradient(name: str) -> None:
    """The gradient by one example's log-probability is zero in the others' losses."""
    loss = tuned(name)
    tensors = batch_of(loss, 4)
    first = next(key for key in loss.arguments if key.startswith("policy_"))
    tensors[first].requires_grad_()
    (gradient,) = torch.autograd.grad(loss(**tensors)[0], tensors[first])
    assert gradient[0] != 0
    assert gradient[1:].tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.parametrize("signs", list(itertools.product((-1, 1), repeat=2)))
def test_extreme_log_ratios_give_finite_losses_and_gradients_in_float32(name: str, signs: tuple[int, int]) -> None:
    """Log-ratios of 1000 nats either way; where a token's ratio is not clipped, and for ratios, what float32 holds."""
    loss = tuned(name)
    tensors = batch_of(loss, 4, dtype=torch.float32)
    size = OF_RATIOS.get(name, 1000.0)
    policy = [key for key in loss.arguments if key.startswith("policy_")]
    for key, sign in zip(policy, signs, strict=False):
        lowered = key if sign < 0 else key.replace("policy_", "reference_")
        if lowered in tensors:
            tensors[lowered] = tensors[lowered] - size
        tensors[key].requires_grad_()
    if "advantages" in tensors and signs[0] > 0:
        tensors["advantages"] = tensors["advantages"].abs()
    found = loss(**tensors)
    gradients = torch.autograd.grad(found.sum(), [tensors[key] for key in policy])
    assert torch.isfinite(found).all()
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("name", CATALOGUE)
def test_each_says_what_comes_back_where_it_is_from_and_what_it_takes(name: str) -> None:
    loss = load_loss(name)
    text = loss.function.__doc__ or ""
    assert text.startswith("Return ")
    assert "    Source: " in text
    assert all(f"        {argument}: " in text for argument in (*loss.arguments, *loss.hyperparameters))
    assert "    Returns:\n        (batch,)" in text
