"""The lines of metrics.jsonl."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.test_batch import table
from trainer.batch import matched
from trainer.logps import Scores
from trainer.metrics import NAMES, Window, append, cut_after, read, statistics

SEQUENCES = matched(table([([1], [[5, 2]]), ([1], [[6, 2]]), ([1], [[7, 8, 2]])]), np.arange(3))


def scores(tensors: Mapping[str, Any], *, kl_raw: float | None = None, counts: bool = True) -> Scores:
    named = {name: torch.tensor(values) for name, values in tensors.items()}
    policy = named.get("policy_logps", torch.zeros(3))
    raw = None if kl_raw is None else torch.tensor(kl_raw)
    if raw is not None:
        named["kl"] = raw.clamp(min=0).expand(3)
    return Scores(policy=policy, tensors=named, kl_raw=raw, sequences=SEQUENCES, counts=counts)


def line(*microbatches: tuple[list[float], Scores]) -> dict[str, float]:
    window = Window()
    sums = torch.stack([statistics(torch.tensor(losses), one) for losses, one in microbatches]).sum(dim=0)
    window.add(sums.tolist(), grad_norm=2.0, examples=3, tokens=10)
    return window.line(step=1, epoch=0.5, learning_rate=0.1)


THUMBS = {
    "policy_logps": [-1.0, -2.0, -3.0],
    "reference_logps": [-2.0, -2.5, -1.0],
    "desirable": [True, True, False],
}
LENGTHS = {"lengths": [2.0, 2.0, 3.0]}


def test_rewards_of_thumbs_are_means_over_each_label() -> None:
    told = line(([1.0, 2.0, 6.0], scores({**THUMBS, **LENGTHS}, kl_raw=-0.5)))
    expected = {
        "loss": 3.0,
        "reward_desirable": 0.75,
        "reward_undesirable": -2.0,
        "reward_margin": 2.75,
        "logps_desirable": -1.5,
        "logps_undesirable": -3.0,
        "kl": 0.0,
        "kl_raw": -0.5,
        "grad_norm": 2.0,
        "learning_rate": 0.1,
        "examples": 3,
        "tokens": 10,
        "step": 1,
        "epoch": 0.5,
        "seconds": 0.0,
    }
    assert told == pytest.approx(expected)


def test_rewards_of_tokens_are_those_of_their_sums() -> None:
    tokens = {
        "policy_token_logps": [[-0.5, -0.5], [-2.0, 0.0], [-1.0, -2.0]],
        "reference_token_logps": [[-2.0, 0.0], [-2.5, 0.0], [-0.5, -0.5]],
        "desirable": THUMBS["desirable"],
        "advantages": [[1.0, 1.0], [1.0, 1.0], [-1.0, -1.0]],
        "mask": [[True, True], [True, False], [True, True]],
    }
    told, summed = (line(([1.0, 2.0, 6.0], scores(one))) for one in (tokens, THUMBS))
    assert told == pytest.approx(summed)


def test_rewards_of_pairs_have_an_accuracy() -> None:
    pair = {
        "policy_chosen_logps": [-1.0, -2.0, -3.0],
        "policy_rejected_logps": [-4.0, -4.0, -4.0],
        "reference_chosen_logps": [-2.0, -2.0, -2.0],
        "reference_rejected_logps": [-3.0, -5.0, -2.0],
    }
    told = line(([1.0, 1.0, 1.0], scores(pair)))
    assert (told["reward_desirable"], told["reward_undesirable"]) == pytest.approx((0.0, -2 / 3))
    assert told["reward_accuracy"] == pytest.approx(2 / 3)
    assert "kl" not in told


def test_without_labels_there_are_nats_per_token_and_no_rewards() -> None:
    told = line(([1.0, 2.0, 3.0], scores({"policy_logps": [-1.0, -2.0, -4.0], "desirable": [True] * 3, **LENGTHS})))
    assert told["nats_per_token"] == pytest.approx(7 / 7)
    assert not [name for name in told if name.startswith(("reward", "kl"))]


def test_a_label_that_is_missing_has_no_reward_instead_of_zero() -> None:
    told = line(([1.0, 1.0, 1.0], scores({**THUMBS, **LENGTHS, "desirable": [True] * 3}, kl_raw=1.0)))
    assert "reward_undesirable" not in told
    assert "reward_margin" not in told


def test_an_example_that_is_lent_counts_for_nothing() -> None:
    once = ([1.0, 2.0, 6.0], scores({**THUMBS, **LENGTHS}, kl_raw=0.5))
    lent = ([9.0, 9.0, 9.0], scores({**THUMBS, **LENGTHS}, kl_raw=0.5, counts=False))
    assert line(once, lent) == line(once)


def test_means_are_over_examples_not_over_microbatches() -> None:
    window = Window()
    for total, count in ((6.0, 3.0), (10.0, 1.0)):
        sums = [[total, count] if name == "loss" else [0.0, 0.0] for name in NAMES]
        window.add(sums, grad_norm=1.0, examples=int(count), tokens=0)
    assert window.line(step=2, epoch=1, learning_rate=1)["loss"] == 4.0


def test_lines_after_a_checkpoint_and_a_line_cut_short_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for step in range(1, 5):
        append(path, {"step": step})
    with path.open("a") as file:
        file.write('{"step": 5, "lo')
    assert [one["step"] for one in read(path)] == [1, 2, 3, 4]
    cut_after(path, 2)
    assert [json.loads(text) for text in path.read_text().splitlines()] == [{"step": 1}, {"step": 2}]
