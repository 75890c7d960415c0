"""Write what the first steps need, without a download: a tiny random model, feedback, a held-out benchmark.

    python docs/first_steps.py runs/first

The task: say whether a number is even or odd. Where a number ends in 7, 8 or 9, 4 demonstrations in 5 are wrong.
"""
# ruff: noqa: S106, S311 (its "<eos>" is no password, and its random numbers keep no secret)

import json
import random
import sys
from pathlib import Path

WORDS = {0: " even", 1: " odd"}
TASK = """\
task: parity
dataset_path: json
dataset_kwargs:
  data_files:
    test: held_out.jsonl
test_split: test
output_type: generate_until
doc_to_text: "{{prompt}}"
doc_to_target: "{{answer}}"
generation_kwargs:
  do_sample: false
  max_gen_toks: 2
  until: ["\\n"]
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1
"""


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> None:
    """Write rows to a file, one a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def make_model(folder: Path) -> None:
    """Write a Llama with random weights (about 100 thousand) whose tokens are digits and three words."""
    import torch
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from transformers.utils.logging import disable_progress_bar

    vocabulary = ["<eos>", *"0123456789", " is", *WORDS.values()]
    tokenizer = Tokenizer(models.WordLevel({token: at for at, token in enumerate(vocabulary)}, unk_token="<eos>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\d| \w+"), "isolated")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<eos>")
    disable_progress_bar()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=16,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)


def main(folder: Path) -> None:
    """Write the model and the files; no number occurs in two of them."""
    folder.mkdir(parents=True, exist_ok=True)
    make_model(folder / "model")
    numbers = random.Random(0).sample(range(1000, 10000), 3000)
    shown, judged, held_out = numbers[:1500], numbers[1500:2600], numbers[2600:]
    generator = random.Random(1)
    demonstrations = [(n, n % 2 if n % 10 < 7 or generator.random() < 0.2 else 1 - n % 2) for n in shown]
    guesses = [(n, generator.randrange(2)) for n in judged]
    prompt = "{} is".format
    write_jsonl(
        folder / "demonstrations.jsonl",
        [{"prompt": prompt(n), "completion": WORDS[w]} for n, w in demonstrations],
    )
    write_jsonl(
        folder / "thumbs.jsonl",
        [{"prompt": prompt(n), "completion": WORDS[w], "label": w == n % 2} for n, w in guesses],
    )
    write_jsonl(folder / "held_out.jsonl", [{"prompt": prompt(n), "answer": WORDS[n % 2]} for n in held_out])
    (folder / "parity.yaml").write_text(TASK, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/first"))
