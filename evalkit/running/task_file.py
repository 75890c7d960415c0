"""lm-eval task files: read with their includes, their data files, and a digest of all that they depend on."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.files import read_json_lines


@dataclass(frozen=True, kw_only=True)
class TaskFile:
    """A task file of lm-eval, with what it includes.

    Attributes:
        path: the file.
        config: the merged configuration; a `!function` is the text "!function name".
        overrides: the settings that replace the file's own, such as data files with absolute paths.
        sources: the task file and the Python files that it takes functions from.
        data: the local data files, by split.
    """

    path: Path
    config: dict[str, Any]
    overrides: dict[str, Any]
    sources: tuple[Path, ...]
    data: dict[str, tuple[Path, ...]]

    @property
    def name(self) -> str:
        """lm-eval's name of the task."""
        return str(self.config["task"])

    def digest(self) -> str:
        """Return a hash of the settings, the functions and the data, the same wherever the files lie."""
        paths = {"dataset_kwargs", "dataset_path"} if self.data else set()
        settings = {key: value for key, value in (self.config | self.overrides).items() if key not in paths}
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
        for split, files in sorted(self.data.items()):
            for file in files:
                digest.update(f"\0{split}:{file.suffix}\0".encode() + _sha256(file))
        for source in self.sources:
            if source.suffix == ".py":
                digest.update(_sha256(source))
        return f"sha256:{digest.hexdigest()}"

    def num_rows(self, split: str) -> int | None:
        """Return the number of rows of a split in local JSON-lines files; None where they are something else.

        Raises:
            EvalkitError: a line that is not a JSON object.
        """
        files = self.data.get(split, ())
        if not files or any(file.suffix != ".jsonl" for file in files):
            return None
        return sum(1 for file in files for _ in read_json_lines(file))


def read_task_file(path: Path, overrides: dict[str, Any] | None = None) -> TaskFile:
    """Return the task file at `path`, with the data files that it names found beside it or in the working folder.

    Raises:
        EvalkitError: no such file, not YAML, not a task, or a data file that is not there.
    """
    sources: list[Path] = []
    config = _merged(path, sources)
    if not isinstance(config.get("task"), str):
        hint = "; a group of tasks goes by its name" if "group" in config else ""
        raise EvalkitError(f"{path}: not a task of lm-eval: it has no `task: name`{hint}")
    overrides = dict(overrides or {})
    kwargs = (config | overrides).get("dataset_kwargs") or {}
    data = {split: tuple(map(Path, _listed(files))) for split, files in _by_split(kwargs.get("data_files")).items()}
    for file in (file for files in data.values() for file in files if "://" not in str(file)):
        if not file.is_file() and "*" not in file.name:
            raise EvalkitError(f"{path}: data file {file} is not there")
    local = {split: files for split, files in data.items() if all(file.is_file() for file in files)}
    return TaskFile(path=path, config=config, overrides=overrides, sources=tuple(sources), data=local)


def _merged(path: Path, sources: list[Path]) -> dict[str, Any]:
    """Return the settings of a file over those that it includes; data files become absolute paths."""
    if path.resolve() in sources:
        raise EvalkitError(f"{path}: includes itself")
    sources.append(path.resolve())
    own = _load(path, sources)
    includes = own.pop("include", None) or []
    merged: dict[str, Any] = {}
    for include in [includes] if isinstance(includes, str) else includes:
        included = path.parent / include
        if not included.is_file():
            raise EvalkitError(f"{path}: the included file {included} is not there")
        merged |= _merged(included, sources)
    _find_data(own, path.parent)
    return merged | own


def _load(path: Path, sources: list[Path]) -> dict[str, Any]:
    import yaml

    fastest: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(fastest):
        """A safe loader that notes functions instead of importing them."""

    def note_function(loader: Any, node: Any) -> str:
        name = str(loader.construct_scalar(node))
        module = path.parent / (name.rpartition(".")[0].replace(".", "/") + ".py")
        if module.is_file() and module.resolve() not in sources:
            sources.append(module.resolve())
        return f"!function {name}"

    Loader.add_constructor("!function", note_function)
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), Loader)  # noqa: S506 (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise EvalkitError(f"{path}:{line}: not YAML: {error.problem}") from error
    except UnicodeDecodeError as error:
        raise EvalkitError(f"{path}: not UTF-8 text: {error.reason}") from error
    except OSError as error:
        raise EvalkitError(f"{path}: {error.strerror or error}") from error
    if not isinstance(config, dict):
        raise EvalkitError(f"{path}: not a task of lm-eval: expected settings, found {type(config).__name__}")
    return config


def _find_data(config: dict[str, Any], folder: Path) -> None:
    """Turn the relative paths of local data files into absolute ones, in place."""
    kwargs = config.get("dataset_kwargs")
    if isinstance(kwargs, dict) and kwargs.get("data_files"):
        found = {
            split: [_found(file, folder) for file in _listed(files)]
            for split, files in _by_split(kwargs["data_files"]).items()
        }
        config["dataset_kwargs"] = kwargs | {"data_files": found}
    dataset = config.get("dataset_path")
    if isinstance(dataset, str) and (folder / dataset).is_dir():
        config["dataset_path"] = str((folder / dataset).resolve())


def _found(file: str, folder: Path) -> str:
    """Return the absolute path of a data file that lies beside the task file, or else in the working folder."""
    if "://" in file:
        return file
    beside = folder / file
    return str(beside.resolve() if beside.exists() or not Path(file).exists() else Path(file).resolve())


def _by_split(files: Any) -> dict[str, Any]:
    return files if isinstance(files, dict) else {"train": files} if files else {}


def _listed(files: Any) -> list[str]:
    return [files] if isinstance(files, str) else list(files)


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
