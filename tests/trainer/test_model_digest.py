"""The digest of a model: the same for a copy, another for any change that changes completions."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trainer.tiny import make_model, make_tokenizer
from trainer import model_digest as module
from trainer.adapters import adapt, save_adapter
from trainer.config import AlignConfig
from trainer.errors import TrainerError
from trainer.model_digest import model_digest


def change_a_weight(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def stop_elsewhere(folder: Path) -> None:
    path = folder / "generation_config.json"
    path.write_text(path.read_text().replace('"eos_token_id": 2', '"eos_token_id": 3'))


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(
    "change",
    [
        change_a_weight,
        stop_elsewhere,
        lambda folder: make_tokenizer(bos=False).save_pretrained(folder),
        lambda folder: make_tokenizer(chat=True).save_pretrained(folder),
        lambda folder: (folder / "config.json").write_text((folder / "config.json").read_text() + " "),
    ],
)
def test_a_copy_has_the_same_and_a_changed_folder_another(change: Callable[[Path], object]) -> None:
    shutil.copytree("model", "copy")
    (Path("copy") / "README.md").write_text("It says nothing.")
    before = model_digest("model")
    assert model_digest("copy") == before
    assert before.startswith("sha256:")
    change(Path("copy"))
    assert model_digest("copy") != before


def test_of_a_large_file_the_beginning_the_middle_and_the_end_count(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LARGE", 1000)
    monkeypatch.setattr(module, "_PIECE", 10)
    path = workplace / "model" / "model.safetensors"
    content = path.read_bytes()
    before, size = model_digest("model"), len(content)

    def changed(at: int) -> bool:
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        return model_digest("model") != before

    assert all(map(changed, (0, 9, size // 2, size - 1)))
    assert not changed(size // 4)
    path.write_bytes(content + b"0")
    assert model_digest("model") != before


def test_an_adapter_is_told_apart_by_its_model_too(workplace: Path) -> None:
    settings = AlignConfig(model="model", data="thumbs.jsonl", output="out", loss="kto", lora_rank=2)
    save_adapter(adapt(make_model(), settings), Path("adapter"))
    before = model_digest("adapter")
    assert before.endswith(f" on {model_digest('model')}")
    change_a_weight(workplace / "model")
    assert model_digest("adapter") != before


def test_a_model_of_the_hub_is_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    monkeypatch.setattr(module, "adapter_base", lambda name, option: None)
    monkeypatch.setattr("transformers.utils.hub.cached_file", lambda name, file: str(snapshot / file))
    assert model_digest("a/b") == "commit:0123abcd"


def test_a_name_that_nobody_can_resolve_is_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "adapter_base", lambda name, option: None)
    assert model_digest("nobody/nothing") == "nobody/nothing"


def test_no_such_model() -> None:
    with pytest.raises(TrainerError, match="--reference-model none/at/all: no such folder"):
        model_digest("none/at/all", "--reference-model")
