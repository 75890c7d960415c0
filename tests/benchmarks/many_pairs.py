"""How much memory `trainer align` takes to prepare ten thousand pairs, and a million.

python tests/benchmarks/many_pairs.py [--loss kto] [--pairs 10000 1000000]

Pairs of random words, as long as those of harmless-base, are written to a file; a tiny model takes two steps on them.
What is private to the process (RssAnon) is told apart from pages of the tokens' file, which the system takes back when
it needs them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PROMPT, COMPLETION = 119, 45
"""Mean lengths of harmless-base, in tokens."""

WORDS = 4000
ALIGN = ["--max-steps", "2", "--batch-size", "8", "--micro-batch-size", "8", "--reference-cache", "none"]
MEBIBYTE = 1024
"""KiB, which /proc counts in."""


def main() -> None:
    """Print one line for each number of pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loss", default="kto", help="the loss (default: kto)")
    parser.add_argument("--pairs", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="how many")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_model(folder / "model")
        print(f"trainer align --loss {options.loss}: {'pairs':>9} {'seconds':>8} {'private':>9} {'with pages':>10}")
        for pairs in options.pairs:
            data = folder / "pairs.jsonl"
            _write_pairs(data, pairs)
            seconds, private, whole = _aligned(folder, data, options.loss)
            print(
                f"{'':>{22 + len(options.loss)}} {pairs:>9} {seconds:>8.0f} {private // MEBIBYTE:>5} MiB "
                f"{whole // MEBIBYTE:>6} MiB"
            )


def _write_pairs(path: Path, pairs: int) -> None:
    generator = np.random.default_rng(0)

    def text(mean: int) -> str:
        length = int(generator.integers(mean // 2, 3 * mean // 2))
        return " ".join(f"w{word}" for word in generator.integers(WORDS, size=length))

    with path.open("w", encoding="utf-8") as file:
        for _ in range(pairs):
            row = {"prompt": text(PROMPT), "chosen": text(COMPLETION), "rejected": text(COMPLETION)}
            file.write(json.dumps(row) + "\n")


def _write_model(folder: Path) -> None:
    """Write a Llama of one small layer, and a tokenizer of whole words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<pad>", "<eos>", "<unk>"]
    words = {word: at for at, word in enumerate([*special, *(f"w{word}" for word in range(WORDS))])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)


def _aligned(folder: Path, data: Path, loss: str) -> tuple[float, int, int]:
    """Return seconds, and the most that was resident, in KiB: of the process's own, and pages of files besides."""
    words = ["align", "--loss", loss, "--model", str(folder / "model"), "--data", str(data), "--overwrite"]
    began, private, whole = time.monotonic(), 0, 0
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "trainer", *words, "--output", str(folder / "output"), *ALIGN]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        while process.poll() is None:
            now = _resident(process.pid)
            private, whole = max(private, now.get("RssAnon", 0)), max(whole, now.get("VmHWM", 0))
            time.sleep(0.05)
    if process.returncode:
        sys.exit((folder / "log").read_text(encoding="utf-8"))
    return time.monotonic() - began, private, whole


def _resident(process: int) -> dict[str, int]:
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError:  # it has just ended
        return {}
    return {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines) if "kB" in value}


if __name__ == "__main__":
    main()
