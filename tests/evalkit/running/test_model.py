"""Models: found on disk or in the hub's cache, told apart by what they hold."""

import json
import shutil
from pathlib import Path

import pytest

from evalkit.errors import EvalkitError
from evalkit.running.model import commit, fingerprint, model_folder


def test_a_copy_has_the_same_fingerprint_and_any_change_another(model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(model, tmp_path / "copy")
    (copy / "README.md").write_text("a model card decides nothing")
    assert fingerprint(copy) == fingerprint(model)
    seen = {fingerprint(model)}
    for name, change in (
        ("model.safetensors", lambda data: data[:-1] + bytes([data[-1] ^ 1])),
        ("config.json", lambda data: json.dumps(json.loads(data) | {"rms_norm_eps": 0.1}).encode()),
        ("tokenizer_config.json", lambda data: data + b"\n"),
    ):
        (copy / name).write_bytes(change((copy / name).read_bytes()))
        seen.add(fingerprint(copy))
    assert len(seen) == 4


def test_a_name_of_the_hub_is_found_in_its_cache_without_a_network(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants as constants

    cached = tmp_path / "models--someone--small"
    shutil.copytree(model, cached / "snapshots" / "abc123")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("abc123")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fingerprint(model_folder("someone/small")) == fingerprint(model)
    with pytest.raises(EvalkitError, match="someone/other: no such folder, and the hub does not give it"):
        model_folder("someone/other")


def test_the_folder_of_a_training_run_is_told_from_its_model(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "kto" / "model")
    with pytest.raises(EvalkitError, match=r"has no config\.json; its model is in the folder 'model'"):
        model_folder(str(tmp_path / "kto"))


def test_a_revision_of_the_hub_is_found_and_its_commit_recorded(
    model: Path, other_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants as constants

    cached = tmp_path / "models--someone--small"
    (cached / "refs").mkdir(parents=True)
    for ref, hashed, source in (("main", "a" * 40, model), ("v2", "b" * 40, other_model)):
        shutil.copytree(source, cached / "snapshots" / hashed)
        (cached / "refs" / ref).write_text(hashed)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    found = model_folder("someone/small", "v2")
    assert (commit(found), fingerprint(found)) == ("b" * 40, fingerprint(other_model))
    assert commit(model_folder("someone/small")) == "a" * 40
    assert commit(model) is None
    with pytest.raises(EvalkitError, match="the hub does not give it"):
        model_folder("someone/small", "v3")


def test_an_adapter_of_a_training_run_is_told_from_its_model(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kto" / "model"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "someone/small"}))
    with pytest.raises(
        EvalkitError, match=f"its adapter is in the folder 'model': --model someone/small --adapter {folder}"
    ):
        model_folder(str(tmp_path / "kto"))
