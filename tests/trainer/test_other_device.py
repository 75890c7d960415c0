"""On a GPU, where these tests seldom run, no tensor is left on the CPU: a device without memory stands in for it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_step_mixes_no_devices() -> None:
    command = [sys.executable, "-m", "tests.trainer.other_device"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
