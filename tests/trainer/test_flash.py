"""A forest as causal sequences for one kernel; on a CPU plain PyTorch stands in for the kernel."""

import pytest
import torch

from tests.trainer.test_forest import CPU, SHARED, model, sequences
from trainer import flash
from trainer.attention import Memory
from trainer.batch import Sequences
from trainer.forest import Segments, grow
from trainer.padded import pad
from trainer.policy import Policy, pack_if_exact


def told(segments: Segments) -> tuple[list[int] | None, list[int], list[int], int, int]:
    keys = None if segments.keys is None else segments.keys.tolist()
    ends = segments.query_ends.tolist(), segments.key_ends.tolist()
    return keys, *ends, segments.longest_query, segments.longest_key


def test_every_branch_but_the_first_has_its_prompt_before_it_again() -> None:
    # 5 6 7, and behind it 8 9, 10, 8 9 without their last tokens; 30, and behind it 31 32
    keys = [0, 1, 2, 3, 0, 1, 2, 4, 5, 6, 7]
    assert told(grow(SHARED, CPU).segments) == (keys, [0, 4, 5, 8], [0, 4, 8, 11], 4, 4)


def test_trees_of_one_branch_stand_in_the_row_as_they_are() -> None:
    forest = grow(sequences([([5, 6, 7], [8, 9]), ([30], [31, 32, 33])]), CPU)
    assert told(forest.segments) == (None, [0, 4, 7], [0, 4, 7], 4, 4)


def test_borrowed_prompts_lie_behind_the_row() -> None:
    lender = grow(SHARED, CPU)
    forest = grow(sequences([([30], [8, 9]), ([5, 6, 7], [31, 32, 33]), ([40, 41], [8])]), CPU, lender.prompts)
    keys = [5 + 5, 0, 5, 6, 7, 1, 2, 3, 4]  # of a row of 5 tokens
    assert told(forest.segments) == (keys, [0, 1, 3, 5], [0, 2, 7, 9], 2, 5)


def test_what_is_lent_and_not_needed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flash, "_in_one_kernel", flash._one_by_one)
    lender = grow(sequences([([5], [8, 9])]), CPU)
    forest = grow(sequences([([40, 41], [8]), ([5], [9])]), CPU, lender.prompts)
    query, key, value = (torch.randn(1, 2, 2, 4) for _ in range(3))
    lent = (torch.randn(1, 2, 2, 4), torch.randn(1, 2, 2, 4))
    found = flash.attend(query, key, value, forest.segments, lent=lent)
    torch.testing.assert_close(found, flash.attend(query, key, value, forest.segments))


@pytest.mark.parametrize("name", ["Llama", "Qwen3", "Phi3"])
def test_log_probabilities_and_gradients_are_those_of_padded_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flash, "is_at_hand", lambda *_: True)
    monkeypatch.setattr(flash, "_in_one_kernel", flash._one_by_one)
    policy = Policy(model(name))
    crossed = Sequences(prompts=SHARED.prompts, completions=(*SHARED.completions[1:], SHARED.completions[0]))
    expected, others = (policy(pad(one, CPU)) for one in (SHARED, crossed))
    gradients = torch.autograd.grad(expected.sum(), list(policy.parameters()))
    assert pack_if_exact(policy, policy, SHARED, longest=16) is None
    forest, memory = grow(SHARED, CPU), Memory()
    found = policy(forest, memory)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    for one, other in zip(torch.autograd.grad(found.sum(), list(policy.parameters())), gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    memory.open = False
    with torch.no_grad():
        torch.testing.assert_close(policy(grow(crossed, CPU, forest.prompts), memory), others, rtol=1e-4, atol=1e-4)


def test_there_is_no_such_kernel_on_a_cpu() -> None:
    assert not flash.is_at_hand(CPU, torch.bfloat16, 8, 2, 64)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("kv_heads", [8, 2])
def test_the_kernel_is_at_hand_on_a_gpu(kv_heads: int) -> None:
    assert flash.is_at_hand(torch.device("cuda"), torch.bfloat16, 8, kv_heads, 64)
