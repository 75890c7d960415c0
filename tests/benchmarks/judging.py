"""Judging: how much faster 32 calls at a time are than one, and what twenty kills of a run cost.

python tests/benchmarks/judging.py [--pairs N] [--kills] [--json]

The server of tests/evalkit/judging runs in a process of its own and takes 200 ms for each reply. The rate is that of
whole runs of `evalkit judge`, from the first call to the last, less the start of the process: the plan is made, the
journal written and synced, the results computed. With --kills, 500 pairs are judged while the command is killed
twenty times (kill -9) at random moments; the result must be that of an undisturbed run, and no finished call may be
asked again.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from evalkit.judging.judge import judge  # noqa: E402 - the root is on the path now
from evalkit.judging.options import Options, Spending  # noqa: E402
from evalkit.judging.plan import plan  # noqa: E402
from tests.evalkit.judging.conftest import write_outputs  # noqa: E402
from tests.evalkit.judging.server import KEY, JudgeServer  # noqa: E402
from tests.evalkit.judging.test_interrupted import killed_runs  # noqa: E402

LATENCY, CONCURRENCY, TARGET = 0.2, 32, 20.0


@contextmanager
def server(latency: float) -> Iterator[str]:
    """Yield the address of a server in a process of its own."""
    command = [sys.executable, "-m", "tests.evalkit.judging.server", "--latency", str(latency)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate()


def rate(url: str, folder: Path, *, pairs: int, concurrency: int) -> float:
    """Return the calls per second of one run."""
    folder.mkdir()
    files = write_outputs(folder, pairs)
    spending = Spending(concurrency=concurrency)
    planned = plan(*files, Options(judge_model="judge-1", base_url=url), spending)
    started = time.perf_counter()
    results = judge(planned, folder / "run", spending)
    seconds = time.perf_counter() - started
    assert results["benchmarks"]["judge:paper"]["n"] == pairs
    return (2 * pairs + 1) / seconds


def speed(folder: Path, pairs: int) -> dict[str, Any]:
    """Return the rates at one call and at 32 calls at a time."""
    with server(0.0) as url:
        rate(url, folder / "warm", pairs=5, concurrency=4)  # imports scipy, openai
    with server(LATENCY) as url:
        alone = rate(url, folder / "alone", pairs=max(10, pairs // 40), concurrency=1)
        together = rate(url, folder / "together", pairs=pairs, concurrency=CONCURRENCY)
    return {
        "latency_s": LATENCY,
        "calls": 2 * pairs + 1,
        "sequential_per_s": round(alone, 2),
        f"at_{CONCURRENCY}_per_s": round(together, 2),
        "times": round(together / alone, 2),
        "target": TARGET,
    }


def kills(folder: Path) -> dict[str, Any]:
    """Return what killing a run of 500 pairs twenty times came to; raises where anything is lost or paid twice."""
    with ExitStack() as stack:

        def serve(**options: Any) -> JudgeServer:
            return stack.enter_context(JudgeServer(**options))

        started = time.perf_counter()
        starter: Callable[..., JudgeServer] = serve
        killed_runs(folder, starter, pairs=500, kills=20, concurrency=CONCURRENCY)
    return {"kills": 20, "pairs": 500, "identical": True, "seconds": round(time.perf_counter() - started, 1)}


def main() -> None:
    """Run the benchmark and print what it found; exit status 1 where the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=800)
    parser.add_argument("--kills", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    os.environ["OPENAI_API_KEY"] = KEY
    with tempfile.TemporaryDirectory() as folder:
        found = kills(Path(folder)) if options.kills else speed(Path(folder), options.pairs)
    print(json.dumps(found, indent=2) if options.json else "\n".join(f"{key}: {found[key]}" for key in found))
    sys.exit("times" in found and found["times"] < TARGET)


if __name__ == "__main__":
    main()
