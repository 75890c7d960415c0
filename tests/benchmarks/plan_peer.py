"""One measured process: some steps of the trainer, twice.

python -m tests.benchmarks.plan_peer RUN.json
"""

import gc
import json
import sys
from pathlib import Path

from halotheory.contract import load_loss
from trainer.align import prepare
from trainer.checkpoint import Position
from trainer.config import AlignConfig
from trainer.engine import make_accelerator
from trainer.loop import train
from trainer.metrics import Window
from trainer.models import quiet

KIBIBYTE = 1024


def main() -> None:
    """Print the bytes at the peak of the second run beyond those before it, and at the first's beyond those before."""
    quiet()
    config = AlignConfig(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    print(*reversed([_train(config), _train(config)]))


def _train(config: AlignConfig) -> int:
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the kernel forgets the peak so far
    before = _resident("VmRSS")
    accelerator = make_accelerator(config.dtype)
    training, _ = prepare(config, load_loss(config.loss, config.hyperparameters), accelerator)
    train(training, Position(step=0, window=Window(), fingerprint=training.fingerprint, processes=1))
    accelerator.free_memory()
    return _resident("VmHWM") - before


def _resident(name: str) -> int:
    """Return the resident set now (VmRSS), or its largest so far (VmHWM)."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * KIBIBYTE
    raise SystemExit(f"/proc/self/status tells no {name}")


if __name__ == "__main__":
    main()
