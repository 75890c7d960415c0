"""A step on a device that is not the CPU, and has no memory: whatever mixes tensors of two devices raises.

python -m tests.trainer.other_device
"""

import sys
from typing import Any

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import get_total_norm
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from halotheory import losses
from halotheory.contract import load_loss
from tests.trainer.tiny import make_model
from trainer import attention, flash, metrics
from trainer.batch import Sequences
from trainer.lean import make_lean
from trainer.logps import Scorer, policy_of
from trainer.models import checkpoint_activations
from trainer.on_device import on_device
from trainer.policy import Policy

PROMPTS = (np.array([5, 6, 7]), np.array([5, 6, 7]), np.array([8, 9]), np.array([10]))
COMPLETIONS = (np.array([11, 2]), np.array([12, 13, 2]), np.array([2]), np.array([14, 2]))


CASES = [
    *((name, "kernel") for name in losses.__all__),
    *(("kto", how) for how in ("trees", "rows", "checkpointed trees")),
]


def main() -> None:
    """Take the gradient of a batch by every loss and in every layout."""
    _setup_privateuseone_for_python_backend("other")
    sys.modules["torch.other"].get_amp_supported_dtype = lambda: []  # type: ignore[attr-defined] - autocast asks
    for loss, layout in CASES:
        print(loss, layout, flush=True)
        with torch.device("meta"):
            model = make_model()
        with FakeTensorMode(allow_non_fake_inputs=True):
            _step(loss, _policy(model, layout))


def _policy(model: Any, layout: str) -> Policy:
    policy = Policy(model.to_empty(device="other"))
    flash.is_at_hand = lambda *_: layout == "kernel"
    if layout != "rows":
        policy.causal_model.set_attn_implementation(attention.register())
        make_lean(policy.causal_model)
    if layout.startswith("checkpointed"):
        checkpoint_activations(policy.model)
    return policy


def _step(name: str, policy: Policy) -> None:
    """Do what a step does until it reads anything back."""
    loss, device = load_loss(name), next(policy.parameters()).device
    assert device.type == "other"
    own = Sequences(prompts=PROMPTS, completions=COMPLETIONS)
    other = Sequences(prompts=PROMPTS, completions=(*COMPLETIONS[1:], COMPLETIONS[0])) if loss.needs_kl else None
    desirable = on_device(np.array([True, False, True, True]), device)
    scorer = Scorer(
        loss=loss,
        policy=policy_of(policy),
        layout=policy.layout,
        reference=lambda some: _reference(some, by_token=loss.kind == "token"),
        mean=lambda values, counts: (values * counts).sum() / counts.sum(),
        device=device,
    )
    scores = scorer.scores(own, other, desirable)
    scores.policy.retain_grad()
    values = loss(**scores.tensors)
    values.sum().backward()
    found: list[Any] = [values, metrics.slopes(scores, len(values)), metrics.statistics(values.detach(), scores)]
    gradients = [weight.grad for weight in policy.parameters() if weight.grad is not None]
    assert len(gradients) == len(list(policy.parameters()))
    found += [*gradients, get_total_norm(gradients)]
    assert {one.device for one in found} == {device}


def _reference(some: Sequences, *, by_token: bool) -> torch.Tensor:
    """Return what the cache does: log-probabilities in the CPU's memory."""
    return torch.zeros((len(some), int(some.completion_lengths.max())) if by_token else len(some))


if __name__ == "__main__":
    main()
