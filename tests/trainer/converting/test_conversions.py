"""Laws of pairs, thumbs and scores."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.converting.rows import PAIRS, SCORED, THUMBS, row, rows
from trainer.converting.conversions import pairs_of_answers, thumb_of_score, thumbs_of_pair
from trainer.converting.steps import Step, UnusableRowError, each
from trainer.data import Row


def made(answers: list[Row], how: str) -> tuple[list[dict[str, Any]], Step]:
    step = Step(operation="pairs")
    return [pair.values for pair in pairs_of_answers(answers, how, step)], step


def of_one_prompt(values: list[dict[str, Any]]) -> list[Row]:
    return rows([{**one, "prompt": "p"} for one in values])


@given(PAIRS)
def test_pairs_to_thumbs_doubles_and_balances(values: list[dict[str, Any]]) -> None:
    step = Step(operation="thumbs")
    thumbs = [one.values for one in each(rows(values), thumbs_of_pair, step)]
    assert len(thumbs) == step.made == 2 * len(values)
    assert sum(one["label"] for one in thumbs) == len(values)
    assert [one["completion"] for one in thumbs if one["label"]] == [one["chosen"] for one in values]


@given(THUMBS, st.sampled_from(["all", "best-worst"]))
def test_thumbs_of_pairs_of_thumbs_are_among_the_thumbs(values: list[dict[str, Any]], how: str) -> None:
    answers = of_one_prompt(values)
    pairs, step = made(answers, how)
    again = [one.values for pair in pairs for one in thumbs_of_pair(row(pair))]
    given = [one.values for one in answers]
    assert all(one in given for one in again)
    ups = sum(one["label"] for one in values)
    downs = len(values) - ups
    assert len(pairs) == step.made == (ups * downs if how == "all" else min(ups * downs, 1))
    if ups and downs and how == "all":
        assert all(one in again for one in given)
        assert step.used == len(values)


@given(SCORED, st.sampled_from(["all", "best-worst"]))
def test_the_chosen_scores_higher_by_the_margin(values: list[dict[str, Any]], how: str) -> None:
    answers = of_one_prompt(values)
    pairs, step = made(answers, how)
    scores = Counter((one["completion"], one["score"]) for one in values)
    for pair in pairs:
        assert pair["margin"] > 0
        assert any(
            (pair["rejected"], score - pair["margin"]) in scores for text, score in scores if text == pair["chosen"]
        )
    unequal = sum(a["score"] > b["score"] for a in values for b in values)
    spread = max(one["score"] for one in values) - min(one["score"] for one in values)
    if how == "all":
        assert len(pairs) == unequal
    else:
        assert [pair["margin"] for pair in pairs] == ([spread] if spread else [])
    assert step.rows == len(values)
    assert step.used == {"all": len(values), "best-worst": 2}[how] * bool(spread)


def test_best_and_worst_are_the_earliest_of_equals() -> None:
    scores = [("a", 1.0), ("b", 3.0), ("c", 0.0), ("d", 3.0), ("e", 0.0)]
    pairs, step = made(rows([{"prompt": "p", "completion": c, "score": s} for c, s in scores]), "best-worst")
    assert pairs == [{"prompt": "p", "chosen": "b", "rejected": "c", "margin": 3.0}]
    assert step.dropped == {"neither the best nor the worst answer to its prompt": (3, "d:1")}


@given(SCORED, st.integers(0, 5))
def test_scores_to_thumbs_cuts_at_the_threshold(values: list[dict[str, Any]], threshold: int) -> None:
    step = Step(operation="thumbs")
    thumbs = [one.values for one in each(rows(values), lambda one: thumb_of_score(one, threshold), step)]
    kept = [one for one in values if one["score"] != threshold]
    assert [one["label"] for one in thumbs] == [one["score"] > threshold for one in kept]
    assert [one["weight"] for one in thumbs] == [abs(one["score"] - threshold) for one in kept]
    assert step.rows - step.used == len(values) - len(kept)


def test_a_given_weight_is_kept() -> None:
    (thumb,) = thumb_of_score(row({"prompt": "p", "completion": "c", "score": 3.0, "weight": 0.5}), 1)
    assert thumb.values["weight"] == 0.5


def test_a_score_at_the_threshold_is_no_thumb() -> None:
    with pytest.raises(UnusableRowError, match=r"the score is the threshold, 2.5"):
        thumb_of_score(row({"prompt": "p", "completion": "c", "score": 2.5}), 2.5)
