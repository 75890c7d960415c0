"""Length control against alpaca_eval itself, on made-up annotations, and what it must not do."""

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.alpaca.annotations import read_annotations
from evalkit.alpaca.instructions import instruction_key, leaderboard_order
from evalkit.alpaca.length_control import (
    GLMS,
    MINIMAL,
    length_controlled,
    length_controlled_difference,
    possible_glms,
)
from evalkit.alpaca.published import Gamed, Published, read_published
from evalkit.errors import EvalkitError

Write = Callable[..., Path]
Rows = Callable[..., list[dict[str, Any]]]
NOTHING = Published(difficulty={}, gamed=None, coefficients={}, files={})


def inputs(rows: list[dict[str, Any]], seed: int = 0) -> Published:
    """Return made-up difficulties and gamed baselines of the instructions of some rows."""
    rng = np.random.default_rng(seed)
    keys = [instruction_key(row["instruction"]) for row in rows]
    difficulty = dict(zip(keys, rng.normal(0, 1, len(keys)).tolist(), strict=True))
    both = (*keys, *keys)
    gamed = Gamed(
        keys=both,
        length=np.concatenate([rng.normal(2, 1, len(keys)), rng.normal(-2, 1, len(keys))]),
        difficulty=np.array([difficulty[key] for key in both]),
        not_gamed=np.zeros(len(both)),
        preference=rng.uniform(0, 1, len(both)),
    )
    return Published(difficulty=difficulty, gamed=gamed, coefficients={}, files={})


def by_alpaca_eval(
    rows: list[dict[str, Any]], given: Published, folder: Path, glm: str, monkeypatch: pytest.MonkeyPatch
) -> dict[str, float]:
    """Return what alpaca_eval's own code finds, for rows in the order in which it is to see them."""
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from alpaca_eval.metrics import glm_winrate

        assert given.gamed is not None
        place = {instruction_key(row["instruction"]): i for i, row in enumerate(rows)}
        table = pd.DataFrame(
            {
                "model": ["c"] * len(rows) + ["v"] * len(rows),
                "preference": given.gamed.preference,
                "std_delta_len": given.gamed.length,
                "instruction_difficulty": given.gamed.difficulty,
                "index": [place[key] for key in given.gamed.keys],
                "not_gamed_baseline": False,
            }
        )
        table.sort_values(["model", "index"]).to_csv(folder / "df_gamed.csv", index=False)
        monkeypatch.setattr(glm_winrate, "hf_hub_download", lambda **_: str(folder / "df_gamed.csv"))
        return glm_winrate.get_length_controlled_winrate(pd.DataFrame(rows), glm_name=glm, save_weights_dir=None)


@pytest.mark.parametrize("glm", GLMS)
@pytest.mark.parametrize("missing", [(), (3, 17)])
def test_rates_are_alpaca_evals(
    write: Write, make_rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, glm: str, missing: tuple[int, ...]
) -> None:
    rows = make_rows(150, seed=1)
    for at in missing:
        rows[at]["preference"] = math.nan
    rows.sort(key=lambda row: instruction_key(row["instruction"]))
    unordered = inputs(rows)
    found = length_controlled(
        read_annotations(write(rows)), unordered, glm_name=glm, rng=np.random.default_rng(0), resamples=0
    )
    theirs = by_alpaca_eval(rows, unordered, tmp_path, glm, monkeypatch)
    assert found.rate == pytest.approx(theirs["length_controlled_winrate"], abs=1e-9)
    assert found.alpaca_eval_standard_error == pytest.approx(theirs["lc_standard_error"], abs=1e-9)


def test_a_bootstrap_is_the_same_for_the_same_seed_and_another_for_another(write: Write, make_rows: Rows) -> None:
    annotations = read_annotations(write(make_rows(40)))
    seeds = (1, 1, 2)
    found = [
        length_controlled(annotations, NOTHING, glm_name=MINIMAL, rng=np.random.default_rng(seed), resamples=100)
        for seed in seeds
    ]
    assert found[0] == found[1]
    assert found[0].interval != found[2].interval


def test_a_resample_is_a_fit_to_the_drawn_rows(write: Write, make_rows: Rows) -> None:
    """One resample by hand: rows repeated as drawn, the spread of their lengths, the optimum at the same penalty."""
    from sklearn.linear_model import LogisticRegression

    annotations = read_annotations(write(make_rows(50)))
    whole = length_controlled(annotations, NOTHING, glm_name=MINIMAL, rng=np.random.default_rng(5), resamples=2)
    rates = []
    for counts in np.random.default_rng(5).multinomial(50, np.full(50, 1 / 50), size=2):
        drawn = np.repeat(np.arange(50), counts)
        lengths, preference = annotations.length_differences()[drawn], annotations.preferences()[drawn]
        rows = np.column_stack([np.tanh(lengths / lengths.std(ddof=1)), np.ones(50)])
        model = LogisticRegression(
            C=whole.strength, l1_ratio=1.0, solver="liblinear", fit_intercept=False, tol=1e-12, max_iter=10**6
        )
        weights = np.concatenate([preference, 1 - preference])
        model.fit(np.concatenate([rows, rows]), np.repeat([1, 0], 50), sample_weight=weights)
        rates.append(100 / (1 + np.exp(-model.coef_[0][1])))
    assert whole.standard_error == pytest.approx(np.std(rates, ddof=1), rel=1e-4)


def test_difficulties_of_other_instructions_are_not_used(write: Write, make_rows: Rows, tmp_path: Path) -> None:
    annotations = read_annotations(write(make_rows(30)))
    path = tmp_path / "d.csv"
    rows = "".join(f"{i},{i / 100}\n" for i in range(len(leaderboard_order())))
    path.write_text(",instruction_difficulty\n" + rows, encoding="utf-8")
    possible, why_not = possible_glms(annotations, read_published(difficulty=path))
    assert possible == (MINIMAL,)
    assert "30 of 30 instructions are not among those whose difficulty was given" in why_not[0]


def test_an_item_without_a_difficulty_is_enough_to_use_none(write: Write, make_rows: Rows) -> None:
    rows = make_rows(30)
    assert possible_glms(read_annotations(write(rows)), inputs(rows))[0] == GLMS
    assert possible_glms(read_annotations(write(rows)), inputs(rows[1:]))[0] == (MINIMAL,)


def test_equal_lengths_leave_the_win_rate_nearly_alone(write: Write, make_rows: Rows) -> None:
    rows = [row | {"output_1": "xx", "output_2": "yy"} for row in make_rows(200)]
    annotations = read_annotations(write(rows))
    found = length_controlled(annotations, NOTHING, glm_name=MINIMAL, rng=np.random.default_rng(0), resamples=50)
    assert found.rate_at_optimum == pytest.approx(
        100 * annotations.preferences().mean(), abs=0.5
    )  # but for the penalty
    assert found.standard_error is not None


def test_length_control_takes_the_gain_of_length_away(write: Write, make_rows: Rows) -> None:
    rows = make_rows(300, length_effect=-3.0, quality=0.0)
    for row in rows:
        row["output_2"] += "m" * 150
    annotations = read_annotations(write(rows))
    found = length_controlled(annotations, NOTHING, glm_name=MINIMAL, rng=np.random.default_rng(0), resamples=100)
    assert found.standard_error is not None
    assert found.coefficients["np.tanh(std_delta_len)"] < -1


def test_a_model_does_not_differ_from_itself(write: Write, make_rows: Rows) -> None:
    rows = make_rows(40)
    annotations = read_annotations(write(rows))
    found = length_controlled_difference(annotations, annotations, inputs(rows), rng=np.random.default_rng(0))
    assert (found.difference, found.interval, found.p_value) == (0.0, None, 1.0)


def test_a_paired_difference_is_narrower_than_independent_ones(write: Write, make_rows: Rows) -> None:
    rows = make_rows(200, seed=3)
    better = [row | {"preference": min(2.0, row["preference"] + 0.05)} for row in rows]
    pair = read_annotations(write(rows, "a.json")), read_annotations(write(better, "b.json"))
    rng = np.random.default_rng(0)
    found = length_controlled_difference(pair[1], pair[0], NOTHING, glm_name=MINIMAL, rng=rng)
    alone = length_controlled(pair[0], NOTHING, glm_name=MINIMAL, rng=rng)
    assert found.interval is not None
    assert alone.interval is not None
    assert found.interval[1] - found.interval[0] < 0.5 * (alone.interval[1] - alone.interval[0])
    assert found.p_value < 0.05


def test_models_of_different_baselines_or_judges_are_not_compared(write: Write, make_rows: Rows) -> None:
    rows = make_rows(20)
    ours = read_annotations(write(rows, "a.json"))
    for column, what in (("generator_1", "baseline"), ("annotator", "judge")):
        theirs = read_annotations(write([row | {column: "other"} for row in rows], "b.json"))
        with pytest.raises(EvalkitError, match=f"different {what}s"):
            length_controlled_difference(ours, theirs, NOTHING, glm_name=MINIMAL, rng=np.random.default_rng(0))


def test_a_glm_without_its_inputs_is_refused(write: Write, make_rows: Rows) -> None:
    annotations = read_annotations(write(make_rows(20)))
    with pytest.raises(EvalkitError, match="cannot be fitted: no instruction difficulties"):
        length_controlled(annotations, NOTHING, rng=np.random.default_rng(0))
    few = read_annotations(write(make_rows(4)))
    with pytest.raises(EvalkitError, match="4 instructions, and its cross-validation needs 5"):
        length_controlled(few, NOTHING, glm_name=MINIMAL, rng=np.random.default_rng(0))


def test_a_rate_that_no_resample_moves_has_no_interval(write: Write, make_rows: Rows) -> None:
    rows = [row | {"preference": 1.5} for row in make_rows(30)]
    annotations = read_annotations(write(rows))
    found = length_controlled(annotations, NOTHING, glm_name=MINIMAL, rng=np.random.default_rng(0), resamples=20)
    assert (found.rate, found.interval, found.standard_error) == (50.0, None, None)
