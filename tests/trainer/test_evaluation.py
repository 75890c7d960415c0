"""Examples that a run does not learn from."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from halotheory.contract import load_loss
from tests.trainer.conftest import Ended
from tests.trainer.test_logps import naive
from tests.trainer.test_loop import config
from tests.trainer.tiny import make_model, read_metrics, same_weights, write_jsonl
from trainer.align import align
from trainer.engine import make_accelerator
from trainer.evaluation import evaluate
from trainer.models import load_model
from trainer.prepare import prepare
from trainer.progress import progress
from trainer.tokens import TokenTable
from trainer.training import Training


def read_evaluations(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "eval.jsonl").read_text(encoding="utf-8").splitlines()]


def prepared(**values: Any) -> Training:
    chosen = config(**values)
    return prepare(chosen, load_loss(chosen.loss, chosen.hyperparameters), make_accelerator())[0]


def asked(table: TokenTable) -> set[bytes]:
    """Return the prompts of a table."""
    spans = zip(table.prompt_start, table.prompt_length, strict=True)
    return {table.tokens[start : start + length].tobytes() for start, length in spans}


def several_of_each_prompt(folder: Path) -> None:
    rows = [{"prompt": f"{n % 10}+1=", "completion": str(n), "label": n % 3 > 0} for n in range(40)]
    write_jsonl(folder / "several.jsonl", rows)


def test_a_prompt_is_never_on_both_sides_and_the_sides_are_a_function_of_the_seed(workplace: Path) -> None:
    several_of_each_prompt(workplace)
    values = {"loss": "kto", "data": "several.jsonl", "eval_share": 0.3}
    one, again, other = (prepared(**values, seed=seed) for seed in (0, 0, 1))
    assert one.held_out is not None
    assert again.held_out is not None
    assert other.held_out is not None
    assert (len(one.table), len(one.held_out.table)) == (28, 12)
    assert not asked(one.table) & asked(one.held_out.table)
    assert one.held_out.table.places == again.held_out.table.places
    assert one.held_out.table.places != other.held_out.table.places
    report = one.held_out.report
    assert (report.examples, report.desirable) == (12, int(one.held_out.table.desirable.sum()))
    assert {*one.table.places, *one.held_out.table.places} == {f"several.jsonl:{n + 1}" for n in range(40)}


@pytest.mark.usefixtures("workplace")
def test_two_losses_on_the_same_pairs_hold_out_the_same_prompts() -> None:
    held = [prepared(loss=loss, data="pairs.jsonl", eval_share=0.25).held_out for loss in ("dpo", "kto", "sft")]
    places = [set(one.table.places) for one in held if one is not None]
    assert places[0] == places[1] == places[2]
    assert len(places[0]) == 6


@pytest.mark.usefixtures("workplace")
def test_the_mean_over_held_out_pairs_is_that_of_one_pass_over_each() -> None:
    """Seven pairs in microbatches of 4 and 3: a mean of means would weigh the last ones more."""
    make_model(seed=1).save_pretrained("reference")
    align(
        config(
            loss="dpo",
            data="pairs.jsonl",
            eval_share=0.3,
            reference_model="reference",
            hyperparameters={"beta": 0.5},
            micro_batch_size=4,
        )
    )
    rows = [json.loads(line) for line in Path("pairs.jsonl").read_text().splitlines()]
    training = prepared(loss="dpo", data="pairs.jsonl", eval_share=0.3, output="other")
    assert training.held_out is not None
    policy, reference, rewards = load_model("out/model"), make_model(seed=1), []
    for place in training.held_out.table.places:
        row = rows[int(place.split(":")[1]) - 1]
        prompt, *answers = training.codec.encode([row["prompt"], row["chosen"], row["rejected"]])
        whole = [(list(training.codec.bos) + prompt, [*answer, training.codec.stops[0]]) for answer in answers]
        with torch.no_grad():
            rewards.append([float(naive(policy, *one) - naive(reference, *one)) for one in whole])
    margins = np.array(rewards)[:, 0] - np.array(rewards)[:, 1]
    (line,) = read_evaluations(Path("out"))
    assert line["loss"] == pytest.approx(np.log1p(np.exp(-0.5 * margins)).mean(), abs=1e-4)
    assert line["reward_margin"] == pytest.approx(margins.mean(), abs=1e-4)
    assert line["reward_accuracy"] == pytest.approx((margins > 0).mean())
    assert line["step"] == read_metrics(Path("out"))[-1]["step"]


@pytest.mark.usefixtures("workplace")
def test_evaluation_changes_nothing_of_the_run() -> None:
    make_model(attention_dropout=0.2).save_pretrained("model")
    values = {"loss": "kto", "data": "thumbs.jsonl", "eval_share": 0.25, "dropout": True, "batch_size": 6}
    align(config(output="often", eval_steps=1, **values))
    align(config(output="once", **values))
    assert same_weights(Path("often/model"), Path("once/model"))
    often, once = read_evaluations(Path("often")), read_evaluations(Path("once"))
    assert [line["step"] for line in often] == [0, 1, 2, 3]
    assert once == often[-1:]
    assert (often[0]["loss"], often[0]["kl"], often[0]["reward_margin"]) == pytest.approx((0.5, 0, 0), abs=1e-6)


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("estimate", ["running-mean", "sampled", "batch-mean", "zero"])
def test_a_reference_point_of_any_kind_is_evaluated_and_left_as_it_was(estimate: str) -> None:
    training = prepared(loss="kto", data="thumbs.jsonl", eval_share=0.25, reference_point=estimate)
    assert training.held_out is not None
    training.running.value = 0.375
    with progress("step", 1, show=False) as report:
        once, again = (evaluate(training, training.held_out, 5, report) for _ in range(2))
    assert once == again
    assert training.running.value == 0.375
    if estimate == "running-mean":
        assert once["kl"] == 0.375


@pytest.mark.usefixtures("workplace")
def test_modules_go_back_to_their_own_modes() -> None:
    """Checkpointed activations and adapters set modes of their own."""
    training = prepared(loss="dpo", data="pairs.jsonl", eval_share=0.25)
    assert training.held_out is not None
    modules = list(training.policy.modules())
    for at, module in enumerate(modules):
        module.training = at % 2 == 0
    with progress("step", 1, show=False) as report:
        evaluate(training, training.held_out, 0, report)
    assert [module.training for module in modules] == [at % 2 == 0 for at in range(len(modules))]


def test_other_data_are_evaluated_and_shared_prompts_are_told(workplace: Path, trainer: Callable[..., Ended]) -> None:
    seen = json.loads((workplace / "thumbs.jsonl").read_text().splitlines()[0])
    rows = [seen, *({"prompt": f"{n}-1=", "completion": str(n - 1), "label": True} for n in range(5))]
    write_jsonl(workplace / "other.jsonl", rows)
    words = ("align", "--model", "model", "--data", "thumbs.jsonl", "--output", "out", "--max-steps", "2")
    ended = trainer(*words, "--eval-data", "other.jsonl", "--eval-steps", "1", "--batch-size", "8")
    assert ended.status == 0
    expected = "warning: evaluation: 6 examples of 6 prompts held out, 1 of which are among the prompts that the run"
    assert expected in ended.stderr
    lines = read_evaluations(workplace / "out")
    assert [line["step"] for line in lines] == [0, 1, 2]
    report = json.loads((workplace / "out" / "data_report.json").read_text())
    assert (report["examples"], report["held_out"]["data"], report["held_out"]["examples"]) == (24, "other.jsonl", 6)
    assert "reward_undesirable" not in lines[0]  # every label is desirable; a mean of nothing is missing


@pytest.mark.usefixtures("workplace")
def test_a_loss_that_overflows_on_held_out_examples_is_null_and_stops_nothing() -> None:
    Path("cliff.py").write_text(
        "import torch\ndef loss(policy_logps):\n"
        "    return torch.where(torch.tensor(torch.is_grad_enabled()), -policy_logps, torch.inf)\n"
    )
    align(config(loss="cliff.py", data="thumbs.jsonl", eval_share=0.25, max_steps=1))
    (line,) = read_evaluations(Path("out"))
    assert line["loss"] is None
    assert line["logps_desirable"] < 0


def test_reference_log_probabilities_of_held_out_examples_are_cached_with_the_others(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer import reference

    values = {"loss": "kto", "data": "thumbs.jsonl", "eval_share": 0.25, "reference_cache": "cache", "max_steps": 1}
    align(config(output="one", **values))
    monkeypatch.setattr(reference, "scored", lambda *what: pytest.fail("the reference model was asked again"))
    align(config(output="two", **values))
    assert read_evaluations(Path("one")) == read_evaluations(Path("two"))


@pytest.mark.usefixtures("workplace")
def test_weights_of_rows_count_in_evaluation_as_in_training() -> None:
    """At the first step every KTO loss is 1/2, so the mean is half the mean weight."""
    rows = [json.loads(line) for line in Path("thumbs.jsonl").read_text().splitlines()]
    write_jsonl(Path("weighted.jsonl"), [{**row, "weight": float(at % 3)} for at, row in enumerate(rows)])
    training = prepared(loss="kto", data="weighted.jsonl", eval_share=0.25)
    assert training.held_out is not None
    assert training.held_out.table.weights is not None
    with progress("step", 1, show=False) as report:
        found = evaluate(training, training.held_out, 0, report)
    assert found["loss"] == pytest.approx(training.held_out.table.weights.mean() / 2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--eval-share", "0"), "--eval-share 0.0: must be in (0, 1)"),
        (("--eval-share", "0.1", "--eval-data", "thumbs.jsonl"), "--eval-share 0.1: --eval-data thumbs.jsonl is used"),
        (("--eval-steps", "5"), "--eval-steps 5: nothing to evaluate on; give --eval-data FILE or --eval-share"),
        (("--eval-data", "none.jsonl"), "none.jsonl: no such file"),
        (
            ("--eval-data", "pair.jsonl", "--loss", "dpo", "--data", "pair.jsonl", "--eval-share", "0.5"),
            "leave one out",
        ),
        (("--data", "pair.jsonl", "--loss", "dpo", "--eval-share", "0.5"), "the data have one prompt; give other data"),
        (("--eval-data", "thumb.jsonl"), "thumb.jsonl:1: the only example held out, and the loss estimates its"),
        (("--eval-data", "pair.jsonl", "--loss", "unlikely.py"), "unlikely.py: no such file"),
    ],
)
def test_bad_usage(workplace: Path, trainer: Callable[..., Ended], words: tuple[str, ...], message: str) -> None:
    for name, source in (("pair", "pairs"), ("thumb", "thumbs")):
        first = (workplace / f"{source}.jsonl").read_text().splitlines()[0]
        (workplace / f"{name}.jsonl").write_text(first + "\n")
    ended = trainer("align", "--model", "model", "--data", "thumbs.jsonl", "--output", "out", *words)
    assert ended.status == 2
    assert message in ended.stderr.splitlines()[-1]


@pytest.mark.usefixtures("workplace")
def test_changed_evaluation_data_are_another_run() -> None:
    training = prepared(loss="kto", data="thumbs.jsonl", eval_data="pairs.jsonl")
    Path("pairs.jsonl").write_text("\n".join(Path("pairs.jsonl").read_text().splitlines()[:-1]) + "\n")
    changed = prepared(loss="kto", data="thumbs.jsonl", eval_data="pairs.jsonl")
    assert training.config == changed.config
    assert training.fingerprint != changed.fingerprint
