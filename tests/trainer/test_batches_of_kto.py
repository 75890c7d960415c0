"""What KTO's batches must be, on data where TRL 1.16's are not: pairs taken apart, and both answers side by side."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainer.test_loop import prepared
from tests.trainer.test_trl import quiet, theirs_batches
from tests.trainer.tiny import pairs, write_jsonl

trl = pytest.importorskip("trl", reason="TRL is the peer of these tests; install the test group")

pytestmark = pytest.mark.usefixtures("workplace", quiet.__name__)

Batch = list[tuple[str, str, str, bool]]
"""Prompt, completion, mismatched completion, label."""


def ours(count: int, epoch: int, **settings: Any) -> list[Batch]:
    """Return the microbatches of an epoch of pairs."""
    rows = write_jsonl(Path("some.jsonl"), pairs(count))
    training = prepared(loss="kto", data=str(rows), **{"batch_size": 8, "micro_batch_size": 8, **settings})
    table, codec = training.table, training.codec

    def text(start: np.ndarray, length: np.ndarray, at: int) -> str:
        ids = table.tokens[start[at] : start[at] + length[at]]
        return codec.tokenizer.decode(ids, skip_special_tokens=True)

    found = []
    for step in training.order.epoch(epoch):
        for microbatch in step:
            prompts, completions = (
                [text(start, length, at) for at in microbatch]
                for start, length in (
                    (table.prompt_start, table.prompt_length),
                    (table.completion_start[:, 0], table.completion_length[:, 0]),
                )
            )
            others = [*completions[1:], completions[0]]
            found.append(list(zip(prompts, completions, others, table.desirable[microbatch].tolist(), strict=True)))
    return found


def answers(count: int) -> dict[str, set[str]]:
    return {row["prompt"]: {row["chosen"], row["rejected"]} for row in pairs(count)}


def faults(batches: list[Batch], count: int) -> dict[str, int]:
    """Count the batches of one label, and the mismatched completions that answer their own prompt."""
    of = answers(count)
    return {
        "one label": sum(len({label for *_, label in batch}) == 1 for batch in batches),
        "own answer": sum(other in of[prompt] for batch in batches for prompt, _, other, _ in batch),
    }


def test_labels_are_mixed_where_trl_trains_on_blocks_of_one_label() -> None:
    from datasets import Dataset

    assert faults(ours(24, 0), 24) == {"one label": 0, "own answer": 0}
    apart = trl.data_utils.unpair_preference_dataset(Dataset.from_list(pairs(24)))
    assert faults(theirs_batches(apart, 8), 24)["one label"] == 6


def test_mismatched_completions_answer_other_prompts_where_trls_answer_their_own() -> None:
    from datasets import Dataset

    side_by_side = [
        {"prompt": row["prompt"], "completion": row[column], "label": column == "chosen"}
        for row in pairs(24)
        for column in ("chosen", "rejected")
    ]
    assert faults(ours(24, 1), 24)["own answer"] == 0
    assert faults(theirs_batches(Dataset.from_list(side_by_side), 8), 24)["own answer"] == 24


def test_the_last_batch_is_never_one_example_whose_mismatched_completion_is_its_own() -> None:
    from datasets import Dataset

    batches = ours(17, 0, batch_size=11, micro_batch_size=3)
    assert min(map(len, batches)) >= 2
    assert faults(batches, 17)["own answer"] == 0
    odd = [{"prompt": row["prompt"], "completion": row["chosen"], "label": True} for row in pairs(9)]
    (_, completion, other, _) = theirs_batches(Dataset.from_list(odd), 8)[-1][0]
    assert completion == other


def test_every_epoch_has_another_order_of_the_same_examples() -> None:
    first, second = ours(24, 0), ours(24, 1)
    assert first != second
    seen = [
        sorted((prompt, completion) for batch in epoch for prompt, completion, *_ in batch) for epoch in (first, second)
    ]
    assert seen[0] == seen[1]
