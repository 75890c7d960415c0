"""How well `trainer plan` foretells memory: predicted against measured, on the CPU.

python tests/benchmarks/plan.py [--quick] [--data PAIRS.jsonl] [--json]

Measured is the largest resident set of a process (Linux), less what it held before. In the first measurement the C
library hands every large block back as soon as it is freed, oneDNN keeps little, and the process has done the same run
before, so that libraries are loaded and prepared: the rest is what the run asks for, and what plan predicts, to 10 %.
In the second, of a process that has done nothing yet, both keep what they usually do, which depends on the order of
sizes and is not predicted.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks.trainer_setting import Setting  # noqa: E402 - the root is on the path now

DATA = Path("preference") / "hh_harmless" / "paired_text.jsonl.gz"
STEPS, EPOCHS = 4, 3
"""Of each epoch, and epochs: the heaviest microbatch should not come before there is optimizer state."""

TOLERANCE = 0.1

RETURNED = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "4"}
"""glibc: blocks from 64 KiB on are the system's, and go back to it when they are freed. oneDNN, which multiplies in
bfloat16 on a CPU, keeps what it has prepared for four shapes, and not for a thousand."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One line: a loss on a model of tests/benchmarks/trainer.py, and options of the run."""

    loss: str
    shape: str
    dtype: str
    batch: int
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The case in a few words."""
        more = "".join(f" {name} {value}" for name, value in self.options.items())
        return f"{self.loss} {self.shape} {self.dtype} batch {self.batch}{more}"


QUICK = (
    Case(loss="kto", shape="body", dtype="float32", batch=8),
    Case(loss="dpo", shape="head", dtype="bfloat16", batch=4),
)
CASES = (
    *QUICK,
    Case(loss="kto", shape="body", dtype="bfloat16", batch=8),
    Case(loss="kto", shape="body", dtype="float32", batch=2),
    Case(loss="dpo", shape="body", dtype="float32", batch=8),
    Case(loss="sft", shape="body", dtype="bfloat16", batch=16),
    Case(loss="kto", shape="head", dtype="float32", batch=8),
    Case(loss="sft", shape="head", dtype="float32", batch=4),
    Case(loss="dpo", shape="body", dtype="float32", batch=8, options={"micro_batch_size": 4}),
    Case(loss="kto", shape="body", dtype="float32", batch=8, options={"gradient_checkpointing": True}),
    Case(loss="kto", shape="body", dtype="bfloat16", batch=8, options={"lora_rank": 8}),
    Case(loss="dpo", shape="body", dtype="float32", batch=8, options={"optimizer": "rmsprop"}),
)


@dataclass(frozen=True, kw_only=True)
class Line:
    """What was predicted and what was found, bytes; `seconds` that the prediction took."""

    case: str
    predicted: int
    measured: int
    usual: int
    seconds: float

    @property
    def ratio(self) -> float:
        """Predicted over measured."""
        return self.predicted / self.measured

    def text(self) -> str:
        """Return the line of the table."""
        predicted, measured, usual = (f"{size / 1e6:6.0f} MB" for size in (self.predicted, self.measured, self.usual))
        return f"{self.case:52} {predicted} {measured}  {self.ratio:5.2f}           {usual}  {self.seconds:7.1f} s"


def main() -> int:
    """Print the table; 1 where a prediction is further off than 10 %, 2 where data are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two cases")
    parser.add_argument("--data", type=Path, help="pairs of plain texts; the default is harmless-base")
    parser.add_argument("--json", action="store_true", help="print a list in place of the table")
    options = parser.parse_args()
    data = options.data or Path(os.environ.get("HALOTHEORY_DATA", ROOT.parent / "shared" / "data")) / DATA
    if not data.is_file():
        print(f"skipped: no such file: {data}; set HALOTHEORY_DATA, or give pairs with --data FILE", file=sys.stderr)
        return 2
    lines: list[Line] = []
    if not options.json:
        print(f"{'':52} predicted  measured  ratio  as it is kept      plan took")
    with tempfile.TemporaryDirectory() as folder:
        for line in _lines(QUICK if options.quick else CASES, data.resolve(), Path(folder)):
            lines.append(line)
            if not options.json:
                print(line.text(), flush=True)
    if options.json:
        print(json.dumps([{**asdict(line), "ratio": line.ratio} for line in lines], indent=2))
    return int(any(abs(line.ratio - 1) > TOLERANCE for line in lines))


def _lines(cases: tuple[Case, ...], data: Path, work: Path) -> Iterator[Line]:
    for number, case in enumerate(cases):
        folder = work / str(number)
        folder.mkdir()
        _set_up(case, data, folder, work)
        run = {
            "model": str(work / f"model-{case.shape}"),
            "data": str(folder / "pairs.jsonl"),
            "output": str(folder),
            "loss": case.loss,
            "dtype": case.dtype,
            "learning_rate": 1e-5,
            "batch_size": case.batch,
            "micro_batch_size": case.batch,
            "max_steps": EPOCHS * STEPS,
            "save_steps": EPOCHS * STEPS + 1,
            "reference_cache": "none",
            **case.options,
        }
        print(case.name, file=sys.stderr, flush=True)
        predicted, seconds = _predicted(run)
        path = folder / "run.json"
        path.write_text(json.dumps(run), encoding="utf-8")
        measured, _ = map(int, _child("plan_peer", [str(path)], RETURNED).split())
        _, usual = map(int, _child("plan_peer", [str(path)], {}).split())
        yield Line(case=case.name, predicted=predicted, measured=measured, usual=usual, seconds=seconds)


def _predicted(run: dict[str, Any]) -> tuple[int, float]:
    from trainer.config import AlignConfig, Machine
    from trainer.planning import plan

    began = time.process_time()
    return plan(AlignConfig(**run), Machine()).peak, time.process_time() - began


def _set_up(case: Case, data: Path, folder: Path, work: Path) -> None:
    setting = Setting(
        loss=case.loss,
        shape=case.shape,
        dtype=case.dtype,
        batch=case.batch,
        warmup=0,
        steps=STEPS,
        device="cpu",
        folder=str(folder),
        model=str(work / f"model-{case.shape}"),
    )
    setting.save(folder / "setting.json")
    _child("trainer_setup", [str(folder / "setting.json"), str(data)], {})


def _child(module: str, words: list[str], how: dict[str, str]) -> str:
    """Run a module of the benchmark in a process of its own and return the last line that it prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT), **how}
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *words]
    ended = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(f"{module} failed: {ended.stderr.strip().splitlines()[-1]}")
    return (ended.stdout.strip().splitlines() or [""])[-1]


if __name__ == "__main__":
    sys.exit(main())
