"""The README of a trained model."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halotheory.contract import Loss, load_loss
from tests.trainer.conftest import Ended
from tests.trainer.tiny import read_metrics, same_weights
from trainer import run_folder
from trainer.config import AlignConfig
from trainer.metrics import read
from trainer.model_card import Made, command, model_card, plain
from trainer.tokens import DataReport
from trainer.verdict import verdict_lines

UNEVALUATED: dict[str, Any] = {"held_out": None, "last": {}, "evaluation": None, "processes": 1}
ALIGN = ("align", "--model", "model", "--data", "thumbs.jsonl", "--output", "out", "--batch-size", "8")


def read_card(output: Path) -> str:
    return (output / "model" / "README.md").read_text(encoding="utf-8")


def test_a_card_says_what_was_measured_and_what_the_loss_is(
    workplace: Path, trainer: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folder, "verdict_lines", verdict_lines)
    words = ("--loss", "kto", "--set", "beta=0.5", "--eval-share", "0.25", "--max-steps", "2")
    assert trainer(*ALIGN, *words).status == 0
    card = read_card(workplace / "out")
    assert "- **a HALO**, strictly (proved), for every beta > 0" in card
    assert "value function `1/(1 + exp(-beta*z))`" in card
    assert "in this run z0 is the estimate `mismatched`, over a microbatch" in card
    assert "6 examples (" in card
    assert "of prompts held out of the data, after the last step" in card
    (line,) = read(workplace / "out" / "eval.jsonl")
    assert f"| reward_margin | {line['reward_margin']:.6g} |" in card
    assert f"| loss | {read_metrics(workplace / 'out')[-1]['loss']:.6g} |" in card
    assert "| `eval_share` | 0.25 |" in card


def test_the_command_of_a_card_makes_the_same_model(workplace: Path, trainer: Callable[..., Ended]) -> None:
    words = ("--loss", "dpo", "--set", "beta=0.3", "--data", "pairs.jsonl", "--epochs", "2", "--dropout")
    assert trainer(*ALIGN, *words, "--seed", "7", "--learning-rate", "1e-3").status == 0
    line = read_card(workplace / "out").split("```sh\n")[1].split("\n```")[0]
    program, *again = shlex.split(line)
    assert program == "trainer"
    again[again.index("--output") + 1] = "again"
    assert trainer(*again).status == 0
    assert same_weights(workplace / "out" / "model", workplace / "again" / "model")


def made_by(config: AlignConfig, loss: Loss, **what: Any) -> Made:
    """Return what a model was made by, of one example."""
    report = DataReport(
        data=config.data,
        format="unpaired",
        conversational=False,
        weighted=False,
        conversion=None,
        rows=1,
        used=1,
        examples=1,
        desirable=1,
        undesirable=0,
        prompts_truncated=0,
        completions_truncated=0,
        tokens=3,
        dropped=(),
    )
    return Made(**{"config": config, "loss": loss, "report": report, **UNEVALUATED, **what})


def test_the_command_names_processes_weights_and_no_tracker() -> None:
    config = AlignConfig(
        model="m", data="a b.jsonl", output="o", loss="kto", balance=True, tracker=("wandb",), learning_rate=1e-5
    )
    made = made_by(config, load_loss("kto").with_settings({"desirable_weight": 1.5}), processes=4)
    assert command(made) == (
        "torchrun --nproc-per-node 4 -m trainer align --model m --data 'a b.jsonl' --output o --loss kto --balance "
        "--learning-rate 1e-05"
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("runs/a_model-7B.v2", "runs/a_model-7B.v2"),
        ("H/<img src=x onerror=alert(1)>", "H/&#60;img src=x onerror=alert(1)&#62;"),
        ("m|pipe`tick", "m&#124;pipe&#96;tick"),
        ("new\nline\n---\nlicense: evil", "new line --- license: evil"),
        ("[a](b) *c* ~d~ &amp; \\|", "&#91;a&#93;(b) &#42;c&#42; &#126;d&#126; &#38;amp; &#92;&#124;"),
        ("_base_/__x", "&#95;base&#95;/&#95;&#95;x"),
        ("\x1b[0m\udcff", "&#91;0m"),
        (0.25, "0.25"),
    ],
)
def test_any_text_is_one_line_that_reads_as_it_is(value: object, written: str) -> None:
    assert plain(value) == written


def test_names_with_markup_break_neither_tables_nor_headings_nor_the_front_matter() -> None:
    import yaml

    name = "H/<img>|`a\n# b: ```sh"
    config = AlignConfig(model=name, data=name, output="o", chat_template=name)
    card = model_card(made_by(config, load_loss("kto"), base="owner/a: b # c"), ["a verdict"])
    matter, body = card.removeprefix("---\n").split("---\n", 1)
    assert yaml.safe_load(matter) == {
        "library_name": "peft",
        "base_model": "owner/a: b # c",
        "pipeline_tag": "text-generation",
        "tags": ["halotheory", "kto"],
    }
    text, block = body.split("````sh\n")
    assert "<" not in text
    assert [line for line in text.splitlines() if line.startswith("# ")] == [f"# {plain(name)}, trained with kto"]
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {3}
    assert f"| `chat_template` | {plain(name)} |" in rows
    assert name in shlex.split(block.split("\n````")[0])


@pytest.mark.parametrize(
    ("loss", "first"),
    [
        ("simpo", "**a HALO**, with `uniform_reference` (proved), for every beta > 0, every target_margin > 0"),
        ("ipo", "**not a HALO** (refuted), for every beta > 0"),
    ],
)
def test_verdicts_of_built_ins(loss: str, first: str) -> None:
    lines = verdict_lines(load_loss(loss), loss)
    assert lines[0] == first
    assert any("`non_decreasing` refuted: v falls" in line for line in lines) == (loss == "ipo")


def test_a_loss_that_cannot_be_read_is_not_checked_and_its_model_is_saved(
    workplace: Path, trainer: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sorts by value, which the checker does not read; the trainer needs no such reading."""
    (workplace / "odd.py").write_text(
        "def loss(policy_logps, reference_logps, desirable):\n"
        "    ranks = (policy_logps - reference_logps).sort().values\n    return -ranks\n"
    )
    monkeypatch.setattr(run_folder, "verdict_lines", verdict_lines)
    assert trainer(*ALIGN, "--loss", "odd.py", "--max-steps", "1").status == 0
    assert "- **not checked**: odd.py:2: " in read_card(workplace / "out")
    assert (workplace / "out" / "model" / "model.safetensors").is_file()


@pytest.mark.usefixtures("workplace")
def test_a_check_out_of_time_is_undecided_or_not_checked() -> None:
    Path("slow.py").write_text(
        "import time\ndef loss(policy_logps):\n    time.sleep(60)\n    return -policy_logps\n", encoding="utf-8"
    )
    (line,) = verdict_lines(load_loss("slow.py"), "slow.py", seconds=1.0)
    assert line.startswith("**not checked**: slow.py")


def test_an_interruption_while_the_loss_is_checked_leaves_the_model(
    workplace: Path, trainer: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(loss: object, spec: str) -> list[str]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "verdict_lines", interrupted)
        assert trainer(*ALIGN, "--max-steps", "1").status == 130
    assert "- **not checked yet**" in read_card(workplace / "out")
    monkeypatch.setattr("trainer.align.draw_curves", lambda folders, output: output.write_text("drawn"))
    assert "this run is finished" in trainer(*ALIGN, "--max-steps", "1").stderr
    assert "not checked yet" not in read_card(workplace / "out")
    assert (workplace / "out" / "curves.html").exists()
