"""What it costs to know one output of a prompt instead of pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from halotheory.contract import Loss
from halotheory.experiments.budget import Budget
from halotheory.experiments.contenders import Contender, contenders
from halotheory.experiments.data import Data, usual_data
from halotheory.experiments.measures import GAIN, KL, WIN
from halotheory.experiments.result import Result
from halotheory.experiments.sweep import Axis, Design, check_within, sweep
from halotheory.experiments.trials import Started
from halotheory.worlds import Feedback, Pairs, ReferencePoint, Thumbs, one_output_per_prompt

EXAMPLES = (40, 160, 640)


def run(
    losses: Sequence[Loss | str] = ("kto", "dpo"),
    *,
    at: Sequence[float] = EXAMPLES,
    budget: Budget | None = None,
    settings: Mapping[str, float] | None = None,
    reference_point: ReferencePoint = "kl",
    started: Started = print,
) -> Result:
    """Return the gain in reward from both outputs of each pair, from one of them, and from one output per prompt.

    Args:
        losses: of the contract; each unpaired one takes part with all three, a paired one with the pairs.
        at: numbers of pairs, whole.
        budget: what each may spend; its number of examples is not used.
        settings: hyperparameters.
        reference_point: what losses are told as `kl`.
        started: is told what comes next.

    Raises:
        HaloTheoryError: a loss, a number or a setting that cannot be used.
    """
    check_within("a number of pairs", at, 1, 1e6)
    budget = budget or Budget()

    design = Design(
        experiment="one-per-prompt",
        question="What does it cost to know one output instead of two?",
        axis=Axis(where="with {} pairs", label="pairs in the data set", at=sorted(at), scale="log"),
        data=lambda size, tuning: usual_data(budget, tuning=tuning, size=round(size)),
        measures=(GAIN, WIN, KL),
        notes=(
            "one of each pair: one output of each pair is left out at random, which halves the examples",
            "one per prompt: each prompt keeps a single output, judged as often as its outputs were in the pairs",
            "prompts of a tabular world share no parameters: nothing is learnt of an output that nobody judged",
        ),
    )
    entered = [
        each
        for plain in contenders(losses, settings, reference_point=reference_point)
        for each in by_data(plain, budget.seed)
    ]
    return sweep(design, entered, budget, started)


def by_data(contender: Contender, seed: int) -> list[Contender]:
    """Return an unpaired contender with one of each pair, both, and one output per prompt; a paired one as it is."""
    if contender.loss.kind == "paired":
        return [replace(contender, name=f"{contender.name} (pairs)")]

    def one_of_each(data: Data) -> Feedback:
        assert data.pairs is not None
        return one_of_each_pair(data.pairs, data.size, generator=torch.Generator().manual_seed(seed + 2))

    def one_each_prompt(data: Data) -> Feedback:
        return one_output_per_prompt(data.thumbs, generator=torch.Generator().manual_seed(seed + 2))

    return [
        replace(contender, name=f"{contender.name} (one of each pair)", selected=one_of_each),
        replace(contender, name=f"{contender.name} (both outputs)"),
        replace(contender, name=f"{contender.name} (one per prompt)", selected=one_each_prompt),
    ]


def one_of_each_pair(data: Pairs, size: int, *, generator: torch.Generator) -> Thumbs:
    """Return the labelled outputs that remain where one output of each pair is left out at random.

    Args:
        data: shares of `size` pairs.
        size: how many pairs.
        generator: the source of randomness.
    """
    counts = (data.weights * size).round().to(generator.device)
    chosen = torch.binomial(counts, torch.full_like(counts, 0.5), generator=generator)
    kept = torch.stack([(counts - chosen).sum(-2), chosen.sum(-1)], dim=-1)
    return Thumbs(weights=(kept / size).to(data.weights.device))
