"""Log-probabilities against a naive sum, and a loss that gets only what it names."""

from typing import Any

import pytest
import torch

from halotheory.contract import Loss, load_loss
from tests.trainer.test_batch import table
from tests.trainer.tiny import make_model
from trainer.batch import Sequences, matched, mismatched
from trainer.logps import Scorer, completion_logps, token_logps

EXAMPLES: list[Any] = [
    ([1, 5, 6, 7], [[8, 9, 2]]),
    ([1, 5], [[9, 2]]),
    ([1, 7, 7, 7, 7, 7, 7], [[12, 13, 14, 15, 2]]),
    ([30], [[2]]),
]


def naive(model: Any, prompt: list[int], completion: list[int]) -> torch.Tensor:
    """Return log pi(y|x) from the whole sequence alone, one token at a time."""
    logps = model(torch.tensor([prompt + completion])).logits[0].log_softmax(-1)
    return torch.stack([logps[len(prompt) + at - 1, token] for at, token in enumerate(completion)]).sum()


def test_log_probabilities_and_gradients_are_those_of_each_sequence_alone() -> None:
    model, here = make_model(), table(EXAMPLES)
    logps = completion_logps(model, matched(here, torch.arange(4).numpy()))
    expected = torch.stack([naive(model, prompt, mine[0]) for prompt, mine in EXAMPLES])
    assert logps.dtype == torch.float32
    torch.testing.assert_close(logps, expected, rtol=1e-5, atol=1e-5)
    weights = torch.tensor([1.0, -2.0, 3.0, -4.0])
    ours = torch.autograd.grad((logps * weights).sum(), list(model.parameters()))
    naives = torch.autograd.grad((expected * weights).sum(), list(model.parameters()))
    for one, other in zip(ours, naives, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_log_probabilities_of_tokens_begin_at_each_completions_first_and_sum_to_its_own() -> None:
    model, here = make_model(), table(EXAMPLES)
    sequences = matched(here, torch.arange(4).numpy())
    logps = token_logps(model, sequences)
    assert sequences.mask().tolist() == [[at < length for at in range(5)] for length in (3, 2, 5, 1)]
    assert logps[~sequences.mask()].tolist() == [0.0] * 9
    for row, (prompt, (completion,)) in zip(logps, EXAMPLES, strict=True):
        expected = [naive(model, prompt + completion[:at], [token]) for at, token in enumerate(completion)]
        torch.testing.assert_close(row[: len(completion)], torch.stack(expected), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logps.sum(dim=1), completion_logps(model, sequences))


def test_prompt_tokens_have_no_part_in_the_sum() -> None:
    """With logits that do not depend on the input, log pi(y|x) is the same after any prompt."""
    model = make_model()
    with torch.no_grad():
        model.lm_head.weight.zero_()
    logps = completion_logps(model, matched(table(EXAMPLES), torch.arange(4).numpy()))
    vocabulary = model.config.vocab_size
    expected = [-len(mine[0]) * torch.log(torch.tensor(float(vocabulary))).item() for _, mine in EXAMPLES]
    assert logps.tolist() == pytest.approx(expected)


def test_bfloat16_stays_close_and_gives_float32() -> None:
    model, sequences = make_model(), matched(table(EXAMPLES), torch.arange(4).numpy())
    low, high = completion_logps(model, sequences, torch.bfloat16), completion_logps(model, sequences)
    assert low.dtype == torch.float32
    assert not torch.equal(low, high)
    torch.testing.assert_close(low, high, rtol=0.05, atol=0.05)


def never(sequences: Sequences) -> torch.Tensor:
    raise AssertionError("computed for a loss that does not name it")


def counted(calls: list[int]) -> Any:
    def score(sequences: Sequences) -> torch.Tensor:
        calls.append(len(sequences.input_ids))
        return -sequences.lengths * (1.0 + len(calls))

    return score


def mean(values: torch.Tensor, counts: bool) -> torch.Tensor:
    return values.mean()


def scorer(loss: Loss, policy: Any, reference: Any) -> Scorer:
    return Scorer(loss=loss, policy=policy, reference=reference, mean=mean)


def test_a_reference_free_loss_runs_no_reference_and_no_mismatched_pass() -> None:
    calls: list[int] = []
    own = matched(table(EXAMPLES), torch.arange(4).numpy())
    scores = scorer(load_loss("sft"), counted(calls), never).scores(own, None, torch.ones(4, dtype=torch.bool))
    assert calls == [4]
    assert set(scores.tensors) == {"policy_logps", "desirable", "lengths"}


def test_the_reference_point_is_clamped_after_the_mean_and_carries_no_gradient() -> None:
    here, model = table(EXAMPLES), make_model()
    own = matched(here, torch.arange(4).numpy())
    other = mismatched(here, torch.arange(4).numpy(), torch.tensor([1, 2, 3, 0]).numpy())

    def policy(sequences: Sequences) -> torch.Tensor:
        return completion_logps(model, sequences)

    ratios = torch.tensor([3.0, -2.0, 4.0, -1.0])
    for sign, expected in ((1.0, 1.0), (-1.0, 0.0)):

        def reference(sequences: Sequences, sign: float = sign) -> torch.Tensor:
            return policy(sequences) - sign * ratios

        scores = scorer(load_loss("kto"), policy, reference).scores(own, other, torch.ones(4, dtype=torch.bool))
        assert scores.kl_raw is not None
        assert float(scores.kl_raw) == pytest.approx(sign * 1.0, abs=1e-5)
        assert scores.tensors["kl"].tolist() == pytest.approx([expected] * 4, abs=1e-5)
        assert not scores.tensors["kl"].requires_grad


def test_pairs_are_told_apart() -> None:
    here = table([([1, 5], [[8, 9, 2], [7, 2]]), ([1], [[6, 2], [5, 5, 5, 2]])])
    own = matched(here, torch.arange(2).numpy())
    scores = scorer(load_loss("dpo"), counted([]), counted([5])).scores(own, None, torch.ones(2, dtype=torch.bool))
    assert {name: value.tolist() for name, value in scores.tensors.items()} == {
        "policy_chosen_logps": [-6.0, -4.0],
        "policy_rejected_logps": [-4.0, -8.0],
        "reference_chosen_logps": [-9.0, -6.0],
        "reference_rejected_logps": [-6.0, -12.0],
        "chosen_lengths": [3.0, 2.0],
        "rejected_lengths": [2.0, 4.0],
    }


def test_a_token_level_loss_is_told_advantages_of_one_and_minus_one_by_label() -> None:
    own = matched(table(EXAMPLES), torch.arange(4).numpy())

    def constant(sequences: Sequences) -> torch.Tensor:
        return -sequences.mask().float()

    label = torch.tensor([True, False, False, True])
    scores = scorer(load_loss("ppo_clip"), constant, constant).scores(own, None, label)
    assert scores.tensors["advantages"].tolist() == [[1.0] * 5, [-1.0] * 5, [-1.0] * 5, [1.0] * 5]
    assert torch.equal(scores.tensors["mask"], own.mask())
    assert torch.equal(scores.tensors["policy_token_logps"], scores.tensors["reference_token_logps"])
