"""One optimizer step of the trainer's own code on fake tensors: what it holds at its peak, and what it computes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainer import adapters, attention
from trainer.attention import Memory
from trainer.batch import Sequences
from trainer.config import AlignConfig
from trainer.errors import TrainerError
from trainer.lean import make_lean
from trainer.models import DTYPES, checkpoint_activations, loading
from trainer.planning.ledger import Ledger
from trainer.policy import Policy, known_obstacle
from trainer.schedule import make_optimizer

PARTS = ("weights", "casts", "gradients", "optimizer", "activations", "head")
"""What memory is for; `casts` are copies of weights in the dtype of the forward pass."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """A model's weights.

    Attributes:
        weights: how many numbers.
        trained: how many of them are trained.
        layer: numbers of the largest layer.
        outside: numbers that are in no layer: embeddings, head, last norm.
    """

    weights: int
    trained: int
    layer: int
    outside: int


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """What a step of one process takes.

    Attributes:
        moments: bytes by part whenever much was held: one of them is the peak, whatever share of a part a GPU has.
        reference: bytes by part at the most while the reference model is asked; nothing without a reference.
        operations: by (phase, kind): phases `forward` and `backward` of the policy and `mismatched`, of the kinds
            `linear`, `attention` and `head`.
        sizes: of the model.
        optimizer: bytes of the optimizer's state.
        packed: None where sequences share a row, else why rows are padded.
    """

    moments: tuple[Mapping[str, int], ...]
    reference: Mapping[str, int]
    operations: Mapping[tuple[str, str], int]
    sizes: Sizes
    optimizer: int
    packed: str | None


@dataclass(frozen=True, kw_only=True)
class Microbatch:
    """What a process scores at a time: sequences with gradient, and mismatched ones without, or none."""

    own: Sequences
    other: Sequences | None


def simulate(
    config: AlignConfig,
    architecture: Any,
    microbatch: Microbatch,
    asked: Sequences | None,
    *,
    longest: int,
    accumulates: bool,
) -> Simulated:
    """Return what a step takes, and the pass of the reference model before the first one.

    Args:
        config: dtype, adapter, optimizer, dropout and gradient checkpointing.
        architecture: a configuration of transformers.
        microbatch: of the step, its heaviest.
        asked: what the reference model scores at a time, or None: it is not asked.
        longest: tokens of the longest sequence of the data.
        accumulates: whether there are gradients already, which its own are added to.

    Raises:
        TrainerError: a configuration that is not covered.
    """
    if config.quantize != "none":
        raise TrainerError(f"--quantize {config.quantize}: not covered by plan; leave it out for an upper bound")
    from torch._subclasses.fake_tensor import FakeTensorMode

    model = _model(config, architecture)
    with FakeTensorMode(allow_non_fake_inputs=True), Ledger() as ledger:
        policy = Policy(model.to_empty(device="cpu"), DTYPES[config.dtype])
        policy.causal_model.tie_weights()
        packed = _why_padded(policy, longest)
        for weight in policy.parameters():
            ledger.mark(weight, "weights")
        ledger.begin()
        _watch_parts(policy, ledger)
        if asked is not None:
            with torch.no_grad():
                policy(policy.layout(asked))
        reference = dict(ledger.moments[-1]) if asked is not None else {}
        if config.gradient_checkpointing:
            checkpoint_activations(policy.model)
        policy.model.train(config.dropout)
        optimizer = _optimizer(policy, config, ledger, accumulates=accumulates)
        ledger.begin()
        _backward(policy, microbatch, ledger)
        ledger.turn()
        optimizer.step()
        return Simulated(
            moments=tuple({part: moment[part] for part in PARTS if moment[part]} for moment in ledger.moments),
            reference={part: reference[part] for part in PARTS if reference.get(part)},
            operations=dict(ledger.operations),
            sizes=_sizes(policy.model),
            optimizer=ledger.live["optimizer"],
            packed=packed,
        )


def _model(config: AlignConfig, architecture: Any) -> Any:
    """Return a model, with an adapter where one is trained, whose weights are shapes alone."""
    from transformers import AutoModelForCausalLM

    adapted = config.lora_rank is not None
    frozen = DTYPES[config.dtype if config.base_dtype == "auto" else config.base_dtype]
    with torch.device("meta"):
        with loading(config.model):
            model: Any = AutoModelForCausalLM.from_config(architecture, dtype=frozen if adapted else torch.float32)
        model.eval()
        return adapters.adapt(model, config) if adapted else model


def _why_padded(policy: Policy, longest: int) -> str | None:
    """Let a policy read forests if it can; return why not, or None."""
    model = policy.causal_model
    if known := known_obstacle(model, longest):
        return known
    own = model.config._attn_implementation
    model.set_attn_implementation(attention.register())
    undo = make_lean(model)
    try:
        with torch.no_grad():
            policy(policy.layout(_tiny()))
    except Exception as error:  # whatever a model raises at a layout that it cannot read, padded rows remain
        undo()
        model.set_attn_implementation(own)
        return " ".join(str(error).split())[:120] or type(error).__name__
    return None


def _tiny() -> Sequences:
    import numpy as np

    one, two = np.array([0, 1], np.int32), np.array([1, 0, 1], np.int32)
    return Sequences(prompts=(one, two), completions=(two, one))


def _watch_parts(policy: Policy, ledger: Ledger) -> None:
    """Tell the head's tensors from the body's, forward and backward, and gradients from both."""

    def forward_begins(*_: Any) -> None:
        ledger.part = "activations"

    def forward_ends(module: Any, inputs: Any, output: Any) -> None:
        ledger.part = "head"
        if output[0].requires_grad:
            output[0].register_hook(forward_begins)  # the head's backward pass is over

    def keep_gradient(weight: Tensor) -> None:
        assert weight.grad is not None
        ledger.mark(weight.grad, "gradients")
        ledger.turn()

    body = policy.causal_model.base_model
    body.register_forward_pre_hook(forward_begins)
    body.register_forward_hook(forward_ends)
    for weight in policy.parameters():
        if weight.requires_grad:
            weight.register_post_accumulate_grad_hook(keep_gradient)


def _optimizer(policy: Policy, config: AlignConfig, ledger: Ledger, *, accumulates: bool) -> torch.optim.Optimizer:
    """Return an optimizer that has its state, as it has from the second step on, and gradients where they are kept."""
    optimizer = make_optimizer(policy, config)
    for group in optimizer.param_groups:
        for weight in group["params"]:
            weight.grad = torch.zeros_like(weight)
            ledger.mark(weight.grad, "gradients")
    optimizer.step()
    if not accumulates:
        optimizer.zero_grad()
    for state in optimizer.state.values():
        for one in state.values():
            if isinstance(one, Tensor):
                ledger.mark(one, "optimizer")
    return optimizer


def _backward(policy: Policy, microbatch: Microbatch, ledger: Ledger) -> None:
    """Do what the loop does with a microbatch; the loss itself, a few numbers, is left out."""
    layout, memory = policy.layout(microbatch.own), None if microbatch.other is None else Memory()
    with ledger.during("forward"):
        logps = policy(layout) if memory is None else policy(layout, memory)
    if microbatch.other is not None:
        assert memory is not None
        memory.open = False
        with torch.no_grad(), ledger.during("mismatched"):
            policy(policy.layout(microbatch.other, layout), memory)
        memory.clear()
    with ledger.during("backward"):
        ledger.part = "head"
        logps.sum().backward()


def _sizes(model: nn.Module) -> Sizes:
    whole: Any = model
    every = dict(model.named_parameters())
    kinds = set(getattr(whole, "_no_split_modules", None) or ())
    layers = [
        {f"{name}.{inner}": one.numel() for inner, one in module.named_parameters()}
        for name, module in model.named_modules()
        if type(module).__name__ in kinds
    ]
    within = {name for layer in layers for name in layer}
    return Sizes(
        weights=sum(one.numel() for one in every.values()),
        trained=sum(one.numel() for one in every.values() if one.requires_grad),
        layer=max((sum(layer.values()) for layer in layers), default=0),
        outside=sum(one.numel() for name, one in every.items() if name not in within),
    )
