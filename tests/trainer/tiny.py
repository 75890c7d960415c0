"""Tiny models and rows for the trainer's tests."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

CHARACTERS = " abcdefghijklmnopqrstuvwxyz0123456789+=?!.,:\n<|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}>{{ message.content }}"
    "{% if message.role == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant>{% endif %}"
)


def make_tokenizer(*, bos: bool = True, chat: bool = False) -> Any:
    """Return a tokenizer with one token per character."""
    from tokenizers import Tokenizer, decoders, models
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<bos>", "<eos>", "<unk>"]
    vocabulary = {token: at for at, token in enumerate([*special, *CHARACTERS])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.decoder = decoders.Fuse()
    if bos:
        tokenizer.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )
    if chat:
        fast.chat_template = CHAT_TEMPLATE
    return fast


def make_model(*, seed: int = 0, vocabulary: int = 4 + len(CHARACTERS), context: int = 64, **settings: Any) -> Any:
    """Return a random Llama of two small layers, float32."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=context,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.2,
        **settings,
    )
    return LlamaForCausalLM(config).eval()


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows to a file, one a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def thumbs(count: int = 24) -> list[dict[str, Any]]:
    """Return sums with right (desirable) and wrong answers, each of another prompt."""
    return [
        {"prompt": f"{n}+{n + 1}=", "completion": str(2 * n + 1 + (n % 2) * (7 + n)), "label": n % 2 == 0}
        for n in range(count)
    ]


def pairs(count: int = 24) -> list[dict[str, Any]]:
    """Return sums with a right and a wrong answer."""
    return [
        {"prompt": f"{n}+{n + 1}=", "chosen": str(2 * n + 1), "rejected": str(3 * n + 100 * (n % 2))}
        for n in range(count)
    ]


def read_metrics(output: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's metrics.jsonl."""
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights of a model folder."""
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def same_weights(one: Path, other: Path) -> bool:
    """Whether two model folders hold the same weights, bit for bit."""
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
