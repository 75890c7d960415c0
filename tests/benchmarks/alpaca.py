"""Measure `evalkit alpaca`: closeness to alpaca_eval, coverage and size of its intervals, speed, what a kill costs.

python tests/benchmarks/alpaca.py closeness|coverage|speed|kills [--data ../shared/data/alpaca_eval]
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from evalkit.alpaca.annotations import Annotations, Judgement, read_annotations  # noqa: E402
from evalkit.alpaca.glm import fit_liblinear, logistic  # noqa: E402
from evalkit.alpaca.instructions import leaderboard_order  # noqa: E402
from evalkit.alpaca.length_control import (  # noqa: E402
    GLMS,
    V1,
    length_controlled,
    length_controlled_difference,
)
from evalkit.alpaca.published import Published, read_published  # noqa: E402
from tests.evalkit.alpaca.server import KEY, AlpacaServer  # noqa: E402

EXPECTED = ("lc_v1_approx", "lc_noreg_approx_difficulty", "lc_minimal")


def inputs(data: Path) -> Published:
    """Return the stand-ins for the published inputs, and the published coefficients."""
    return read_published(
        difficulty=data / "approx_instruction_difficulty.jsonl",
        gamed=data / "approx_df_gamed.csv",
        weights=data / "glm_weights_rows.csv",
    )


def closeness(data: Path) -> None:
    """Print how far our rates are from alpaca_eval's and from the leaderboard's."""
    published = inputs(data)
    for line in (data / "expected.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        annotations = read_annotations(data / "annotations" / f"{row['model']}.json")
        preferences = annotations.preferences()
        win_rate = 100 * preferences.mean()
        error = 100 * preferences.std(ddof=1) / np.sqrt(len(preferences))
        found = [
            length_controlled(annotations, published, glm_name=name, rng=np.random.default_rng(0), resamples=0)
            for name in GLMS
        ]
        same = max(abs(one.rate - row[name]) for one, name in zip(found, EXPECTED, strict=True))
        optimum = max(abs(one.rate - one.rate_at_optimum) for one in found)
        by_weights = published.rate(annotations.model, annotations.baseline)
        print(
            f"{row['model']}: win rate {abs(win_rate - row['published_win_rate']):.1e}, "
            f"standard error {abs(error - row['published_standard_error']):.1e}, three GLMs {same:.1e} from "
            f"alpaca_eval's; its solver {optimum:.4f} from the optimum; published coefficients "
            f"{by_weights - row['published_length_controlled_winrate']:+.3f}, fitted v1 "
            f"{found[0].rate - row['published_length_controlled_winrate']:+.2f} from the leaderboard's"
        )


def coverage(data: Path, *, trials: int, resamples: int) -> None:
    """Print how often the intervals hold the truth: preferences and lengths drawn from GLMs with known rates.

    Instructions are drawn from AlpacaEval's with their stand-in difficulties; a preference is a Beta variable around
    the GLM's probability, as torn as the judge's are. The truth is the rate over all instructions that could be drawn.
    """
    difficulty = np.array(list(inputs(data).difficulty.values()))
    rng = np.random.default_rng(0)
    held, widths = [], []
    both_held, rejected = [], []
    for _ in range(trials):
        drawn = rng.integers(0, len(difficulty), 805)
        table = Published(
            difficulty=dict(zip(leaderboard_order(), difficulty[drawn].tolist(), strict=True)),
            gamed=None,
            coefficients={},
            files={},
        )
        pair = _made_up(rng, difficulty[drawn], quality=-0.5), _made_up(rng, difficulty[drawn], quality=-0.5)
        truth = 100 * float(logistic(-0.5 + 0.7 * difficulty).mean())
        one = length_controlled(pair[0], table, glm_name=GLMS[1], rng=rng, resamples=resamples)
        assert one.interval is not None
        held.append(one.interval[0] <= truth <= one.interval[1])
        widths.append(one.interval[1] - one.interval[0])
        two = length_controlled_difference(pair[0], pair[1], table, glm_name=GLMS[1], rng=rng, resamples=resamples)
        assert two.interval is not None
        both_held.append(two.interval[0] <= 0 <= two.interval[1])
        rejected.append(two.p_value <= 0.05)
    spread = 1.96 * np.sqrt(0.95 * 0.05 / trials)
    print(
        f"{trials} trials of {resamples} resamples: the interval of a rate holds the truth in {np.mean(held):.1%}, of "
        f"a difference in {np.mean(both_held):.1%} (95 % +- {spread:.1%} expected); two equal models differ at 0.05 in "
        f"{np.mean(rejected):.1%}; mean width {np.mean(widths):.2f} points"
    )


def _made_up(rng: np.random.Generator, difficulty: np.ndarray, *, quality: float) -> Annotations:
    """Return annotations whose probabilities follow a GLM."""
    baseline, model = rng.lognormal(7, 0.6, 805).astype(int) + 1, rng.lognormal(6.8, 0.6, 805).astype(int) + 1
    gap = np.tanh((baseline - model) / 1200)
    chance = logistic(quality + 0.7 * difficulty - 1.0 * gap)
    preference = np.clip(rng.beta(0.6 * chance, 0.6 * (1 - chance)), 0, 1)
    judgements = tuple(
        Judgement(key=key, instruction=key, baseline_output="x" * b, output="x" * m, preference=float(p))
        for key, b, m, p in zip(leaderboard_order(), baseline.tolist(), model.tolist(), preference, strict=True)
    )
    return Annotations(source="", model="", baseline="", judge="", judgements=judgements)


def speed(data: Path) -> None:
    """Print the time of the bootstrap, beside that of as many fits by scikit-learn."""
    published = inputs(data)
    annotations = read_annotations(data / "annotations" / "claude-2.1_concise.json")
    length_controlled(annotations, published, glm_name=V1, rng=np.random.default_rng(0), resamples=2)  # imports
    begun = time.perf_counter()
    length_controlled(annotations, published, glm_name=V1, rng=np.random.default_rng(0), resamples=0)
    point = time.perf_counter() - begun
    begun = time.perf_counter()
    length_controlled(annotations, published, glm_name=V1, rng=np.random.default_rng(0), resamples=1000)
    whole = time.perf_counter() - begun
    gamed = published.gamed
    assert gamed is not None
    own = np.tanh(annotations.length_differences() / annotations.length_differences().std(ddof=1))
    levels = np.array([published.difficulty[j.key] for j in annotations.judgements])
    design = np.concatenate(
        [
            np.column_stack([np.tanh(gamed.length), gamed.difficulty, gamed.not_gamed]),
            np.column_stack([own, levels, np.ones(len(own))]),
        ]
    )
    targets = np.concatenate([gamed.preference, annotations.preferences()])
    weights = np.concatenate([np.full(len(gamed.keys), 0.1), np.ones(len(own))])
    begun = time.perf_counter()
    for _ in range(20):
        fit_liblinear(design, targets, weights, 2.78)
    single = (time.perf_counter() - begun) / 20
    print(
        f"fit with cross-validation {point:.2f} s; 1000 resamples {whole - point:.2f} s, "
        f"{single * 1000 / (whole - point):.1f} times as fast as 1000 fits by scikit-learn ({single * 1000:.1f} s)"
    )


def kills(times: int, pairs: int) -> None:
    """Kill a judged run again and again; print whether it ends as an undisturbed one, and what was paid twice."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as scratch, AlpacaServer(latency=0.05) as server:
        folder = Path(scratch)
        names = [folder / "ours.json", folder / "theirs.json"]
        for name in names:
            rows = [
                {"instruction": f"Say {i}.", "output": "x" * int(rng.integers(1, 200)), "generator": name.stem}
                for i in range(pairs)
            ]
            name.write_text(json.dumps(rows), encoding="utf-8")
        fixed = ["-m", "evalkit", "alpaca", "--outputs", str(names[0]), "--reference", str(names[1])]
        fixed += ["--base-url", server.url, "--resamples", "0", "--concurrency", "8"]
        environment = {**os.environ, "OPENAI_API_KEY": KEY, "PYTHONPATH": str(ROOT)}

        def start(output: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, *fixed, "--output", str(folder / output)]
            return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        paid_before = 0
        for kill in range(times):
            target = paid_before + 2 * pairs // (times + 1)
            process = start("killed")
            while len(server.answered) < target and process.poll() is None:
                time.sleep(0.005)
            time.sleep(random.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
            process.wait()
            paid_before = len(server.answered)
            print(f"kill {kill + 1}: {paid_before} calls answered", file=sys.stderr)
        assert start("killed").wait() == 0
        twice = sum(count - 1 for count in server.answered.values())
        assert start("whole").wait() == 0
        same = all(
            (folder / "killed" / name).read_bytes() == (folder / "whole" / name).read_bytes()
            for name in ("results.json", "samples.jsonl")
        )
        print(
            f"{times} kills during {2 * pairs} calls at concurrency 8: results identical to an undisturbed run's: "
            f"{same}; calls answered twice: {twice} (in flight at a kill: at most {8 * times})"
        )


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["closeness", "coverage", "speed", "kills"])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "alpaca_eval")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=500)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=500)
    asked: Any = parser.parse_args()
    if asked.what == "closeness":
        closeness(asked.data)
    elif asked.what == "coverage":
        coverage(asked.data, trials=asked.trials, resamples=asked.resamples)
    elif asked.what == "speed":
        speed(asked.data)
    else:
        kills(asked.kills, asked.pairs)


if __name__ == "__main__":
    main()
