"""Gradients of a step against closed forms, and a step that must not be taken."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from halotheory.contract import load_loss
from tests.trainer.conftest import Ended
from tests.trainer.test_logps import naive
from tests.trainer.tiny import make_model, pairs, read_metrics, same_weights, thumbs, write_jsonl
from trainer.align import align
from trainer.config import AlignConfig
from trainer.errors import TrainerError
from trainer.prepare import prepare
from trainer.step import backward
from trainer.training import Training


def config(**values: Any) -> AlignConfig:
    return AlignConfig(**{"model": "model", "output": "out", "learning_rate": 1e-3, **values})


def prepared(**values: Any) -> Training:
    """Return what the loop works with; the policy differs from the reference, so that rewards are not zero."""
    make_model(seed=1).save_pretrained("reference")
    chosen = config(reference_model="reference", **values)
    training, _ = prepare(chosen, load_loss(chosen.loss, chosen.hyperparameters), Accelerator())
    return training


def step_gradient(training: Training, *, step: int = 0) -> list[Tensor]:
    """Return the gradient of one step, accumulated over its microbatches."""
    microbatches = training.order.step(0, step)
    examples = sum(map(len, microbatches))
    for microbatch in microbatches:
        backward(training, microbatch, examples, last=microbatch is microbatches[-1])
    return [weight.grad.clone() for weight in training.policy.parameters()]


def assert_same(one: list[Tensor], other: list[Tensor]) -> None:
    for mine, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=3e-6)


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(("loss", "data"), [("dpo", "pairs.jsonl"), ("sft", "thumbs.jsonl")])
def test_an_accumulated_gradient_is_that_of_one_big_batch(loss: str, data: str) -> None:
    """Eleven examples in microbatches of 4, 4 and 3: a mean of means would weigh the last ones more."""
    parts = prepared(loss=loss, data=data, batch_size=11, micro_batch_size=4)
    assert [len(one) for one in parts.order.step(0, 0)] == [4, 4, 3]
    whole = prepared(loss=loss, data=data, batch_size=11, micro_batch_size=11)
    assert_same(step_gradient(parts), step_gradient(whole))


MEAN_OF_DPO = """
import torch
def loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1):
    margin = policy_chosen_logps - reference_chosen_logps - policy_rejected_logps + reference_rejected_logps
    return -torch.nn.functional.logsigmoid(beta * margin).mean()
"""


def test_a_loss_that_returns_its_mean_has_the_gradient_of_the_sum_over_the_step(workplace: Path) -> None:
    (workplace / "mean.py").write_text(MEAN_OF_DPO)
    sizes = {"data": "pairs.jsonl", "batch_size": 11, "micro_batch_size": 4}
    assert_same(step_gradient(prepared(loss="mean.py", **sizes)), step_gradient(prepared(loss="dpo", **sizes)))


@pytest.mark.parametrize(
    "source", [MEAN_OF_DPO, "def loss(policy_token_logps, mask):\n    return -policy_token_logps.mean()\n"]
)
def test_a_loss_that_returns_its_mean_trains(workplace: Path, source: str) -> None:
    (workplace / "mean.py").write_text(source)
    align(config(loss="mean.py", data="pairs.jsonl", batch_size=11, micro_batch_size=4, max_steps=2))
    assert [line["examples"] for line in read_metrics(Path("out"))] == [11, 22]


def rows_of(training: Training, microbatch: Any) -> list[tuple[list[int], list[int], bool]]:
    """Return each example's prompt, completion and label."""
    table = training.table

    def cut(start: Any, length: Any) -> list[int]:
        return table.tokens[int(start) : int(start + length)].tolist()

    return [
        (
            cut(table.prompt_start[at], table.prompt_length[at]),
            cut(table.completion_start[at, 0], table.completion_length[at, 0]),
            bool(table.desirable[at]),
        )
        for at in microbatch
    ]


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("reference_seed", [1, 2])
def test_the_gradient_of_kto_is_equation_8(reference_seed: int) -> None:
    """d(y) lambda_y sigma(beta z) (1 - sigma(beta z)) beta grad log pi(y|x), d = -1 desirable, +1 undesirable."""
    beta, weight = 0.7, {True: 1.3, False: 0.6}
    settings = {"beta": beta, "desirable_weight": 1.3, "undesirable_weight": 0.6}
    training = prepared(loss="kto", data="thumbs.jsonl", hyperparameters=settings, batch_size=7, micro_batch_size=4)
    reference = make_model(seed=1)
    if reference_seed == 2:  # the policy is less likely than the reference everywhere: z0 is clamped at 0
        with torch.no_grad():
            training.policy.model.lm_head.weight.mul_(0)
            training.policy.model.lm_head.weight.data[0] = 3.0
    gradient = [torch.zeros_like(weight) for weight in training.policy.parameters()]
    raw = []
    for microbatch in training.order.step(0, 0):
        rows = rows_of(training, microbatch)
        shifted = [rows[(at + 1) % len(rows)][1] for at in range(len(rows))]
        with torch.no_grad():
            pairs = [(prompt, other) for (prompt, _, _), other in zip(rows, shifted, strict=True)]
            ratios = [naive(training.policy.model, *one) - naive(reference, *one) for one in pairs]
        raw.append(float(torch.stack(ratios).mean()))
        for prompt, completion, desirable in rows:
            logp = naive(training.policy.model, prompt, completion)
            z = logp.detach() - naive(reference, prompt, completion).detach() - max(0.0, raw[-1])
            sigma = torch.sigmoid(beta * z)
            factor = (-1 if desirable else 1) * weight[desirable] * sigma * (1 - sigma) * beta / 7
            for total, part in zip(
                gradient, torch.autograd.grad(logp, list(training.policy.parameters())), strict=True
            ):
                total += factor * part
    assert [value > 0 for value in raw] == ([True, True] if reference_seed == 1 else [False, False])
    assert_same(step_gradient(training), gradient)


@pytest.mark.usefixtures("workplace")
def test_at_the_start_kto_costs_half_its_weight_and_dpo_log_2() -> None:
    align(config(loss="kto", data="thumbs.jsonl", output="kto", max_steps=1))
    align(config(loss="dpo", data="pairs.jsonl", output="dpo", max_steps=1))
    kto, dpo = read_metrics(Path("kto"))[0], read_metrics(Path("dpo"))[0]
    assert (kto["loss"], kto["kl"], kto["kl_raw"], kto["reward_margin"]) == pytest.approx((0.5, 0, 0, 0), abs=1e-6)
    assert dpo["loss"] == pytest.approx(0.6931472)
    assert dpo["reward_margin"] == pytest.approx(0, abs=1e-6)


@pytest.mark.usefixtures("workplace")
def test_the_policy_starts_with_its_dropout_off_and_on_when_asked() -> None:
    make_model(attention_dropout=0.5).save_pretrained("model")
    align(config(loss="kto", data="thumbs.jsonl", output="off", max_steps=1))
    align(config(loss="kto", data="thumbs.jsonl", output="on", max_steps=1, dropout=True))
    assert abs(read_metrics(Path("off"))[0]["kl_raw"]) < 1e-6
    assert read_metrics(Path("on"))[0]["kl_raw"] != 0.0


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("loss", ["kto", "dpo", "ipo", "hinge", "sft"])
def test_every_loss_falls_on_data_that_it_has_seen(loss: str) -> None:
    data = "thumbs.jsonl" if loss in {"kto", "sft"} else "pairs.jsonl"
    values = {"hyperparameters": {} if loss == "sft" else {"beta": 0.5}}
    align(config(loss=loss, data=data, epochs=6, batch_size=8, schedule="constant", **values))
    lines = read_metrics(Path("out"))
    first, last = (sum(line["loss"] for line in part) / 4 for part in (lines[:4], lines[-4:]))
    assert last < 0.9 * first
    if loss != "sft":
        assert lines[-1]["reward_margin"] > 0.3


def failing(statement: str) -> str:
    return f"import torch\ndef loss(policy_logps, lengths, desirable):\n    return {statement}\n"


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("torch.where(lengths > 5, torch.nan, 1.0) - policy_logps", "the loss is nan"),
        ("-policy_logps * torch.where(lengths > 5, torch.inf, 1.0)", "the loss is inf"),
        (
            "(1 + (lengths > 5) * (policy_logps - policy_logps.detach() - 1)).sqrt() - policy_logps",
            "the loss's gradient is inf",
        ),
    ],
)
def test_a_value_that_is_not_finite_stops_before_the_step_and_names_the_line(
    workplace: Path, trainer: Callable[..., Ended], statement: str, what: str
) -> None:
    """Line 9 alone has six tokens. The checkpoint before stays."""
    rows = [{"prompt": f"{n}=", "completion": "12345" if n == 8 else "12", "label": True} for n in range(16)]
    write_jsonl(workplace / "rows.jsonl", rows)
    (workplace / "bad.py").write_text(failing(statement))
    words = ("align", "--loss", "bad.py", "--model", "model", "--data", "rows.jsonl", "--output", "out")
    ended = trainer(*words, "--batch-size", "2", "--save-steps", "1")
    assert ended.status == 2
    assert ended.stderr.splitlines()[-1].startswith(f"error: rows.jsonl:9: {what} at step 7; stopped before the step")
    assert [line["step"] for line in read_metrics(workplace / "out")] == [1, 2, 3, 4, 5, 6]
    checkpoints = sorted(path.name for path in (workplace / "out" / "checkpoints").iterdir())
    assert checkpoints == ["step-000005", "step-000006"]
    assert not (workplace / "out" / "model").exists()


@pytest.mark.usefixtures("workplace")
def test_a_gradient_that_overflows_in_the_model_stops_before_the_step() -> None:
    model = make_model()
    model.lm_head.weight.data[5] = 1e38
    model.save_pretrained("model")
    with pytest.raises(TrainerError, match=r"thumbs.jsonl:\d+: .* at step 1; stopped before the step"):
        align(config(loss="sft", data="thumbs.jsonl"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "def loss(policy_logps):\n    return policy_logps.detach()\n",
            "bad.py:1: loss() returned losses that do not depend on the policy's log-probabilities",
        ),
        ("def loss(policy_logps):\n    return policy_logps[:1]\n", "bad.py:1: loss() returned shape (1,)"),
        ("def loss(policy_logps):\n\n    return policy_logps / 'a'\n", "bad.py:3: loss() raised TypeError"),
    ],
)
def test_a_loss_that_breaks_the_contract_in_training_is_named(
    workplace: Path, trainer: Callable[..., Ended], source: str, message: str
) -> None:
    (workplace / "bad.py").write_text(source)
    ended = trainer("align", "--loss", "bad.py", "--model", "model", "--data", "thumbs.jsonl", "--output", "out")
    assert ended.status == 2
    assert message in ended.stderr


RAISES_THE_THIRD_TIME = """
def loss(policy_logps):
    if policy_logps.dtype.itemsize < 8:  # unlike the numbers with which a loss is tried
        calls.append(0)
    if len(calls) > 2:
        raise ValueError("z too large")
    return -policy_logps

calls = []
"""


@pytest.mark.parametrize(
    ("words", "where"),
    [
        ((), r"thumbs.jsonl:\d+, thumbs.jsonl:\d+ and 2 more\) at step 3; stopped before the step"),
        (("--eval-share", "0.05", "--eval-steps", "1"), r"thumbs.jsonl:\d+\) in the evaluation at step 1; stopped"),
    ],
)
def test_a_loss_that_raises_amid_training_says_where_and_that_the_checkpoints_stay(
    workplace: Path, trainer: Callable[..., Ended], words: tuple[str, ...], where: str
) -> None:
    """It learns from the 12 good ones of 24 thumbs, four a step; of these one is held out, and told before step 1."""
    (workplace / "late.py").write_text(RAISES_THE_THIRD_TIME)
    paths = ("--loss", "late.py", "--model", "model", "--data", "thumbs.jsonl", "--output", "out")
    ended = trainer("align", *paths, "--batch-size", "4", *words)
    said = rf"error: late\.py:6: loss\(\) raised ValueError: z too large \(examples {where}, checkpoints are untouched"
    assert ended.status == 2
    assert re.fullmatch(said, ended.stderr.splitlines()[-1])


@pytest.mark.usefixtures("workplace")
def test_bfloat16_trains_and_starts_at_the_same_loss() -> None:
    align(config(loss="kto", data="thumbs.jsonl", dtype="bfloat16", epochs=2, batch_size=8))
    lines = read_metrics(Path("out"))
    assert lines[0]["loss"] == pytest.approx(0.5, abs=1e-3)  # the reference was scored in other rows, and rounded so
    assert lines[0]["kl_raw"] == pytest.approx(0.0, abs=0.05)
    assert abs(lines[-1]["loss"] - 0.5) > 0.01


@pytest.mark.usefixtures("workplace")
def test_two_runs_of_one_configuration_are_alike_bit_for_bit_and_another_seed_is_not() -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        align(config(loss="kto", data="thumbs.jsonl", output=name, seed=seed, batch_size=8, max_steps=2))
    assert same_weights(Path("a/model"), Path("b/model"))
    assert not same_weights(Path("a/model"), Path("c/model"))


@pytest.mark.usefixtures("workplace")
def test_a_rows_weight_multiplies_its_loss() -> None:
    """Pairs of weight 2, 0, 2, 0, ...: the gradient is the mean of twice the first, third, ... and of nothing."""
    rows = [{**row, "weight": 2.0 * (at % 2 == 0)} for at, row in enumerate(pairs(6))]
    write_jsonl(Path("weighted.jsonl"), rows)
    write_jsonl(Path("half.jsonl"), pairs(6)[::2])
    gradients = []
    for data, size in (("weighted.jsonl", 6), ("half.jsonl", 3)):
        training = prepared(loss="dpo", data=data, batch_size=size, micro_batch_size=size)
        assert (training.table.weights is None) == (size == 3)
        gradients.append(step_gradient(training))
    assert_same(*gradients)


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("weight", [-1, float("nan"), "2", True, None])
def test_a_weight_that_is_none_is_named(weight: object) -> None:
    write_jsonl(Path("bad.jsonl"), [thumbs(2)[0], {**thumbs(2)[1], "weight": weight}])
    with pytest.raises(TrainerError, match=r"bad\.jsonl:2: weight is .*; write a number >= 0"):
        prepared(loss="sft", data="bad.jsonl")
