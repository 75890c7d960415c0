"""Two processes give the numbers of one."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.trainer.conftest import Ended
from tests.trainer.tiny import read_metrics, weights
from trainer.metrics import CLOCKED, read

TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc_per_node", "2")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "micro_batch_size", "more"),
    [
        ("kto", 3, ()),
        ("dpo", 1, ()),
        ("ppo_clip", 1, ()),
        ("kto", 2, ("--lora-rank", "4", "--merge", "--gradient-checkpointing")),
    ],
)
def test_two_processes_give_the_metrics_and_weights_of_one(
    workplace: Path, trainer: Callable[..., Ended], loss: str, micro_batch_size: int, more: tuple[str, ...]
) -> None:
    """Twenty-four rows in steps of seven: odd shares, and with single pairs a process that has none."""
    data = "pairs.jsonl" if loss == "dpo" else "thumbs.jsonl"
    setting = "epsilon=0.5" if loss == "ppo_clip" else "beta=0.5"
    common = ("align", "--loss", loss, "--model", "model", "--data", data, "--set", setting, "--batch-size", "7")
    rest = (*common, "--learning-rate", "1e-3", "--save-steps", "3", "--eval-data", data, "--eval-steps", "2", *more)
    alone = trainer(*rest, "--output", "one", "--micro-batch-size", str(2 * micro_batch_size))
    assert alone.status == 0
    command = [sys.executable, "-m", *TORCHRUN, "-m", "trainer", *rest]
    command += ["--output", "two", "--micro-batch-size", str(micro_batch_size)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    both = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert both.returncode == 0, both.stderr
    assert both.stderr.count("24 of 24 rows used") == 1
    assert both.stdout == "two/model\n"
    assert (workplace / "two" / "checkpoints" / "step-000003" / "random_states_1.pkl").is_file()
    for one, two in zip(read_metrics(workplace / "one"), read_metrics(workplace / "two"), strict=True):
        for name in CLOCKED:
            assert (one.pop(name), two.pop(name)) > (0, 0)
        assert two == pytest.approx(one, rel=1e-4, abs=1e-5)
    evaluations = [read(workplace / name / "eval.jsonl") for name in ("one", "two")]
    for one, two in zip(*evaluations, strict=True):
        assert two == pytest.approx(one, rel=1e-4, abs=1e-5)
    first, second = weights(workplace / "one" / "model"), weights(workplace / "two" / "model")
    for name, weight in first.items():
        torch.testing.assert_close(second[name], weight, rtol=1e-3, atol=1e-4)
