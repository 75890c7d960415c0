"""The assertions that users put into their own tests: they pass on what is right, and fail with a witness."""

import builtins
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from halotheory import testing
from halotheory.errors import HaloTheoryError

ZOO = Path(__file__).parent / "zoo.py"


def uses_the_reference_alone(policy_logps, reference_logps, desirable, *, beta=1.0):
    value = torch.sigmoid(beta * (policy_logps - 0.9 * reference_logps))
    return torch.where(desirable, 1 - value, value)


def first_counts_double(policy_logps, reference_logps):
    weights = torch.ones_like(policy_logps)
    weights = torch.cat([2 * weights[:1], weights[1:]])
    return weights * (reference_logps - policy_logps)


@given(testing.paired_batches(min_size=2, max_size=3, largest=30.0, dtype=torch.float32))
@settings(max_examples=50)
def test_paired_batches_are_what_is_asked_for(batch: dict[str, Tensor]) -> None:
    assert {name for name in batch if "logps" in name} == {
        "policy_chosen_logps",
        "policy_rejected_logps",
        "reference_chosen_logps",
        "reference_rejected_logps",
    }
    for name, tensor in batch.items():
        assert 2 <= len(tensor) <= 3
        assert tensor.dtype == torch.float32
        assert (tensor >= 1).all() if "lengths" in name else ((tensor >= -30) & (tensor <= 0)).all()


@given(testing.unpaired_batches())
@settings(max_examples=50)
def test_unpaired_batches_have_both_labels(batch: dict[str, Tensor]) -> None:
    size = len(batch["policy_logps"])
    assert batch["desirable"].shape == batch["reference_logps"].shape == batch["lengths"].shape == (size,)
    assert batch["desirable"].dtype == torch.bool
    assert len(set(batch["desirable"].tolist())) == min(size, 2)
    assert batch["kl"].dim() == 0
    assert batch["kl"] >= 0


@given(testing.token_batches())
@settings(max_examples=50)
def test_token_batches_are_0_beyond_their_ends(batch: dict[str, Tensor]) -> None:
    mask = batch.pop("mask")
    assert mask[:, 0].all()
    assert mask.any(dim=0).all()
    for tensor in batch.values():
        assert tensor.shape == mask.shape
        assert (tensor[~mask] == 0).all()


@pytest.mark.parametrize("loss", ["kto", f"{ZOO}:risk_neutral", "dpo"])
def test_a_halo_passes(loss: str) -> None:
    assert testing.assert_halo(loss, strict=True).verdict == "halo"
    testing.assert_log_ratio_only(loss)
    testing.assert_batch_order_does_not_matter(loss)


@pytest.mark.parametrize("loss", ["hinge", "ipo", "sft", f"{ZOO}:dpo_plus_reference", f"{ZOO}:clipped"])
def test_kinks_and_constants_are_no_dependence(loss: str) -> None:
    testing.assert_log_ratio_only(loss)


def test_kto_saturates_as_proposition_2_says() -> None:
    testing.assert_gradients_saturate("kto")


def not_a_number(policy_logps):
    return policy_logps * math.nan


def turns_with_the_advantage(policy_token_logps, reference_token_logps, advantages, mask):
    ratio = torch.exp(policy_token_logps - reference_token_logps)
    gain = torch.where(advantages > 0, 2 * ratio * advantages, ratio * advantages)
    return -(gain * mask).sum(-1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: testing.assert_halo("ipo"), r"ipo is not a human-aware loss\n.*non_decreasing refuted: .*z1 = "),
        (lambda: testing.assert_halo("kto", strict=True, settings={"desirable_weight": 2}), "only with class_weights"),
        (lambda: testing.assert_gradients_saturate("dpo"), r"v'\(z\) tends to 1 as z -> -oo"),
        (lambda: testing.assert_gradients_saturate("ipo"), "ipo is not a human-aware loss"),
        (
            lambda: testing.assert_log_ratio_only(not_a_number),
            "the gradient is NaN or infinite in each of 100 batches",
        ),
        (
            lambda: testing.assert_gradients_saturate(turns_with_the_advantage),
            "whether the gradient fades is undecided",
        ),
        (
            lambda: testing.assert_log_ratio_only(uses_the_reference_alone),
            r"adding -\d+ to policy_logps and to reference_logps .* batch: policy_logps = \[-?0\.0\]",
        ),
        (lambda: testing.assert_log_ratio_only("orpo"), "not a function of log pi - log pi_ref"),
        (
            lambda: testing.assert_batch_order_does_not_matter(first_counts_double),
            "order of the batch matters: sorted losses",
        ),
    ],
)
def test_a_failure_names_its_witness(call: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        call()


def test_without_hypothesis_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("hypothesis"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(HaloTheoryError, match="pip install hypothesis"):
        testing.paired_batches()
    testing.assert_halo("dpo")  # needs none


def test_the_example_of_the_documentation_passes() -> None:
    example = Path(__file__).parents[2] / "examples" / "test_my_loss.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(example)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout or "....." in done.stdout
