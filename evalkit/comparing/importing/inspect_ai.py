"""Logs of inspect_ai, `.eval` and `.json`, as rows; inspect_ai itself is not needed."""

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evalkit.comparing.evaluation import Source, averaged, content_hash
from evalkit.errors import EvalkitError

_ZSTANDARD = 93  # the compression method that inspect_ai writes since 0.3.130 or so
_VALUES = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}


def is_log(value: Any) -> bool:
    """Return whether the content of a JSON file is a log of inspect_ai."""
    return isinstance(value, dict) and isinstance(value.get("eval"), dict) and "task" in value["eval"]


def read_eval_file(path: Path, *, metric: str | None = None) -> Source:
    """Return the rows of an `.eval` file; see `read_log`.

    Raises:
        EvalkitError: not such a file, or one that cannot be decompressed here.
    """
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            names = archive.namelist()
            if "header.json" not in names:
                raise EvalkitError(f"{path}: the evaluation is not finished: it has no header.json; run it to its end")
            log = _member(path, archive, file, "header.json")
            samples = [
                _member(path, archive, file, name)
                for name in sorted(names)
                if name.startswith("samples/") and name.endswith(".json")
            ]
    except (zipfile.BadZipFile, OSError) as error:
        raise EvalkitError(f"{path}: not an .eval file of inspect_ai: {error}") from error
    return read_log(path, {**log, "samples": samples}, metric=metric)


def _member(path: Path, archive: zipfile.ZipFile, file: Any, name: str) -> dict[str, Any]:
    info = archive.getinfo(name)
    content = _unpacked(path, file, info) if info.compress_type == _ZSTANDARD else archive.read(info)
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise EvalkitError(f"{path}: {name}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise EvalkitError(f"{path}: {name}: expected a JSON object, found {type(value).__name__}")
    return value


def _unpacked(path: Path, file: Any, info: zipfile.ZipInfo) -> bytes:
    """Return a member that is compressed by Zstandard, which zipfile reads from Python 3.14 on."""
    try:
        import zstandard
    except ImportError as error:
        raise EvalkitError(
            f"{path}: compressed by Zstandard; install it (pip install zstandard), or write the log as JSON: "
            f"inspect log convert {path} --to json"
        ) from error
    file.seek(info.header_offset)
    header = struct.unpack("<4s5H3L2H", file.read(30))
    file.seek(header[-2] + header[-1], 1)  # the lengths of the name and of the extra field
    packed = file.read(info.compress_size)
    try:
        content = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    except zstandard.ZstdError as error:
        raise EvalkitError(f"{path}: {info.filename}: damaged: {error}") from error
    if zlib.crc32(content) != info.CRC:
        raise EvalkitError(f"{path}: {info.filename}: damaged: its checksum differs")
    return content


def read_log(path: Path, log: Mapping[str, Any], *, metric: str | None = None) -> Source:
    """Return the rows of a log: the task is the benchmark, epochs are samples of one item and averaged.

    A value is read as inspect_ai reads it: C is 1, I and N are 0, P is 0.5, numbers and booleans are themselves. A
    sample that ended in an error has no score.

    Args:
        path: of the file.
        log: its content, with `samples`.
        metric: the scorer whose value is the score; by default the first.

    Raises:
        EvalkitError: no samples, no such scorer, or a value that is not a number.
    """
    header = log["eval"]
    samples = log.get("samples")
    if not isinstance(samples, list) or not samples:
        raise EvalkitError(f"{path}: no samples; log them (inspect eval without --no-log-samples)")
    for number, sample in enumerate(samples, start=1):
        if not isinstance(sample, dict) or not isinstance(sample.get("scores") or {}, dict):
            raise EvalkitError(f"{path}: sample {number}: not a sample of inspect_ai; log the evaluation again")
    scorers = list(dict.fromkeys(name for sample in samples for name in (sample.get("scores") or {})))
    if metric is not None and metric not in scorers:
        raise EvalkitError(f"{path}: no scorer '{metric}'; it has {', '.join(scorers) or 'none'}")
    notes = []
    if metric is None and len(scorers) > 1:
        notes.append(f"inspect_ai: {header['task']} scored by {scorers[0]}; also there: {', '.join(scorers[1:])}.")
    if log.get("status") not in {"success", None}:
        notes.append(f"inspect_ai: {path}: the evaluation ended as '{log['status']}'; samples may be missing.")
    config = header.get("model_generate_config") or {}
    settings = {
        "model": header.get("model"),
        "versions": {str(header["task"]): str(header.get("task_version", ""))},
        "temperature": config.get("temperature"),
        "limit": (header.get("config") or {}).get("limit"),
    }
    return Source(
        path=path,
        kind="inspect_ai log",
        rows=averaged(_rows(path, str(header["task"]), samples, metric or (scorers[0] if scorers else ""))),
        settings={key: value for key, value in settings.items() if value is not None},
        notes=tuple(notes),
    )


def _rows(path: Path, task: str, samples: list[Any], scorer: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for sample in samples:
        place = f"{path}: sample {sample.get('id')}, epoch {sample.get('epoch', 1)}"
        found = (sample.get("scores") or {}).get(scorer)
        failed = sample.get("error")
        yield (
            place,
            {
                **_metadata(sample),
                "benchmark": task,
                "subset": "",
                "id": _id(sample),
                "score": None if failed or found is None else _value(place, scorer, found.get("value")),
                "error": str(failed.get("message") if isinstance(failed, dict) else failed)
                if failed
                else None
                if found is not None
                else f"no score by {scorer or 'any scorer'}",
                "metric": scorer,
                "prompt": sample.get("input"),
                "response": (sample.get("output") or {}).get("completion"),
                "prediction": (found or {}).get("answer"),
                "target": sample.get("target"),
            },
        )


def _id(sample: Mapping[str, Any]) -> str:
    """Return a hash of what was asked: input, target, and choices, for two questions may differ in these alone."""
    if "target" not in sample:
        return content_hash(str(sample.get("id")))
    asked = [sample.get("input") if "input" in sample else sample.get("id"), sample["target"]]
    return content_hash([*asked, sample["choices"]] if sample.get("choices") else asked)


def _metadata(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Return what --clusters may name; metadata under a name of ours would say something that it does not mean."""
    metadata = sample.get("metadata")
    return {
        key: value
        for key, value in (metadata.items() if isinstance(metadata, dict) else ())
        if isinstance(value, str | int) and key not in {"num_samples", "higher_is_better", "prompt_hash", "cluster"}
    }


def _value(place: str, scorer: str, value: Any) -> float:
    if isinstance(value, str):
        known = _VALUES.get(value, _VALUES.get(value.lower()))
        if known is not None:
            return known
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise EvalkitError(
            f"{place}: {scorer} gave {str(value)[:80]!r}, which is not a number; choose another scorer with --metric"
        ) from error
