"""Samples: what they say, and that a batch is always the same."""

import json
import sys
import types
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from halotheory.contract import load_loss
from tests.trainer.conftest import Ended
from tests.trainer.tiny import CHAT_TEMPLATE, make_model, make_tokenizer, write_jsonl
from trainer import generation
from trainer.codec import Codec, Limits
from trainer.config import SampleConfig
from trainer.data import read_rows
from trainer.errors import TrainerError
from trainer.files import locked
from trainer.sample import batches, sample
from trainer.tokens import tokenize

PROMPTS = [{"prompt": prompt, "id": at} for at, prompt in enumerate(["1+1=", "a", "what is 12+34?", "bc", "=="])]


def config(**values: Any) -> SampleConfig:
    return SampleConfig(**{"model": "model", "data": "p.jsonl", "output": "s.jsonl", "max_new_tokens": 6, **values})


@pytest.fixture
def prompts(workplace: Path) -> Path:
    model = make_model()
    model.lm_head.weight.data[2] = 0.15  # EOS comes now and then
    model.save_pretrained("model")
    return write_jsonl(workplace / "p.jsonl", PROMPTS)


def lines(path: str = "s.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


@pytest.mark.usefixtures("prompts")
def test_every_row_comes_k_times_with_its_columns() -> None:
    sample(config(samples=3, batch_size=6))
    assert [(line["id"], line["sample"]) for line in lines()] == [(at, k) for at in range(5) for k in range(3)]
    assert all(set(line) == {"prompt", "id", "completion", "sample", "finished"} for line in lines())
    assert len({line["completion"] for line in lines()}) > 5
    assert {line["finished"] for line in lines()} == {True, False}


@pytest.mark.usefixtures("prompts")
def test_greedy_samples_are_the_most_likely_tokens_whatever_the_padding() -> None:
    """Against a loop without batches, padding or cache."""
    sample(config(temperature=0, batch_size=3))
    model, tokenizer = make_model(), make_tokenizer()
    model.lm_head.weight.data[2] = 0.15
    for line in lines():
        ids = tokenizer(line["prompt"])["input_ids"]
        start = len(ids)
        while len(ids) < start + 6 and ids[-1] != 2:
            with torch.no_grad():
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        assert line["finished"] == (ids[-1] == 2)
        assert line["completion"] == tokenizer.decode([token for token in ids[start:] if token != 2])


@pytest.mark.usefixtures("prompts")
def test_a_suffix_ends_every_prompt() -> None:
    sample(config(temperature=0.0, output="suffix.jsonl", suffix="<|good|>"))
    write_jsonl(Path("long.jsonl"), [{**row, "prompt": row["prompt"] + "<|good|>"} for row in PROMPTS])
    sample(config(temperature=0.0, data="long.jsonl"))
    assert [one["completion"] for one in lines("suffix.jsonl")] == [one["completion"] for one in lines()]
    assert [one["prompt"] for one in lines("suffix.jsonl")] == [row["prompt"] for row in PROMPTS]


@pytest.mark.usefixtures("prompts")
def test_a_sample_as_training_data_is_the_tokens_that_were_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[int], bool]] = []
    real = generation.generate

    def spied(*words: Any, **named: Any) -> Any:
        seen.extend(sampled := real(*words, **named))
        return sampled

    monkeypatch.setattr(generation, "generate", spied)
    sample(config(samples=4))
    said = [(one, line["completion"].strip()) for one, line in zip(seen, lines(), strict=True)]
    codec = Codec(tokenizer=make_tokenizer(), bos=(1,), stops=(2,))
    table, _ = tokenize(read_rows("s.jsonl"), load_loss("sft"), codec, Limits(total=64), source="s.jsonl")
    kept = [ids for (ids, _), text in said if text]
    assert len(kept) == len(table) > 10
    for at, ids in enumerate(kept):
        start, length = int(table.completion_start[at, 0]), int(table.completion_length[at, 0])
        assert table.tokens[start : start + length].tolist() == [*ids, 2]


@pytest.mark.usefixtures("prompts")
def test_conversations_are_sampled_through_the_template(workplace: Path) -> None:
    make_tokenizer(chat=True).save_pretrained("model")
    write_jsonl(workplace / "p.jsonl", [{"prompt": [{"role": "user", "content": "hi"}]}])
    sample(config(temperature=0))
    (chat,) = lines()
    write_jsonl(workplace / "p.jsonl", [{"prompt": "<|user>hi\n<|assistant>"}])
    make_tokenizer(bos=False).save_pretrained("model")
    sample(config(temperature=0, output="text.jsonl"))
    assert chat["prompt"] == [{"role": "user", "content": "hi"}]
    assert chat["completion"] == lines("text.jsonl")[0]["completion"]


@pytest.mark.usefixtures("prompts")
def test_an_interrupted_run_continues_with_the_same_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    sample(config(samples=2, batch_size=4, output="whole.jsonl"))
    real, calls = generation.generate, []

    def interrupted(*words: Any, **named: Any) -> Any:
        calls.append(named["batch"])
        if calls == [0, 1]:
            raise KeyboardInterrupt
        return real(*words, **named)

    monkeypatch.setattr(generation, "generate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sample(config(samples=2, batch_size=4))
    assert not Path("s.jsonl").exists()
    with Path("s.jsonl.partial").open("a") as file:
        file.write('{"prompt": "a line cut sh')
    sample(config(samples=2, batch_size=4))
    assert calls == [0, 1, 1, 2]
    assert lines() == lines("whole.jsonl")
    assert not Path("s.jsonl.partial").exists()


@pytest.mark.usefixtures("prompts")
def test_a_continued_run_counts_the_retokenised_completions_of_the_whole_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tokenizer that gives no text the tokens that it came from, and a kill before the second of three batches."""
    encode, generate, kills = Codec.encode, generation.generate, [1]

    def killed(*words: Any, **named: Any) -> Any:
        if named["batch"] in kills:
            raise KeyboardInterrupt(kills.pop())
        return generate(*words, **named)

    monkeypatch.setattr(Codec, "encode", lambda self, texts: [[*ids, 5] for ids in encode(self, texts)])
    monkeypatch.setattr(generation, "generate", killed)
    with pytest.raises(KeyboardInterrupt):
        sample(config(samples=2, batch_size=4))
    assert "other tokens" not in capsys.readouterr().err
    sample(config(samples=2, batch_size=4))
    assert "\n10 completions have other tokens than the tokenizer gives their text" in capsys.readouterr().err
    sample(config(samples=2, batch_size=4))
    assert "these samples are finished" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "samples", "at_most", "sizes"),
    [(5, 3, 6, [6, 6, 3]), (5, 3, 8, [6, 6, 3]), (2, 4, 4, [4, 4]), (2, 5, 2, [2, 2, 1, 2, 2, 1]), (2, 3, 1, [1] * 6)],
)
def test_batches_hold_every_sample_once_in_order_and_no_more_than_asked(
    rows: int, samples: int, at_most: int, sizes: list[int]
) -> None:
    every = batches(rows, samples, at_most)
    assert [len(one) for one in every] == sizes
    asked = [(row, k) for one in every for row in one.rows for k in one.samples]
    assert asked == [(row, k) for row in range(rows) for k in range(samples)]


@pytest.mark.usefixtures("prompts")
def test_a_batch_smaller_than_the_samples_of_a_prompt_is_kept_to(monkeypatch: pytest.MonkeyPatch) -> None:
    real, sizes = generation.generate, list[int]()

    def spied(model: Any, codec: Any, prompts: Any, *words: Any, **named: Any) -> Any:
        sizes.append(len(prompts))
        if len(sizes) == 4:
            raise KeyboardInterrupt
        return real(model, codec, prompts, *words, **named)

    sample(config(samples=5, batch_size=2, output="whole.jsonl"))
    monkeypatch.setattr(generation, "generate", spied)
    with pytest.raises(KeyboardInterrupt):
        sample(config(samples=5, batch_size=2))
    monkeypatch.setattr(generation, "generate", real)
    sample(config(samples=5, batch_size=2))
    assert sizes == [2, 2, 1, 2]
    assert [(line["id"], line["sample"]) for line in lines()] == [(at, k) for at in range(5) for k in range(5)]
    assert lines() == lines("whole.jsonl")


@pytest.mark.usefixtures("prompts")
def test_vllm_is_asked_for_the_same_completions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a stand-in with vLLM's interface: what it is told, and what is made of its answers."""
    vllm, told = types.ModuleType("vllm"), dict[str, Any]()

    class LLM:
        def __init__(self, **settings: Any) -> None:
            told["settings"] = settings

        def generate(self, prompts: list[Any], parameters: list[Any], use_tqdm: bool) -> list[Any]:
            told.setdefault("calls", []).append((prompts, parameters))
            answer = SimpleNamespace(outputs=[SimpleNamespace(token_ids=[20, 21, 2], finish_reason="stop")])
            cut = SimpleNamespace(outputs=[SimpleNamespace(token_ids=[20] * 6, finish_reason="length")])
            return [answer, cut][: len(prompts)]

    vllm.__dict__.update(LLM=LLM, SamplingParams=lambda **values: values)
    vllm.__spec__ = ModuleSpec("vllm", None)
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    sample(config(samples=2, batch_size=2, engine="vllm", top_p=0.9, seed=3))
    tokenizer = make_tokenizer()
    text = tokenizer.decode([20, 21])
    assert [(one["completion"], one["finished"]) for one in lines()[:2]] == [
        (text, True),
        (tokenizer.decode([20] * 6), False),
    ]
    assert told["settings"] == {"model": "model", "dtype": "float32", "seed": 3, "trust_remote_code": False}
    prompts, parameters = told["calls"][0]
    assert prompts == [{"prompt_token_ids": tokenizer(PROMPTS[0]["prompt"])["input_ids"]}] * 2
    first = parameters[0]
    assert (first["temperature"], first["top_p"], first["max_tokens"], first["stop_token_ids"]) == (1.0, 0.9, 6, [2])
    seeds = [one["seed"] for _, every in told["calls"] for one in every]
    assert len(set(seeds)) == len(seeds) == 10


@pytest.mark.usefixtures("prompts")
def test_the_seed_decides_and_temperature_and_top_p_narrow() -> None:
    def texts(output: str, **values: Any) -> list[str]:
        sample(config(samples=4, output=output, **values))
        return [line["completion"] for line in lines(output)]

    assert texts("a.jsonl", seed=1) == texts("b.jsonl", seed=1) != texts("c.jsonl", seed=2)
    sample(config(temperature=0, output="greedy.jsonl"))
    greedy = [line["completion"] for line in lines("greedy.jsonl") for _ in range(4)]
    assert texts("cold.jsonl", temperature=1e-4) == greedy
    assert texts("narrow.jsonl", top_p=1e-6) == greedy


@pytest.mark.usefixtures("prompts")
def test_a_finished_file_is_left_alone_and_another_configuration_refused(trainer: Callable[..., Ended]) -> None:
    words = ("sample", "--model", "model", "--data", "p.jsonl", "--output", "s.jsonl", "--max-new-tokens", "2")
    assert trainer(*words).stdout == "s.jsonl\n"
    before = Path("s.jsonl").stat().st_mtime_ns
    assert "these samples are finished" in trainer(*words).stderr
    assert Path("s.jsonl").stat().st_mtime_ns == before
    ended = trainer(*words, "--seed", "1")
    assert (ended.status, "seed changed" in ended.stderr) == (2, True)
    assert trainer(*words, "--seed", "1", "--overwrite").status == 0


@pytest.mark.usefixtures("prompts")
def test_samples_of_other_weights_or_another_template_are_not_taken_for_these(trainer: Callable[..., Ended]) -> None:
    Path("chat.jinja").write_text(CHAT_TEMPLATE)
    words = ("sample", "--model", "model", "--data", "p.jsonl", "--output", "s.jsonl", "--max-new-tokens", "2")
    words += ("--chat-template", "chat.jinja")
    assert trainer(*words).status == 0
    Path("chat.jinja").write_text(CHAT_TEMPLATE + " ")
    assert "another configuration (the text of chat.jinja changed)" in trainer(*words).stderr
    Path("chat.jinja").write_text(CHAT_TEMPLATE)
    make_model(seed=1).save_pretrained("model")
    ended = trainer(*words)
    assert ended.status == 2
    assert ended.stderr == (
        "error: s.jsonl: holds samples of another configuration (the files of model model changed); "
        "give another --output, or --overwrite\n"
    )
    assert trainer(*words, "--overwrite").status == 0
    record = json.loads(Path("s.jsonl.run.json").read_text())
    del record["model_digest"]
    Path("s.jsonl.run.json").write_text(json.dumps(record))
    assert "an older version wrote them, and not which weights they are of" in trainer(*words).stderr


@pytest.mark.usefixtures("prompts")
def test_a_killed_run_is_not_continued_with_other_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    real = generation.generate

    def interrupted(*words: Any, **named: Any) -> Any:
        if named["batch"]:
            raise KeyboardInterrupt
        return real(*words, **named)

    monkeypatch.setattr(generation, "generate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sample(config(batch_size=2))
    make_model(seed=1).save_pretrained("model")
    with pytest.raises(TrainerError, match="the files of model model changed"):
        sample(config(batch_size=2))


@pytest.mark.usefixtures("prompts")
def test_two_processes_do_not_sample_into_one_file(trainer: Callable[..., Ended]) -> None:
    with locked(Path("s.jsonl")):
        ended = trainer("sample", "--model", "model", "--data", "p.jsonl", "--output", "s.jsonl")
    assert (ended.status, "s.jsonl: another process (PID " in ended.stderr) == (2, True)
    assert not list(Path.cwd().glob("s.jsonl*"))


@pytest.mark.usefixtures("prompts")
@pytest.mark.parametrize("temperature", ["0", "1"])
def test_weights_that_are_not_finite_are_one_error(trainer: Callable[..., Ended], temperature: str) -> None:
    model = make_model()
    model.model.layers[1].mlp.up_proj.weight.data[3, 4] = torch.nan
    model.save_pretrained("model")
    words = ("sample", "--model", "model", "--data", "p.jsonl", "--output", "s.jsonl", "--max-new-tokens", "2")
    words += ("--temperature", temperature)
    ended = trainer(*words)
    assert ended.status == 2
    assert "error: --model model: its logits are not finite" in ended.stderr
    assert f"at --temperature {float(temperature)}: its weights are not finite (model.layers.1.mlp.up" in ended.stderr
    make_model().save_pretrained("model")
    assert trainer(*words).status == 0  # nothing was sampled, so nothing is in the way


@pytest.mark.usefixtures("prompts")
@pytest.mark.parametrize("record", ["{", "[]", "\udcff"])
def test_a_damaged_record_is_one_error(trainer: Callable[..., Ended], record: str) -> None:
    Path("s.jsonl").write_text("{}\n")
    Path("s.jsonl.run.json").write_bytes(record.encode("utf-8", "surrogateescape"))
    ended = trainer("sample", "--model", "model", "--data", "p.jsonl", "--output", "s.jsonl")
    assert ended.status == 2
    assert "s.jsonl.run.json: is no record of trainer sample; give another --output, or --overwrite" in ended.stderr


@pytest.mark.usefixtures("prompts")
def test_samples_are_written_through_a_link(workplace: Path) -> None:
    (workplace / "link.jsonl").symlink_to(workplace / "s.jsonl")
    assert sample(config(output="link.jsonl")) == Path("link.jsonl")
    assert (workplace / "link.jsonl").is_symlink()
    assert len(lines("s.jsonl")) == 5


@pytest.mark.usefixtures("prompts")
def test_a_prompt_longer_than_the_context_loses_its_beginning(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_jsonl(workplace / "p.jsonl", [{"prompt": "a" * 100 + "1+1="}, {"prompt": "a" * 57}])
    sample(config(temperature=0))
    assert "1 of 2 prompts lost their beginning" in capsys.readouterr().err
    write_jsonl(workplace / "p.jsonl", [{"prompt": "a" * 53 + "1+1="}])
    sample(config(temperature=0, output="short.jsonl"))
    assert lines()[0]["completion"] == lines("short.jsonl")[0]["completion"]


@pytest.mark.usefixtures("prompts")
def test_what_was_said_of_another_completion_is_left_out(workplace: Path) -> None:
    write_jsonl(workplace / "p.jsonl", [{"prompt": "1+1=", "completion": "3", "label": False, "source": "log"}])
    sample(config())
    assert set(lines()[0]) == {"prompt", "source", "completion", "sample", "finished"}


def test_a_refused_command_leaves_the_next_one_free(prompts: Path, trainer: Callable[..., Ended]) -> None:
    words = ("sample", "--model", "model", "--data", "p.jsonl", "--output", "s.jsonl", "--max-new-tokens")
    assert trainer(*words, "64").status == 2
    assert trainer(*words, "3").status == 0
    data = prompts.read_bytes()
    ended = trainer("sample", "--model", "model", "--data", "p.jsonl", "--output", "p.jsonl", "--overwrite")
    assert ended.status == 2
    assert prompts.read_bytes() == data


@pytest.mark.parametrize(
    ("rows", "words", "message"),
    [
        ([{"prompt": "\ud83d is"}], (), "p.jsonl:1: prompt holds half a character, '\\ud83d', at place 1"),
        ([{"promt": "a"}], (), "p.jsonl:1: no column 'prompt'; is it 'promt'?"),
        ([{"prompt": 3}], (), "p.jsonl:1: prompt is 3 (int)"),
        ([], (), "p.jsonl: holds no rows"),
        (PROMPTS, ("--max-new-tokens", "64"), "--max-new-tokens 64: model knows 64 positions"),
        (
            PROMPTS,
            ("--engine", "vllm", "--max-new-tokens", "6"),
            "--engine vllm: vLLM is not installed; pip install vllm",
        ),
        (PROMPTS, ("--model", "none/at/all"), "--model none/at/all: no such folder"),
        (PROMPTS, ("--output", "p.jsonl"), "p.jsonl: it is the data"),
        (PROMPTS, ("--output", "s.parquet"), "--output s.parquet: samples are JSON lines; give a name that ends in"),
        (PROMPTS, ("--output", "s.jsonl.gz"), "--output s.jsonl.gz: samples are JSON lines; give a name that ends in"),
        (PROMPTS, ("--output", "s" * 250 + ".jsonl"), "names of at most 200 bytes"),
        (PROMPTS, ("--output", "s\udcff.jsonl"), "--output 's\\udcff.jsonl': the name is not UTF-8"),
        (
            PROMPTS,
            ("--temperature", "1e-320", "--max-new-tokens", "6"),
            "--temperature 1e-320: too small to divide by; give 0, which is greedy",
        ),
    ],
)
def test_bad_input(
    prompts: Path, trainer: Callable[..., Ended], rows: list[Any], words: tuple[str, ...], message: str
) -> None:
    write_jsonl(prompts, rows)
    ended = trainer("sample", "--model", "model", "--data", "p.jsonl", "--output", "s.jsonl", *words)
    assert ended.status == 2
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not Path("s.jsonl").exists()
