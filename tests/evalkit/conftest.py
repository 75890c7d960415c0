"""A language model that answers at once, data folders of made-up items, and run folders written by hand."""

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

SAYS = [
    *(" So the answer is True.", " So the answer is False.", " So the answer is (A).", " So the answer is No."),
    *(" The answer is 18.", " The answer is 3.", "4", "7", " A", " B", " C", " D"),
]


def _prompts() -> list[str]:
    """Return text like that of the benchmarks, so that the tokens of their prompts are few."""
    spec = importlib.util.find_spec("lm_eval")
    assert spec is not None
    assert spec.origin is not None
    tasks = Path(spec.origin).parent / "tasks"
    return [path.read_text(encoding="utf-8") for path in sorted((tasks / "bbh/cot_fewshot").glob("[!_]*.yaml"))]


def _make_model(folder: Path, seed: int, *, places: int = 8192, chat_template: str | None = None) -> Path:
    """Save a one-layer Llama with random weights that says one of `SAYS`, then ends."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    byte_pairs = Tokenizer(models.BPE())
    byte_pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_pairs.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    words = trainers.BpeTrainer(vocab_size=1500, initial_alphabet=alphabet, show_progress=False)
    byte_pairs.train_from_iterator(_prompts(), words)
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_object=byte_pairs, pad_token="<pad>", eos_token="</s>")
    tokenizer.add_tokens(SAYS)
    tokenizer.chat_template = chat_template
    end, said = tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(SAYS)
    torch.set_num_threads(1)  # the model is small: threads cost more than they bring
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=places,
        initializer_range=0.3,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=end,
        bos_token_id=end,
    )
    model = LlamaForCausalLM(config)
    direction = torch.zeros(32)
    direction[0] = 1.0
    with torch.no_grad():  # the residual stream carries `direction` after a word of SAYS, and the end is read from it
        answers = 5 * model.lm_head.weight[said].clone()
        answers[:, 0] = 0.0
        model.lm_head.weight.zero_()
        model.lm_head.weight[said] = answers
        model.lm_head.weight[end] = 100 * direction
        model.model.embed_tokens.weight[:, 0] = -1.0
        model.model.embed_tokens.weight[said] = 50 * direction
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Path]:
    return _make_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _make_model(tmp_path_factory.mktemp("models") / "one", seed=0)


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _make_model(tmp_path_factory.mktemp("models") / "other", seed=1)


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


ARITHMETIC = """\
task: arithmetic
dataset_path: json
dataset_kwargs: {data_files: {test: items.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 8, do_sample: false}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
metadata: {version: 1.0}
"""


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task file beside its data: 30 items of which the models get some right."""
    items = [{"question": f"{i} is", "answer": SAYS[i % len(SAYS)]} for i in range(30)]
    write_rows(tmp_path / "task" / "items.jsonl", items)
    path = tmp_path / "task" / "arithmetic.yaml"
    path.write_text(ARITHMETIC, encoding="utf-8")
    return path


RunMaker = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> RunMaker:
    """Write a finished run: `make_run("a", arithmetic=[1, 0, 1])`, items numbered in order."""

    def make(
        name: str,
        *,
        config: Mapping[str, object] | None = None,
        fields: Mapping[str, object] | None = None,
        **scores,
    ) -> Path:
        rows = [
            {"benchmark": benchmark, "subset": "", "id": f"item{i}", "score": score, "metric": "exact_match,none"}
            | dict(fields or {})
            for benchmark, values in scores.items()
            for i, score in enumerate(values)
        ]
        folder = tmp_path / name
        write_rows(folder / "samples.jsonl", rows)
        (folder / "results.json").write_text("{}", encoding="utf-8")
        (folder / "config.yaml").write_text(json.dumps(config or {"model": name}), encoding="utf-8")
        return folder

    return make


@pytest.fixture(scope="session")
def made_up_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in the layout of the real one, with three made-up items per task."""
    from evalkit.running.benchmarks import find_benchmarks

    folder = tmp_path_factory.mktemp("data")
    answers = ["True", "No", "(A)"]
    for benchmark in find_benchmarks(["bbh", "mmlu"]):
        for subtask in benchmark.subtasks:
            if benchmark.name == "bbh":
                rows = [{"input": f"{subtask.subset} {i}?", "target": answers[i]} for i in range(3)]
                write_rows(folder / "bbh" / f"{subtask.subset}.jsonl", rows)
                continue
            for split in ("dev", "test"):
                choices = {"choices": ["red", "green", "blue", "grey"], "subject": subtask.subset}
                rows = [{"question": f"{split} {subtask.subset} {i}?"} | choices | {"answer": i} for i in range(3)]
                write_rows(folder / "mmlu" / split / f"{subtask.subset}.jsonl", rows)
    solved = [{"question": f"What is {n} and none?", "answer": f"It is {n}.\n#### {n}"} for n in (3, 18, 5)]
    write_rows(folder / "gsm8k" / "test.jsonl", solved)
    return folder
