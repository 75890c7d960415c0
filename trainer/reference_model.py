"""The reference model of a run: asked once, before the first step, for all that the run will need; then let go."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from halotheory.contract import Loss
from trainer.batch import Sequences, matched, mismatched
from trainer.config import AlignConfig
from trainer.engine import holds_all_weights, loaded_everywhere
from trainer.errors import TrainerError
from trainer.models import load_model
from trainer.order import Indices
from trainer.policy import Policy, pack_if_exact
from trainer.reference import Folder, default_folder, fingerprint, score, tokens_at_a_time
from trainer.reference_point import NEEDS_MISMATCHED
from trainer.tokens import TokenTable


@dataclass(frozen=True, kw_only=True)
class ReferenceModel:
    """A frozen model.

    Attributes:
        policy: the model.
        forward: the same, as it is wrapped for several processes.
        fingerprint: of weights, configuration and arithmetic.
    """

    policy: Policy
    forward: Callable[..., Tensor]
    fingerprint: str


def reference_logps(
    starting: ReferenceModel,
    loss: Loss,
    data: Sequence[tuple[TokenTable, Iterable[list[Indices]]]],
    config: AlignConfig,
    accelerator: Accelerator,
) -> Callable[[Sequences], Tensor]:
    """Return log pi_ref of sequences, (len,), or of their tokens for a token-level loss, as far as the run needs them.

    They come from the cache, and what it lacks from the model. Only the reference point `sampled` keeps the model.

    Args:
        starting: the model that the run starts from, the reference unless another is named.
        loss: that asks.
        data: tables of examples, each with the microbatches of every step that asks about them.
        config: the run's settings.
        accelerator: which process this is.

    Raises:
        TrainerError: no such model, another vocabulary, a sharded one to be sampled from, a cache that was named and
            cannot be written to.
    """
    if not loss.needs_reference:
        return _unasked
    by_token = loss.kind == "token"
    model = _named(config.reference_model, starting.policy.dtype, [table for table, _ in data], accelerator) or starting
    if loss.needs_kl and config.reference_point == "sampled":
        return _kept(model, starting, accelerator)
    wanted = chain.from_iterable(_wanted(table, steps, loss, config.reference_point) for table, steps in data)
    packed, vocabulary = model.policy.packs, _vocabulary(model.policy.causal_model)
    return score(
        model.forward,
        model.policy.layout,
        wanted,
        _folder(config.reference_cache, model.fingerprint, by_token),
        accelerator,
        budget=tokens_at_a_time(accelerator.device.type, vocabulary, packed=packed),
        packed=packed,
    )


def _folder(named: str | None, fingerprint: str, by_token: bool) -> Folder:
    """Return where a model's log-probabilities are kept."""
    root = Path(named) if named else default_folder()
    path = None if named == "none" or root is None else root / fingerprint / ("tokens" if by_token else "sums")
    return Folder(path=path, by_token=by_token, named=named or None)


def check_vocabulary(model: Any, table: TokenTable, name: str) -> None:
    """Check that a model knows all tokens of the data.

    Raises:
        TrainerError: it does not.
    """
    size, largest = _vocabulary(model), int(table.tokens.max())
    if largest >= size:
        raise TrainerError(
            f"{name}: the tokenizer gives token {largest} and the model has {size} tokens; "
            "give the model's own tokenizer, and a reference model of the same family"
        )


def _vocabulary(model: Any) -> int:
    return int(model.get_input_embeddings().weight.shape[0])


def check_positions(model: Any, longest: int, name: str) -> None:
    """Check that a sequence's positions do not depend on what it is batched with.

    transformers chooses the factors of these rotary embeddings by the longest sequence of a call.

    Raises:
        TrainerError: they do: they would be others for the reference, and at another batch size.
    """
    config = model.config.get_text_config()
    ropes = getattr(config, "rope_parameters", None) or {}
    for rope in (ropes, *(one for one in ropes.values() if isinstance(one, dict))):
        kind = rope.get("rope_type")
        if kind not in {"longrope", "dynamic"}:
            continue
        known = rope.get("original_max_position_embeddings") or getattr(
            config, "original_max_position_embeddings", None
        )
        known = known or config.max_position_embeddings
        if longest > known:
            raise TrainerError(
                f"{name}: beyond {known} tokens its rotary positions ({kind}) change with the longest sequence "
                f"of a batch, and the data has {longest}; give --max-length {known}"
            )


def beginnings(table: TokenTable) -> Sequences:
    """Return the beginnings of two sequences of the data, to try a layout with."""
    sequences = matched(table, np.array([0, len(table) - 1]))
    return Sequences(
        prompts=tuple(prompt[:24] for prompt in sequences.prompts[:2]),
        completions=tuple(completion[:8] for completion in sequences.completions[:2]),
    )


def _named(
    name: str | None, dtype: torch.dtype, tables: Sequence[TokenTable], accelerator: Accelerator
) -> ReferenceModel | None:
    if name is None:
        return None
    with loaded_everywhere():
        model = load_model(name, option="--reference-model").requires_grad_(False)
    for table in tables:
        check_vocabulary(model, table, name)
        check_positions(model, table.longest, name)
    policy, digest = Policy(model, dtype), fingerprint(model, dtype)
    policy.to(accelerator.device)  # not prepared: the accelerator would keep it, and save it in every checkpoint
    pack_if_exact(policy, policy, beginnings(tables[0]), max(table.longest for table in tables))
    return ReferenceModel(policy=policy, forward=policy, fingerprint=digest)


def _kept(model: ReferenceModel, starting: ReferenceModel, accelerator: Accelerator) -> Callable[[Sequences], Tensor]:
    """Return the sums of a model that stays, for completions that nobody knows beforehand."""
    if not holds_all_weights(accelerator):
        raise TrainerError(
            f"--reference-point sampled: a model sharded by {accelerator.distributed_type.value} cannot be sampled "
            "from at each step; take mismatched"
        )
    policy = copy.deepcopy(model.policy).requires_grad_(False).eval() if model is starting else model.policy

    def logps(sequences: Sequences) -> Tensor:
        with torch.no_grad():
            return policy(policy.layout(sequences)).sum(dim=1)

    return logps


def _unasked(sequences: Sequences) -> Tensor:
    raise AssertionError("a loss that names no reference argument asked for one")


def _wanted(table: TokenTable, steps: Iterable[list[Indices]], loss: Loss, estimate: str) -> Iterator[Sequences]:
    """Yield what the reference model is asked about in a run: examples, and mismatched ones of every step."""
    direct = estimate == "batch-mean" or any(name.startswith("reference_") for name in loss.arguments)
    seen = np.zeros(len(table), bool)
    for step in steps:
        for microbatch in step:
            if direct and not seen[microbatch].all():
                seen[microbatch] = True
                yield matched(table, microbatch)
            if loss.needs_kl and estimate in NEEDS_MISMATCHED:
                yield mismatched(table, microbatch, np.roll(microbatch, -1))
