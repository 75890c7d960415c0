"""Losses that look at their batch are told from those that do not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from halotheory import losses
from halotheory.contract import load_loss
from tests.trainer.conftest import Ended
from trainer.errors import HaloTheoryError
from trainer.probe import check_inputs_stay, sees_its_batch, wrong_first_step


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


@pytest.mark.parametrize("name", losses.__all__)
def test_built_ins_step_towards_what_is_preferred(name: str) -> None:
    """But for DiscoPOP, whose loss as published (arXiv 2406.08414) rises with the log-ratio at 0."""
    odd = "lowers chosen completions against rejected ones" if name == "discopop" else None
    assert wrong_first_step(load_loss(name)) == odd


@pytest.mark.parametrize(
    ("name", "beta", "told"),
    [
        ("dpo", -0.1, "lowers chosen completions against rejected ones"),
        ("kto", -0.1, "lowers desirable completions against undesirable ones"),
        ("dpo", 0.0, "moves nothing"),
    ],
)
def test_settings_that_learn_nothing_or_the_contrary_are_told(name: str, beta: float, told: str) -> None:
    assert wrong_first_step(load_loss(name, {"beta": beta})) == told


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("(policy_logps):\n    return policy_logps", "lowers the completions"),
        ("(policy_logps, reference_logps):\n    return (policy_logps - reference_logps) ** 2", "moves nothing"),
        (
            "(policy_token_logps, advantages, mask):\n    return (advantages * policy_token_logps * mask).sum(1)",
            "lowers desirable completions against undesirable ones",
        ),
        ("(policy_logps):\n    return -policy_logps * float('nan')", None),
    ],
)
def test_a_forgotten_sign_is_told(tmp_path: Path, source: str, told: str | None) -> None:
    (tmp_path / "mine.py").write_text(f"def loss{source}\n")
    assert wrong_first_step(load_loss(str(tmp_path / "mine.py"))) == told


@pytest.mark.usefixtures("workplace")
def test_a_run_says_that_its_loss_goes_the_wrong_way(trainer: Callable[..., Ended]) -> None:
    words = ("align", "--model", "model", "--data", "thumbs.jsonl", "--output", "out", "--max-steps", "1")
    ended = trainer(*words, "--loss", "kto", "--set", "beta=-0.1", "--micro-batch-size", "5")
    assert ended.status == 0
    assert "warning: kto lowers desirable completions against undesirable ones where the policy is" in ended.stderr
    assert "beta=-0.1" in ended.stderr


@pytest.mark.parametrize("decorator", ["", "import torch\n@torch.no_grad()\n"])
def test_a_loss_without_a_gradient_is_told_before_any_data_is_read(tmp_path: Path, decorator: str) -> None:
    (tmp_path / "mine.py").write_text(f"{decorator}def loss(policy_logps):\n    return -policy_logps.detach()\n")
    with pytest.raises(HaloTheoryError, match=r"mine\.py:[13]: loss\(\) returned losses that do not depend"):
        wrong_first_step(load_loss(str(tmp_path / "mine.py")))


def test_the_sum_of_a_batch_is_refused_for_its_gradient_would_grow_with_the_microbatch(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def loss(policy_logps):\n    return -policy_logps.sum()\n")
    with pytest.raises(HaloTheoryError, match="returned the sum of the losses; return one loss per example, or their"):
        sees_its_batch(load_loss(str(tmp_path / "mine.py")))


@pytest.mark.parametrize("write", ["reference_logps.mul_(2)", "desirable.logical_not_()", "policy_logps.data.add_(1)"])
def test_a_loss_that_writes_into_what_it_is_told_is_refused(tmp_path: Path, write: str) -> None:
    """The metrics would be of what it wrote."""
    source = "def loss(policy_logps, reference_logps, desirable):\n"
    source += f"    {write}\n    return (reference_logps - policy_logps) * (2.0 * desirable - 1)\n"
    (tmp_path / "mine.py").write_text(source)
    with pytest.raises(HaloTheoryError, match=f"mine.py:1: .* writes in place into '{write.split('.')[0]}'"):
        check_inputs_stay(load_loss(str(tmp_path / "mine.py")))
