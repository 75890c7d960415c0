"""Room on the disk for what a run will write."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.trainer.conftest import Ended
from trainer.room import shortage

WORDS = ("align", "--model", "model", "--data", "thumbs.jsonl", "--output", "out", "--batch-size", "8")


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("--optimizer", "rmsprop"),
        ("--dtype", "bfloat16"),
        ("--lora-rank", "32"),
        ("--lora-rank", "32", "--merge"),
    ],
)
def test_what_is_counted_is_what_is_written(
    workplace: Path, trainer: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    """To a tenth, or 35 kB: names are not counted, which in a tiny adapter take almost as much as the weights."""
    counted: list[int] = []
    monkeypatch.setattr("trainer.align.shortage", lambda output, wanted: counted.append(wanted))
    assert trainer(*WORDS, *more, "--save-steps", "2").status == 0
    checkpoint, model = (workplace / "out" / name for name in ("checkpoints/step-000002", "model"))
    names = ("model.safetensors", "optimizer.bin", "adapter_model.safetensors")
    written = [path.stat().st_size for folder in (checkpoint, model) for path in folder.glob("*") if path.name in names]
    assert counted == [pytest.approx(sum(written), rel=0.1, abs=35_000)]


def test_a_run_for_which_the_disk_has_no_room_is_warned_at_its_start(
    workplace: Path, trainer: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    def of(path: Any) -> Any:
        assert Path(path) == Path("out")
        return SimpleNamespace(free=500_000 // 4)

    monkeypatch.setattr(shutil, "disk_usage", of)
    ended = trainer(*WORDS, "--max-steps", "1")
    assert ended.status == 0
    warnings = [line for line in ended.stderr.splitlines() if line.startswith("warning: --output")]
    assert warnings == [
        "warning: --output out: 0.1 MB free, and the model and one checkpoint take 0.4 MB; free some, or give another"
    ]
    assert ended.stderr.index("warning") < ended.stderr.index("step 1/1")


def test_sizes_are_told_in_the_unit_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=999_000_000))
    told = shortage(Path("out"), 112_400_000_000)
    assert told is not None
    assert "999.0 MB free, and the model and one checkpoint take 112.4 GB" in told
    assert shortage(Path("out"), 999_000_000) is None
