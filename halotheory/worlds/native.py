"""Gradient descent in native code: a loss's traced derivative, compiled, run on all cores."""

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from halotheory.errors import HaloTheoryError
from halotheory.worlds.derivative import slopes_code
from halotheory.worlds.feedback import Feedback, Pairs, Thumbs
from halotheory.worlds.objective import Objective
from halotheory.worlds.reference_point import data_shares

LANES = 8
_HERE = Path(__file__).parent
_FLAGS = ("-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math")
_POINTS = {"kl": "KL", "shared_kl": "SHARED_KL", "mismatched": "MISMATCHED"}
_MOST_OUTPUTS = 64
_SECONDS = 120  # for the compiler


@dataclass(frozen=True, kw_only=True)
class Descent:
    """Plain gradient descent of some worlds, ready to run.

    Attributes:
        function: the compiled loop.
        arrays: its data, with eight worlds side by side.
        number: z0, where it is a number.
        num_prompts: X.
        num_outputs: Y.
        num_worlds: W.
    """

    function: Callable[..., None]
    arrays: tuple[Tensor, ...]
    number: float
    num_prompts: int
    num_outputs: int
    num_worlds: int

    def run(self, logits: Tensor, learning_rates: Tensor, steps: int) -> Tensor:
        """Return the logits after a number of steps, nats, (W, X, Y).

        Args:
            logits: to begin from, nats, (W, X, Y).
            learning_rates: (W,).
            steps: how many.
        """
        own, rates = _blocks(logits), _blocks(learning_rates)
        blocks, threads = own.shape[0], torch.get_num_threads()
        bounds = [blocks * k // threads for k in range(threads + 1)]

        def part(first: int, last: int) -> None:
            self.function(
                own.data_ptr(),
                *(array.data_ptr() for array in self.arrays),
                self.number,
                rates.data_ptr(),
                self.num_prompts,
                first,
                last,
                steps,
            )

        with ThreadPoolExecutor(threads) as pool:  # ctypes lets go of the interpreter's lock
            list(pool.map(part, bounds[:-1], bounds[1:]))
        return own.movedim(-1, 1).reshape(-1, self.num_prompts, self.num_outputs)[: self.num_worlds].clone()


def native_descent(objective: Objective, feedback: Feedback) -> Descent:
    """Return the native gradient descent of an objective.

    Raises:
        HaloTheoryError: this machine has no C++ compiler, or the objective is beyond native code: says why.
    """
    reason = _obstacle(objective, feedback)
    if reason:
        raise objective.loss.loss.error(f"{reason}; train it with engine='eager'")
    world, loss = objective.world, objective.loss.loss
    settings = {
        name: torch.full_like(world.mean_rewards[:, 0, 0], value) for name, value in loss.hyperparameters.items()
    }
    settings = {**settings, **objective.settings} if objective.loss.takes_tensors else {}
    weights = _cells(feedback)
    point = objective.reference_point
    lines = [
        f'#include "{_HERE / "lanes.h"}"',
        f"#define OUTPUTS {world.num_outputs}",
        f"#define CELLS {weights.shape[2]}",
        f"#define PAIRED {int(isinstance(feedback, Pairs))}",
        f"#define SETTINGS {len(settings)}",
        f"#define REFERENCE_POINT {_POINTS.get(str(point), 'NUMBER')}",
        slopes_code(loss, tuple(settings), weights_may_vanish=bool((weights == 0).any())),
        f'#include "{_HERE / "descent.h"}"',
    ]
    shares = (world.prompt_probabilities, world.prompt_probabilities.new_zeros(world.num_worlds, world.num_outputs))
    if point == "mismatched":
        shares = data_shares(feedback.cells(), world.num_prompts, world.num_outputs)
    table = (
        torch.stack([*settings.values()], dim=1) if settings else world.prompt_probabilities[:, :1]
    )  # read by nobody
    arrays = (world.reference_logits, world.lengths, weights, *shares, table)
    return Descent(
        function=_compiled("\n".join(lines) + "\n"),
        arrays=tuple(_blocks(array) for array in arrays),
        number=float(point) if not isinstance(point, str) else 0.0,
        num_prompts=world.num_prompts,
        num_outputs=world.num_outputs,
        num_worlds=world.num_worlds,
    )


def _obstacle(objective: Objective, feedback: Feedback) -> str | None:
    """Return why native code cannot do this, if so."""
    world = objective.world
    some_differ = any(bool((values != values[0]).any()) for values in objective.settings.values())
    changed = any(
        float(values[0]) != objective.loss.loss.hyperparameters[name] for name, values in objective.settings.items()
    )
    obstacles = {
        "its examples see each other": objective.loss.way != "together",
        "native code has no hyperparameters that the loss's code wants as plain numbers": (some_differ or changed)
        and not objective.loss.takes_tensors,
        "native code does not send the gradient through z0": objective.reference_point == "moving_kl",
        "native code knows no advantages but +1 and -1": isinstance(feedback, Thumbs)
        and feedback.advantages is not None
        and objective.loss.loss.kind == "token",
        f"native code computes in float64 on a CPU, not in {world.dtype} on {world.device}": world.dtype
        != torch.float64
        or world.device.type != "cpu",
        f"native code takes at most {_MOST_OUTPUTS} outputs, not {world.num_outputs}": world.num_outputs
        > _MOST_OUTPUTS,
    }
    return next((reason for reason, present in obstacles.items() if present), None)


def _cells(feedback: Feedback) -> Tensor:
    """Return the weights of both orders of each pair i < j, or of both labels of each output, (W, X, cells, 2)."""
    if isinstance(feedback, Thumbs):
        return feedback.weights
    i, j = torch.triu_indices(*feedback.weights.shape[2:], offset=1)
    return torch.stack([feedback.weights[:, :, i, j], feedback.weights[:, :, j, i]], dim=-1)


def _blocks(tensor: Tensor) -> Tensor:
    """Return (W, ...) as (W / 8, ..., 8); the last world is repeated where eight do not divide W."""
    missing = -len(tensor) % LANES
    padded = torch.cat([tensor, tensor[-1:].expand(missing, *tensor.shape[1:])])
    return padded.reshape(-1, LANES, *tensor.shape[1:]).movedim(1, -1).clone(memory_format=torch.contiguous_format)


@cache
def _folder() -> Any:
    return tempfile.TemporaryDirectory(prefix="halotheory-worlds-")  # removed when the process ends


@cache
def _compiled(source: str) -> Callable[..., None]:
    compiler = next((path for name in ("c++", "g++", "clang++") if (path := shutil.which(name))), None)
    if compiler is None:
        raise HaloTheoryError("no C++ compiler (c++, g++, clang++) on the PATH; train with engine='eager'")
    base = Path(_folder().name) / f"descent{_compiled.cache_info().misses}"
    base.with_suffix(".cpp").write_text(source, encoding="utf-8")
    command = [compiler, *_FLAGS, "-shared", "-fPIC", str(base.with_suffix(".cpp")), "-o", str(base.with_suffix(".so"))]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS)  # noqa: S603 - no shell
    except subprocess.CalledProcessError as error:
        raise HaloTheoryError(f"{compiler} failed: {error.stderr.strip()[-2000:]}") from error
    except subprocess.TimeoutExpired as error:
        raise HaloTheoryError(f"{compiler} took more than {_SECONDS} s; train with engine='eager'") from error
    function = ctypes.CDLL(str(base.with_suffix(".so"))).descend
    function.argtypes = [ctypes.c_void_p] * 7 + [ctypes.c_double, ctypes.c_void_p] + [ctypes.c_long] * 4
    function.restype = None
    return function
