"""A run that is killed twenty times, each time soon after a checkpoint that it had not when it began, then left alone.

python -m tests.trainer.killed_often OUTPUT SEED WORD...   (the words of `trainer`; the run goes to OUTPUT)

Every start is a fork of this process, which has imported what takes long and computed nothing.
"""

import os
import random
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from threading import RLock

from tqdm import tqdm

from halotheory.command import run
from trainer.cli import app
from trainer.errors import HaloTheoryError

KILLS = 20


def main() -> int:
    """Return the exit status of the last start, the only one that may end."""
    for name in ("trainer.align", "transformers.models.llama.modeling_llama", "transformers.trainer", "torch._dynamo"):
        import_module(name)
    output, seed, *words = sys.argv[1:]
    generator, kills = random.Random(int(seed)), 0
    while kills < KILLS:
        before, child = saved(output), start(words)
        while saved(output) == before and os.waitpid(child, os.WNOHANG) == (0, 0):
            time.sleep(0.001)
        time.sleep(generator.uniform(0, 0.06))  # a step and its checkpoint take about 0.03 s
        os.kill(child, signal.SIGKILL)
        if not os.WIFSIGNALED(os.waitpid(child, 0)[1]):
            print(f"ended by itself after {kills} kills", file=sys.stderr)
            return 1
        kills += 1
    return os.waitstatus_to_exitcode(os.waitpid(start(words), 0)[1])


def saved(output: str) -> list[str]:
    """Return the names of the checkpoints."""
    return sorted(path.name for path in Path(output, "checkpoints").glob("step-*"))


def start(words: list[str]) -> int:
    """Return the process that runs the command."""
    child = os.fork()
    if child == 0:
        tqdm.set_lock(RLock())  # its own is shared by all forks, and a kill would leave it taken
        os._exit(run(app, HaloTheoryError, words))
    return child


if __name__ == "__main__":
    sys.exit(main())
