"""Control tokens as tokens of their own: in the tokenizer, and as rows of the model's embedding and head."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from halotheory.contract import Loss
from trainer.codec import Codec
from trainer.config import AlignConfig
from trainer.errors import TrainerError
from trainer.feedback import control_tokens
from trainer.models import adapter_base

NewTokens = Mapping[int, Sequence[int]]
"""Tokens that a model does not know yet, each with the tokens of which its text consisted before."""

_MULTIPLE = 64
"""Rows of a grown embedding come in so many: GPUs multiply odd sizes more slowly."""


def add_control_tokens(config: AlignConfig, loss: Loss, codec: Codec) -> NewTokens:
    """Add the control tokens of a loss to the tokenizer, and return those that are new.

    An adapter gets none, for it has no rows to give them: there they stay text, in whatever tokens it has.

    Raises:
        TrainerError: the tokenizer numbers its tokens with gaps, and gives a new one the number of another.
    """
    texts = list(control_tokens(loss).values())
    if not texts or config.lora_rank is not None or adapter_base(config.model) is not None:
        return {}
    from tokenizers import AddedToken

    known, pieces = codec.tokenizer.get_vocab(), codec.encode(texts)
    added = [AddedToken(text, special=True, normalized=False) for text in texts]
    codec.tokenizer.add_tokens(added, special_tokens=True)
    tokens = codec.tokenizer.convert_tokens_to_ids(texts)
    for token, text in zip(tokens, texts, strict=True):
        if text not in known and token in known.values():
            raise TrainerError(
                f"--model {config.model}: its tokenizer gives {text} the number of another token, {token}"
            )
    return {token: old for token, text, old in zip(tokens, texts, pieces, strict=True) if text not in known}


def grow_vocabulary(model: Any, new: NewTokens) -> None:
    """Give a model rows for new tokens, each the mean of the rows of its pieces: it reads at first as they do together.

    Args:
        model: of transformers, whole; its settings tell the new size.
        new: from `add_control_tokens`.

    Raises:
        TrainerError: it lacks rows for older tokens, too.
    """
    if not new:
        return
    before = model.get_input_embeddings().weight.shape[0]
    if min(new) > before:
        raise TrainerError(
            f"the tokenizer has {min(new)} tokens and the model {before}; give the model's own tokenizer"
        )
    if max(new) >= before:
        model.resize_token_embeddings(max(new) + 1, pad_to_multiple_of=_MULTIPLE, mean_resizing=False)
    head = model.get_output_embeddings()
    matrices = [model.get_input_embeddings().weight, head.weight, getattr(head, "bias", None)]
    with torch.no_grad():
        for matrix in matrices:
            if matrix is not None:
                matrix[before:] = matrix[:before].mean(dim=0)
                for token, pieces in new.items():
                    matrix[token] = matrix[list(pieces)].mean(dim=0)
