"""What an earlier command left at the output: these very rows, others, or something else."""

import hashlib
import json
from pathlib import Path
from typing import Any

from trainer.config import DataConfig, differing_keys
from trainer.converting.output import held_out_path
from trainer.errors import TrainerError


def report_path(output: Path) -> Path:
    """Return the file of the report: OUTPUT.report.json."""
    return output.with_name(output.name + ".report.json")


def finished(output: Path, config: DataConfig, wanted: dict[str, Any], overwrite: bool) -> dict[str, Any] | None:
    """Return the report of these very rows, if they are there.

    Raises:
        TrainerError: something else is.
    """
    files = [output, *([held_out_path(output)] if config.held_out is not None else [])]
    for path in files:
        if path.exists() and not path.is_file():
            raise TrainerError(f"--output {path}: no regular file; give a file that may be written")
    present = [path for path in files if path.exists()]
    if overwrite or not present:
        return None
    stored = _stored_report(output)
    changed = differing_keys(stored["configuration"], wanted["configuration"])
    changed += [] if stored["inputs"] == wanted["inputs"] else ["the data"]
    if changed:
        raise TrainerError(
            f"{output}: holds rows of another configuration ({', '.join(changed)} changed); "
            "give another --output, or --overwrite"
        )
    for path in present:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest not in [one["sha256"] for one in stored["written"]]:
            raise TrainerError(f"{path}: was changed since it was written; give another --output, or --overwrite")
    return stored if len(present) == len(files) else None


def remove_stale(output: Path) -> None:
    """Remove the held-out rows of an earlier command, which would be taken for those of this one."""
    try:
        names = [one["file"] for one in _stored_report(output)["written"]]
    except TrainerError:
        names = []
    if held_out_path(output).name in names:
        held_out_path(output).unlink(missing_ok=True)


def _stored_report(output: Path) -> dict[str, Any]:
    path = report_path(output)
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if all(name in stored for name in ("configuration", "inputs", "written")):
            return stored
    except FileNotFoundError:
        raise TrainerError(f"{output}: exists, and has no report; give another --output, or --overwrite") from None
    except (OSError, ValueError, TypeError):
        pass
    raise TrainerError(f"{path}: is no report of trainer data; give another --output, or --overwrite")
