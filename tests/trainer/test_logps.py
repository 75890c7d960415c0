"""Log-probabilities against a naive sum, and a loss that gets only what it names."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from halotheory.contract import Loss, load_loss
from tests.trainer.test_batch import CPU, table
from tests.trainer.tiny import make_model
from trainer.attention import Memory
from trainer.batch import Sequences, matched, mismatched
from trainer.logps import Layout, Scorer, policy_of
from trainer.policy import Policy, pack_if_exact

EXAMPLES: list[Any] = [
    ([1, 5, 6, 7], [[8, 9, 2]]),
    ([1, 5], [[9, 2]]),
    ([1, 7, 7, 7, 7, 7, 7], [[12, 13, 14, 15, 2]]),
    ([30], [[2]]),
]


def naive(model: Any, prompt: list[int], completion: list[int]) -> torch.Tensor:
    """Return log pi(y|x) from the whole sequence alone, one token at a time."""
    own = model.config._attn_implementation
    model.set_attn_implementation("eager")
    logps = model(torch.tensor([prompt + completion])).logits[0].log_softmax(-1)
    model.set_attn_implementation(own)
    return torch.stack([logps[len(prompt) + at - 1, token] for at, token in enumerate(completion)]).sum()


@pytest.fixture(params=["packed", "padded"])
def policy(request: pytest.FixtureRequest) -> Policy:
    """Return a tiny model in either layout."""
    made = Policy(make_model())
    if request.param == "packed":
        assert pack_if_exact(made, made, every(), longest=64) is None
    return made


def every() -> Sequences:
    return matched(table(EXAMPLES), torch.arange(4).numpy())


def logps(policy: Policy, sequences: Sequences) -> torch.Tensor:
    return policy(policy.layout(sequences)).sum(dim=1)


def test_log_probabilities_and_gradients_are_those_of_each_sequence_alone(policy: Policy) -> None:
    model, found = make_model(), logps(policy, every())
    expected = torch.stack([naive(model, prompt, mine[0]) for prompt, mine in EXAMPLES])
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    weights = torch.tensor([1.0, -2.0, 3.0, -4.0])
    ours = torch.autograd.grad((found * weights).sum(), list(policy.parameters()))
    naives = torch.autograd.grad((expected * weights).sum(), list(model.parameters()))
    for one, other in zip(ours, naives, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_log_probabilities_of_tokens_begin_at_each_completions_first_and_end_with_its_last(policy: Policy) -> None:
    model, sequences = make_model(), every()
    found = policy(policy.layout(sequences))
    mask = sequences.mask(CPU)
    assert mask.tolist() == [[at < length for at in range(5)] for length in (3, 2, 5, 1)]
    assert found[~mask].tolist() == [0.0] * 9
    for row, (prompt, (completion,)) in zip(found, EXAMPLES, strict=True):
        expected = [naive(model, prompt + completion[:at], [token]) for at, token in enumerate(completion)]
        torch.testing.assert_close(row[: len(completion)], torch.stack(expected), rtol=1e-5, atol=1e-5)


def test_prompt_tokens_have_no_part_in_the_sum(policy: Policy) -> None:
    """With logits that do not depend on the input, log pi(y|x) is the same after any prompt."""
    with torch.no_grad():
        policy.model.lm_head.weight.zero_()
    vocabulary = policy.model.config.vocab_size
    expected = [-len(mine[0]) * torch.log(torch.tensor(float(vocabulary))).item() for _, mine in EXAMPLES]
    assert logps(policy, every()).tolist() == pytest.approx(expected)


def test_bfloat16_stays_close_and_gives_float32(policy: Policy) -> None:
    high = logps(policy, every())
    policy.dtype = torch.bfloat16
    low = logps(policy, every())
    assert low.dtype == torch.float32
    assert not torch.equal(low, high)
    torch.testing.assert_close(low, high, rtol=0.05, atol=0.05)


def never(sequences: Sequences) -> torch.Tensor:
    raise AssertionError("computed for a loss that does not name it")


def constant(value: float) -> Any:
    """Return a reference of `value` nats per token."""
    return lambda sequences: value * sequences.lengths(CPU)


def mean(values: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    return (values * counts).sum() / counts.sum()


def scorer(loss: Loss, policy: Policy, reference: Any, calls: list[Layout] | None = None) -> Scorer:
    def forward(layout: Layout, memory: Memory | None) -> torch.Tensor:
        (calls if calls is not None else []).append(layout)
        return policy_of(policy)(layout, memory)

    return Scorer(loss=loss, policy=forward, layout=policy.layout, reference=reference, mean=mean, device=CPU)


def test_a_reference_free_loss_asks_for_no_reference_and_no_mismatched_pass(policy: Policy) -> None:
    calls: list[Layout] = []
    scores = scorer(load_loss("sft"), policy, never, calls).scores(every(), None, torch.ones(4, dtype=torch.bool))
    assert len(calls) == 1
    assert set(scores.tensors) == {"policy_logps", "desirable", "lengths"}


def test_keys_and_values_of_prompts_are_let_go_of_when_the_mismatched_pass_is_over(policy: Policy) -> None:
    """Layers that compute their activations once more hold the memory until the backward pass."""
    memories: list[Memory | None] = []

    def forward(layout: Layout, memory: Memory | None) -> torch.Tensor:
        memories.append(memory)
        return policy_of(policy)(layout, memory)

    one = scorer(load_loss("kto"), policy, lambda sequences: torch.zeros(len(sequences)))
    other = mismatched(table(EXAMPLES), torch.arange(4).numpy(), torch.tensor([1, 2, 3, 0]).numpy())
    replace(one, policy=forward).scores(every(), other, torch.ones(4, dtype=torch.bool))
    first, second = memories
    assert first is second
    assert first is not None
    assert (first.keys, first.values, first.hidden) == ({}, {}, None)


def test_the_reference_point_is_clamped_after_the_mean_and_carries_no_gradient(policy: Policy) -> None:
    here, model = table(EXAMPLES), make_model()
    own, other = every(), mismatched(here, torch.arange(4).numpy(), torch.tensor([1, 2, 3, 0]).numpy())
    crossed = [naive(model, prompt, EXAMPLES[(at + 1) % 4][1][0]) for at, (prompt, _) in enumerate(EXAMPLES)]
    ratios = torch.tensor([3.0, -2.0, 4.0, -1.0])
    for sign, expected in ((1.0, 1.0), (-1.0, 0.0)):

        def reference(sequences: Sequences, sign: float = sign) -> torch.Tensor:
            return torch.stack(crossed).detach() - sign * ratios

        scores = scorer(load_loss("kto"), policy, reference).scores(own, other, torch.ones(4, dtype=torch.bool))
        assert scores.kl_raw is not None
        assert float(scores.kl_raw) == pytest.approx(sign * 1.0, abs=1e-5)
        assert scores.tensors["kl"].tolist() == pytest.approx([expected] * 4, abs=1e-5)
        assert not scores.tensors["kl"].requires_grad


def test_pairs_are_told_apart(policy: Policy) -> None:
    pairs: list[Any] = [([1, 5], [[8, 9, 2], [7, 2]]), ([1], [[6, 2], [5, 5, 5, 2]])]
    own = matched(table(pairs), torch.arange(2).numpy())
    told = scorer(load_loss("dpo"), policy, constant(-2)).scores(own, None, torch.ones(2, dtype=torch.bool)).tensors
    for column, name in enumerate(("chosen", "rejected")):
        expected = torch.stack([naive(make_model(), prompt, both[column]) for prompt, both in pairs])
        torch.testing.assert_close(told[f"policy_{name}_logps"], expected, rtol=1e-5, atol=1e-5)
        assert told[f"reference_{name}_logps"].tolist() == [-2.0 * len(both[column]) for _, both in pairs]
        assert told[f"{name}_lengths"].tolist() == [len(both[column]) for _, both in pairs]


def test_a_token_level_loss_is_told_advantages_of_one_and_minus_one_by_label(policy: Policy) -> None:
    label = torch.tensor([True, False, False, True])
    scores = scorer(load_loss("ppo_clip"), policy, lambda own: -own.mask(CPU).float()).scores(every(), None, label)
    assert scores.tensors["advantages"].tolist() == [[1.0] * 5, [-1.0] * 5, [-1.0] * 5, [1.0] * 5]
    assert torch.equal(scores.tensors["mask"], every().mask(CPU))
    torch.testing.assert_close(scores.tensors["policy_token_logps"], policy(policy.layout(every())))
    assert scores.tensors["reference_token_logps"].tolist() == (-every().mask(CPU).float()).tolist()
