"""Options without effect: refused, with the reason."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halotheory.contract import load_loss
from tests.trainer.conftest import Ended
from tests.trainer.test_config import REQUIRED
from trainer.config import AlignConfig, SampleConfig, make_config
from trainer.errors import TrainerError
from trainer.options import check_options

EXAMPLES = Path(__file__).parents[2] / "examples"
RECIPES = sorted(path for path in (EXAMPLES / "recipes").rglob("*.yaml") if not path.name.startswith("_"))


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"schedule": "constant", "final_rate_ratio": 0.5}, "--final-rate-ratio 0.5 has no effect here: --schedule co"),
        (
            {"reference_point": "zero", "reference_point_over": "step"},
            "--reference-point-over step has no effect here: --reference-point zero is no mean; leave it out",
        ),
        ({"eval_split": "foo"}, "--eval-split foo has no effect here: there is no --eval-data; leave it out"),
        ({"eval_share": 0.5, "eval_split": "foo"}, "--eval-split foo has no effect here: there is no --eval-data"),
        ({"eval_data": "pairs.jsonl", "eval_split": "foo"}, "--eval-split foo has no effect here: --eval-data is a f"),
        ({"data": "pairs.jsonl", "split": "foo"}, "--split foo has no effect here: --data is a file, and only hub"),
    ],
)
def test_options_that_others_leave_without_effect(given: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainerError) as error:
        AlignConfig(**{**REQUIRED, **given})
    assert message in str(error.value)


@pytest.mark.usefixtures("workplace")
def test_a_split_of_prompts_in_a_file() -> None:
    with pytest.raises(TrainerError, match="--split foo has no effect here: --data is a file"):
        SampleConfig(**{**REQUIRED, "data": "pairs.jsonl"}, split="foo")


@pytest.mark.parametrize(
    ("loss", "given", "message"),
    [
        ("dpo", {"reference_point": "zero"}, "--reference-point zero has no effect here: dpo does not name kl; leave"),
        ("sft", {"reference_point": "zero"}, "--reference-point zero has no effect here: sft does not name kl; leave"),
        ("ppo_clip", {"reference_point": "batch-mean"}, "--reference-point batch-mean has no effect here: ppo_clip do"),
        ("dpo", {"reference_point_over": "step"}, "--reference-point-over step has no effect here: dpo does not name"),
        ("simpo", {"reference_model": "nosuch"}, "--reference-model nosuch has no effect here: simpo names nothing of"),
    ],
)
def test_options_that_a_loss_leaves_without_effect(loss: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainerError) as error:
        check_options(AlignConfig(**REQUIRED, loss=loss, **given), load_loss(loss))
    assert message in str(error.value)


@pytest.mark.usefixtures("workplace")
def test_options_at_their_defaults_and_those_with_an_effect_pass() -> None:
    for loss, given in (
        ("sft", {"reference_point": "mismatched", "split": "train", "data": "thumbs.jsonl", "epochs": 1}),
        ("sft", {"max_steps": 2, "epochs": 1.0, "schedule": "constant", "final_rate_ratio": 0.0}),
        ("dpo", {"reference_model": "m2", "data": "owner/name", "split": "foo", "eval_data": "o/n", "eval_split": "x"}),
        ("kto", {"reference_point": "batch-mean", "reference_point_over": "step", "reference_model": "m2"}),
    ):
        check_options(AlignConfig(**{**REQUIRED, **given}, loss=loss), load_loss(loss))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_recipe_of_the_examples_is_refused(path: Path) -> None:
    config = make_config(AlignConfig, {}, str(path))
    check_options(config, load_loss(config.loss, config.hyperparameters))


@pytest.mark.usefixtures("workplace")
def test_a_plan_refuses_what_the_run_would(trainer: Callable[..., Ended]) -> None:
    ended = trainer("plan", "--model", "model", "--loss", "dpo", "--reference-point", "zero")
    assert ended.status == 2
    assert ended.stderr == "error: --reference-point zero has no effect here: dpo does not name kl; leave it out\n"
