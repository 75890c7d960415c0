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
from trainer.metrics import (
    CLOCKED,
    NAMES,
    StepTotals,
    Window,
    append,
    cut_after,
    peak_memory_gb,
    read,
    slopes,
    statistics,
)

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
    window.add(totals(sums.tolist(), slopes=[0.5, 0.004, 1.0]), grad_norm=2.0, seconds=4.0)
    return window.line(step=1, epoch=0.5, learning_rate=0.1, memory_gb=1.23456)


def totals(sums: list[list[float]] | None = None, *, slopes: list[float], tokens: int = 10) -> StepTotals:
    return StepTotals(sums=sums or [[1.0, 1.0] for _ in NAMES], slopes=slopes, tokens=tokens, memory_gb=1.0)


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
        "completion_length": 7 / 3,
        "desirable_share": 2 / 3,
        "saturation": 1 / 3,
        "tokens_per_second": 2.5,
        "memory_gb": 1.235,
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
        window.add(totals(sums, slopes=[1.0] * int(count)), grad_norm=1.0, seconds=1.0)
    assert window.line(step=2, epoch=1, learning_rate=1, memory_gb=1)["loss"] == 4.0


def test_saturation_compares_with_the_largest_slope_of_the_run_and_not_of_the_line() -> None:
    window = Window()
    shares = []
    for found in ([1.0, 0.009, 0.011, 0.0], [0.01, 0.02, 0.009], [3.0, 0.02, 0.04], [0.0]):
        window.add(totals(slopes=found), grad_norm=1.0, seconds=1.0)
        shares.append(window.line(step=1, epoch=1, learning_rate=1, memory_gb=1)["saturation"])
    assert shares == [2 / 4, 2 / 3, 1 / 3, 1.0]
    assert window.largest_slope == 3.0


def test_the_pace_is_of_the_steps_since_the_last_line() -> None:
    window = Window()
    paces = []
    for tokens, seconds in ((100, 1.0), (300, 2.0)):
        window.add(totals(slopes=[1.0], tokens=tokens), grad_norm=1.0, seconds=seconds)
        window.seconds += 10.0  # checkpoints and evaluations are no steps
        paces.append(window.line(step=1, epoch=1, learning_rate=1, memory_gb=1)["tokens_per_second"])
    assert (paces, window.tokens) == ([100.0, 150.0], 400)


@pytest.mark.parametrize(
    ("loss", "shape", "expected"),
    [
        (lambda logps: (logps * torch.tensor([1.0, -2.0, 3.0])).sum(), (3,), [1.0, 2.0, 3.0]),
        (lambda logps: (logps[:3] - 2 * logps[3:]).sum(), (6,), [3.0, 3.0, 3.0]),  # pairs: chosen, then rejected
        (lambda logps: (logps * torch.tensor([1.0, -1.0])).sum(), (3, 2), [2.0, 2.0, 2.0]),  # tokens
    ],
)
def test_slopes_are_added_over_the_outputs_or_tokens_of_an_example(
    loss: Any, shape: tuple[int, ...], expected: list[float]
) -> None:
    policy = torch.zeros(shape, requires_grad=True)
    loss(policy).backward()
    one = Scores(policy=policy, tensors={}, kl_raw=None, sequences=SEQUENCES, counts=True)
    assert slopes(one, 3).tolist() == expected


def test_peak_memory_is_that_of_a_process_which_has_loaded_pytorch() -> None:
    before = peak_memory_gb(torch.device("cpu"))
    held = torch.ones(25_000_000)  # 0.1 GB
    after = peak_memory_gb(torch.device("cpu"))
    assert 0.05 < before <= after < 100
    assert held.sum() == 25_000_000


def test_what_a_clock_decides_is_named() -> None:
    told = line(([1.0, 2.0, 6.0], scores({**THUMBS, **LENGTHS})))
    assert set(CLOCKED) < set(told)


def test_lines_after_a_checkpoint_and_a_line_cut_short_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for step in range(1, 5):
        append(path, {"step": step})
    with path.open("a") as file:
        file.write('{"step": 5, "lo')
    assert [one["step"] for one in read(path)] == [1, 2, 3, 4]
    cut_after(path, 2)
    assert [json.loads(text) for text in path.read_text().splitlines()] == [{"step": 1}, {"step": 2}]
