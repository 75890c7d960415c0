"""The reference point z0 of a loss that names `kl`: what it is a mean of, and over how many examples.

The paper's estimate (section 4.1) is the mean log-ratio of mismatched completions in a microbatch, clamped at 0. The
others are there to compare with: none, matched completions, a mean over steps, completions sampled for the purpose.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.batch import Sequences, Tokens

NEEDS_MISMATCHED = ("mismatched", "running-mean")
"""The estimates that put a prompt with another one's completion; of the others, `batch-mean` is a mean of the
examples' own log-ratios, `sampled` of those of completions drawn from the policy, and `zero` is 0."""

NEEDS_OTHERS = (*NEEDS_MISMATCHED, "batch-mean")
"""The estimates for which a microbatch of one example is no basis."""

DECAY = 0.9
"""What a running mean keeps of its past at each step."""


@dataclass(kw_only=True)
class RunningMean:
    """A mean over steps in which the past fades; None before the first step; a checkpoint holds it.

    Attributes:
        value: nats.
    """

    value: float | None = None


def faded(past: float | None, estimate: float) -> float:
    """Return a running mean with one more step's estimate."""
    return estimate if past is None else DECAY * past + (1 - DECAY) * estimate


def draw(
    model: Any, stops: Sequence[int], longest: int, total: int, prompts: Sequence[Tokens], seed: Sequence[int]
) -> Sequences:
    """Return each prompt with a completion drawn from the model at temperature 1, stop token included.

    The mean of log pi/pi_ref over such draws is KL(pi || pi_ref) without bias, but for the part of completions that
    is cut off at `longest` or `total`. The draws are a function of the weights and the seed, and leave torch's
    generator alone.

    Args:
        model: a causal model of transformers; dropout is off for the draw.
        stops: the tokens that end a completion.
        longest: tokens of a completion.
        total: tokens of prompt and completion; the longest prompt leaves room for what all of them get.
        prompts: not empty.
        seed: of the draw.
    """
    from transformers import GenerationConfig

    width = max(map(len, prompts))
    padded = [[stops[0]] * (width - len(prompt)) + prompt.tolist() for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    settings = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=max(1, min(longest, total - width)),
        eos_token_id=list(stops),
        pad_token_id=stops[0],
    )
    devices = [model.device] if model.device.type == "cuda" else []
    with _as_it_generates(model), torch.random.fork_rng(devices), torch.inference_mode():
        torch.manual_seed(int(np.random.SeedSequence(list(seed)).generate_state(1)[0]))
        model.generation_config = settings  # what these leave open, its own would settle: a penalty, min_p
        input_ids, attention_mask = (torch.tensor(rows, device=model.device) for rows in (padded, mask))
        output: Tensor = model.generate(input_ids=input_ids, attention_mask=attention_mask, generation_config=settings)
    drawn = [_ended(ids, stops) for ids in output[:, width:].tolist()]
    return Sequences(prompts=tuple(prompts), completions=tuple(np.array(ids, np.int32) for ids in drawn))


def _ended(ids: list[int], stops: Sequence[int]) -> list[int]:
    """Return a completion up to its first stop token."""
    return ids[: next((at for at, token in enumerate(ids) if token in stops), len(ids) - 1) + 1]


@contextmanager
def _as_it_generates(model: Any) -> Iterator[None]:
    """Let a model in training attend as it was made to, without dropout, for the body."""
    own, training, settings = model.config._attn_implementation, model.training, model.generation_config
    model.set_attn_implementation("sdpa")
    model.eval()
    try:
        yield
    finally:
        model.train(training)
        model.set_attn_implementation(own)
        model.generation_config = settings
