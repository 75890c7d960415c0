"""How long the commands take from a cold start: whole processes, medians of several runs, in seconds.

python tests/benchmarks/command_line.py [--runs 7] [--json]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

TARGETS = {
    "halotheory --help": 0.5,
    "trainer --help": 0.5,
    "evalkit --help": 0.5,
    "halotheory check dpo": 4.0,
    "halotheory check kto": 4.0,
    "halotheory check examples/my_loss.py": 4.0,
    'python -c "import torch"': None,  # the floor of every check
}


def seconds(command: list[str]) -> float:
    """Return the wall time of one process."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def argv(line: str) -> list[str]:
    """Return the words that run a command line with this interpreter."""
    program, *words = line.replace('"', "").split(" ", 2 if line.startswith("python") else -1)
    return [sys.executable, *words] if program == "python" else [sys.executable, "-m", program, *words]


def main() -> None:
    """Measure every command and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for line, target in TARGETS.items():
        times = sorted(seconds(argv(line)) for _ in range(options.runs))
        rows.append({"command": line, "median": statistics.median(times), "max": times[-1], "target": target})
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'command':40} {'median s':>9} {'max s':>7} {'target s':>9}")
    for row in rows:
        target = "-" if row["target"] is None else f"{row['target']:.1f}"
        print(f"{row['command']:40} {row['median']:9.2f} {row['max']:7.2f} {target:>9}")


if __name__ == "__main__":
    main()
