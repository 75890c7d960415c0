"""Checkpoints: everything that a killed run needs to end with the weights of an undisturbed one."""

import contextlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object, load

from trainer.engine import is_sharded
from trainer.errors import TrainerError
from trainer.files import finish_folder, partial_folder, write_text, writing
from trainer.metrics import Window


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a run stands.

    Attributes:
        step: optimizer steps done; the order of the data is a function of it.
        window: the metrics since the last logged line.
        fingerprint: of the data as tokens and of the loss; a run continues only with the same.
        processes: how many took part.
        running_mean: of the reference point, where it is one.
    """

    step: int
    window: Window
    fingerprint: str
    processes: int
    running_mean: float | None = None


def save(accelerator: Accelerator, folder: Path, position: Position, *, keep: int = 2) -> None:
    """Save model, optimizer, random generators and position as `folder/step-000100`; the older but `keep` - 1 go.

    The folder gets its name when it is whole. Called by every process.

    Raises:
        TrainerError: it cannot be written; in every process, unless they hold parts of the model.
    """
    path = folder / f"step-{position.step:06d}"
    temporary = path.with_name(f".{path.name}.partial")
    if accelerator.is_main_process:
        partial_folder(path)
    accelerator.wait_for_everyone()
    leaving_out = accelerator.register_save_state_pre_hook(_leave_out_frozen)
    problem = None
    try:
        with writing(path):
            accelerator.save_state(str(temporary), safe_serialization=True)
    except TrainerError as error:
        if is_sharded(accelerator):  # the others wait within save_state
            raise
        problem = str(error)
    finally:
        leaving_out.remove()
    if told := next(filter(None, gather_object([problem])), None):  # by every process
        raise TrainerError(told)
    if accelerator.is_main_process:
        write_text(temporary / "position.json", json.dumps(asdict(position)))
        finish_folder(temporary, path)
        for old in _steps(folder)[:-keep]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def last(folder: Path) -> tuple[Path, Position] | None:
    """Return the newest whole checkpoint, or None."""
    for path in reversed(_steps(folder)):
        try:
            values = json.loads((path / "position.json").read_text(encoding="utf-8"))
            position = Position(**{**values, "window": Window(**values["window"])})
            if position.step == int(path.name.removeprefix("step-")):
                return path, position
        except (OSError, ValueError, TypeError, KeyError):
            continue
    return None


def restore(accelerator: Accelerator, path: Path, position: Position, fingerprint: str) -> None:
    """Load a checkpoint into the prepared model and optimizer. Called by every process.

    Raises:
        TrainerError: the data or the loss is not what the checkpoint was made with, or a file of it is damaged.
    """
    if accelerator.num_processes > position.processes:  # each process has its own random state
        raise TrainerError(
            f"{path}: is of {position.processes} process(es), and {accelerator.num_processes} were started; start at "
            f"most {position.processes}, give another --output, or start anew with --overwrite"
        )
    if position.fingerprint != fingerprint:
        raise TrainerError(
            f"{path}: the data or the loss file changed since this checkpoint; "
            "give another --output, or start anew with --overwrite"
        )
    states = path / f"random_states_{accelerator.process_index}.pkl"
    try:
        if not states.exists():  # accelerate would only log it, and the run would end with other weights
            raise FileNotFoundError(f"{states.name}: missing")
        load(states)  # so it would, were they damaged
        accelerator.load_state(str(path), **_partly(accelerator))
    except Exception as error:  # safetensors, PyTorch and pickle each say it in their own way
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise TrainerError(
            f"{path}: the checkpoint cannot be loaded: {reason}; remove this folder, "
            "and the same command continues from the one before it, or from the beginning"
        ) from error


def _leave_out_frozen(models: list[Any], states: list[dict[str, Any]], folder: str) -> None:
    """Leave only trained weights to be saved; beside an adapter the others are the starting model's."""
    for model, state in zip(models, states, strict=False):  # there are no states of sharded models
        weights = dict(model.named_parameters(remove_duplicate=False))
        trained = {name for name, weight in weights.items() if weight.requires_grad}
        for name in set(state) - trained if len(trained) < len(weights) else ():
            del state[name]


def _partly(accelerator: Accelerator) -> dict[str, bool]:
    """Return how a checkpoint without frozen weights is loaded."""
    frozen = (not weight.requires_grad for model in accelerator._models for weight in model.parameters())
    return {"strict": False} if any(frozen) and not is_sharded(accelerator) else {}


def remove_unfinished(folder: Path) -> None:
    """Remove what a kill left of a checkpoint that was being written."""
    for path in folder.glob(".step-*.partial"):
        shutil.rmtree(path, ignore_errors=True)


def remove(folder: Path, step: int) -> None:
    """Remove the checkpoint of a step, if there is one, and the folder, if it is empty then."""
    for path in _steps(folder):
        if int(path.name.removeprefix("step-")) == step:
            shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def _steps(folder: Path) -> list[Path]:
    found = [path for path in folder.glob("step-*") if path.name.removeprefix("step-").isdecimal() and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))
