"""The whole path on a small example: three losses, checked; a model, aligned with each; a difference, measured.

    python examples/demo/demo.py --output runs/demo

An interrupted demo goes on with the same command, because the commands that it runs do.
"""

import json
import os
import random
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from commands import DemoError, run_command
from task import Problem, answer_in, demonstrations, problems, solution

from halotheory.command import run

HERE = Path(__file__).resolve().parent
TASK = HERE / "pocket_gsm.yaml"

DEMONSTRATIONS, PROMPTS, VALIDATION, HELD_OUT = 20_000, 1_000, 1_000, 1_000
"""Problems of each part; no two parts share one."""

CAREFUL = 0.4
"""Share of the demonstrators who remember to carry."""

SAMPLES = 4
"""Solutions per problem that get a thumb."""

SETTINGS = {"beta": 0.5}
LEARNING_RATE, STEPS = "2e-5", 60
"""The same for every loss, chosen on the validation problems of seed 0."""

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Where the demo writes, and which chance it takes.

    Attributes:
        output: a folder of its own; nothing is written outside.
        seed: of the data, the weights, the order of training and the samples.
    """

    output: Path
    seed: int

    @property
    def losses(self) -> dict[str, str]:
        """The losses as the commands take them, by the names of their runs."""
        return {"kto": "kto", "dpo": "dpo", "my_loss": os.path.relpath(HERE.parent / "my_loss.py")}

    def path(self, name: str) -> str:
        """Return a path in the output folder, as a user would type it."""
        return str(self.output / name)

    def command(self, *words: str, stdout: str | None = None, accepted: tuple[int, ...] = (0,)) -> None:
        """Run one of the three commands."""
        file = self.output / stdout if stdout else None
        run_command(list(words), self.output / "commands.jsonl", stdout=file, accepted=accepted)


@app.command()
def demo(
    seed: Annotated[int, typer.Option(help="Of the data, the weights, the training and the samples.", min=0)] = 0,
    output: Annotated[Path, typer.Option(help="A folder of the demo's own.")] = Path("runs/demo"),
) -> None:
    """Check three losses, align a tiny model with each, and measure whether it helped.

    Example: python examples/demo/demo.py --seed 1 --output runs/demo-1
    """
    began = time.monotonic()
    it = open_folder(output, seed)
    check_losses(it)
    make_data(it)
    finetune(it)
    collect_feedback(it)
    align(it)
    evaluate(it)
    page = show(it)
    print(f"\nDone in {time.monotonic() - began:.0f} s. The whole story is on one page:\n\n{page}")


def open_folder(output: Path, seed: int) -> Demo:
    """Return the demo of a folder, new or begun.

    Raises:
        DemoError: the folder holds something else, or the demo of another seed.
    """
    settings = output / "demo.json"
    wanted = {"seed": seed}
    if output.exists() and not output.is_dir():
        raise DemoError(f"{output}: a file; give a folder as --output")
    if settings.exists():
        found = json.loads(settings.read_text(encoding="utf-8"))
        if found != wanted:
            raise DemoError(f"{output}: holds the demo of seed {found['seed']}; give another --output")
    elif output.is_dir() and any(output.iterdir()):
        raise DemoError(f"{output}: not empty, and not a demo; give another --output")
    for name in ("data", "verdicts", "benchmark"):
        (output / name).mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps(wanted) + "\n", encoding="utf-8")
    return Demo(output=output, seed=seed)


def check_losses(it: Demo) -> None:
    """Write what `halotheory` proves about each loss, and a picture of the value functions they imply."""
    say("1/7  Are the three losses human-aware? Two are named; the third is a file, as yours would be.")
    for name, loss in it.losses.items():
        verdict = f"verdicts/{name}.json"
        it.command("halotheory", "check", loss, *set_words(SETTINGS), "--json", stdout=verdict, accepted=(0, 1, 3))
        found = json.loads((it.output / verdict).read_text(encoding="utf-8"))
        print(f"    {name}: {found['verdict']}, for {found['holds_for']}")
    picture = it.path("verdicts/values.svg")
    it.command("halotheory", "plot", *it.losses.values(), "--set", "beta=1", "--output", picture)


def make_data(it: Demo) -> None:
    """Write the problems, the imperfect demonstrations, and a model with random weights."""
    say(f"2/7  Word problems on sums. {1 - CAREFUL:.0%} of the demonstrators forget to carry.")
    generator = random.Random(it.seed)
    every = problems(DEMONSTRATIONS + PROMPTS + VALIDATION + HELD_OUT, generator)
    shown, asked, validation, held_out = split(every, (DEMONSTRATIONS, PROMPTS, VALIDATION, HELD_OUT))
    rows = demonstrations(shown, generator, careful_share=CAREFUL)
    write_rows(it.output / "data/demonstrations.jsonl", rows)
    write_rows(it.output / "data/prompts.jsonl", map(as_row, asked))
    write_rows(it.output / "data/validation.jsonl", map(as_row, validation))
    write_rows(it.output / "benchmark/heldout.jsonl", map(as_row, held_out))
    shutil.copyfile(TASK, it.output / "benchmark" / TASK.name)
    never = sum(answer_in(solution(one, carries=False)) == one.answer for one in held_out) / len(held_out)
    write_json(it.output / "data/about.json", {"careful_share": CAREFUL, "never_carries_scores": never})
    print(f"    {rows[0]['prompt']}{rows[0]['completion']}")
    print(f"    Who never carries is right on {never:.1%} of the held-out problems.")
    if not (it.output / "base").exists():
        from model import make_model

        partial = it.output / "base.part"
        texts = [row["prompt"] + row["completion"] for row in rows]
        parameters = make_model(partial, texts, seed=it.seed)
        partial.rename(it.output / "base")
        print(f"    A Llama with {parameters:,} random weights is in {it.path('base')}.")


def finetune(it: Demo) -> None:
    """Train the model to imitate the demonstrators."""
    say("3/7  Supervised finetuning: the model learns to solve them, careless habit included.")
    schedule = ["--learning-rate", "2e-3", "--schedule", "cosine", "--batch-size", "32", "--max-steps", "600"]
    it.command(
        *("trainer", "sft", "--model", it.path("base"), "--data", it.path("data/demonstrations.jsonl")),
        *("--output", it.path("sft"), *schedule, "--micro-batch-size", "32", "--log-steps", "10"),
        *("--seed", str(it.seed)),
    )


def collect_feedback(it: Demo) -> None:
    """Let the model solve new problems, and write a thumb for each solution; and pairs, where they differ."""
    say("4/7  The model solves new problems; each solution gets a thumb up or down by its answer.")
    it.command(
        *("trainer", "sample", "--model", it.path("sft/model"), "--data", it.path("data/prompts.jsonl")),
        *("--output", it.path("samples.jsonl"), "--samples", str(SAMPLES), "--temperature", "1"),
        *("--max-new-tokens", "40", "--batch-size", "400", "--seed", str(it.seed)),
    )
    thumbs, pairs = feedback(read_rows(it.output / "samples.jsonl"))
    write_rows(it.output / "data/thumbs.jsonl", thumbs)
    write_rows(it.output / "data/pairs.jsonl", pairs)
    up = sum(row["label"] for row in thumbs)
    print(f"    {up} thumbs up, {len(thumbs) - up} down; {len(pairs)} pairs from problems with both.")


def feedback(samples: Iterable[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the same feedback in both formats: {prompt, completion, label} and {prompt, chosen, rejected}.

    Args:
        samples: rows with prompt, completion, whether it finished, and the right answer.
    """
    thumbs, by_prompt = [], defaultdict[str, dict[bool, list[str]]](lambda: {True: [], False: []})
    for sample in samples:
        label = sample["finished"] and answer_in(sample["completion"]) == sample["answer"]
        thumbs.append({"prompt": sample["prompt"], "completion": sample["completion"], "label": label})
        by_prompt[sample["prompt"]][label].append(sample["completion"])
    pairs = [
        {"prompt": prompt, "chosen": chosen, "rejected": rejected}
        for prompt, completions in by_prompt.items()
        for chosen, rejected in zip(completions[True], completions[False], strict=False)
    ]
    return thumbs, pairs


def align(it: Demo) -> None:
    """Train a copy of the model with each loss: same start, same steps, as many completions per step."""
    say("5/7  Alignment from that feedback, once with each loss. DPO needs the pairs; the others, thumbs.")
    for name, loss in it.losses.items():
        paired = name == "dpo"
        data, batch = ("data/pairs.jsonl", "32") if paired else ("data/thumbs.jsonl", "64")
        it.command(
            *("trainer", "align", "--loss", loss, *set_words(SETTINGS), "--model", it.path("sft/model")),
            *("--data", it.path(data), "--output", it.path(name), "--learning-rate", LEARNING_RATE),
            *("--batch-size", batch, "--micro-batch-size", batch, "--max-steps", str(STEPS)),
            *("--log-steps", "2", "--seed", str(it.seed), "--reference-cache", it.path("reference")),
        )


def evaluate(it: Demo) -> None:
    """Score every model on the held-out problems, and compare each aligned one with the SFT model."""
    say(f"6/7  {HELD_OUT} held-out problems through lm-eval, then paired comparisons with the SFT model.")
    runs = [it.path(f"evals/{name}") for name in ("sft", *it.losses)]
    for run_folder in runs:
        it.command(
            *("evalkit", "run", "--model", it.path(f"{Path(run_folder).name}/model")),
            *("--benchmarks", it.path(f"benchmark/{TASK.name}"), "--batch-size", "250", "--output", run_folder),
        )
    it.command("evalkit", "compare", *runs, "--baseline", runs[0], "--json", stdout="comparison.json")
    comparison = json.loads((it.output / "comparison.json").read_text(encoding="utf-8"))
    for one in comparison["scores"]:
        low, high = one["interval"]
        print(f"    {one['run']:8} {one['score']:6.1%}   95% interval {low:.1%} to {high:.1%}")
    for one in comparison["comparisons"]:
        word = "significant" if one["significant"] else "not significant"
        print(f"    {one['run']:8} - sft {one['difference']:+6.1%}   Holm p = {one['p_adjusted']:.2g}, {word}")


def show(it: Demo) -> Path:
    """Write the page, and return its path."""
    say("7/7  The page.")
    from page import read_story, write_page

    page = it.output / "index.html"
    write_page(read_story(it.output), page)
    return page.resolve()


def split(every: list[Problem], sizes: Iterable[int]) -> list[list[Problem]]:
    """Return consecutive parts of the given sizes."""
    parts, start = [], 0
    for size in sizes:
        parts.append(every[start : start + size])
        start += size
    return parts


def as_row(problem: Problem) -> dict[str, Any]:
    """Return a problem as data: its prompt, and the right answer."""
    return {"prompt": problem.prompt, "answer": problem.answer}


def set_words(settings: Mapping[str, float]) -> list[str]:
    """Return `--set beta=0.5` for {"beta": 0.5}."""
    return [word for name, value in settings.items() for word in ("--set", f"{name}={value:g}")]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows to a JSON-lines file, all or none."""
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write one JSON object."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write to a temporary file beside the target and rename it."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def say(text: str) -> None:
    """Begin a step of the story."""
    print(f"\n{text}", flush=True)


if __name__ == "__main__":
    sys.exit(run(app, DemoError))
