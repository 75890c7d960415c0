"""Silence: bars and chatter kept off, real messages let through, switches put back."""

import logging
import os
import sys

import pytest
from tqdm import tqdm

from evalkit.quiet import offline, quiet


def test_bars_and_prints_are_dropped_and_messages_pass(capsys: pytest.CaptureFixture[str]) -> None:
    with quiet() as warnings:
        for _ in tqdm(range(3), desc="noise"):
            pass
        print("chatter")
        print("a real message", file=sys.stderr)
        logger = logging.getLogger("lm_eval.somewhere")
        for message in ("odd  thing", "odd  thing", "Left truncation applied. Counted elsewhere."):
            logger.warning(message)
        logging.getLogger("transformers").warning("noise")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "a real message\n")
    assert warnings == ["odd thing"]


def test_the_network_is_forbidden_only_within(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets.config
    import huggingface_hub

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    with offline():
        assert huggingface_hub.is_offline_mode()
        assert datasets.config.HF_HUB_OFFLINE
        assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert not huggingface_hub.is_offline_mode()
    assert not datasets.config.HF_HUB_OFFLINE
    assert "HF_HUB_OFFLINE" not in os.environ
