"""One measured process: a few steps of the trainer, after a tiny run that loads all code.

python -m tests.benchmarks.plan_peer RUN.json
"""

import gc
import json
import resource
import shutil
import sys
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from halotheory.contract import load_loss
from trainer.checkpoint import Position
from trainer.config import AlignConfig
from trainer.engine import make_accelerator
from trainer.loop import train
from trainer.metrics import Window
from trainer.models import quiet
from trainer.prepare import prepare

KIBIBYTE = 1024


def main() -> None:
    """Print the bytes that the run held at its peak, beyond what the process held after the tiny run."""
    quiet()
    config = AlignConfig(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    _train(_tiny(config))
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the kernel forgets the peak so far
    idle = _peak()
    _train(config)
    print(_peak() - idle)


def _tiny(config: AlignConfig) -> AlignConfig:
    """Return the same run with a model of a few thousand weights."""
    folder = Path(config.output) / "tiny"
    tokenizer = AutoTokenizer.from_pretrained(config.model)
    settings = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=2048,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
    model: Any = LlamaForCausalLM(settings)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    own = {**config.as_dict(), "model": str(folder / "model"), "output": str(folder), "max_steps": 1}
    return AlignConfig(**own)


def _train(config: AlignConfig) -> None:
    accelerator = make_accelerator(config.dtype)
    training, _ = prepare(config, load_loss(config.loss, config.hyperparameters), accelerator)
    train(training, Position(step=0, window=Window(), fingerprint=training.fingerprint, processes=1))
    accelerator.free_memory()
    shutil.rmtree(Path(config.output) / "tiny", ignore_errors=True)


def _peak() -> int:
    """Return the largest resident set since it was last forgotten; where that cannot be read, since the start."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * KIBIBYTE
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBIBYTE


if __name__ == "__main__":
    main()
