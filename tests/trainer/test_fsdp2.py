"""FSDP2 on two processes: the numbers, the checkpoints and the files of one process that holds all."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.conftest import Ended
from tests.trainer.test_processes import TORCHRUN
from tests.trainer.tiny import make_model, read_metrics, same_weights, weights

KTO = ("align", "--loss", "kto", "--model", "model", "--data", "thumbs.jsonl", "--set", "beta=0.5", "--batch-size", "7")
COMMON = (*KTO, "--learning-rate", "1e-3", "--save-steps", "2")
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def sharded(*words: str, **environment: str) -> str:
    """Run the trainer's command on two processes under FSDP2, and return what it said."""
    return on_two("tests.trainer.fsdp2_process", *words, **environment)


def on_two(*words: str, **environment: str) -> str:
    """Run a module in two processes."""
    own = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", *TORCHRUN, "-m", *words]
    ended = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **own, **environment}, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stderr


def assert_like(one: Path, two: Path, *, relative: float = 1e-5, absolute: float = 1e-6) -> None:
    clocked = dict.fromkeys(("seconds", "tokens_per_second", "memory_gb"), 0)
    for mine, theirs in zip(read_metrics(one), read_metrics(two), strict=True):
        assert {**theirs, **clocked} == pytest.approx({**mine, **clocked}, rel=relative, abs=absolute)


def assert_close(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> None:
    assert one.keys() == two.keys()
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=1e-4, atol=1e-6)


def test_log_probabilities_gradients_and_the_mismatched_pass_are_those_of_a_whole_policy() -> None:
    """To 1e-6 in float32, with and without checkpointed activations."""
    on_two("tests.trainer.fsdp2_policy")


@pytest.mark.parametrize("settings", [{}, {"tie_word_embeddings": True}])
def test_sharded_weights_train_save_and_resume_like_whole_ones(
    workplace: Path, trainer: Callable[..., Ended], settings: dict[str, Any]
) -> None:
    """The main process alone loads the weights of the tied model, as it may where memory is short."""
    make_model(**settings).save_pretrained("model")
    assert trainer(*COMMON, "--output", "one", "--micro-batch-size", "6").status == 0
    efficient = {"ACCELERATE_USE_FSDP": "true", "FSDP_CPU_RAM_EFFICIENT_LOADING": "true"} if settings else {}
    told = sharded(*COMMON, "--output", "two", "--micro-batch-size", "3", **efficient)
    assert told.count("24 of 24 rows used") == 1
    assert_like(Path("one"), Path("two"), relative=5e-5)  # Adam makes more of rounding
    assert_close(weights(Path("one/model")), weights(Path("two/model")))
    for name in ("config.json", "generation_config.json", "tokenizer.json"):
        assert Path("two/model", name).read_text() == Path("one/model", name).read_text()

    if settings:
        return
    parts = list(Path("two/checkpoints/step-000002/pytorch_model_fsdp_0").glob("*.distcp"))
    assert len(parts) == 2
    Path("two/model").rename("undisturbed")
    told = sharded(*COMMON, "--output", "two", "--micro-batch-size", "3")
    assert "continues from step 2 of 4" in told
    assert same_weights(Path("undisturbed"), Path("two/model"))


@pytest.mark.usefixtures("workplace")
def test_a_sharded_adapter_trains_and_merges_like_a_whole_one(trainer: Callable[..., Ended]) -> None:
    words = (*COMMON, "--lora-rank", "4", "--gradient-checkpointing", "--learning-rate", "1e-2", "--merge")
    assert trainer(*words, "--output", "one", "--micro-batch-size", "6").status == 0
    sharded(*words, "--output", "two", "--micro-batch-size", "3")
    assert_like(Path("one"), Path("two"), relative=5e-5)
    start, one, two = (weights(Path(name)) for name in ("model", "one/model", "two/model"))
    assert_close(one, two)
    assert (start["model.layers.1.mlp.up_proj.weight"] - two["model.layers.1.mlp.up_proj.weight"]).abs().max() > 0.01
    assert torch.equal(start["lm_head.weight"], two["lm_head.weight"])


@pytest.mark.usefixtures("workplace")
def test_sharded_weights_are_gathered_in_bfloat16(trainer: Callable[..., Ended]) -> None:
    """With autocast activations between layers stay float32, here they are bfloat16: close, and no closer."""
    words = (*COMMON, "--dtype", "bfloat16")
    assert trainer(*words, "--output", "one", "--micro-batch-size", "6").status == 0
    said = sharded(*words, "--output", "two", "--micro-batch-size", "3")
    assert "rows are padded" not in said  # as they were if FSDP cast what the layers are given
    for mine, theirs in zip(read_metrics(Path("one")), read_metrics(Path("two")), strict=True):
        assert theirs["loss"] == pytest.approx(mine["loss"], abs=0.02)
        assert theirs["grad_norm"] == pytest.approx(mine["grad_norm"], rel=0.1)
    assert {weight.dtype for weight in weights(Path("two/model")).values()} == {torch.bfloat16}


@pytest.mark.parametrize("settings", [{}, {"tie_word_embeddings": True}])
def test_control_tokens_get_the_rows_of_a_whole_model(
    workplace: Path, trainer: Callable[..., Ended], settings: dict[str, Any]
) -> None:
    make_model(**settings).save_pretrained("model")
    common = [word.replace("kto", "csft") for word in COMMON if word not in ("--set", "beta=0.5")]
    assert trainer(*common, "--output", "one", "--micro-batch-size", "6").status == 0
    sharded(
        *common,
        *("--output", "two", "--micro-batch-size", "3"),
        ACCELERATE_USE_FSDP="true",
        FSDP_CPU_RAM_EFFICIENT_LOADING="true",
    )
    assert_like(Path("one"), Path("two"), relative=5e-5)
    assert_close(weights(Path("one/model")), weights(Path("two/model")))
