"""How fast tabular worlds are trained, against a plain NumPy loop over worlds that runs the same algorithm.

python tests/benchmarks/worlds.py [--worlds 10000] [--steps 200] [--runs 5] [--json]
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np
import torch
from numpy.typing import NDArray

from halotheory.contract import load_loss
from halotheory.worlds import Feedback, GradientDescent, Pairs, World, bradley_terry, pairs, random_worlds, train
from halotheory.worlds import thumbs as thumbs_of
from halotheory.worlds.batching import population_loss
from halotheory.worlds.native import native_descent
from halotheory.worlds.objective import Objective, Population, one_thread
from halotheory.worlds.training import Engine

Floats = NDArray[np.float64]

BETA = 0.1
LEARNING_RATE = 20.0
LOOPED = 20  # worlds that the NumPy loop is timed on, and compared on
TARGET, TOLERANCE = 100.0, 1e-6


@dataclass(frozen=True, kw_only=True)
class Row:
    """One loss, trained in every world.

    Attributes:
        loss: its name.
        engine: "eager" or "native".
        milliseconds_per_step: of all worlds, the fastest run.
        once: seconds that a training takes beside its steps: tracing, compiling, laying out, recording.
        numpy_milliseconds_per_step: of the loop, the fastest run on some worlds, scaled to all.
        ratio: of these two.
        processor_ratio: the loop's processor time over ours for each core that we use: what is left of the ratio when
            other programs take turns on the cores.
        largest_difference: of the policies' probabilities from the loop's, on the looped worlds.
    """

    loss: str
    engine: str
    milliseconds_per_step: float
    once: float
    numpy_milliseconds_per_step: float
    ratio: float
    processor_ratio: float
    largest_difference: float


def main() -> None:
    """Measure KTO and DPO and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    world = random_worlds(options.worlds, num_prompts=8, num_outputs=8)
    people = bradley_terry(world)
    data = {"kto": thumbs_of(world, people), "dpo": pairs(world, people)}
    rows = [row for name, feedback in data.items() for row in _rows(name, world, feedback, options.steps, options.runs)]
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    print(f"{options.worlds} worlds of 8 prompts and 8 outputs, float64, {torch.get_num_threads()} threads")
    print(f"NumPy loop timed on {LOOPED} worlds, one thread, and scaled; target ratio {TARGET:g}; eager: one thread")
    print("loss  engine  ms/step  once s  NumPy ms/step  ratio  by processor time  largest difference")
    for row in rows:
        print(
            f"{row.loss:5} {row.engine:7} {row.milliseconds_per_step:7.2f} {row.once:7.2f} "
            f"{row.numpy_milliseconds_per_step:14.1f} {row.ratio:6.1f} {row.processor_ratio:18.1f} "
            f"{row.largest_difference:19.1e}"
        )


def _rows(name: str, world: World, feedback: Feedback, steps: int, runs: int) -> list[Row]:
    """Return the times of one loss, in native code and without."""
    loss = load_loss(name, {"beta": BETA})
    objective = Objective(world=world, loss=population_loss(loss), settings={}, reference_point="kl")
    population = Population.of(objective, feedback)
    native = native_descent(objective, feedback)
    begin, rates = world.reference_logits, torch.full((world.num_worlds,), LEARNING_RATE, dtype=world.dtype)

    def eager(count: int) -> None:
        with one_thread():
            for part in population.parts:
                logits = begin[part.worlds]
                for _ in range(count):
                    logits = logits - LEARNING_RATE * part.value_and_gradient(logits)[1]

    looped = np.arange(0, world.num_worlds, max(1, world.num_worlds // LOOPED))[:LOOPED]
    some = torch.from_numpy(looped)
    reference = torch.log_softmax(begin, dim=-1).numpy()
    weights, descend = feedback.weights.numpy(), _dpo if isinstance(feedback, Pairs) else _kto

    def loop() -> Floats:
        return np.stack([descend(reference[at], weights[at], steps) for at in looped])

    scale = world.num_worlds / len(looped) / steps
    theirs, theirs_processor = (scale * each for each in _fastest(loop, runs))
    short = min(steps, 5)
    timed: dict[Engine, tuple[float, float]] = {
        "native": _per(steps, _fastest(lambda: native.run(begin, rates, steps), runs)),
        "eager": _per(short, _fastest(lambda: eager(short), min(runs, 2))),
    }
    rows: list[Row] = []
    for engine, (mine, mine_processor) in timed.items():
        cores = torch.get_num_threads() if engine == "native" else 1
        shown = world if engine == "native" else world.chosen(some)  # what a world becomes depends on no other
        data = feedback if engine == "native" else feedback.chosen(some)
        began = time.perf_counter()
        run = train(
            shown, loss, data, steps=steps, optimizer=GradientDescent(learning_rate=LEARNING_RATE), engine=engine
        )
        once = time.perf_counter() - began - steps * mine if engine == "native" else 0.0
        policies = run.policies[some] if engine == "native" else run.policies
        difference = float(np.abs(_softmax(loop()) - policies.numpy()).max())
        assert difference <= TOLERANCE, f"{name}: probabilities differ by {difference:g}"
        rows.append(
            Row(
                loss=name,
                engine=engine,
                milliseconds_per_step=1e3 * mine,
                once=once,
                numpy_milliseconds_per_step=1e3 * theirs,
                ratio=theirs / mine,
                processor_ratio=theirs_processor / (mine_processor / cores),
                largest_difference=difference,
            )
        )
    return rows


def _per(steps: int, times: tuple[float, float]) -> tuple[float, float]:
    return times[0] / steps, times[1] / steps


def _fastest(call: Callable[[], object], runs: int) -> tuple[float, float]:
    """Return the least wall time and the least processor time of some calls, seconds."""
    walls: list[float] = []
    processors: list[float] = []
    for _ in range(runs):
        wall, processor = time.perf_counter(), time.process_time()
        call()
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    return min(walls), min(processors)


# The plain loop: one world at a time, gradients by hand


def _softmax(logits: Floats) -> Floats:
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def _log_softmax(logits: Floats) -> tuple[Floats, Floats]:
    shifted = logits - logits.max(-1, keepdims=True)
    exponentials = np.exp(shifted)
    total = exponentials.sum(-1, keepdims=True)
    return shifted - np.log(total), exponentials / total


def _kto(reference: Floats, weights: Floats, steps: int) -> Floats:
    """Return the logits of one world after descending KTO's loss; z0 is KL(pi || pi_ref) of each prompt, held fixed."""
    logits, net = reference.copy(), weights[..., 0] - weights[..., 1]
    for _ in range(steps):
        logps, policy = _log_softmax(logits)
        log_ratios = logps - reference
        kl = (policy * log_ratios).sum(-1, keepdims=True)
        value = 1 / (1 + np.exp(-BETA * (log_ratios - kl)))
        slopes = BETA * net * value * (1 - value)
        logits -= LEARNING_RATE * (slopes - policy * slopes.sum(-1, keepdims=True))
    return logits


def _dpo(reference: Floats, weights: Floats, steps: int) -> Floats:
    """Return the logits of one world after descending DPO's loss."""
    logits = reference.copy()
    for _ in range(steps):
        logps, policy = _log_softmax(logits)
        log_ratios = logps - reference
        margins = log_ratios[:, :, None] - log_ratios[:, None, :]
        by_margin = -BETA * weights / (1 + np.exp(BETA * margins))
        slopes = by_margin.sum(2) - by_margin.sum(1)
        logits -= LEARNING_RATE * (slopes - policy * slopes.sum(-1, keepdims=True))
    return logits


if __name__ == "__main__":
    main()
