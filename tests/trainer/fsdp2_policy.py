"""One process of two that hold half of a policy each, by `fully_shard` itself: layers, then the root.

torchrun --nproc_per_node 2 -m tests.trainer.fsdp2_policy
"""

from collections.abc import Callable

import torch
import torch.distributed
from torch import Tensor
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from tests.trainer.test_batch import CPU
from tests.trainer.test_forest import SHARED, model, sequences
from trainer.attention import Memory
from trainer.batch import Sequences
from trainer.forest import grow
from trainer.models import checkpoint_activations
from trainer.padded import pad
from trainer.policy import Policy, pack_if_exact

CROSSED = Sequences(prompts=SHARED.prompts, completions=sequences([([1], [9]), ([1], [8, 9, 10])] * 2).completions)


def both_passes(policy: Policy) -> list[Tensor]:
    """Return log-probabilities of tokens, those of mismatched completions, and the gradient, as KTO asks for them."""
    memory, forest = Memory(), grow(SHARED, CPU)
    own = policy(forest, memory)
    memory.open = False
    with torch.no_grad():
        other = policy(grow(CROSSED, CPU, forest.prompts), memory)
    ((own.sum(dim=1) - other.mean()).sigmoid() * torch.tensor([1.0, -2.0, 0.5, 3.0])).sum().backward()
    return [own.detach(), other, *gradient(policy)]


def padded_pass(policy: Policy) -> list[Tensor]:
    """Return log-probabilities of tokens in padded rows, and the gradient."""
    own = policy(pad(SHARED, CPU))
    own.sum().backward()
    return [own.detach(), *gradient(policy)]


def gradient(policy: Policy) -> list[Tensor]:
    """Return the gradient of every weight, whole, and let go of it."""
    grads = [weight.grad for weight in policy.parameters() if weight.grad is not None]
    policy.zero_grad()
    return [grad.full_tensor() if isinstance(grad, DTensor) else grad for grad in grads]


def compare(compute: Callable[[Policy], list[Tensor]], *, trees: bool, checkpointing: bool) -> None:
    """Compare a policy with its sharded twin."""
    whole, halves = Policy(model()), Policy(model())
    for layer in halves.causal_model.model.layers:
        fully_shard(layer)
    fully_shard(halves)
    for policy in (whole, halves):
        if trees:
            assert pack_if_exact(policy, policy, SHARED, longest=16) is None
        if checkpointing:
            checkpoint_activations(policy.model)
    for found, expected in zip(compute(halves), compute(whole), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    held = sum(weight.to_local().numel() for weight in halves.parameters() if isinstance(weight, DTensor))
    assert held < 0.6 * sum(weight.numel() for weight in whole.parameters())


if __name__ == "__main__":
    torch.distributed.init_process_group("gloo")
    compare(both_passes, trees=True, checkpointing=False)
    compare(both_passes, trees=True, checkpointing=True)
    compare(padded_pass, trees=False, checkpointing=False)
    torch.distributed.destroy_process_group()
