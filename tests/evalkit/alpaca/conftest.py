"""Annotations made by a known GLM, and AlpacaEval's real ones where they are."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
REAL_MODELS = (
    "FuseChat-Llama-3.2-3B-Instruct",
    "FuseChat-Llama-3.2-1B-Instruct",
    "claude-2.1_concise",
    "gpt35_turbo_instruct",
)


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder with AlpacaEval's annotations: $ALPACA_EVAL_DATA, or ../shared/data/alpaca_eval."""
    folder = Path(os.environ.get("ALPACA_EVAL_DATA") or ROOT.parent / "shared" / "data" / "alpaca_eval")
    if not (folder / "expected.jsonl").is_file():
        pytest.skip(f"no AlpacaEval annotations in {folder}; name their folder in ALPACA_EVAL_DATA")
    return folder


@pytest.fixture(scope="session")
def expected(real: Path) -> dict[str, dict[str, Any]]:
    """What alpaca_eval 0.6.6 computes from each real file, by model."""
    rows = [json.loads(line) for line in (real / "expected.jsonl").read_text(encoding="utf-8").splitlines()]
    return {row["model"]: row for row in rows}


def _make_rows(
    n: int = 60, *, seed: int = 0, length_effect: float = -1.0, quality: float = 0.3, generator: str = "ours"
) -> list[dict[str, Any]]:
    """Return annotations of made-up instructions, preferences by a GLM of quality and length."""
    rng = np.random.default_rng(seed)
    baseline, model = rng.integers(50, 200, n), rng.integers(20, 300, n)
    gap = np.tanh((baseline - model) / 100)
    chance = 1 / (1 + np.exp(-(quality + length_effect * gap + rng.normal(0, 1, n))))
    return [
        {
            "instruction": f"Say {i} things about the number {i * i}.",
            "output_1": "b" * int(baseline[i]),
            "generator_1": "theirs",
            "output_2": "m" * int(model[i]),
            "generator_2": generator,
            "annotator": "a_judge",
            "preference": 1.0 + float(chance[i]),
        }
        for i in range(n)
    ]


@pytest.fixture(scope="session")
def make_rows() -> Callable[..., list[dict[str, Any]]]:
    """Make annotations up: `make_rows(60, length_effect=-1.0)`."""
    return _make_rows


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as a JSON array: `write(rows, "a.json")`."""

    def write_rows(rows: list[dict[str, Any]], name: str = "annotations.json") -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(rows), encoding="utf-8")
        return path

    return write_rows
