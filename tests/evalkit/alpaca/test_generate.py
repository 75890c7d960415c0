"""Answers of a model: greedy ones as transformers gives them, resumed ones as undisturbed ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit.alpaca.generate import OUTPUTS, Generation, cut_short, generate
from evalkit.alpaca.instructions import instruction_key
from evalkit.cli import app
from evalkit.command import run_command
from evalkit.errors import EvalkitError
from tests.evalkit.alpaca.server import KEY, AlpacaServer

TEMPLATE = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}[assistant]"
INSTRUCTIONS = {instruction_key(text): text for text in (f"What is {i}? " + "Say it. " * i for i in range(7))}


@pytest.fixture(scope="module")
def chatty(tmp_path_factory: pytest.TempPathFactory, make_model: Callable[..., Path]) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "chatty", seed=3, chat_template=TEMPLATE)


def how(model: Path, **changes: Any) -> Generation:
    return Generation(**({"model": str(model), "max_new_tokens": 6, "batch_size": 3} | changes))


def alone(model: Path, instruction: str) -> str:
    """Return what transformers generates greedily from one instruction, unpadded."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(str(model))
    network: Any = AutoModelForCausalLM.from_pretrained(str(model))
    prompt = f"[user] {instruction}\n[assistant]"
    tokens = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
    found = network.generate(
        input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], do_sample=False, max_new_tokens=6
    )
    return tokenizer.decode(found[0, tokens["input_ids"].shape[1] :], skip_special_tokens=True).strip()


def test_greedy_answers_are_those_of_each_instruction_alone(chatty: Path, tmp_path: Path) -> None:
    found = generate(INSTRUCTIONS, how(chatty), tmp_path)
    for key, instruction in INSTRUCTIONS.items():
        assert found.texts[key] == alone(chatty, instruction)
    rows = [json.loads(line) for line in (tmp_path / OUTPUTS).read_text(encoding="utf-8").splitlines()]
    assert {row["instruction"] for row in rows} == set(INSTRUCTIONS.values())
    assert found.texts.keys() == INSTRUCTIONS.keys()


@pytest.mark.parametrize("sampling", ["greedy", "model"])
def test_a_run_that_goes_on_ends_as_an_undisturbed_one(chatty: Path, tmp_path: Path, sampling: str) -> None:
    whole = generate(INSTRUCTIONS, how(chatty, sampling=sampling), tmp_path / "whole")
    lines = (tmp_path / "whole" / OUTPUTS).read_text(encoding="utf-8").splitlines(keepends=True)
    generate(dict(list(INSTRUCTIONS.items())), how(chatty, sampling=sampling), tmp_path / "cut")
    (tmp_path / "cut" / OUTPUTS).write_text("".join(lines[:4]) + lines[4][:20], encoding="utf-8")
    again = generate(INSTRUCTIONS, how(chatty, sampling=sampling), tmp_path / "cut")
    assert again.texts == whole.texts


def test_finished_answers_need_no_model_again(chatty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = generate(INSTRUCTIONS, how(chatty), tmp_path)
    monkeypatch.setattr("evalkit.alpaca.generate._load", lambda *_: pytest.fail("loaded again"))
    assert generate(INSTRUCTIONS, how(chatty), tmp_path).texts == before.texts


def test_answers_cut_short_are_counted(chatty: Path, tmp_path: Path) -> None:
    found = generate(INSTRUCTIONS, how(chatty, max_new_tokens=1), tmp_path)
    assert cut_short(tmp_path) == sum(text != "" for text in found.texts.values()) > 0  # the others end at once
    generate(INSTRUCTIONS, how(chatty, max_new_tokens=50), tmp_path / "long")
    assert cut_short(tmp_path / "long") == 0


def test_answers_made_otherwise_are_not_mixed(chatty: Path, model: Path, tmp_path: Path) -> None:
    generate(INSTRUCTIONS, how(chatty), tmp_path)
    others = how(chatty, max_new_tokens=7), how(chatty, sampling="model"), how(model, chat_template=False)
    for other in others:
        with pytest.raises(EvalkitError, match="holds answers made otherwise"):
            generate(INSTRUCTIONS, other, tmp_path)


def test_what_cannot_answer_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match="no chat template; use --no-chat-template"):
        generate(INSTRUCTIONS, how(model), tmp_path / "a")
    with pytest.raises(EvalkitError, match="no such folder"):
        generate(INSTRUCTIONS, how(tmp_path / "none"), tmp_path / "b")
    with pytest.raises(EvalkitError, match="not a model"):
        generate(INSTRUCTIONS, how(tmp_path), tmp_path / "c")
    with pytest.raises(EvalkitError, match="--sampling hot"):
        how(model, sampling="hot")


def test_a_model_is_scored_from_its_folder(
    chatty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    reference = tmp_path / "reference.json"
    rows = [{"instruction": text, "output": "Four.", "generator": "theirs"} for text in INSTRUCTIONS.values()]
    reference.write_text(json.dumps(rows), encoding="utf-8")
    words = [
        "--model",
        chatty,
        "--reference",
        reference,
        "--limit",
        5,
        "--max-new-tokens",
        1,
        "--output",
        tmp_path / "o",
    ]
    with AlpacaServer() as server:
        assert run_command(app, ["alpaca", *map(str, [*words, "--base-url", server.url, "--json"])]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["model"], found["baseline"], found["n_total"]) == ("chatty", "theirs", 5)
    assert any(note.endswith("answers ended at 1 tokens, unfinished.") for note in found["notes"])
