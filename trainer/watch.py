"""Trackers: where a run's numbers go beside its own files. One that fails is left out; the run goes on."""

import contextlib
import math
import os
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from trainer.errors import TrainerError
from trainer.progress import say

Name = Literal["tensorboard", "wandb", "trackio"]


@dataclass(frozen=True, kw_only=True)
class Tracker:
    """One open tracker.

    Attributes:
        log: f(numbers by name, step).
        finish: sends what is left.
    """

    log: Callable[[dict[str, float], int], object]
    finish: Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a tracker is told of a run.

    Attributes:
        name: of the run.
        identity: the same when the run is continued, and of no other run.
        folder: for a tracker's own files.
        settings: of the run; no secret is among them.
        step: from which it starts or continues.
    """

    name: str
    identity: str
    folder: Path
    settings: Mapping[str, Any]
    step: int


class Trackers:
    """The trackers of a run that still work."""

    def __init__(self, opened: dict[str, Tracker]) -> None:
        self._opened = opened

    def log(self, line: Mapping[str, Any], prefix: str = "") -> None:
        """Hand on the numbers of a line of metrics.jsonl or eval.jsonl."""
        numbers = {prefix + name: value for name, value in line.items() if name != "step" and _is_number(value)}
        for name, tracker in list(self._opened.items()):
            with _forgiven(name, self._opened):
                tracker.log(numbers, line["step"])

    def finish(self) -> None:
        """Let each send what it still holds."""
        for name, tracker in list(self._opened.items()):
            with _forgiven(name, self._opened):
                tracker.finish()


def check_installed(names: Sequence[str]) -> None:
    """Say which library is missing, before any work is done.

    Raises:
        TrainerError: a tracker's library is not installed.
    """
    for name in names:
        if find_spec(name) is None:
            raise TrainerError(f"--tracker {name}: {name} is not installed; pip install {name}")


@contextmanager
def trackers(names: Sequence[str], output: Path, settings: Mapping[str, Any], step: int) -> Iterator[Trackers]:
    """Open trackers for the body, and let them finish after it, however it ends.

    Args:
        names: of trackers that are installed.
        output: the run's folder.
        settings: of the run.
        step: from which it starts or continues.
    """
    opened: dict[str, Tracker] = {}
    run = Run(
        name=output.resolve().name,
        identity=_identity(output) if names else "",
        folder=output / "trackers",
        settings=settings,
        step=step,
    )
    for name in names:
        with _forgiven(name, opened):
            opened[name] = _OPEN[name](run)
    found = Trackers(opened)
    try:
        yield found
    finally:
        found.finish()


def _tensorboard(run: Run) -> Tracker:
    from torch.utils.tensorboard import SummaryWriter

    folder = run.folder / "tensorboard"
    writer = SummaryWriter(str(folder), purge_step=run.step + 1 if run.step else None)
    if not run.step:
        writer.add_text("settings", "\n".join(f"    {name}: {value}" for name, value in run.settings.items()))

    def log(numbers: dict[str, float], step: int) -> None:
        for name, value in numbers.items():
            writer.add_scalar(name, value, step)

    return Tracker(log=log, finish=writer.close)


def _wandb(run: Run) -> Tracker:
    import wandb  # type: ignore[import-not-found]

    opened = wandb.init(
        project=os.environ.get("WANDB_PROJECT", "halotheory"),
        name=run.name,
        id=run.identity,
        resume="allow",
        dir=str(run.folder.parent),
        config=dict(run.settings),
        settings=wandb.Settings(init_timeout=30, login_timeout=30),
    )
    return Tracker(log=lambda numbers, step: opened.log(numbers, step=step), finish=opened.finish)


def _trackio(run: Run) -> Tracker:
    import trackio  # type: ignore[import-not-found]

    opened = trackio.init(
        project=os.environ.get("TRACKIO_PROJECT", "halotheory"),
        name=f"{run.name}-{run.identity}",
        resume="allow",
        config=dict(run.settings),
    )
    return Tracker(log=lambda numbers, step: opened.log(numbers, step=step), finish=trackio.finish)


_OPEN: Mapping[str, Callable[[Run], Tracker]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "trackio": _trackio,
}


@contextmanager
def _forgiven(name: str, opened: dict[str, Tracker]) -> Iterator[None]:
    """Leave a tracker out that raises, and say so once; what it prints goes to standard error."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except (Exception, SystemExit) as error:  # a network, a login, a full disk: whatever it is, the run goes on
        opened.pop(name, None)
        text = without_secrets(" ".join(str(error).split())[:200]) or type(error).__name__
        say(f"warning: {name} is left out from here on: {text}; metrics.jsonl has every line")


def without_secrets(text: str) -> str:
    """Return a text without the values of this process's environment that are keys, tokens or passwords."""
    for name, value in os.environ.items():
        if len(value) >= 8 and name.upper().endswith(("KEY", "TOKEN", "SECRET", "PASSWORD")):
            text = text.replace(value, f"${name}")
    return text


def _identity(output: Path) -> str:
    """Return what names the run to a tracker, made when it is first asked for."""
    path = output / "trackers" / "identity"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(uuid.uuid4().hex[:8], encoding="utf-8")
    return path.read_text(encoding="utf-8")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
