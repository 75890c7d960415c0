"""Each built-in, trained: what the step computes is the loss of log-probabilities put together by hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from halotheory import losses
from halotheory.contract import load_loss
from tests.trainer.test_logps import naive
from tests.trainer.test_loop import config, prepared
from tests.trainer.tiny import make_model, make_tokenizer, read_metrics, same_weights
from trainer.align import align
from trainer.data import Row, read_rows
from trainer.step import backward
from trainer.training import Training

TOKENIZER = make_tokenizer()


def tokens(text: str) -> list[int]:
    return TOKENIZER(text, add_special_tokens=False)["input_ids"]


def logps(model: Any, row: Row, column: str, *, control: Sequence[int] = ()) -> Tensor:
    """Return log pi of each token of a completion, one at a time."""
    prompt = [1, *tokens(row.values["prompt"]), *control]
    completion = [*tokens(row.values[column]), 2]
    return torch.stack([naive(model, prompt + completion[:at], [token]) for at, token in enumerate(completion)])


def by_hand(training: Training, rows: list[Row]) -> dict[str, Tensor]:
    """Return every argument that a loss may name, for one microbatch."""
    models = {"policy": training.policy.model, "reference": make_model(seed=1)}
    if "chosen" in rows[0].values:
        columns = ("chosen", "rejected")
        tensors = {f"{c}_lengths": torch.tensor([len(tokens(row.values[c])) + 1.0 for row in rows]) for c in columns}
        for who, model in models.items():
            for column in columns:
                each = [logps(model, row, column).sum() for row in rows]
                tensors[f"{who}_{column}_logps"] = torch.stack(each)
        return tensors
    desirable = torch.tensor([row.values["label"] for row in rows])
    tensors = {"desirable": desirable, "advantages": torch.where(desirable, 1.0, -1.0)[:, None]}
    for who, model in models.items():
        told = training.loss.name == "csft" and who == "policy"
        controls = [training.codec.encode([text])[0] if told else [] for text in ("<|bad|>", "<|good|>")]
        each = [logps(model, row, "completion", control=controls[row.values["label"]]) for row in rows]
        tensors[f"{who}_logps"] = torch.stack([one.sum() for one in each])
        tensors[f"{who}_token_logps"] = torch.nn.utils.rnn.pad_sequence(each, batch_first=True)
        tensors["mask"] = torch.nn.utils.rnn.pad_sequence([torch.ones_like(one) for one in each], batch_first=True) > 0
    others = [Row(place="", values={**row.values, **up}) for row, up in zip(rows, mismatched(rows), strict=True)]
    ratios = [
        logps(models["policy"], one, "completion") - logps(models["reference"], one, "completion") for one in others
    ]
    tensors["kl"] = torch.stack([one.sum() for one in ratios]).mean().clamp(min=0).detach()
    return tensors


def mismatched(rows: list[Row]) -> list[dict[str, str]]:
    return [{"completion": other.values["completion"]} for other in [*rows[1:], rows[0]]]


def data_for(name: str) -> str:
    return "pairs.jsonl" if load_loss(name).kind == "paired" else "thumbs.jsonl"


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("name", losses.__all__)
def test_the_loss_and_the_gradient_of_a_step_are_those_worked_by_hand(name: str) -> None:
    training = prepared(loss=name, data=data_for(name), batch_size=4, micro_batch_size=4)
    (microbatch,) = training.order.step(0, 0)
    places = {row.place: row for row in read_rows(training.config.data)}
    rows = [places[training.table.places[at]] for at in microbatch]

    expected = training.loss(**by_hand(training, rows))
    weights = list(training.policy.parameters())
    gradients = torch.autograd.grad(expected.mean(), weights)

    scored = backward(training, microbatch, len(microbatch), last=True)
    order = [microbatch.tolist().index(at) for at in scored.examples]
    worked = expected.detach()[order] if expected.dim() else expected.detach().expand(len(order))
    torch.testing.assert_close(scored.losses, worked, rtol=1e-4, atol=1e-4)
    scale = max(float(gradient.abs().max()) for gradient in gradients)
    assert 0 < scale < float("inf")
    for weight, gradient in zip(weights, gradients, strict=True):
        torch.testing.assert_close(weight.grad, gradient, rtol=1e-3, atol=1e-4 * scale)


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("name", losses.__all__)
def test_two_steps_with_each_loss_change_the_model(name: str) -> None:
    align(config(loss=name, data="pairs.jsonl", batch_size=6, micro_batch_size=4, max_steps=2, learning_rate=1e-3))
    lines = read_metrics(Path("out"))
    assert len(lines) == 2
    assert all(torch.isfinite(torch.tensor([line["loss"], line["grad_norm"]])).all() for line in lines)
    assert not same_weights(Path("out/model"), Path("model"))
