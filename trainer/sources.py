"""What a run is made from: digests of its model, data and loss, by which a later command knows whether they changed."""

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from halotheory.contract import Loss
from trainer.config import AlignConfig
from trainer.errors import TrainerError
from trainer.model_digest import model_digest

NAME = "sources.json"
"""The file of a run's folder that holds the digests."""


def sources(config: AlignConfig, loss: Loss) -> dict[str, str]:
    """Return a digest of each source of a run that is at hand, by the name of its setting.

    Args:
        config: the run's settings; data on the hub have no digest here.
        loss: of `config.loss`.

    Raises:
        TrainerError: no such model, a file that cannot be read.
    """
    files = {"data": config.data, "eval_data": config.eval_data, "chat_template": config.chat_template}
    models = {"model": config.model, "reference_model": config.reference_model}
    found = {name: _digest([Path(path)]) for name, path in files.items() if path and Path(path).is_file()}
    found |= {name: digest for name, model in models.items() if model and (digest := _of_model(name, model))}
    return {**found, "loss": _digest(loss_files(_named(config.loss), Path(loss.source)))}


def _of_model(name: str, model: str) -> str | None:
    """Return a model's digest, or None where it is not at hand."""
    digest = model_digest(model, f"--{name.replace('_', '-')}")
    return None if digest == model else digest


def _named(spec: str) -> Path:
    """Return the file that `--loss` names; the function may come from another."""
    return Path(spec) if spec.endswith(".py") else Path(spec.rpartition(":")[0])


def check_unchanged(stored: Mapping[str, str], now: Mapping[str, str], config: AlignConfig, where: Path) -> None:
    """Check that a run's sources are what they were.

    Args:
        stored: digests when the run began.
        now: digests of what is at hand; what is gone is not asked about.
        config: the run's settings, for the names.
        where: the run's folder.

    Raises:
        TrainerError: one of them changed.
    """
    changed = [name for name in now if stored.get(name, now[name]) != now[name]]
    if changed:
        told = ", ".join(f"{name.replace('_', ' ')} {getattr(config, name)}" for name in changed)
        raise TrainerError(
            f"{where}: holds a run, and since it began this changed: {told}; give another --output, or --overwrite"
        )


def loss_files(*paths: Path) -> list[Path]:
    """Return those of a loss's files that are there, the files beside them that they import, and those of these."""
    waiting = [path.absolute() for path in paths if path.is_file()]
    found, folders = set(waiting), {path.parent for path in waiting}
    while waiting:
        path = waiting.pop()
        for one in _neighbours(path, {path.parent, *folders}):
            if one not in found:
                found.add(one)
                waiting.append(one)
    return sorted(found)


def _neighbours(path: Path, folders: Iterable[Path]) -> Iterator[Path]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module or ''}.{alias.name}".strip(".") for alias in node.names)]
        else:
            continue
        parts = [part for name in filter(None, names) for part in _prefixes(name)]
        for stem in (folder.joinpath(*part) for folder in folders for part in parts):
            yield from (one for one in (stem.with_suffix(".py"), stem / "__init__.py") if one.is_file())


def _prefixes(name: str) -> list[list[str]]:
    """Return a, a.b and a.b.c of a.b.c, each in parts: to import a module imports its packages."""
    parts = name.split(".")
    return [parts[:end] for end in range(1, len(parts) + 1)]


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name}\0".encode(errors="surrogateescape"))
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise TrainerError(f"{path}: cannot be read: {error.strerror}") from error
    return digest.hexdigest()
