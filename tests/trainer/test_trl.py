"""KTO's and DPO's losses and gradients against TRL's own trainers, on the same batch."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainer.test_loop import prepared
from tests.trainer.tiny import make_model, make_tokenizer
from trainer.data import read_rows
from trainer.step import backward
from trainer.training import Training

trl = pytest.importorskip("trl", reason="TRL is the oracle of these tests; install the test group")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CI", "1")  # TRL sends telemetry without
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TRL's and datasets' own deprecations
        yield


def rows(path: str, training: Training, *, backwards: bool) -> Any:
    """Return the rows of the first step's only microbatch as TRL takes them.

    TRL mismatches x_i with y_(i-1), and the paper with y_(i+1): the same pairs, read backwards.
    """
    from datasets import Dataset

    (microbatch,) = training.order.step(0, 0)
    every = [row.values for row in read_rows(path)]
    chosen = [every[at] for at in microbatch]
    return Dataset.from_list(chosen[::-1] if backwards else chosen)


def theirs(trainer_class: Any, config_class: Any, dataset: Any, **settings: Any) -> tuple[float, dict[str, Tensor]]:
    """Return the loss and the gradients of TRL's trainer on one batch of all rows."""
    policy = make_model()
    arguments = config_class(
        output_dir="trl",
        per_device_train_batch_size=len(dataset),
        report_to=[],
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        max_length=None,
        **settings,
    )
    trainer = trainer_class(
        model=policy,
        ref_model=make_model(seed=1),
        args=arguments,
        train_dataset=dataset,
        processing_class=make_tokenizer(),
    )
    batch = next(iter(trainer.get_train_dataloader()))
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    return float(loss.detach()), {name: weight.grad for name, weight in policy.named_parameters()}


def theirs_batches(dataset: Any, size: int) -> list[list[tuple[str, str, str, bool]]]:
    """Return TRL's batches of thumbs: each row's prompt, completion, mismatched completion and label."""
    arguments = trl.KTOConfig(
        output_dir="trl",
        per_device_train_batch_size=size,
        report_to=[],
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        max_length=None,
    )
    tokenizer = make_tokenizer()
    trainer = trl.KTOTrainer(
        model=make_model(), ref_model=make_model(), args=arguments, train_dataset=dataset, processing_class=tokenizer
    )

    def texts(batch: Any, kind: str) -> list[tuple[str, str]]:
        rows = zip(
            *(batch[f"{kind}{name}"] for name in ("input_ids", "attention_mask", "completion_mask")), strict=True
        )
        split = [(ids[mask.bool() & ~own.bool()], ids[own.bool()]) for ids, mask, own in rows]
        return [tuple(tokenizer.decode(part, skip_special_tokens=True) for part in parts) for parts in split]  # type: ignore[misc]

    found = []
    for batch in trainer.get_train_dataloader():
        both = zip(texts(batch, ""), texts(batch, "KL_"), batch["label"], strict=True)
        found.append([(prompt, completion, other, bool(label)) for (prompt, completion), (_, other), label in both])
    return found


def ours(training: Training) -> tuple[float, dict[str, Tensor]]:
    (microbatch,) = training.order.step(0, 0)
    scored = backward(training, microbatch, len(microbatch), last=True)
    if scored.scores.kl_raw is not None:
        assert float(scored.scores.kl_raw) > 0.1  # the reference point matters here
    return float(scored.losses.mean()), {name: weight.grad for name, weight in training.policy.model.named_parameters()}


def assert_same(one: tuple[float, dict[str, Tensor]], other: tuple[float, dict[str, Tensor]]) -> None:
    assert one[0] == pytest.approx(other[0], abs=1e-5)
    assert one[1].keys() == other[1].keys()
    for name, gradient in one[1].items():
        torch.testing.assert_close(gradient, other[1][name], rtol=1e-5, atol=1e-5)
    assert max(float(gradient.abs().max()) for gradient in one[1].values()) > 1e-2


@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.4, 0.6)])
def test_kto_is_trls(workplace: Path, weights: tuple[float, float]) -> None:
    settings = {"beta": 0.3, "desirable_weight": weights[0], "undesirable_weight": weights[1]}
    sizes = {"batch_size": 12, "micro_batch_size": 12}
    training = prepared(loss="kto", data="thumbs.jsonl", hyperparameters=settings, **sizes)
    dataset = rows("thumbs.jsonl", training, backwards=True)
    assert_same(ours(training), theirs(trl.KTOTrainer, trl.KTOConfig, dataset, **settings))


def test_dpo_is_trls(workplace: Path) -> None:
    training = prepared(
        loss="dpo", data="pairs.jsonl", hyperparameters={"beta": 0.3}, batch_size=12, micro_batch_size=12
    )
    dataset = rows("pairs.jsonl", training, backwards=False)
    assert_same(ours(training), theirs(trl.DPOTrainer, trl.DPOConfig, dataset, beta=0.3))
