"""Models: found on disk or in the hub's cache, told apart by what they hold."""

import json
import shutil
from pathlib import Path

import pytest

from evalkit.errors import EvalkitError
from evalkit.running.model import fingerprint, model_folder


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
