"""Published inputs are matched by instruction, whatever names it."""

from pathlib import Path

import numpy as np
import pytest

from evalkit.alpaca.instructions import instruction_key, leaderboard_order
from evalkit.alpaca.published import read_published
from evalkit.errors import EvalkitError

WEIGHTS = ",np.tanh(std_delta_len),instruction_difficulty,not_gamed_baseline.astype(float)\n"
GAMED = "model,preference,std_delta_len,instruction_difficulty,index,not_gamed_baseline\n"


def file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_difficulties_go_by_alpaca_evals_number_or_by_the_text(tmp_path: Path) -> None:
    hubs = file(tmp_path, "d.csv", ",instruction_difficulty\n0,0.5\n804,-1.25\n")
    own = file(tmp_path, "d.jsonl", '{"instruction": "Sing.", "instruction_difficulty": 2}\n')
    numbered = read_published(difficulty=hubs).difficulty
    assert numbered == {leaderboard_order()[0]: 0.5, leaderboard_order()[804]: -1.25}
    assert read_published(difficulty=own).difficulty == {instruction_key("Sing."): 2.0}


def test_gamed_rows_hold_the_difficulties_too(tmp_path: Path) -> None:
    text = GAMED + "verbose,0.75,-1.5,0.25,1,False\nconcise,0.25,1.5,0.25,1,False\n"
    found = read_published(gamed=file(tmp_path, "g.csv", text))
    assert found.difficulty == {leaderboard_order()[1]: 0.25}
    assert found.gamed is not None
    assert found.gamed.preference.tolist() == [0.25, 0.75]  # by model, so that the file's order does not matter
    assert found.gamed.not_gamed.tolist() == [0.0, 0.0]


def test_the_rate_of_published_coefficients_is_the_mean_over_the_difficulties(tmp_path: Path) -> None:
    found = read_published(
        difficulty=file(tmp_path, "d.csv", ",instruction_difficulty\n0,-1\n1,2\n"),
        weights=file(tmp_path, "w.csv", WEIGHTS + "base,9,0.5,0.25\nours,-1,1.5,-0.75\n"),
    )
    by_hand = 100 * np.mean([1 / (1 + np.exp(-(-1.0 + 1.0 * d))) for d in (-1, 2)])
    assert found.rate("ours", "base") == pytest.approx(by_hand, abs=1e-12)
    assert found.rate("base", "base") == 50
    with pytest.raises(EvalkitError, match="no row for 'theirs'; it has 'base', 'ours'"):
        found.rate("theirs", "base")


@pytest.mark.parametrize(
    ("option", "name", "text", "message"),
    [
        ("difficulty", "d.csv", ",instruction_difficulty\n805,1\n", "the index 805 is none of AlpacaEval's, 0 to 804"),
        ("difficulty", "d.csv", ",instruction_difficulty\n0.5,1\n", "the index 0.5"),
        ("difficulty", "d.csv", ",instruction_difficulty\n0,\n", "'instruction_difficulty' is '', not a finite number"),
        ("difficulty", "d.csv", ",instruction_difficulty\n0,nan\n", "not a finite number"),
        ("difficulty", "d.csv", ",instruction_difficulty\n0,1\n0,1\n", "a second difficulty"),
        ("difficulty", "d.csv", "", "no rows"),
        ("difficulty", "d.csv", "a,b\n1,2\n", "neither 'instruction' nor 'index'"),
        ("difficulty", "d.jsonl", '{"index": 1}\n', "no column 'instruction_difficulty'"),
        ("difficulty", "none.csv", None, "No such file"),
        ("gamed", "g.csv", GAMED + "c,1.5,1,0,0,False\n", "a preference outside 0 to 1"),
        ("gamed", "g.csv", GAMED + "c,half,1,0,0,False\n", "'preference' is 'half'"),
        ("weights", "w.csv", "model,x\nours,1\n", "no column 'np.tanh"),
        ("weights", "w.csv", WEIGHTS + ",1,2,3\n", "no name of a model"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, option: str, name: str, text: str | None, message: str) -> None:
    path = tmp_path / name if text is None else file(tmp_path, name, text)
    with pytest.raises(EvalkitError, match=message):
        read_published(**{option: path})


def test_two_files_that_disagree_are_refused(tmp_path: Path) -> None:
    difficulty = file(tmp_path, "d.csv", ",instruction_difficulty\n0,1\n")
    gamed = file(tmp_path, "g.csv", GAMED + "c,0.5,1,2,0,False\n")
    with pytest.raises(EvalkitError, match="difficulties of the same instruction differ: 2 and 1"):
        read_published(difficulty=difficulty, gamed=gamed)


def test_the_hub_out_of_reach_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EvalkitError, match=r"df_gamed\.csv: the hub's data set .* does not give it"):
        read_published(gamed="hub")
