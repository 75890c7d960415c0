"""Names of models that nobody can load: told at once."""

import socket
from pathlib import Path

import pytest

from trainer import hub
from trainer.errors import TrainerError


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Be a machine without a network, and with an empty cache."""

    def refuse(*words: object, **named: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "getproxies", dict)
    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.mark.usefixtures("unreachable")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("owner/model", "--model owner/model: no such folder, not in the hub's cache, and the hub cannot be reached"),
        ("model", "the hub cannot be reached; give a model's folder, or connect"),
        ("./runs", "--model ./runs: no such folder"),
        ("runs/kto/model", "--model runs/kto/model: no such folder"),
        ("a b", "--model a b: no such folder, and no name that the hub allows"),
    ],
)
def test_a_name_that_cannot_be_loaded_is_told(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the demo has left no runs
    with pytest.raises(TrainerError) as error:
        hub.check_name(name, "--model")
    assert message in str(error.value)


@pytest.mark.usefixtures("unreachable")
def test_a_folder_and_a_model_in_the_cache_need_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.check_name(str(tmp_path), "--model")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda name, file: str(tmp_path / file))
    hub.check_name("owner/model", "--model")


@pytest.mark.usefixtures("unreachable")
def test_behind_a_proxy_the_hub_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "getproxies", lambda: {"https": "http://proxy:3128"})
    hub.check_name("owner/model", "--model")
