"""AlpacaEval's own annotations: its win rates, standard errors and length-controlled win rates come out again."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.alpaca.annotations import Annotations, read_annotations
from evalkit.alpaca.instructions import instruction_key, leaderboard_order
from evalkit.alpaca.length_control import GLMS, length_controlled, length_controlled_difference
from evalkit.alpaca.order import model_shown_first
from evalkit.alpaca.published import Published, read_published
from evalkit.alpaca.score import score, scored_json
from tests.evalkit.alpaca.conftest import REAL_MODELS

EXPECTED = ("lc_v1_approx", "lc_noreg_approx_difficulty", "lc_minimal")


@pytest.fixture(scope="module")
def published(real: Path) -> Published:
    return read_published(
        difficulty=real / "approx_instruction_difficulty.jsonl",
        gamed=real / "approx_df_gamed.csv",
        weights=real / "glm_weights_rows.csv",
    )


def read(real: Path, model: str) -> Annotations:
    return read_annotations(real / "annotations" / f"{model}.json")


def test_the_order_of_instructions_is_alpaca_evals(real: Path) -> None:
    for model in REAL_MODELS:
        rows = json.loads((real / "annotations" / f"{model}.json").read_text(encoding="utf-8"))
        for row in rows:
            assert leaderboard_order()[row["instruction_index"]] == instruction_key(row["instruction"])


@pytest.mark.parametrize("model", REAL_MODELS)
def test_the_published_leaderboard_is_reproduced(
    real: Path, expected: dict[str, dict[str, Any]], published: Published, model: str
) -> None:
    row, found = expected[model], scored_json(score(read(real, model), published, resamples=0))
    assert found["win_rate"] == pytest.approx(row["published_win_rate"], abs=1e-9)
    assert found["standard_error"] == pytest.approx(row["published_standard_error"], abs=1e-9)
    assert found["n_total"] == row["n_annotations"]
    fitted = {one["glm"]: one["length_controlled_winrate"] for one in found["length_controlled"]}
    assert [fitted[name] for name in GLMS] == pytest.approx([row[name] for name in EXPECTED], abs=1e-6)
    by_coefficients = found["length_controlled_from_published_coefficients"]
    assert by_coefficients == pytest.approx(row["lc_from_published_weights_approx"], abs=1e-9)
    assert by_coefficients == pytest.approx(row["published_length_controlled_winrate"], abs=0.15)


def test_counts_are_the_leaderboards(real: Path, published: Published) -> None:
    found = scored_json(score(read(real, "claude-2.1_concise"), published, resamples=0))
    assert [found[name] for name in ("n_wins", "n_wins_base", "n_draws", "n_total")] == [72, 730, 3, 805]
    assert found["discrete_win_rate"] == pytest.approx(9.130434782608695)
    assert found["avg_length"] == 573


def test_shuffled_rows_change_nothing(real: Path, published: Published, tmp_path: Path) -> None:
    rows = json.loads((real / "annotations" / "gpt35_turbo_instruct.json").read_text(encoding="utf-8"))
    before = scored_json(score(read(real, "gpt35_turbo_instruct"), published, resamples=20))
    random.Random(3).shuffle(rows)
    for row in rows:
        del row["instruction_index"]
    (tmp_path / "shuffled.json").write_text(json.dumps(rows), encoding="utf-8")
    after = scored_json(score(read_annotations(tmp_path / "shuffled.json"), published, resamples=20))
    assert after == before


def test_rows_after_a_gap_keep_their_own_difficulty(
    real: Path, expected: dict[str, dict[str, Any]], published: Published
) -> None:
    found = scored_json(score(read(real, "gpt35_turbo_instruct"), published, resamples=0))
    row = expected["gpt35_turbo_instruct"]
    assert found["length_controlled"][0]["length_controlled_winrate"] == pytest.approx(row["lc_v1_approx"], abs=1e-6)
    assert row["lc_v1_approx_row_position"] - row["lc_v1_approx"] > 2
    assert any("by row" in note for note in found["notes"])


def test_the_bootstrap_is_wider_than_the_spread_of_fitted_probabilities(real: Path, published: Published) -> None:
    for model in REAL_MODELS:
        found = length_controlled(read(real, model), published, rng=np.random.default_rng(0), resamples=200)
        assert found.standard_error is not None
        assert found.interval is not None
        assert 1.5 < found.standard_error / found.alpaca_eval_standard_error < 3
        assert found.interval[0] < found.rate < found.interval[1]


def test_the_solver_of_alpaca_eval_stops_within_a_fiftieth_of_a_point_of_the_optimum(
    real: Path, published: Published
) -> None:
    for model in REAL_MODELS:
        for name in GLMS:
            found = length_controlled(
                read(real, model), published, glm_name=name, rng=np.random.default_rng(0), resamples=0
            )
            assert found.rate_at_optimum == pytest.approx(found.rate, abs=0.02)


def test_two_models_differ_by_the_difference_of_their_rates(real: Path, published: Published) -> None:
    large, small = (read(real, model) for model in REAL_MODELS[:2])
    found = length_controlled_difference(large, small, published, rng=np.random.default_rng(0), resamples=200)
    rates = [
        length_controlled(one, published, rng=np.random.default_rng(0), resamples=0).rate for one in (large, small)
    ]
    assert found.difference == pytest.approx(rates[0] - rates[1], abs=0.1)  # but for the penalty, here alike for both
    assert found.interval is not None
    assert found.interval[0] > 20
    assert found.p_value == pytest.approx(2 / 201)
    assert (found.n, found.wins + found.losses <= 805) == (805, True)


def test_the_slot_of_stored_annotations_is_known_from_the_seed(real: Path, published: Published) -> None:
    instructions = {
        row["instruction_index"]: row["instruction"]
        for row in json.loads((real / "annotations" / "claude-2.1_concise.json").read_text(encoding="utf-8"))
    }
    for line in (real / "raw_judge_completions.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        baseline_first = row["order_swapped"]  # the file means: m, the first slot, is the baseline
        assert model_shown_first(instructions[row["instruction_index"]]) is not baseline_first
    gap = score(read(real, "claude-2.1_concise"), published, resamples=0).slot_gap
    assert gap is not None
    assert gap.consistency is None
    assert 100 * gap.difference.difference == pytest.approx(11.72, abs=0.01)
