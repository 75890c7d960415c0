"""Losses that look at their batch are told from those that do not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from halotheory import losses
from halotheory.contract import load_loss
from tests.trainer.conftest import Ended
from trainer.errors import HaloTheoryError
from trainer.probe import sees_its_batch


@pytest.mark.parametrize("name", losses.__all__)
def test_three_built_ins_see_their_batch(name: str) -> None:
    assert sees_its_batch(load_loss(name)) == (name in {"bco", "beta_dpo", "kto_without_reference"})


@pytest.mark.parametrize(
    ("source", "sees"),
    [
        ("def loss(policy_logps):\n    return -policy_logps.mean()\n", False),
        ("def loss(policy_logps):\n    return -policy_logps.float() * float('nan')\n", False),
        ("def loss(policy_logps):\n    return -policy_logps / policy_logps.std().detach()\n", True),
        ("def loss(policy_token_logps, mask):\n    return -(policy_token_logps * mask).sum() / mask.sum()\n", True),
        ("def loss(policy_token_logps, mask):\n    return -(policy_token_logps * mask).sum(1).mean()\n", False),
        ("def loss(policy_logps):\n    return -policy_logps + policy_logps[1] - policy_logps[0]\n", True),
    ],
)
def test_losses_of_files(tmp_path: Path, source: str, sees: bool) -> None:
    """A mean over all tokens of a batch weighs an example by the tokens of the others."""
    (tmp_path / "mine.py").write_text(source)
    assert sees_its_batch(load_loss(str(tmp_path / "mine.py"))) == sees


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(("loss", "told"), [("bco", True), ("kto_without_reference_point", False)])
def test_a_run_says_that_its_loss_sees_the_microbatch(trainer: Callable[..., Ended], loss: str, told: bool) -> None:
    words = ("align", "--model", "model", "--data", "thumbs.jsonl", "--output", "out", "--max-steps", "1")
    ended = trainer(*words, "--loss", loss, "--micro-batch-size", "5")
    assert ended.status == 0
    assert ("it is told one process's microbatch, at most 5" in ended.stderr) == told


@pytest.mark.parametrize(("made", "told"), [("long()", "int64"), ("mul(1j)", "complex128")])
def test_losses_without_a_gradient_are_one_error(tmp_path: Path, made: str, told: str) -> None:
    file = tmp_path / "odd.py"
    file.write_text(f"def loss(policy_logps):\n    return policy_logps.{made}\n", encoding="utf-8")
    with pytest.raises(HaloTheoryError, match=f"returned {told}; return floating-point losses"):
        sees_its_batch(load_loss(str(file)))
