"""`evalkit power`."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from evalkit.errors import EvalkitError


def power(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="A run, or two: their items and noise; without, give --n.")
    ] = None,
    n: Annotated[int | None, typer.Option("--n", help="Number of items.")] = None,
    benchmark: Annotated[
        str | None, typer.Option(help="In place of --n: gsm8k, bbh, mmlu, humaneval, alpaca_eval.")
    ] = None,
    baseline_score: Annotated[float | None, typer.Option(help="The baseline's share of right answers.")] = None,
    discordant: Annotated[float | None, typer.Option(help="Share of items that only one of the two has right.")] = None,
    correlation: Annotated[
        float | None, typer.Option(help="Of the two models' scores over items; 0.3, 0.5 and 0.7 without.")
    ] = None,
    sd: Annotated[
        float | None, typer.Option("--sd", help="Graded scores: standard deviation of the paired differences.")
    ] = None,
    difference: Annotated[float | None, typer.Option(help="To be found; without, the smallest that is.")] = None,
    power: Annotated[float, typer.Option(help="Probability of finding it.")] = 0.8,
    level: Annotated[
        float, typer.Option(help="Coverage of the intervals; 1 - level is the significance level.")
    ] = 0.95,
    clusters: Annotated[int | None, typer.Option(help="Number of clusters that the items come in.")] = None,
    icc: Annotated[float | None, typer.Option(help="Correlation of the differences within a cluster.")] = None,
    cluster_subsets: Annotated[
        bool, typer.Option("--cluster-subsets", help="Two runs: take their subsets for clusters, icc as observed.")
    ] = False,
    comparisons: Annotated[
        int | None, typer.Option(help="Comparisons in the family; 1, or the benchmarks of the runs.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """How many items a comparison needs, or how small a difference it can find; before it, or after.

    Example: evalkit power --benchmark gsm8k --baseline-score 0.55 --difference 0.03

    Example: evalkit power evals/sft evals/kto
    """
    if find_spec("scipy") is None:
        raise EvalkitError("scipy is not installed; install what evaluation needs: pip install 'halotheory[eval]'")
    from evalkit.planning.plan import Goal, Noise, plan
    from evalkit.planning.runs import plan_runs
    from evalkit.planning.text import as_json as to_json
    from evalkit.planning.text import print_plan

    if (clusters is None) != (icc is None):
        raise EvalkitError("--clusters and --icc belong together: how many clusters, and how alike their items are")
    goal = Goal(
        difference=difference,
        power=power,
        level=level,
        comparisons=1 if comparisons is None else comparisons,
        clusters=clusters,
        icc=icc or 0.0,
    )
    noise = Noise(discordant=discordant, baseline_score=baseline_score, correlation=correlation, deviation=sd)
    notes: tuple[str, ...] = ()
    if runs:
        if n is not None or benchmark is not None:
            raise EvalkitError("runs have their own items; leave --n and --benchmark out")
        planned, notes = plan_runs(runs, noise, goal, comparisons=comparisons, cluster_subsets=cluster_subsets)
    else:
        if cluster_subsets:
            raise EvalkitError("--cluster-subsets is for two runs; give --clusters and --icc")
        planned = plan(n=n, benchmark=benchmark, noise=noise, goal=goal)
    if as_json:
        print(json.dumps(to_json(planned, notes), indent=2, allow_nan=False))
    else:
        print_plan(planned, notes, sys.stdout)
