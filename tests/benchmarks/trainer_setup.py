"""The data and the model of one setting: pairs drawn by seed, a tokenizer learned from the data, random weights.

python -m tests.benchmarks.trainer_setup SETTING.json DATA
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.trainer_setting import SEED, SHAPES, Example, Setting, Step, load_setting, save_steps
from trainer.data import read_rows
from trainer.errors import TrainerError

CONTEXT = 2048
COLUMNS = ("prompt", "chosen", "rejected")


def main() -> int:
    """Make what is missing; 2 where the data cannot be used or no GPU is there."""
    setting, data = load_setting(sys.argv[1]), sys.argv[2]
    import torch

    if setting.device == "cuda" and not torch.cuda.is_available():
        print("skipped: --device cuda: torch finds no GPU", file=sys.stderr)
        return 2
    try:
        pairs = _pairs(data)
    except TrainerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if len(pairs) < setting.pairs:
        print(
            f"error: {data}: {len(pairs)} pairs, and {setting.name} needs {setting.pairs}; "
            "lower --steps or --batch, or give more with --data",
            file=sys.stderr,
        )
        return 2
    chosen = np.random.default_rng(SEED).permutation(len(pairs))[: setting.pairs]
    lines = [json.dumps(pairs[at]) + "\n" for at in chosen]
    (Path(setting.folder) / "pairs.jsonl").write_text("".join(lines), encoding="utf-8")
    if not Path(setting.model).exists():
        _write_model(setting, [text for pair in pairs for text in pair.values()])
    save_steps(_sorted_steps(setting, pairs), setting.sorted_steps)
    return 0


def _pairs(data: str) -> list[dict[str, str]]:
    """Return the pairs of a file whose texts are not empty.

    Raises:
        TrainerError: the file cannot be read, or a row is no pair of plain texts.
    """
    found = []
    for row in read_rows(data):
        values = [row.values.get(name) for name in COLUMNS]
        texts = [value for value in values if isinstance(value, str)]
        if len(texts) < len(COLUMNS):
            raise TrainerError(f"{row.place}: expected prompt, chosen and rejected as plain text")
        if all(text.strip() for text in texts):
            found.append(dict(zip(COLUMNS, texts, strict=True)))
    return found


def _sorted_steps(setting: Setting, pairs: list[dict[str, str]]) -> list[Step]:
    """Return steps of the data sorted by length and cut into batches, evenly spaced batches, in random order.

    All of the data is sorted: the few examples of the timed steps alone would leave much more padding.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(setting.model)

    def ids(name: str, end: list[int]) -> list[list[int]]:
        texts = [pair[name] for pair in pairs]
        return [[*one, *end] for one in tokenizer(texts, add_special_tokens=False)["input_ids"]]

    stop = [tokenizer.eos_token_id]
    examples = []
    for prompt, chosen, rejected in zip(ids("prompt", []), ids("chosen", stop), ids("rejected", stop), strict=True):
        if setting.loss == "kto":
            examples.append(Example(prompt=prompt, completions=[chosen], desirable=True))
            examples.append(Example(prompt=prompt, completions=[rejected], desirable=False))
        else:
            examples.append(Example(prompt=prompt, completions=[chosen, rejected], desirable=True))
    examples = sorted((one for one in examples if one.longest <= CONTEXT), key=lambda one: one.longest)
    batches = [examples[at : at + setting.batch] for at in range(0, len(examples) - setting.batch + 1, setting.batch)]
    total = setting.warmup + setting.steps
    spaced = [batches[(2 * at + 1) * len(batches) // (2 * total)] for at in range(total)]
    return [spaced[at] for at in np.random.default_rng(SEED).permutation(total)]


def _write_model(setting: Setting, texts: list[str]) -> None:
    """Write a Llama of random weights, and a tokenizer of whole words, the most frequent of the data."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    shape = SHAPES[setting.shape]
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["<pad>", "<eos>", "<unk>"]
    learn = trainers.WordLevelTrainer(vocab_size=shape.vocabulary, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(texts, learn)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=shape.vocabulary,  # also where the data has fewer words
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=shape.tied,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
    model: Any = LlamaForCausalLM(config)
    if setting.device == "cuda":
        model = model.to(torch.bfloat16)  # half of the file; both sides load it as float32
    model.save_pretrained(setting.model)
    fast.save_pretrained(setting.model)


if __name__ == "__main__":
    sys.exit(main())
