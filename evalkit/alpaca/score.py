"""All that is said of one model's annotations: win rate, length-controlled win rates, the judge's bias for a slot."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evalkit.alpaca.annotations import Annotations, Judgement
from evalkit.alpaca.glm import FOLDS
from evalkit.alpaca.instructions import NUM_INSTRUCTIONS, leaderboard_positions
from evalkit.alpaca.length_control import RESAMPLES, LengthControlled, length_controlled, possible_glms
from evalkit.alpaca.order import model_shown_first
from evalkit.alpaca.published import Published
from evalkit.errors import EvalkitError
from evalkit.statistics import (
    JUDGE_NOISE,
    Estimate,
    PairedDifference,
    UnpairedDifference,
    WinRate,
    paired_difference,
    unpaired_difference,
    wilson,
    win_rate,
)

LEADERBOARD_JUDGE, LEADERBOARD_BASELINE = "weighted_alpaca_eval_gpt4_turbo", "gpt4_1106_preview"
FAR_FROM_OPTIMUM = 0.1
"""Percentage points beyond which a reader is told; on the leaderboard's files it is at most 0.02."""


@dataclass(frozen=True, kw_only=True)
class SlotGap:
    """How much more the judge prefers an output because of the slot in which it is shown.

    Attributes:
        difference: mean preference for the model shown second, minus shown first.
        consistency: share of instructions with the same winner in both orders; None where each had one order.
    """

    difference: PairedDifference | UnpairedDifference
    consistency: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The scores of one model.

    Attributes:
        annotations: what they are of.
        missing: instructions without a verdict; they are in no score.
        win_rate: the mean preference for the model.
        standard_error: of the win rate, s / sqrt(n), in percent, as alpaca_eval gives it; None for one instruction.
        discrete_win_rate: each preference rounded to a win, a loss or a tie, in percent.
        mean_length: of the model's outputs, characters.
        length_controlled: by each GLM that the inputs allow, the leaderboard's first.
        published_rate: the length-controlled win rate that published coefficients determine, in percent, or None.
        slot_gap: None where the order is not known.
        notes: what a reader must know.
    """

    annotations: Annotations
    missing: int
    win_rate: WinRate
    standard_error: float | None
    discrete_win_rate: float
    mean_length: float
    length_controlled: tuple[LengthControlled, ...]
    published_rate: float | None
    slot_gap: SlotGap | None
    notes: tuple[str, ...]


def score(
    annotations: Annotations,
    published: Published,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = 0.95,
) -> Scored:
    """Return every score that annotations and published inputs allow.

    Args:
        annotations: of one model.
        published: difficulties, gamed baselines and coefficients, as far as they were given.
        seed: of the bootstrap; each GLM draws the same instructions.
        resamples: of the bootstrap; 0 leaves it out.
        level: coverage of the intervals, in (0, 1).

    Raises:
        EvalkitError: no verdict at all.
    """
    preferences = annotations.preferences()
    judged = preferences[np.isfinite(preferences)]
    if not len(judged):
        raise EvalkitError(f"{annotations.source}: not one of {len(preferences)} rows has a preference")
    found = win_rate(judged, level=level)
    possible, why_not = possible_glms(annotations, published)
    if possible and len(judged) < FOLDS:
        possible, why_not = (), (f"no length control: {len(judged)} verdicts, and its cross-validation needs {FOLDS}",)
    controlled = tuple(
        length_controlled(
            annotations,
            published,
            glm_name=name,
            rng=np.random.default_rng(seed),
            resamples=resamples,
            level=level,
        )
        for name in possible
    )
    published_rate, no_rate = _published_rate(annotations, published)
    return Scored(
        annotations=annotations,
        missing=len(preferences) - len(judged),
        win_rate=found,
        standard_error=100 * float(judged.std(ddof=1)) / math.sqrt(len(judged)) if len(judged) > 1 else None,
        discrete_win_rate=100 * (found.wins + found.ties / 2) / found.n,
        mean_length=float(np.mean([len(j.output) for j in annotations.judgements])),
        length_controlled=controlled,
        published_rate=published_rate,
        slot_gap=slot_gap(annotations, level=level),
        notes=(
            *_notes(annotations, len(preferences) - len(judged)),
            *why_not,
            *no_rate,
            *_length_notes(annotations, published, controlled),
            JUDGE_NOISE,
        ),
    )


def _published_rate(annotations: Annotations, published: Published) -> tuple[float | None, list[str]]:
    """Return the rate that published coefficients determine, or None and why they do not."""
    if not published.coefficients:
        return None, []
    try:
        return published.rate(annotations.model, annotations.baseline), []
    except EvalkitError as error:
        return None, [str(error)]


def slot_gap(annotations: Annotations, *, level: float = 0.95) -> SlotGap | None:
    """Return the judge's preference for the second slot, or None where the order shown is not known.

    Where each pair was shown in both orders it is a paired difference. The leaderboard's judge saw each in one, drawn
    by a seed: there it is the difference between the instructions of the two orders.
    """
    both = [j for j in annotations.judgements if j.shown_first is not None and j.shown_second is not None]
    if both:
        first, second = (np.array([getattr(j, name) for j in both]) for name in ("shown_first", "shown_second"))
        same = int((np.sign(first - 0.5) == np.sign(second - 0.5)).sum())
        return SlotGap(
            difference=paired_difference(second, first, level=level), consistency=wilson(same, len(both), level=level)
        )
    slots = [(j.preference, _is_first(annotations, j)) for j in annotations.judgements]
    first = np.array([p for p, shown_first in slots if p is not None and shown_first])
    second = np.array([p for p, shown_first in slots if p is not None and shown_first is False])
    if min(len(first), len(second)) < 2:
        return None
    return SlotGap(difference=unpaired_difference(second, first, level=level), consistency=None)


def _is_first(annotations: Annotations, judgement: Judgement) -> bool | None:
    """Return whether the model's output was the first that the judge saw; None where nobody knows."""
    if judgement.shown_first is not None or judgement.shown_second is not None:
        return judgement.shown_first is not None
    return model_shown_first(judgement.instruction) if annotations.judge == LEADERBOARD_JUDGE else None


def _notes(annotations: Annotations, missing: int) -> list[str]:
    notes = []
    if missing:
        notes.append(
            f"{missing} of {len(annotations.judgements)} instructions have no verdict: they count neither as a win "
            "nor as a loss."
        )
    empty = sum(not j.output.strip() for j in annotations.judgements)
    if empty:
        notes.append(f"{empty} outputs of the model are empty.")
    if annotations.judge == LEADERBOARD_JUDGE and annotations.baseline == LEADERBOARD_BASELINE:
        known = sum(j.key in leaderboard_positions() for j in annotations.judgements)
        without = NUM_INSTRUCTIONS - known
        if known and without:  # with none known it is another set of instructions
            notes.append(
                f"{without} of AlpacaEval's {NUM_INSTRUCTIONS} instructions are missing. The leaderboard looks "
                "difficulties up by row, so its length-controlled win rate of such a file uses those of other "
                "instructions; ours does not."
            )
    return notes


def _length_notes(annotations: Annotations, published: Published, controlled: Sequence[LengthControlled]) -> list[str]:
    notes = [
        f"{one.glm}: alpaca_eval's solver stopped at {one.rate:.2f}, the optimum of its loss is at "
        f"{one.rate_at_optimum:.2f}."
        for one in controlled
        if abs(one.rate - one.rate_at_optimum) > FAR_FROM_OPTIMUM
    ]
    if published.difficulty and (annotations.judge, annotations.baseline) != (LEADERBOARD_JUDGE, LEADERBOARD_BASELINE):
        notes.append(
            f"The difficulties were measured by {LEADERBOARD_JUDGE} against {LEADERBOARD_BASELINE}; this is "
            f"{annotations.judge or 'an unnamed judge'} against {annotations.baseline}: not the leaderboard's scale."
        )
    return notes


def scored_json(scored: Scored) -> dict[str, Any]:
    """Return the scores as one JSON object; rates in percent, under alpaca_eval's names where it has them."""
    found, annotations = scored.win_rate, scored.annotations
    return {
        "benchmark": "alpaca_eval",
        "model": annotations.model,
        "baseline": annotations.baseline,
        "judge": annotations.judge,
        "unit": "percent",
        "win_rate": 100 * found.win_rate,
        "standard_error": scored.standard_error,
        "win_rate_interval": _percent(found.interval),
        "level": found.level,
        "interval_method": found.interval_method,
        "assumptions": found.assumptions,
        "p_value": found.p_value,
        "test": found.test,
        "n_total": found.n,
        "n_wins": found.wins,
        "n_wins_base": found.losses,
        "n_draws": found.ties,
        "n_missing": scored.missing,
        "discrete_win_rate": scored.discrete_win_rate,
        "avg_length": int(scored.mean_length),
        **_headline(scored),
        "length_controlled": [_controlled_json(one) for one in scored.length_controlled],
        "length_controlled_from_published_coefficients": scored.published_rate,
        "slot_gap": _gap_json(scored.slot_gap),
        "notes": list(scored.notes),
    }


def _headline(scored: Scored) -> dict[str, Any]:
    """Return the length-controlled win rate that is closest to the leaderboard's: published, else fitted, else none."""
    if scored.published_rate is not None:
        rate, error, interval, how = scored.published_rate, None, None, "published coefficients"
    elif scored.length_controlled:
        one = scored.length_controlled[0]
        rate, error, interval, how = one.rate, one.standard_error, one.interval, one.glm
    else:
        rate, error, interval, how = None, None, None, None
    return {
        "length_controlled_winrate": rate,
        "lc_standard_error": error,
        "lc_interval": interval,
        "lc_method": how,
    }


def _controlled_json(one: LengthControlled) -> dict[str, Any]:
    return {
        "glm": one.glm,
        "length_controlled_winrate": one.rate,
        "standard_error": one.standard_error,
        "interval": one.interval,
        "level": one.level,
        "interval_method": f"percentile bootstrap over instructions, refitted, {one.resamples} resamples",
        "alpaca_eval_lc_standard_error": one.alpaca_eval_standard_error,
        "at_optimum": one.rate_at_optimum,
        "coefficients": dict(one.coefficients),
        "inverse_penalty": one.strength,
        "n": one.n,
    }


def _gap_json(gap: SlotGap | None) -> dict[str, Any] | None:
    if gap is None:
        return None
    shown = gap.difference
    consistency: Mapping[str, Any] | None = None
    if gap.consistency is not None:
        consistency = {"share": gap.consistency.score, "interval": gap.consistency.interval, "n": gap.consistency.n}
    return {
        "second_minus_first": 100 * shown.difference,
        "interval": _percent(shown.interval),
        "method": shown.interval_method,
        "p_value": shown.p_value,
        "paired": isinstance(shown, PairedDifference),
        "consistency": consistency,
    }


def _percent(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if interval is None else (100 * interval[0], 100 * interval[1])
