"""The page of curves."""

import os
import re
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.trainer.conftest import Ended
from trainer import align as module
from trainer.curves import QUANTITIES, blocks, draw_curves, read_run
from trainer.errors import TrainerError
from trainer.files import write_text
from trainer.metrics import CLOCKED, NAMES, append

ALIGN = ("align", "--model", "model", "--data", "thumbs.jsonl", "--batch-size", "8")


def written(folder: Path, *, steps: int = 3, evaluated: bool = True, **constant: float) -> Path:
    """Return the folder of a run that another process is writing."""
    folder.mkdir(parents=True)
    for step in range(1, steps + 1):
        numbers = {"loss": 1 / step, "learning_rate": 1e-3, "grad_norm": 2.0, **constant}
        append(folder / "metrics.jsonl", {"step": step, "epoch": step / 2, **numbers})
        if evaluated:
            append(folder / "eval.jsonl", {"step": step, "epoch": step / 2, "loss": None if step == 2 else 0.5})
    return folder


def panels(page: Path) -> dict[str, ElementTree.Element]:
    """Return the drawings of a page by title, each of which must be well-formed."""
    found = re.findall(r'base64,([^"]+)" alt="[^"]*" title="([^"]*)"', page.read_text(encoding="utf-8"))
    return {title: ElementTree.fromstring(b64decode(drawing)) for drawing, title in found}


def spoken(page: Path) -> str:
    return "\n".join(re.findall(r'alt="([^"]*)"', page.read_text(encoding="utf-8")))


def test_every_number_of_a_line_has_a_panel_with_a_unit() -> None:
    drawn = {name for quantity in QUANTITIES for name in quantity.names}
    counts = {"examples", "tokens", "seconds", "step", "epoch"}
    assert {*NAMES, "reward_margin", "grad_norm", "learning_rate", "saturation", *CLOCKED} - counts == drawn
    assert all(quantity.axis for quantity in QUANTITIES)


def test_a_run_leaves_a_page_of_its_curves_that_needs_no_network(
    workplace: Path, trainer: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "draw_curves", draw_curves)
    assert trainer(*ALIGN, "--output", "out", "--eval-share", "0.25", "--eval-steps", "1").status == 0
    page = workplace / "out" / "curves.html"
    assert {"Loss", "Reference point z0", "Peak memory"} <= set(panels(page))
    assert "Loss: training from 0.5 to " in spoken(page)
    assert "margin, held out from 0 to " in spoken(page)
    text = re.sub(r"base64,[^\"]+", "", page.read_text(encoding="utf-8"))
    assert "http" not in text
    assert "<tr><th>batch_size</th><td>8</td></tr>" in text


def test_a_page_that_cannot_be_drawn_costs_no_run(
    workplace: Path, trainer: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*what: object) -> None:
        raise RuntimeError("no fonts")

    monkeypatch.setattr(module, "draw_curves", broken)
    ended = trainer(*ALIGN, "--output", "out", "--max-steps", "1")
    assert ended.status == 0
    assert "warning: out/curves.html was not drawn: no fonts; `trainer curves out` tries again" in ended.stderr
    assert (workplace / "out" / "model" / "README.md").is_file()


def test_a_file_that_is_no_page_of_curves_is_not_replaced(tmp_path: Path) -> None:
    run, page = written(tmp_path / "run"), tmp_path / "notes.html"
    page.write_text("mine")
    with pytest.raises(
        TrainerError, match=r"notes\.html: exists, and is no page of trainer curves; give another --out"
    ):
        draw_curves([run], page)
    assert page.read_text() == "mine"
    page.unlink()
    draw_curves([run], page)
    append(run / "metrics.jsonl", {"step": 4, "epoch": 2.0, "loss": 0.125})
    assert "Loss: training from 1 to 0.125" in spoken(draw_curves([run], page))


def test_a_run_says_that_it_keeps_a_file_in_the_place_of_its_page(
    workplace: Path, trainer: Callable[..., Ended]
) -> None:
    page, again = workplace / "out" / "curves.html", [*ALIGN, "--output", "out", "--max-steps", "1"]
    assert trainer(*again).status == 0
    write_text(page, "mine")
    ended = trainer(*again)
    assert ended.status == 0
    assert "warning: out/curves.html is no page of trainer curves and stays; `trainer curves` draws" in ended.stderr
    assert page.read_text() == "mine"


def test_a_page_drawn_while_a_run_went_on_is_drawn_again_at_its_end(
    workplace: Path, trainer: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "draw_curves", draw_curves)
    page, again = workplace / "out" / "curves.html", [*ALIGN, "--output", "out", "--max-steps", "1"]
    assert trainer(*again).status == 0
    drawn = page.read_text()
    page.write_text(drawn.replace("Loss", "Early"))
    os.utime(page, (0, 0))
    assert trainer(*again).status == 0
    assert page.read_text() == drawn


def test_the_bytes_of_a_page_depend_on_the_run_alone(tmp_path: Path) -> None:
    run = written(tmp_path / "run")
    one, other = (draw_curves([run], tmp_path / name).read_bytes() for name in ("one.html", "other.html"))
    assert one == other


def test_runs_that_go_on_are_drawn_over_each_other_by_name(tmp_path: Path, trainer: Callable[..., Ended]) -> None:
    runs = [written(tmp_path / name, steps=steps) for name, steps in (("first", 3), ("second", 5))]
    with (runs[1] / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')
    page = tmp_path / "both.html"
    ended = trainer("curves", *map(str, runs), "--output", str(page), "--x", "epoch")
    assert (ended.status, ended.stdout) == (0, f"{page}\n")
    expected = "Loss: first from 1 to 0.3333; first, held out from 0.5 to 0.5; second from 1 to 0.2; second, held out"
    assert expected in spoken(page)
    text = page.read_text(encoding="utf-8")
    assert "<tr><th>steps</th><td>3, not finished</td><td>5, not finished</td></tr>" in text


def test_two_folders_of_one_name_are_called_by_their_paths(tmp_path: Path) -> None:
    runs = [written(tmp_path / place / "run", evaluated=False) for place in ("a", "b")]
    page = draw_curves(runs, tmp_path / "page.html")
    assert f"{runs[0]} from 1 to" in spoken(page)
    assert f"{runs[1]} from 1 to" in spoken(page)


def test_settings_in_which_runs_differ_are_beside_them(tmp_path: Path) -> None:
    for name, rate in (("a", "1e-6"), ("b", "2e-6")):
        written(tmp_path / name)
        recipe = f"model: m\ndata: d.jsonl\noutput: {name}\nlearning_rate: {rate}\n"
        write_text(tmp_path / name / "config.yaml", recipe)
    text = draw_curves([tmp_path / "a", tmp_path / "b"], tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<tr><th>learning_rate</th><td>1e-06</td><td>2e-06</td></tr>" in text
    assert "<th>model</th>" not in text
    assert "<th>output</th>" not in text


@pytest.mark.parametrize("count", [1, 100, 101, 1234])
def test_blocks_keep_the_mean_and_the_range(count: int) -> None:
    x, y = np.arange(count, dtype=float), np.random.default_rng(0).normal(size=count)
    at, mean, low, high = blocks(x, y)
    assert len(at) == len(mean) == min(count, 100)
    assert (low.min(), high.max()) == (y.min(), y.max())
    assert ((low <= mean) & (mean <= high)).all()
    assert mean.mean() == pytest.approx(y.mean(), abs=0.02)


def test_a_long_run_makes_a_page_no_larger_than_a_short_one_needs(tmp_path: Path) -> None:
    pages = [
        draw_curves([written(tmp_path / str(steps), steps=steps, evaluated=False)], tmp_path / f"{steps}.html")
        for steps in (100, 3000)
    ]
    short, long = (page.stat().st_size for page in pages)
    assert long < 1.5 * short


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("none",), "none: holds no metrics.jsonl; name the --output of a run"),
        (("empty",), "empty/metrics.jsonl: holds no line yet; wait for the first step"),
        (("run", "--output", "page.png"), "--output page.png: the curves are a page; give a name that ends in .html"),
        (("run", "--x", "hours"), "--x hours: expected step, epoch"),
    ],
)
def test_bad_usage(
    tmp_path: Path,
    trainer: Callable[..., Ended],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "run")
    write_text(tmp_path / "empty" / "metrics.jsonl", "")
    ended = trainer("curves", *words)
    assert (ended.status, ended.stderr.splitlines()) == (2, [f"error: {message}"])


@pytest.mark.parametrize(
    "line", ["[1]", '{"step": null, "epoch": 1}', '{"step": 1, "epoch": 0, "loss": "x"}', '{"step": 1}']
)
def test_a_line_that_no_run_writes_is_named(tmp_path: Path, line: str) -> None:
    folder = written(tmp_path / "run")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(TrainerError, match=r"metrics.jsonl:4: \w+ is no number"):
        read_run(folder)


def test_a_run_without_a_configuration_is_read(tmp_path: Path) -> None:
    run: Any = read_run(written(tmp_path / "run"))
    assert (run.name, run.settings, run.finished, len(run.lines)) == ("run", {}, False, 3)
    with pytest.raises(TrainerError, match=r"holds no metrics\.jsonl"):
        read_run(tmp_path)
