"""What `evalkit run` costs beside a bare lm-eval run of the same model, task and batch size: time, and equal scores.

python tests/benchmarks/run_overhead.py [--pairs 5] [--seconds 60] [--json]

Both run in a fork of one process that has imported everything, so neither pays for imports. Each pair runs both, in
turn the one and the other first; the ratio is that of a pair, and the median of the pairs is printed, by processor
time and by the wall clock. The items are made up, as long as those of GSM8K with its examples (generation) and of
MMLU (choices). lm-eval's description of the machine is left out of its run. evalkit also fingerprints the model,
builds the intervals and writes the run folder: all of it counts.
"""

import argparse
import contextlib
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TARGET = 1.03
BATCH = 8
TASKS = {
    "generation": """\
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["Q:"], max_gen_toks: 48, do_sample: false}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
""",
    "choices": """\
output_type: multiple_choice
doc_to_text: "{{question}}\\nAnswer:"
doc_to_choice: ["A", "B", "C", "D"]
doc_to_target: "{{answer}}"
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
""",
}
WORDS = {"generation": 700, "choices": 90}  # of a prompt


def make_model(folder: Path) -> str:
    """Save a small Llama with random weights and return its folder."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    byte_pairs = Tokenizer(models.BPE())
    byte_pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_pairs.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    source = Path(__file__).read_text(encoding="utf-8").split("\n")
    byte_pairs.train_from_iterator(source, trainers.BpeTrainer(vocab_size=1000, initial_alphabet=alphabet))
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_object=byte_pairs, pad_token="<pad>", eos_token="</s>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=8192,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def make_task(folder: Path, kind: str, items: int) -> Path:
    """Write a task file and its data."""
    draw = random.Random(0)
    words = ["how", "many", "apples", "are", "left", "when", "the", "baker", "sells", "three", "of", "twelve", "loaves"]
    folder.mkdir(parents=True)
    with (folder / "items.jsonl").open("w", encoding="utf-8") as file:
        for _ in range(items):
            text = " ".join(draw.choices(words, k=draw.randint(WORDS[kind] * 3 // 4, WORDS[kind] * 5 // 4)))
            file.write(json.dumps({"question": text, "answer": "A" if kind == "choices" else "4"}) + "\n")
    head = f"task: {kind}\ndataset_path: json\ntest_split: test\nmetadata: {{version: 1.0}}\n"
    data = f"dataset_kwargs: {{data_files: {{test: {folder / 'items.jsonl'}}}}}\n"
    (folder / f"{kind}.yaml").write_text(head + data + TASKS[kind], encoding="utf-8")
    return folder / f"{kind}.yaml"


def bare(model: str, task: Path, output: Path) -> dict[str, float]:
    """Score a task by lm-eval alone, and return the score of each item."""
    import lm_eval
    from lm_eval import evaluator
    from lm_eval.tasks import TaskManager

    evaluator.add_env_info = lambda results: None  # asks the system for seconds, which would be in our favour
    evaluator.get_git_commit_hash = lambda: None

    found = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": model, "dtype": "float32"},
        device="cpu",
        batch_size=BATCH,
        tasks=[task.stem],
        task_manager=TaskManager(include_path=str(task.parent), include_defaults=False),
        bootstrap_iters=0,
    )
    samples = dict(found or {})["samples"][task.stem]
    return {str(sample["doc_id"]): sample[sample["metrics"][0]] for sample in samples}


def ours(model: str, task: Path, output: Path) -> dict[str, float]:
    """Score a task by `evalkit run`, and return the score of each item."""
    from evalkit.running.run import run

    run(model, [str(task)], output, batch_size=BATCH)
    rows = map(json.loads, (output / "samples.jsonl").read_text(encoding="utf-8").splitlines())
    return {str(row["doc_id"]): row["score"] for row in rows}


def measured(score: Callable[[str, Path, Path], dict[str, float]], model: str, task: Path) -> dict[str, Any]:
    """Return the seconds that a fork takes to score, on the processor and on the clock, and what it found."""
    with tempfile.TemporaryDirectory() as folder:
        began, child = time.perf_counter(), os.fork()
        if child == 0:
            with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
                os.dup2(nowhere.fileno(), 2)
                scores = score(model, task, Path(folder) / "run")
            (Path(folder) / "scores.json").write_text(json.dumps(scores))
            os._exit(0)
        _, status, used = os.wait4(child, 0)
        assert status == 0, f"{score.__name__} failed"
        seconds = {"cpu": used.ru_utime + used.ru_stime, "wall": time.perf_counter() - began}
        return seconds | {"scores": json.loads((Path(folder) / "scores.json").read_text())}


def compare(kind: str, model: str, folder: Path, *, pairs: int, seconds: float) -> dict[str, Any]:
    """Return the medians over pairs of runs of about so many seconds, and whether every item scored the same."""
    trial = make_task(folder / f"{kind}-trial", kind, 40)
    size = max(40, round(40 * seconds / measured(bare, model, trial)["cpu"]))
    task = make_task(folder / kind, kind, size)
    found = []
    for number in range(pairs):
        order = (bare, ours) if number % 2 else (ours, bare)
        found.append({score.__name__: measured(score, model, task) for score in order})
    ratios = {unit: [pair["ours"][unit] / pair["bare"][unit] for pair in found] for unit in ("cpu", "wall")}
    return {
        "task": kind,
        "items": size,
        "bare_cpu_seconds": statistics.median(pair["bare"]["cpu"] for pair in found),
        "bare_wall_seconds": statistics.median(pair["bare"]["wall"] for pair in found),
        **{f"{unit}_ratio": statistics.median(values) for unit, values in ratios.items()},
        **{f"{unit}_ratios": [round(value, 4) for value in values] for unit, values in ratios.items()},
        "target": TARGET,
        "equal_scores": all(pair["ours"]["scores"] == pair["bare"]["scores"] for pair in found),
    }


def main() -> None:
    """Measure both kinds of task, and print a table or an object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(Path(folder) / "model")
        warm = make_task(Path(folder) / "warm", "choices", 2)
        bare(model, warm, Path(folder) / "bare")  # imports what both need
        ours(model, warm, Path(folder) / "ours")
        rows = [compare(kind, model, Path(folder), pairs=options.pairs, seconds=options.seconds) for kind in TASKS]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print(
            f"{row['task']}: {row['items']} items, bare lm-eval {row['bare_cpu_seconds']:.1f} s of processor, "
            f"{row['bare_wall_seconds']:.1f} s of wall; evalkit run times {row['cpu_ratio']:.4f} (processor), "
            f"{row['wall_ratio']:.4f} (wall); target {TARGET}; scores {'equal' if row['equal_scores'] else 'DIFFER'}"
        )


if __name__ == "__main__":
    main()
