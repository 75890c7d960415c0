"""What else decides a score: adapters, examples, prompt endings, a group's weighting; and what is said of it."""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from evalkit.errors import EvalkitError
from evalkit.running.model import control_token, fingerprint
from evalkit.running.run import run

ModelMaker = Callable[..., Path]


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def adapter(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter that changes what the model says."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    base: Any = AutoModelForCausalLM.from_pretrained(model)
    shape = LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"], lora_alpha=400)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # peft's use of transformers
        adapted = get_peft_model(base, shape)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.3)
    folder = tmp_path_factory.mktemp("adapters") / "lora"
    adapted.save_pretrained(str(folder))
    return folder


def test_an_adapter_is_used_and_belongs_to_the_fingerprint(
    model: Path, adapter: Path, task: Path, tmp_path: Path
) -> None:
    run(str(model), [str(task)], tmp_path / "base")
    results = run(str(model), [str(task)], tmp_path / "run", adapter=str(adapter))
    assert [row["response"] for row in rows(tmp_path / "run")] != [row["response"] for row in rows(tmp_path / "base")]
    assert results["model_fingerprint"] == fingerprint(model, adapter) != fingerprint(model)
    with pytest.raises(EvalkitError, match="model_fingerprint was"):
        run(str(model), [str(task)], tmp_path / "run")
    with pytest.raises(EvalkitError, match=f"it is an adapter: --model {model} --adapter {adapter}"):
        run(str(adapter), [str(task)], tmp_path / "other")
    with pytest.raises(EvalkitError, match=r"not an adapter: it has no adapter_config\.json"):
        run(str(model), [str(task)], tmp_path / "other", adapter=str(model))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "--seed -1: must lie between 0 and"),
        ({"seed": 2**32}, "--seed 4294967296: must lie between 0 and"),
        ({"device": "cuda:99"}, r"--device cuda:99: this machine has \d+ GPUs"),
        ({"prompt_suffix": "\ud800"}, "--prompt-suffix: not UTF-8"),
    ],
)
def test_options_that_cannot_be_are_refused(
    options: dict[str, Any], message: str, model: Path, task: Path, tmp_path: Path
) -> None:
    with pytest.raises(EvalkitError, match=message):
        run(str(model), [str(task)], tmp_path / "run", **options)


def test_more_examples_than_there_are_is_one_line(model: Path, made_up_data: Path, tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match=r"--num-fewshot 200: .* exceeds the 8"):
        run(str(model), ["gsm8k"], tmp_path / "run", data_dir=made_up_data, num_fewshot=200, limit=1)


def test_the_number_of_examples_can_be_changed(model: Path, made_up_data: Path, tmp_path: Path) -> None:
    results = run(str(model), ["gsm8k"], tmp_path / "run", data_dir=made_up_data, limit=1, num_fewshot=2)
    assert rows(tmp_path / "run")[0]["prompt"].count("Q: ") == 3
    assert results["benchmarks"]["gsm8k"]["num_fewshot"] == 2
    run(str(model), ["mmlu"], tmp_path / "mmlu", data_dir=made_up_data, limit=1, num_fewshot=3)
    assert {row["prompt"].count("Answer:") for row in rows(tmp_path / "mmlu")} == {4}


CARD = "---\nlibrary_name: transformers\ntags: [halotheory, {loss}]\n---\n\n# A model\n"


def test_a_model_of_csft_gets_its_control_token(model: Path, task: Path, tmp_path: Path) -> None:
    trained = shutil.copytree(model, tmp_path / "csft")
    (trained / "README.md").write_text(CARD.format(loss="csft"))
    results = run(str(trained), [str(task)], tmp_path / "run", limit=2)
    assert [row["prompt"] for row in rows(tmp_path / "run")] == ["0 is<|good|>", "1 is<|good|>"]
    assert results["prompt_suffix"] == "<|good|>"
    plain = run(str(trained), [str(task)], tmp_path / "plain", limit=2, prompt_suffix="")
    assert (rows(tmp_path / "plain")[0]["prompt"], plain["prompt_suffix"]) == ("0 is", "")
    run(str(model), [str(task)], tmp_path / "other", limit=1, prompt_suffix=" 😀!")
    row = rows(tmp_path / "other")[0]
    assert row["prompt"] == "0 is 😀!"
    assert row["prompt_hash"] != rows(tmp_path / "plain")[0]["prompt_hash"]


@pytest.mark.parametrize(
    ("card", "token"),
    [
        (CARD.format(loss="csft"), "<|good|>"),
        (CARD.format(loss="kto"), ""),
        ("---\ntags: [csft]\n---\n", ""),
        ("---\ntags: [halotheory, csft\n---\n", ""),
        ("---\ntags: csft\n---\n", ""),
        ("# csft halotheory\n", ""),
        ("", ""),
    ],
)
def test_the_control_token_is_read_from_the_model_card(card: str, token: str, tmp_path: Path) -> None:
    assert control_token(tmp_path) == ""
    (tmp_path / "README.md").write_text(card)
    assert control_token(tmp_path) == token


def test_a_chat_model_without_its_template_is_said(make_model: ModelMaker, task: Path, tmp_path: Path) -> None:
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
    chatty = make_model(tmp_path / "chatty", seed=0, chat_template=template)
    plain = run(str(chatty), [str(task)], tmp_path / "plain", limit=1)
    assert plain["warnings"] == [
        "the model has a chat template, and prompts were plain text; --chat-template renders them by it"
    ]
    used = run(str(chatty), [str(task)], tmp_path / "run", limit=1, chat_template=True)
    assert used["warnings"] == []
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["chat_template_hash"].startswith("sha256:")


def test_answers_without_the_form_that_is_looked_for_are_said(model: Path, made_up_data: Path, tmp_path: Path) -> None:
    results = run(str(model), ["bbh"], tmp_path / "run", data_dir=made_up_data, limit=1)
    unread = sum(row["prediction"] == "[invalid]" for row in rows(tmp_path / "run"))
    assert unread > 6
    assert any(f"bbh: {unread} of 27 answers do not have the form" in text for text in results["warnings"])
    assert any("stop string 'Q'" in text for text in results["warnings"])
    part = "bbh: 27 items, and the published test set has 6511: not a score of the benchmark"
    assert part in results["warnings"]


def test_unicode_and_empty_items_are_scored(model: Path, task: Path, tmp_path: Path) -> None:
    items = [{"question": text, "answer": "4"} for text in ("日本語 🎌 \u2028 naïve", "", "\x00\x1f", "a" * 3000)]
    (task.parent / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    task.write_text(task.read_text().replace("{{question}}", "Q: {{question}}"))
    results = run(str(model), [str(task)], tmp_path / "run")
    assert results["benchmarks"]["arithmetic"]["n"] == 4
    assert [row["prompt"][3:] for row in rows(tmp_path / "run")] == [item["question"] for item in items]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "onnx"}, "--backend onnx: unknown; give hf, vllm, openai"),
        ({"backend": "vllm"}, "vLLM is not installed; install it with: pip install vllm"),
        ({"backend": "openai"}, "needs --base-url, such as"),
        ({"base_url": "http://localhost/v1"}, "--backend hf takes no --base-url"),
        ({"backend": "openai", "base_url": "localhost:8000"}, "--base-url: not an http"),
        ({"backend": "openai", "base_url": "http://me:secret@host/v1"}, "must hold no user, password or query"),
        ({"backend": "openai", "base_url": "http://host/v1?key=secret"}, "must hold no user, password or query"),
        ({"backend": "openai", "base_url": "http://host/v1", "dtype": "float16"}, "are for local models"),
        ({"model_args": {"trust_remote_code": True}}, "code that comes with a model is never run"),
        ({"model_args": {"device": "cpu"}}, "--model-arg device: use --device"),
        ({"model_args": {"auth_token": "secret"}}, "the key is read from OPENAI_API_KEY alone"),
        ({"model_args": {"token": "secret"}}, "the hub's token is read from HF_TOKEN alone"),
        ({"revision": "abc"}, "is a folder; only a model of the hub has revisions"),
        ({"adapter": "nowhere"}, "--adapter nowhere: no such folder"),
        ({"dtype": "float17"}, "the model cannot be loaded"),
        ({"model_args": {"no_such_thing": 1}}, "the model cannot be loaded"),
        ({"limit": 0}, "--limit 0: must be at least 1"),
        ({"batch_size": 0}, "--batch-size 0: must be"),
    ],
)
def test_bad_options(settings: dict[str, Any], message: str, model: Path, task: Path, tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match=message) as raised:
        run(str(model), [str(task)], tmp_path / "run", **settings)
    assert "secret" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_several_processes_are_refused(
    model: Path, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(EvalkitError, match="start one, and give a model over several GPUs by"):
        run(str(model), [str(task)], tmp_path / "run")
