"""Online rounds: sample from the model, label with the verifier, align, and begin again with the aligned model.

    python examples/online/online.py --output runs/online

An interrupted run goes on with the same command, because the commands that it runs do.
"""

import json
import random
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

sys.path.append(str(Path(__file__).resolve().parents[1] / "demo"))

from commands import DemoError, run_command
from demo import (
    LEARNING_RATE,
    SETTINGS,
    TASK,
    as_row,
    feedback,
    finetune,
    make_data,
    open_folder,
    read_rows,
    say,
    set_words,
    write_rows,
    write_text,
)
from task import problems

from halotheory.command import run

BATCH = 64

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@dataclass(frozen=True, kw_only=True)
class Online:
    """The loop's settings.

    Attributes:
        output: a folder of its own; nothing is written outside but the demo, where that is not there yet.
        demo: the folder of the demo, whose SFT model the first round samples from.
        rounds: how many.
        prompts: new problems of each round.
        samples: solutions of each problem.
        steps: optimizer steps of each round.
        loss: of single completions with a thumb.
        seed: of the problems, the samples and the order of training.
    """

    output: Path
    demo: Path
    rounds: int
    prompts: int
    samples: int
    steps: int
    loss: str
    seed: int

    def model(self, number: int) -> str:
        """Return the model after so many rounds."""
        return str(self.output / f"round-{number}" / "model" if number else self.demo / "sft" / "model")

    def path(self, name: str) -> str:
        """Return a path in the output folder, as a user would type it."""
        return str(self.output / name)

    def command(self, *words: str, stdout: str | None = None) -> None:
        """Run one of the commands."""
        file = self.output / stdout if stdout else None
        run_command(list(words), self.output / "commands.jsonl", stdout=file)


@app.command()
def online(
    output: Annotated[Path, typer.Option(help="A folder of the loop's own.")] = Path("runs/online"),
    demo: Annotated[Path, typer.Option(help="The demo's folder; its SFT model is made if it is not there.")] = Path(
        "runs/demo"
    ),
    rounds: Annotated[int, typer.Option(help="Rounds.", min=1)] = 3,
    prompts: Annotated[int, typer.Option(help="New problems of a round.", min=2)] = 1000,
    samples: Annotated[int, typer.Option(help="Solutions of a problem.", min=1)] = 4,
    steps: Annotated[int, typer.Option(help="Optimizer steps of a round.", min=1)] = 60,
    loss: Annotated[str, typer.Option(help="A loss of single completions with a thumb.")] = "kto",
    seed: Annotated[int, typer.Option(help="Of the problems, the samples and the training.", min=0)] = 0,
) -> None:
    """Align a tiny model on its own samples, round by round, and measure every round on held-out problems.

    Example: python examples/online/online.py --rounds 3 --output runs/online
    """
    it = Online(
        output=output, demo=demo, rounds=rounds, prompts=prompts, samples=samples, steps=steps, loss=loss, seed=seed
    )
    open_output(it)
    start(it)
    ups = [play(it, number) for number in range(1, rounds + 1)]
    print("\n" + report(it, ups))


def open_output(it: Online) -> None:
    """Make the folder, or find it begun with the same settings; more rounds may be asked of it.

    Raises:
        DemoError: the folder holds something else, or a loop with other settings.
    """
    settings, wanted = it.output / "online.json", {**asdict(it), "output": None, "demo": str(it.demo), "rounds": None}
    if settings.exists():
        found = json.loads(settings.read_text(encoding="utf-8"))
        changed = [name for name in wanted if found.get(name) != wanted[name]]
        if changed:
            raise DemoError(f"{it.output}: holds a loop of another --{changed[0]}; give another --output")
    elif it.output.exists() and (not it.output.is_dir() or any(it.output.iterdir())):
        raise DemoError(f"{it.output}: exists, and is no loop; give another --output")
    it.output.mkdir(parents=True, exist_ok=True)
    write_text(settings, json.dumps(wanted) + "\n")


def start(it: Online) -> None:
    """Make the demo's data and SFT model where they are not there, and score the model."""
    if not Path(it.model(0)).exists():
        say(f"The loop begins with the SFT model of the demo, which is made in {it.demo}.")
        begun = open_folder(it.demo, it.seed)
        make_data(begun)
        finetune(begun)
    say("Before the first round")
    evaluate(it, 0)


def play(it: Online, number: int) -> float:
    """Play one round, and return the share of its samples that were right."""
    say(f"Round {number} of {it.rounds}")
    folder, before = f"round-{number}", it.model(number - 1)
    asked, thumbs = it.output / f"{folder}.prompts.jsonl", it.output / f"{folder}.thumbs.jsonl"
    write_rows(asked, new_problems(it, number))
    it.command(
        *("trainer", "sample", "--model", before, "--data", str(asked), "--output", it.path(f"{folder}.samples.jsonl")),
        *("--samples", str(it.samples), "--temperature", "1", "--max-new-tokens", "40", "--batch-size", "400"),
        *("--seed", str(it.seed + number)),
    )
    labelled, _ = feedback(read_rows(it.output / f"{folder}.samples.jsonl"))
    write_rows(thumbs, labelled)
    right = sum(row["label"] for row in labelled) / len(labelled)
    print(f"    {right:.1%} of {len(labelled)} samples are right.")
    it.command(
        *("trainer", "align", "--loss", it.loss, *set_words(SETTINGS), "--model", before, "--data", str(thumbs)),
        *("--output", it.path(folder), "--learning-rate", LEARNING_RATE, "--batch-size", str(BATCH)),
        *("--micro-batch-size", str(BATCH), "--max-steps", str(it.steps), "--seed", str(it.seed)),
        *("--reference-cache", it.path("reference")),
    )
    evaluate(it, number)
    return right


def new_problems(it: Online, number: int) -> Iterator[dict[str, Any]]:
    """Yield a round's problems, none of which is held out."""
    held_out = {numbers_in(row) for row in read_rows(it.demo / "benchmark" / "heldout.jsonl")}
    drawn = map(as_row, problems(it.prompts + len(held_out), random.Random(f"{it.seed} {number}")))
    kept = (row for row in drawn if numbers_in(row) not in held_out)
    return (row for row, _ in zip(kept, range(it.prompts), strict=False))


def numbers_in(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the numbers of a problem's text."""
    return tuple(re.findall("[0-9]+", row["prompt"]))


def evaluate(it: Online, number: int) -> None:
    """Score the model after so many rounds on the held-out problems."""
    it.command(
        *("evalkit", "run", "--model", it.model(number), "--benchmarks", str(it.demo / "benchmark" / TASK.name)),
        *("--batch-size", "250", "--output", it.path(f"evals/round-{number}")),
    )


def report(it: Online, ups: list[float]) -> str:
    """Return a table of all rounds, which is also in `rounds.md`: samples that were right, and held-out accuracy."""
    runs = [it.path(f"evals/round-{number}") for number in range(it.rounds + 1)]
    it.command("evalkit", "compare", *runs, "--baseline", runs[0], "--json", stdout="comparison.json")
    compared = json.loads((it.output / "comparison.json").read_text(encoding="utf-8"))
    against = {one["run"]: one for one in compared["comparisons"]}
    rounds = zip(compared["scores"], [None, *ups], strict=True)
    lines = [_row(score, against.get(score["run"]), right) for score, right in rounds]
    header = "| model | samples right | held-out accuracy | 95% interval | against the start | Holm p |"
    table = "\n".join([header, "|---|---|---|---|---|---|", *lines]) + "\n"
    write_text(it.output / "rounds.md", table)
    return table


def _row(score: Mapping[str, Any], difference: Mapping[str, Any] | None, right: float | None) -> str:
    low, high = score["interval"]
    cells = [score["run"], "" if right is None else f"{right:.1%}", f"{score['score']:.1%}", f"{low:.1%} to {high:.1%}"]
    cells += [f"{difference['difference']:+.1%}", f"{difference['p_adjusted']:.2g}"] if difference else ["", ""]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(run(app, DemoError))
