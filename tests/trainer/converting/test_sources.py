"""What --data may be: files, folders, named data sets, hub data sets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.conftest import Ended
from tests.trainer.converting.rows import BINARIZED, HH, SHP, ULTRAFEEDBACK, tree
from tests.trainer.tiny import write_jsonl
from trainer.converting import sources
from trainer.converting.checks import format_of
from trainer.converting.sources import PUBLIC_SETS, PublicSet, find
from trainer.data import Row
from trainer.errors import TrainerError

ROWS: dict[str, dict[str, Any]] = {
    "hh": HH,
    "shp": SHP,
    "oasst": tree()[0],
    "ultrafeedback": ULTRAFEEDBACK,
    "ultrafeedback-binarized": BINARIZED,
    "paired": {"prompt": "p", "chosen": "a", "rejected": "b"},
    "unpaired": {"prompt": "p", "completion": "a", "label": True},
    "scored": {"prompt": "p", "completion": "a", "score": 1},
}


@pytest.mark.parametrize("name", ROWS)
def test_a_format_is_known_by_its_columns(name: str) -> None:
    assert format_of(Row(place="d:1", values=ROWS[name]), None) == name


@pytest.mark.parametrize(
    ("values", "said", "message"),
    [
        ({"prompt": "p", "chosen": "a", "reject": "b"}, None, "d:1: no column 'rejected'; is it 'reject'?"),
        ({"prompt": "p", "completion": "a", "sscore": 1}, "scored", "d:1: no column 'score'; is it 'sscore'?"),
        ({"x": 1}, None, "no column 'prompt'; there are: x; paired has prompt, chosen, rejected; unpaired has"),
        ({**SHP, "history": None, "score_A": 1}, "oasst", "d:1: no column 'message_id'"),
    ],
)
def test_columns_of_no_format(values: dict[str, Any], said: str | None, message: str) -> None:
    with pytest.raises(TrainerError) as error:
        format_of(Row(place="d:1", values=values), said)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "said", "message"),
    [
        ("ship", None, "ship: no such file, and no named data set; did you mean 'shp'?"),
        ("gone.jsonl", None, "gone.jsonl: no such file, and no named data set"),
        ("some/gone.jsonl.gz", None, "some/gone.jsonl.gz: no such file"),
        ("shp", "hh", "--format hh: the format of shp is shp; leave --format out"),
    ],
)
def test_data_that_is_nowhere(name: str, said: str | None, message: str) -> None:
    with pytest.raises(TrainerError) as error:
        find(name, said, None)
    assert message in str(error.value)


def test_names_of_the_hub() -> None:
    found = find("owner/name:config", "hh", "test")
    assert (found.hub, found.config, found.split, found.format) == ("owner/name", "config", "test", "hh")
    assert find("ultrafeedback-binarized", None, None).split == "train_prefs"
    assert {one.format for one in PUBLIC_SETS.values()} <= set(sources_formats())


def sources_formats() -> tuple[str, ...]:
    from trainer.converting.checks import FORMATS

    return FORMATS


def test_a_folder_gives_the_files_of_its_split(tmp_path: Path) -> None:
    for name in (
        "a/train-1.jsonl",
        "a/train-0.jsonl.gz",
        "a/test.jsonl",
        "a/train_sft-0.jsonl",
        ".git/train.jsonl",
        "readme.md",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [path.name for path in find(str(tmp_path), None, None).files]
    assert names == ["train-0.jsonl.gz", "train-1.jsonl"]
    assert [path.name for path in find(str(tmp_path), None, "test").files] == ["test.jsonl"]
    with pytest.raises(TrainerError, match=r"no file of the split 'dev' in it; there is a/test.jsonl, a/train-0"):
        find(str(tmp_path), None, "dev")


def test_the_only_file_of_a_folder_needs_no_split_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").touch()
    assert [path.name for path in find(str(tmp_path), None, None).files] == ["data.jsonl"]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that `datasets` reads as it would the repository of a named data set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "hub" / "harmless-base").mkdir(parents=True)
    write_jsonl(tmp_path / "hub" / "harmless-base" / "train.jsonl", [HH, HH])
    known = PublicSet(hub=str(tmp_path / "hub"), format="hh", part="harmless-base")
    monkeypatch.setitem(sources.PUBLIC_SETS, "hh-harmless", known)
    return tmp_path


def test_a_named_data_set_is_streamed_by_datasets(hub: Path, trainer: Callable[..., Ended]) -> None:
    ended = trainer("data", "--data", "hh-harmless", "--output", "out.jsonl", "--json")
    assert ended.status == 0, ended.stderr
    assert '"operation": "read hh-harmless as hh"' in ended.stdout
    assert len((hub / "out.jsonl").read_text().splitlines()) == 2


def test_a_data_set_that_cannot_be_loaded(hub: Path, trainer: Callable[..., Ended]) -> None:
    ended = trainer("data", "--data", "hh-harmless", "--split", "nope", "--output", "out.jsonl")
    assert ended.status == 2
    assert ended.stderr.startswith("error: hh-harmless: row 1 of the hub data set")
    assert len(ended.stderr.splitlines()) == 1
    assert not (hub / "out.jsonl").exists()
