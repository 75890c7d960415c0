"""Real feedback, trained on to the end: Open Assistant's thumbs and Anthropic's harmless pairs."""

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.conftest import Ended
from tests.trainer.tiny import CHAT_TEMPLATE, make_model, read_metrics
from trainer.codec import Codec
from trainer.data import read_rows

WORDS = 1000


def texts(values: dict[str, Any]) -> Iterator[str]:
    for value in values.values():
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (message["content"] for message in value)


@pytest.fixture(scope="module")
def folder(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tiny model with a byte-level BPE learned from a part of the data."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    rows = [row.values for row in read_rows(str(data_dir / "preference/oasst_thumbs/unpaired_text.jsonl.gz"))]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    learn = trainers.BpeTrainer(
        vocab_size=WORDS,
        special_tokens=["<pad>", "<bos>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((text for row in rows for text in texts(row)), learn)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", bos_token="<bos>", pad_token="<pad>")
    fast.chat_template = CHAT_TEMPLATE
    folder = tmp_path_factory.mktemp("real") / "model"
    make_model(vocabulary=WORDS, context=128).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


RUNS = [
    ("kto", "oasst_thumbs/unpaired_chat", {"rows": 285, "desirable": 224, "undesirable": 61}),
    ("kto", "oasst_thumbs/unpaired_text", {"rows": 285, "desirable": 224, "undesirable": 61}),
    ("dpo", "hh_harmless/paired_chat", {"rows": 1610, "desirable": 1610, "undesirable": 1610}),
    ("dpo", "hh_harmless/paired_text", {"rows": 1610, "desirable": 1610, "undesirable": 1610}),
    ("kto", "hh_harmless/paired_text", {"rows": 1610, "desirable": 1610, "undesirable": 1610}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "name", "expected"), RUNS, ids=[f"{loss}-{name}" for loss, name, _ in RUNS])
def test_the_report_on_real_feedback_counts_every_row(
    folder: Path,
    data_dir: Path,
    tmp_path: Path,
    trainer: Callable[..., Ended],
    loss: str,
    name: str,
    expected: dict[str, int],
) -> None:
    source = str(data_dir / "preference" / f"{name}.jsonl.gz")
    words = ("align", "--loss", loss, "--model", str(folder), "--data", source, "--output", str(tmp_path / "out"))
    ended = trainer(*words, "--max-steps", "1", "--batch-size", "8")
    assert ended.status == 0, ended.stderr
    report = json.loads((tmp_path / "out" / "data_report.json").read_text())
    assert {key: report[key] for key in expected} == expected
    assert report["conversational"] == name.endswith("chat")
    assert report["used"] == report["rows"]
    assert report["dropped"] == []
    cut = (report["prompts_truncated"], report["completions_truncated"])
    assert cut == truncated(folder, source)
    told = f"{report['rows']} of {report['rows']} rows used, {cut[0]} prompts truncated, {cut[1]} completions truncated"
    assert told in ended.stderr
    assert ("the labels are imbalanced" in ended.stderr) == name.startswith("oasst")


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "name"), [(loss, name) for loss, name, _ in RUNS[:4]])
def test_the_loss_on_real_feedback_falls_over_six_epochs(
    folder: Path,
    data_dir: Path,
    tmp_path: Path,
    trainer: Callable[..., Ended],
    loss: str,
    name: str,
) -> None:
    with gzip.open(data_dir / "preference" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        (tmp_path / "part.jsonl").write_text("".join(line for line, _ in zip(file, range(36), strict=False)))
    words = ("--model", str(folder), "--data", str(tmp_path / "part.jsonl"), "--output", str(tmp_path / "out"))
    rest = ("--epochs", "6", "--batch-size", "12", "--learning-rate", "2e-3", "--schedule", "constant")
    assert trainer("align", "--loss", loss, *words, *rest).status == 0
    lines = read_metrics(tmp_path / "out")
    first, last = (sum(line["loss"] for line in part) / 3 for part in (lines[:3], lines[-3:]))
    assert len(lines) == 18
    assert last < 0.9 * first
    assert min(line["reward_margin"] for line in lines[-3:] if "reward_margin" in line) > 1  # where both labels were


def truncated(folder: Path, source: str, context: int = 128) -> tuple[int, int]:
    """Return how many prompts and completions are too long, counted in another way: from the rendered texts."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    counts: Counter[str] = Counter()
    with gzip.open(source, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            prompt = row["prompt"]
            answers = [row[column] for column in ("completion", "chosen", "rejected") if column in row]
            if not isinstance(prompt, str):
                prompt = "".join(f"<|{one['role']}>{one['content']}{end(one)}\n" for one in prompt) + "<|assistant>"
                answers = [answer[0]["content"] for answer in answers]
            length = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
            room = context - min(length, context // 4)
            sizes = [len(tokenizer(answer, add_special_tokens=False)["input_ids"]) + 1 for answer in answers]
            counts["completions"] += sum(size > room for size in sizes)
            counts["prompts"] += length > context - min(room, max(sizes))
    return counts["prompts"], counts["completions"]


def end(message: dict[str, str]) -> str:
    return "<eos>" if message["role"] == "assistant" else ""


@pytest.mark.slow
def test_every_real_completion_decodes_to_its_text_and_one_eos(folder: Path, data_dir: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    codec = Codec(tokenizer=tokenizer, bos=(), stops=(tokenizer.eos_token_id,))
    for form in ("text", "chat"):
        rows = list(read_rows(str(data_dir / f"preference/oasst_thumbs/unpaired_{form}.jsonl.gz")))
        for row, ids in zip(rows, codec.completions(rows, "completion"), strict=True):
            completion = row.values["completion"]
            text = completion if form == "text" else completion[0]["content"]
            assert tokenizer.decode(ids) == text + "<eos>"
            assert ids.count(tokenizer.eos_token_id) == 1
