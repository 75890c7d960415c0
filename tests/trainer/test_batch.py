"""Sequences and padded rows, against putting the lists together by hand."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.batch import matched, mismatched
from trainer.padded import IGNORED, pad
from trainer.tokens import Places, TokenTable

CPU = torch.device("cpu")
IDS = st.lists(st.integers(10, 99), min_size=1, max_size=9)


def table(
    examples: list[tuple[list[int], list[list[int]]]], *, max_length: int = 64, bos_length: int = 0
) -> TokenTable:
    """Return the table of (prompt, completions)."""
    flat: list[int] = []

    def stored(ids: list[int]) -> tuple[int, int]:
        flat.extend(ids)
        return len(flat) - len(ids), len(ids)

    spans = [(stored(prompt), [stored(one) for one in completions]) for prompt, completions in examples]
    return TokenTable(
        tokens=np.array(flat, np.int32),
        prompt_start=np.array([prompt[0] for prompt, _ in spans]),
        prompt_length=np.array([prompt[1] for prompt, _ in spans]),
        completion_start=np.array([[one[0] for one in mine] for _, mine in spans]),
        completion_length=np.array([[one[1] for one in mine] for _, mine in spans]),
        desirable=np.ones(len(spans), bool),
        prompt_group=np.arange(len(spans)),
        places=Places(f"d:{at}" for at in range(len(spans))),
        bos_length=bos_length,
        max_length=max_length,
    )


@given(examples=st.lists(st.tuples(IDS, st.lists(IDS, min_size=2, max_size=2)), min_size=1, max_size=5))
def test_a_batch_of_pairs_has_the_chosen_then_the_rejected_each_after_its_prompt(
    examples: list[tuple[list[int], list[list[int]]]],
) -> None:
    sequences = matched(table(examples), np.arange(len(examples)))
    padded = pad(sequences, CPU)
    expected = [(prompt, mine[column]) for column in (0, 1) for prompt, mine in examples]
    assert padded.first == min(len(prompt) for prompt, _ in examples)
    for at, (prompt, completion) in enumerate(expected):
        length = len(prompt) + len(completion)
        assert padded.input_ids[at].tolist()[:length] == prompt + completion
        assert padded.attention_mask[at].tolist() == [int(time < length) for time in range(padded.input_ids.shape[1])]
        scored = [IGNORED] * len(prompt) + completion
        padding = padded.input_ids.shape[1] - length
        assert padded.targets[at].tolist() == (scored + [IGNORED] * padding)[padded.first :]
    assert sequences.lengths(CPU).tolist() == [len(completion) for _, completion in expected]
    assert sequences.tokens == sum(len(prompt) + len(completion) for prompt, completion in expected)


def test_mismatched_sequences_take_the_neighbours_completion() -> None:
    here = table([([1, 2], [[3]]), ([4], [[5, 6]])])
    sequences = mismatched(here, np.array([0, 1]), np.array([1, 0]))
    padded = pad(sequences, CPU)
    assert padded.input_ids.tolist() == [[1, 2, 5, 6], [4, 3, 0, 0]]
    assert padded.targets.tolist() == [[IGNORED, 5, 6], [3, IGNORED, IGNORED]]
    assert torch.equal(sequences.lengths(CPU), torch.tensor([2.0, 1.0]))
    assert sequences.mask(CPU).tolist() == [[True, True], [True, False]]


def test_a_prompt_too_long_before_anothers_completion_keeps_bos_and_its_end() -> None:
    here = table([([1, 20, 21, 22, 23], [[3]]), ([1, 4], [[5, 6, 7, 8]])], max_length=7, bos_length=1)
    sequences = mismatched(here, np.array([0, 1]), np.array([1, 0]))
    assert [prompt.tolist() for prompt in sequences.prompts] == [[1, 22, 23], [1, 4]]
    assert [completion.tolist() for completion in sequences.completions] == [[5, 6, 7, 8], [3]]
