"""The demo's results as one self-contained HTML page."""

import json
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands import Finished, read_record
from figures import kl_figure, rewards_figure, scores_figure, sft_figure
from task import answer_in

if TYPE_CHECKING:
    from markupsafe import Markup

HERE = Path(__file__).resolve().parent
LOSSES = ("kto", "dpo", "my_loss")
SHOWN_DEMONSTRATIONS, SHOWN_ITEMS = 6, 4
PACKAGES = ("halotheory", "torch", "transformers", "accelerate", "lm_eval", "scipy", "sympy", "z3-solver")

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """How much feedback there was: thumbs, and the pairs made of them."""

    up: int
    down: int
    pairs: int
    prompts: int


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    """A solution to imitate, and whether it is right."""

    prompt: str
    text: str
    right: bool


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model answered to a held-out problem, and whether that is right."""

    model: str
    text: str
    right: bool


@dataclass(frozen=True, kw_only=True)
class Item:
    """A held-out problem with every model's answer."""

    prompt: str
    target: str
    answers: Sequence[Answer]


@dataclass(frozen=True, kw_only=True)
class Story:
    """Everything that the page tells.

    Attributes:
        seed: of the demo.
        careful_share: of the demonstrators, those who carry.
        never_carries_scores: share of the held-out problems that a solver who never carries gets right.
        demonstrations: how many.
        examples: the first of them.
        verdicts: what `halotheory check --json` printed, by loss.
        values_svg: the picture that `halotheory plot` drew.
        feedback: counts.
        metrics: lines of metrics.jsonl, by run (`sft` and the losses).
        comparison: what `evalkit compare --json` printed.
        items: problems that SFT gets wrong and an aligned model right.
        regressions: problems that SFT gets right and an aligned model wrong, at most one.
        commands: that made it all.
        versions: of what made it.
    """

    seed: int
    careful_share: float
    never_carries_scores: float
    demonstrations: int
    examples: Sequence[Demonstration]
    verdicts: Mapping[str, Row]
    values_svg: str
    feedback: Feedback
    metrics: Mapping[str, Sequence[Row]]
    comparison: Row
    items: Sequence[Item]
    regressions: Sequence[Item]
    commands: Sequence[Finished]
    versions: Mapping[str, str]


def read_story(output: Path) -> Story:
    """Return what a finished demo's folder tells."""
    about, comparison = _read_json(output / "data/about.json"), _read_json(output / "comparison.json")
    demonstrations = _read_rows(output / "data/demonstrations.jsonl")
    thumbs = _read_rows(output / "data/thumbs.jsonl")
    up = sum(row["label"] for row in thumbs)
    items = _items({run: _read_rows(output / f"evals/{run}/samples.jsonl") for run in ("sft", *LOSSES)})
    solved = [item for item in items if not item.answers[0].right and any(one.right for one in item.answers)]
    lost = [item for item in items if item.answers[0].right and not all(one.right for one in item.answers)]
    return Story(
        seed=_read_json(output / "demo.json")["seed"],
        careful_share=about["careful_share"],
        never_carries_scores=about["never_carries_scores"],
        demonstrations=len(demonstrations),
        examples=[_demonstration(row) for row in demonstrations[:SHOWN_DEMONSTRATIONS]],
        verdicts={name: _read_json(output / f"verdicts/{name}.json") for name in LOSSES},
        values_svg=(output / "verdicts/values.svg").read_text(encoding="utf-8"),
        feedback=Feedback(
            up=up,
            down=len(thumbs) - up,
            pairs=len(_read_rows(output / "data/pairs.jsonl")),
            prompts=len({row["prompt"] for row in thumbs}),
        ),
        metrics={run: _read_rows(output / f"{run}/metrics.jsonl") for run in ("sft", *LOSSES)},
        comparison=comparison,
        items=solved[:SHOWN_ITEMS],
        regressions=lost[:1],
        commands=read_record(output / "commands.jsonl"),
        versions={"Python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    )


def _demonstration(row: Row) -> Demonstration:
    total = sum(map(int, re.findall(r"[0-9]+", row["prompt"])))
    return Demonstration(
        prompt=row["prompt"], text=row["completion"].strip(), right=answer_in(row["completion"]) == total
    )


def _items(samples: Mapping[str, Sequence[Row]]) -> list[Item]:
    """Return the items in the order of the first run, each with the answers of all."""
    by_id = {run: {row["id"]: row for row in rows} for run, rows in samples.items()}
    return [
        Item(
            prompt=row["prompt"],
            target=row["target"],
            answers=[_answer(run, rows[row["id"]]) for run, rows in by_id.items()],
        )
        for row in next(iter(samples.values()))
    ]


def _answer(run: str, row: Row) -> Answer:
    return Answer(model=run, text=row["response"].strip(), right=row["score"] == 1)


def write_page(story: Story, path: Path) -> None:
    """Write the page: HTML with its style and pictures inside, and nothing to fetch."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(render(story), encoding="utf-8")
    temporary.replace(path)


def render(story: Story) -> str:
    """Return the page's HTML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= FILTERS
    figures = {
        "values": inline(story.values_svg, "Implied value functions of the losses beside Kahneman and Tversky's"),
        "scores": inline(scores_figure(story.comparison["scores"]), "Accuracy of each model with its interval"),
        "sft": inline(sft_figure(story.metrics["sft"]), "Loss of supervised finetuning by step"),
        "kl": inline(kl_figure(story.metrics), "Estimates of the reference point by step"),
        **{
            f"rewards_{name}": inline(svg, f"Rewards of desirable and undesirable outputs under {name}, by step")
            for name, svg in rewards_figure({name: story.metrics[name] for name in LOSSES}).items()
        },
    }
    template = environment.get_template("page.html.j2")
    return template.render(
        story=story,
        losses=LOSSES,
        figures={name: Markup(svg) for name, svg in figures.items()},  # noqa: S704
    )


def inline(svg: str, label: str) -> str:
    """Return a picture ready to stand in a page: as wide as its column, with a name for those who cannot see it."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<style type="text/css">.*?</style>', "", svg, flags=re.DOTALL)
    return re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', rf'\1 role="img" aria-label="{label}"', svg, count=1)


def percent(share: float) -> str:
    """Return `87.5 %` for 0.875."""
    return f"{100 * share:.1f}\u202f%"


def whole_percent(share: float) -> str:
    """Return `40 %` for 0.4."""
    return f"{100 * share:.0f}\u202f%"


def points(difference: float) -> str:
    """Return `+58.2` for 0.582, a difference in percentage points."""
    return f"{100 * difference:+.1f}".replace("-", "\N{MINUS SIGN}")


def signed_range(interval: Sequence[float]) -> str:
    """Return `+54.9 to +61.3`, in percentage points."""
    return f"{points(interval[0])} to {points(interval[1])}"


def p_value(p: float) -> "Markup":
    """Return a p-value as papers print it: three decimals, or a power of ten."""
    from markupsafe import Markup

    if p >= 0.001:
        return Markup(f"{p:.3f}")  # noqa: S704 (a number)
    if p < 1e-300:
        return Markup("&lt; 10<sup>−300</sup>")
    mantissa, exponent = f"{p:.1e}".split("e")
    return Markup("{}\u202f×\u202f10<sup>−{}</sup>").format(mantissa, -int(exponent))


FILTERS = {
    "percent": percent,
    "whole_percent": whole_percent,
    "points": points,
    "signed_range": signed_range,
    "p": p_value,
}


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _read_rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
