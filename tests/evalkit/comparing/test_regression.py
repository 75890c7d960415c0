"""--fail-on: what fails a comparison in continuous integration, and what does not."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit.cli import app
from evalkit.command import run_command
from evalkit.comparing.compare import compare
from evalkit.comparing.procedure import Procedure
from evalkit.comparing.regression import FailOn, failures, read_fail_on
from evalkit.errors import EvalkitError
from tests.evalkit.conftest import write_rows

RunMaker = Callable[..., Path]
Capture = pytest.CaptureFixture[str]


def pair(make_run: RunMaker, wins: int, losses: int, ties: int, **fields: object) -> list[Path]:
    """A baseline, and a run that wins and loses so many items."""
    base = [0] * wins + [1] * losses + [1] * ties
    run = [1] * wins + [0] * losses + [1] * ties
    return [make_run("base", x=base, **fields), make_run("run", x=run, **fields)]


@pytest.mark.parametrize(
    ("counts", "fail_on", "status"),
    [
        ((2, 20, 100), "regression", 1),  # a significant loss
        ((20, 2, 100), "regression", 0),  # a significant gain
        ((5, 9, 100), "regression", 0),  # a loss within chance
        ((5, 9, 100), "regression:0.02", 1),  # ... which does not exclude a loss of 0.02
        ((5, 9, 100), "regression:0.2", 0),  # ... but one of 0.2
        ((40, 40, 20000), "regression:0.002", 0),
        ((0, 0, 40), "regression:0.05", 1),  # 40 equal items do not exclude a loss of 0.05
        ((0, 0, 400), "regression:0.05", 0),
        ((20, 2, 100), "regression:0", 0),  # superiority is non-inferiority without a margin
    ],
)
def test_the_exit_status(
    counts: tuple[int, int, int], fail_on: str, status: int, make_run: RunMaker, capsys: Capture
) -> None:
    runs = [str(run) for run in pair(make_run, *counts)]
    assert run_command(app, ["compare", *runs, "--fail-on", fail_on]) == status
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("regression: ")]
    assert said == ["regression: none"] if status == 0 else said[0].startswith("regression: x: run against base: ")


def test_where_lower_is_better_a_gain_is_a_loss(make_run: RunMaker) -> None:
    comparison = compare(pair(make_run, 20, 2, 100, fields={"higher_is_better": False}))
    assert len(failures(comparison, FailOn(margin=None))) == 1
    assert len(failures(comparison, FailOn(margin=0.02))) == 1
    other = compare(pair(make_run, 2, 20, 100, fields={"higher_is_better": False}))
    assert failures(other, FailOn(margin=None)) == failures(other, FailOn(margin=0.0)) == []


def test_the_adjusted_p_value_decides(make_run: RunMaker) -> None:
    base, run = [1] * 9 + [0] * 2 + [1] * 40, [0] * 9 + [1] * 2 + [1] * 40
    alone = compare([make_run("a", x=base), make_run("b", x=run)])
    assert alone.compared[0].p_adjusted < 0.05
    assert len(failures(alone, FailOn(margin=None))) == 1
    noise = [[i % 2] * 10 for i in range(3)]
    family = compare([make_run("a", x=base, y=noise[0]), make_run("b", x=run, y=noise[0])])
    assert family.compared[0].p_adjusted > 0.05
    assert failures(family, FailOn(margin=None)) == []


def test_equal_graded_scores_are_bounded_by_how_many_were_asked(make_run: RunMaker, tmp_path: Path) -> None:
    values = [i / 400 for i in range(400)]
    equal = compare([make_run("a", x=values), make_run("b", x=values)])
    assert equal.compared[0].paired.interval is None
    assert failures(equal, FailOn(margin=0.01)) == []  # 1 - 0.025^(1/400) = 0.0092
    assert "a loss of 0.0092 is not excluded" in failures(equal, FailOn(margin=0.009))[0]
    for run in (tmp_path / "a", tmp_path / "b"):
        rows = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
        write_rows(run / "samples.jsonl", [row | {"passage": i // 10} for i, row in enumerate(rows)])
    passages = compare([tmp_path / "a", tmp_path / "b"], procedure=Procedure(clusters="passage"))
    assert "a loss of 0.0881 is not excluded" in failures(passages, FailOn(margin=0.01))[0]  # 1 - 0.025^(1/40)
    unbounded = compare([make_run("a", x=[7, 8.5]), make_run("b", x=[7, 8.5])])
    assert "determine no interval" in failures(unbounded, FailOn(margin=0.01))[0]


@pytest.mark.parametrize(
    "text", ["regressions", "regression:", "regression:-1", "regression:nan", "regression:x", "x:1"]
)
def test_what_fail_on_may_be(text: str) -> None:
    with pytest.raises(EvalkitError, match=f"--fail-on {text}: it may be regression"):
        read_fail_on(text)


def test_it_needs_a_baseline(make_run: RunMaker) -> None:
    comparison = compare(pair(make_run, 1, 1, 10), all_pairs=True)
    with pytest.raises(EvalkitError, match="--fail-on needs a baseline, and --all-pairs has none"):
        failures(comparison, FailOn(margin=None))
