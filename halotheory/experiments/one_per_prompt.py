"""What it costs to know one output of a prompt instead of pairs."""

from dataclasses import replace

import torch

from halotheory.experiments.contenders import Contender
from halotheory.experiments.data import Data, usual_data
from halotheory.experiments.experiment import Asked, Experiment
from halotheory.experiments.measures import GAIN, KL, WIN
from halotheory.experiments.result import Result
from halotheory.experiments.sweep import Axis, Design, check_sizes, sweep
from halotheory.worlds import Feedback, Pairs, Thumbs, one_output_per_prompt


def _result(asked: Asked) -> Result:
    """Return the gain in reward from both outputs of each pair, from one of them, and from one output per prompt."""
    check_sizes(asked.at)
    design = Design(
        experiment="one-per-prompt",
        question="What does it cost to know one output instead of two?",
        axis=Axis(where="with {} pairs", label="pairs in the data set", at=asked.at, scale="log"),
        data=lambda size, tuning: usual_data(asked.budget, tuning=tuning, size=round(size)),
        measures=(GAIN, WIN, KL),
        largest=round(max(asked.at, default=0)),
        notes=(
            "one of each pair: one output of each pair is left out at random, which halves the examples",
            "one per prompt: each prompt keeps a single output, judged as often as its outputs were in the pairs",
            "prompts of a tabular world share no parameters: nothing is learnt of an output that nobody judged",
        ),
    )
    entered = [each for plain in asked.contenders() for each in by_data(plain, asked.budget.seed)]
    return sweep(design, entered, asked)


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


EXPERIMENT = Experiment(
    name="one-per-prompt",
    varies="the number of pairs in a world's data set, whole, in [1, 10^6]",
    losses=("kto", "dpo"),
    at=(40, 160, 640),
    result=_result,
)
run = EXPERIMENT.run
