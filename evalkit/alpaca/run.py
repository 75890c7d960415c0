"""A run folder of AlpacaEval: its settings, its samples, its scores."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evalkit.alpaca.annotations import BENCHMARK, Annotations, in_order, read_annotations
from evalkit.alpaca.length_control import RESAMPLES, in_common, length_controlled_difference, possible_glms
from evalkit.alpaca.published import Published
from evalkit.alpaca.score import score as score_annotations
from evalkit.alpaca.score import scored_json
from evalkit.errors import EvalkitError
from evalkit.run_folder import clear_run, finish_run, read_config, start_run


def score(
    annotations: Annotations,
    published: Published,
    output: Path,
    *,
    config: Mapping[str, Any] | None = None,
    found: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Score annotations, write the run folder, and return what its results.json holds.

    Args:
        annotations: of one model.
        published: difficulties, gamed baselines and coefficients, as far as they were given.
        output: the run folder.
        config: settings beside those of the scores, such as the judge's.
        found: results beside the scores, such as what judging cost.
        notes: what a reader must know beside the scores' own notes.
        seed: of the bootstrap.
        resamples: of the bootstrap; 0 leaves it out.
        level: coverage of the intervals.
        overwrite: replace another run in the folder.

    Raises:
        EvalkitError: a folder with another run, or annotations that cannot be scored.
    """
    settings = {
        "benchmark": BENCHMARK,
        "model": annotations.model,
        "baseline": annotations.baseline,
        "reference": annotations.baseline,
        "judge": annotations.judge,
        **(config or {"annotations": annotations.source}),
        "published_files": dict(published.files),
        "seed": seed,
        "resamples": resamples,
        "level": level,
    }
    check_folder(output, settings, overwrite=overwrite)
    scored = score_annotations(annotations, published, seed=seed, resamples=resamples, level=level)
    results = {**scored_json(scored), **(found or {})}
    results["notes"] += list(notes)
    make_folder(output)
    start_run(output, settings)
    finish_run(output, results, _samples(annotations, published))
    return results


def check_folder(output: Path, settings: Mapping[str, Any], *, overwrite: bool) -> None:
    """Refuse a folder that holds another run, unless it may be replaced.

    Raises:
        EvalkitError: it holds one.
    """
    held = read_config(output)
    names = ("benchmark", "model", "baseline", "judge")
    if held is not None and any(held.get(name) != settings.get(name) for name in names):
        if not overwrite:
            what = ", ".join(f"{name} {held.get(name)}" for name in names if held.get(name) is not None)
            raise EvalkitError(f"{output}: holds another run ({what}); use another --output, or --overwrite")
        clear_run(output)


def make_folder(output: Path) -> None:
    """Make the run folder, so that nothing is computed or paid for in vain.

    Raises:
        EvalkitError: it cannot be made.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvalkitError(f"{output}: {error.strerror or error}; give a folder as --output") from error


def compare(
    first: Path,
    second: Path,
    published: Published,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = 0.95,
) -> dict[str, Any]:
    """Return the paired differences of two models' win rates and length-controlled win rates, in percent.

    Args:
        first: an annotations file, or a run folder of evalkit alpaca.
        second: the other.
        published: difficulties and gamed baselines, as far as they were given.
        seed: of the bootstrap.
        resamples: of the bootstrap.
        level: coverage of the intervals.

    Raises:
        EvalkitError: different baselines or judges, or no instruction in common.
    """
    import numpy as np

    from evalkit.statistics import EVERY_COMPARISON, paired_t

    whole = read_annotations(first), read_annotations(second)
    pair = in_common(*whole)
    plain = paired_t(pair[0].preferences() - pair[1].preferences(), level=level)
    names, why_not = possible_glms(pair[0], published)
    differences = {"win_rate": {k: 100 * v if k == "difference" else v for k, v in asdict(plain).items()}}
    if plain.interval is not None:
        differences["win_rate"]["interval"] = [100 * limit for limit in plain.interval]
    for name in names:
        rng = np.random.default_rng(seed)
        differences[name] = asdict(
            length_controlled_difference(*pair, published, glm_name=name, rng=rng, resamples=resamples, level=level)
        )
    smallest = 2 / (resamples + 1)
    coarse = []
    if any(differences[name]["p_value"] <= smallest for name in names):
        coarse = [f"A bootstrap of {resamples} resamples gives no p-value below {smallest:.2g}; more --resamples can."]
    left_out = [len(one.judgements) - plain.n for one in whole]
    unmatched = [
        f"{count} instructions of {one.model} have no counterpart and are left out"
        for one, count in zip(whole, left_out, strict=True)
        if count
    ]
    return {
        "benchmark": BENCHMARK,
        "first": whole[0].model,
        "second": whole[1].model,
        "baseline": whole[0].baseline,
        "judge": whole[0].judge,
        "unit": "percent",
        "level": level,
        "differences": differences,
        "notes": [*unmatched, *why_not, *coarse, *EVERY_COMPARISON],
    }


def _samples(annotations: Annotations, published: Published) -> Iterator[dict[str, Any]]:
    for j in in_order(annotations.judgements, Path(annotations.source)):
        row: dict[str, Any] = {
            "benchmark": BENCHMARK,
            "subset": "",
            "id": j.key,
            "score": j.preference,
            "metric": "preference",
            "higher_is_better": True,
            "prompt": j.instruction,
            "response": j.output,
            "baseline_response": j.baseline_output,
            "length": len(j.output),
            "baseline_length": len(j.baseline_output),
            "instruction_difficulty": published.difficulty.get(j.key),
            "shown_first": j.shown_first,
            "shown_second": j.shown_second,
        }
        if j.preference is None:
            row["error"] = j.error or "no verdict"
        yield row
