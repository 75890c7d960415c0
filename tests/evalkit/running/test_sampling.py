"""Sampling: draws from the model's distribution, each from a random state of its own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from evalkit.errors import EvalkitError
from evalkit.running.run import run
from evalkit.running.sampling import GumbelNoise, is_sampled


def test_the_largest_noisy_logit_is_a_draw_from_the_softmax() -> None:
    probabilities = np.array([0.5, 0.25, 0.15, 0.1])
    scores = torch.tensor(np.log(probabilities), dtype=torch.float32).repeat(4000, 1)
    noise = GumbelNoise(range(4000))
    for _ in range(3):  # the same holds for later tokens
        drawn = noise(torch.zeros(4000, 1), scores).argmax(dim=1).bincount(minlength=4).numpy()
        assert chisquare(drawn, 4000 * probabilities).pvalue > 1e-3


def test_the_noise_of_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    scores, ids = torch.zeros(5, 50), torch.zeros(5, 1)
    together, alone = GumbelNoise([7, 8, 9, 10, 11]), GumbelNoise([9])
    for _ in range(4):
        assert torch.equal(together(ids, scores)[2], alone(ids[:1], scores[:1])[0])


def test_impossible_tokens_stay_impossible() -> None:
    scores = torch.full((1, 100), -torch.inf)
    scores[0, 42] = 0.0
    noise = GumbelNoise([3])
    assert all(noise(torch.zeros(1, 1), scores).argmax() == 42 for _ in range(50))


@pytest.mark.parametrize(
    ("settings", "sampled"),
    [
        ({}, False),
        ({"do_sample": False}, False),
        ({"do_sample": True, "temperature": 0.7}, True),
        ({"temperature": 0.7}, True),
        ({"do_sample": False, "temperature": 0.7}, False),
        ({"do_sample": True, "temperature": 0.0}, False),
    ],
)
def test_what_is_sampled(settings: dict[str, Any], sampled: bool) -> None:
    assert is_sampled(settings) is sampled


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


def test_an_item_has_all_its_samples_and_their_mean(model: Path, task: Path, tmp_path: Path) -> None:
    found = run(str(model), [str(task)], tmp_path / "run", temperature=2.0, samples=5)["benchmarks"]["arithmetic"]
    for row in rows(tmp_path / "run"):
        assert row["sample_scores"] == [float(text == row["target"]) for text in row["response"]]
        assert (row["num_samples"], row["score"]) == (5, sum(row["sample_scores"]) / 5)
    means = [row["score"] for row in rows(tmp_path / "run")]
    assert found["score"] == pytest.approx(np.mean(means))
    assert (found["num_samples"], found["n"]) == (5, 30)
    assert "30 clusters" in found["method"]
    half = 2.045229642 * np.std(means, ddof=1) / np.sqrt(30)  # t quantile, 29 degrees of freedom
    assert found["interval"][1] - found["score"] == pytest.approx(half)
    texts = [text for row in rows(tmp_path / "run") for text in row["response"]]
    assert len(set(texts)) > 3


def test_samples_do_not_depend_on_the_batch_nor_on_how_many_there_are(model: Path, task: Path, tmp_path: Path) -> None:
    run(str(model), [str(task)], tmp_path / "a", temperature=1.0, samples=2, batch_size=1)
    run(str(model), [str(task)], tmp_path / "b", temperature=1.0, samples=3, batch_size=7, limit=12)
    for one, other in zip(rows(tmp_path / "a"), rows(tmp_path / "b"), strict=False):
        assert one["response"] == other["response"][:2]
    run(str(model), [str(task)], tmp_path / "c", temperature=1.0, samples=2, seed=5)
    assert [row["response"] for row in rows(tmp_path / "c")] != [row["response"] for row in rows(tmp_path / "a")]


def test_equal_items_are_sampled_apart(model: Path, task: Path, tmp_path: Path) -> None:
    (task.parent / "items.jsonl").write_text('{"question": "a", "answer": "4"}\n' * 12, encoding="utf-8")
    run(str(model), [str(task)], tmp_path / "run", temperature=2.0, samples=2)
    answers = [tuple(row["response"]) for row in rows(tmp_path / "run")]
    assert len(set(answers)) > 3


def test_a_nucleus_of_nothing_else_is_greedy(model: Path, task: Path, tmp_path: Path) -> None:
    run(str(model), [str(task)], tmp_path / "greedy", batch_size=1)
    run(str(model), [str(task)], tmp_path / "run", temperature=1.0, top_p=1e-6, batch_size=1)
    assert [row["response"] for row in rows(tmp_path / "run")] == [row["response"] for row in rows(tmp_path / "greedy")]


def test_choices_are_scored_once(model: Path, made_up_data: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"data_dir": made_up_data, "limit": 1}
    greedy = run(str(model), ["mmlu"], tmp_path / "greedy", **settings)["benchmarks"]["mmlu"]
    sampled = run(str(model), ["mmlu"], tmp_path / "run", temperature=0.7, samples=3, **settings)["benchmarks"]["mmlu"]
    assert (sampled["score"], sampled["interval"], sampled["num_samples"]) == (greedy["score"], greedy["interval"], 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 3}, "--samples 3: greedy answers are all the same; give a --temperature"),
        ({"samples": 3, "temperature": 0.0}, "greedy answers are all the same"),
        ({"samples": 0, "temperature": 1.0}, "--samples 0: must be at least 1"),
        ({"temperature": -1.0}, "--temperature -1.0: must be 0"),
        ({"temperature": float("nan")}, "--temperature nan: must be 0"),
        ({"top_p": 0.5}, "needs a --temperature"),
        ({"top_p": 1.5, "temperature": 1.0}, r"--top-p 1.5: must lie in \(0, 1\]"),
        ({"num_fewshot": -1}, "--num-fewshot -1: must be at least 0"),
    ],
)
def test_bad_settings_of_sampling(
    settings: dict[str, Any], message: str, model: Path, task: Path, tmp_path: Path
) -> None:
    with pytest.raises(EvalkitError, match=message):
        run(str(model), [str(task)], tmp_path / "run", **settings)
