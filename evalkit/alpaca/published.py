"""What AlpacaEval publishes for length control: instruction difficulties, gamed baselines, fitted coefficients."""

import csv
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.alpaca.annotations import read_rows
from evalkit.alpaca.glm import logistic
from evalkit.alpaca.instructions import NUM_INSTRUCTIONS, instruction_key, leaderboard_order, order_of
from evalkit.errors import EvalkitError

LENGTH, DIFFICULTY, MODEL = "np.tanh(std_delta_len)", "instruction_difficulty", "not_gamed_baseline.astype(float)"
HUB = "hub"


@dataclass(frozen=True, kw_only=True)
class Gamed:
    """Annotations of the baseline told to be concise or verbose, which keep the length coefficient reasonable.

    Attributes:
        keys: the instruction of each row.
        length: the standardised length difference, (rows,).
        difficulty: of the instruction, (rows,).
        not_gamed: 0 for a gamed baseline's row, (rows,).
        preference: in [0, 1], (rows,).
    """

    keys: tuple[str, ...]
    length: NDArray[np.float64]
    difficulty: NDArray[np.float64]
    not_gamed: NDArray[np.float64]
    preference: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Published:
    """The published inputs that were given.

    Attributes:
        difficulty: of each instruction by its key; empty where none was given.
        gamed: the gamed baselines' annotations, or None.
        coefficients: fitted coefficients (length, difficulty, model) by model; empty where none were given.
        files: the SHA-256 of each file, by option.
    """

    difficulty: Mapping[str, float]
    gamed: Gamed | None
    coefficients: Mapping[str, Mapping[str, float]]
    files: Mapping[str, str]

    def rate(self, model: str, baseline: str) -> float:
        """Return the length-controlled win rate that published coefficients determine, in percent.

        The mean over all instructions i of logistic(m + d difficulty_i), where m and d are the model's coefficients
        minus the baseline's: equal lengths take the length term away.

        Source: alpaca_eval 0.6.6, `predict_winrate`.

        Raises:
            EvalkitError: no coefficients of the model, or no difficulties.
        """
        for name in (model, baseline):
            if name not in self.coefficients:
                raise EvalkitError(f"--glm-weights has no row for '{name}'; {_some(self.coefficients)}")
        if not self.difficulty:
            raise EvalkitError("--glm-weights needs --instruction-difficulty (or --df-gamed, which holds it)")
        ours, theirs = self.coefficients[model], self.coefficients[baseline]
        model_term, slope = (ours[name] - theirs[name] for name in (MODEL, DIFFICULTY))
        difficulty = np.array([self.difficulty[key] for key in sorted(self.difficulty, key=order_of)])
        return 100 * float(logistic(model_term + slope * difficulty).mean())


def read_published(
    *, difficulty: Path | str | None = None, gamed: Path | str | None = None, weights: Path | str | None = None
) -> Published:
    """Return the published inputs in files; "hub" stands for AlpacaEval's own file on the Hugging Face hub.

    Args:
        difficulty: `instruction_difficulty.csv`, or JSON (lines) with `index` or `instruction`, and
            `instruction_difficulty`.
        gamed: `df_gamed.csv`.
        weights: coefficients by model, as alpaca_eval keeps them in `metrics/weights`.

    Raises:
        EvalkitError: a file that cannot be read or used, or two that give an instruction different difficulties.
    """
    paths = {
        name: _path(value, file)
        for name, value, file in (
            ("instruction_difficulty", difficulty, "instruction_difficulty.csv"),
            ("df_gamed", gamed, "df_gamed.csv"),
            ("glm_weights", weights, None),
        )
        if value is not None
    }
    gamed_rows = _gamed(paths["df_gamed"]) if "df_gamed" in paths else None
    held: dict[str, float] = {}
    if gamed_rows is not None:
        held = dict(zip(gamed_rows.keys, map(float, gamed_rows.difficulty), strict=True))
    given = _difficulty(paths["instruction_difficulty"]) if "instruction_difficulty" in paths else held
    for key in held.keys() & given.keys():
        if abs(given[key] - held[key]) > 1e-6:
            raise EvalkitError(
                f"{paths['df_gamed']}, {paths['instruction_difficulty']}: difficulties of the same instruction differ: "
                f"{held[key]:.6g} and {given[key]:.6g}; take both files from the same place"
            )
    return Published(
        difficulty=held | given,
        gamed=gamed_rows,
        coefficients=_coefficients(paths["glm_weights"]) if "glm_weights" in paths else {},
        files={name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items()},
    )


def _path(value: Path | str, name: str | None) -> Path:
    """Return a file on disk: the one that is named, or AlpacaEval's from the hub."""
    if str(value) != HUB or name is None:
        return Path(value)
    return hub_file(name)


def hub_file(name: str) -> Path:
    """Return a file of the data set tatsu-lab/alpaca_eval, downloaded or from the cache.

    Raises:
        EvalkitError: the hub cannot be reached, or does not have the file.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    from evalkit.quiet import quiet

    try:
        with quiet():
            return Path(hf_hub_download("tatsu-lab/alpaca_eval", name, repo_type="dataset"))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise EvalkitError(
            f"{name}: the hub's data set tatsu-lab/alpaca_eval does not give it: {' '.join(str(error).split())[:150]}; "
            "download the file where there is a network, and name it here"
        ) from error


def _difficulty(path: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for number, row in _table(path):
        key = _key(path, number, row)
        if key in found:
            raise EvalkitError(f"{path}: row {number}: a second difficulty of the same instruction")
        found[key] = _number(path, number, row, DIFFICULTY)
    return found


def _gamed(path: Path) -> Gamed:
    rows = [(number, row, _key(path, number, row)) for number, row in _table(path)]
    rows.sort(key=lambda row: (str(row[1].get("model", "")), order_of(row[2])))

    def column(name: str) -> NDArray[np.float64]:
        return np.array([_number(path, number, row, name) for number, row, _ in rows])

    preference = column("preference")
    if preference.min() < 0 or preference.max() > 1:
        raise EvalkitError(f"{path}: a preference outside 0 to 1: {preference.min():.6g} to {preference.max():.6g}")
    return Gamed(
        keys=tuple(key for *_, key in rows),
        length=column("std_delta_len"),
        difficulty=column(DIFFICULTY),
        not_gamed=column("not_gamed_baseline"),
        preference=preference,
    )


def _coefficients(path: Path) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for number, row in _table(path):
        name = str(row.get("", row.get("model", "")))
        if not name:
            raise EvalkitError(f"{path}: row {number}: no name of a model in the first column")
        found[name] = {column: _number(path, number, row, column) for column in (LENGTH, DIFFICULTY, MODEL)}
    return found


def _table(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield (row number from 1, row) of a CSV or a JSON file; a CSV's column without a name is called ""."""
    if path.suffix.lower() not in {".csv", ".tsv"}:
        yield from read_rows(path)
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ","))
    except OSError as error:
        raise EvalkitError(f"{path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise EvalkitError(f"{path}: not a table with commas: {error}") from error
    if not rows:
        raise EvalkitError(f"{path}: no rows; it is empty")
    yield from enumerate(rows, start=1)


def _key(path: Path, number: int, row: Mapping[str, Any]) -> str:
    """Return the key of a row's instruction: from its text, or from its number in AlpacaEval's own order."""
    if row.get("instruction") is not None:
        return instruction_key(str(row["instruction"]))
    name = next((name for name in ("index", "instruction_index", "") if row.get(name) is not None), None)
    if name is None:
        raise EvalkitError(f"{path}: row {number}: neither 'instruction' nor 'index' says which instruction it is")
    position = _number(path, number, row, name)
    if not position.is_integer() or not 0 <= position < NUM_INSTRUCTIONS:
        raise EvalkitError(
            f"{path}: row {number}: the index {position:g} is none of AlpacaEval's, 0 to {NUM_INSTRUCTIONS - 1}; for "
            "other instructions give their text in a column 'instruction'"
        )
    return leaderboard_order()[int(position)]


def _number(path: Path, number: int, row: Mapping[str, Any], column: str) -> float:
    if column not in row:
        raise EvalkitError(f"{path}: row {number}: no column '{column}'; {_some(row)}")
    value = row[column]
    truth = {"true": 1.0, "false": 0.0}.get(str(value).strip().lower())
    try:
        found = float(value) if truth is None else truth
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise EvalkitError(f"{path}: row {number}: '{column}' is {value!r}, not a finite number")
    return found


def _some(names: Mapping[str, Any] | Sequence[str]) -> str:
    listed = [repr(name) for name in names][:5]
    return f"it has {', '.join(listed)}{' and others' if len(names) > 5 else ''}" if listed else "it has none"
