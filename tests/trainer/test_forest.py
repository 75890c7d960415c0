"""Forests: every token once, and what a model computes on them is what it computes on each sequence alone."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.trainer.test_batch import CPU
from tests.trainer.tiny import CHARACTERS
from trainer.attention import Memory
from trainer.batch import Sequences
from trainer.forest import grow
from trainer.models import checkpoint_activations
from trainer.padded import pad
from trainer.policy import Policy, pack_if_exact

VOCABULARY = 4 + len(CHARACTERS)
IDS = st.lists(st.integers(4, VOCABULARY - 1), min_size=1, max_size=7)


def sequences(pairs: list[tuple[list[int], list[int]]]) -> Sequences:
    as_tokens = [tuple(np.array(part, np.int32) for part in pair) for pair in pairs]
    return Sequences(prompts=tuple(pair[0] for pair in as_tokens), completions=tuple(pair[1] for pair in as_tokens))


SHARED = sequences([([5, 6, 7], [8, 9]), ([30], [31, 32, 33]), ([5, 6, 7], [10]), ([5, 6, 7], [8, 9])])


def config(name: str) -> Any:
    """Return a small configuration of an architecture."""
    import transformers

    small: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
        "initializer_range": 0.3,
    }
    return getattr(transformers, f"{name}Config")(**small)


def model(name: str = "Llama") -> Any:
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config(name)).eval()


def test_a_prompt_stands_once_in_the_row_and_a_completion_without_its_last_token() -> None:
    forest = grow(SHARED, CPU)
    assert forest.input_ids.tolist() == [[5, 6, 7, 8, 8, 30, 31, 32]]
    assert forest.positions.tolist() == [[0, 1, 2, 3, 3, 0, 1, 2]]
    assert forest.targets.tolist() == [8, 9, 10, 8, 9, 31, 32, 33]
    assert forest.sources.tolist() == [2, 3, 2, 2, 4, 5, 6, 7]
    seen = forest.mask(0, torch.float32) == 0
    assert seen.int().tolist()[4] == [1, 1, 1, 0, 1]  # a branch sees the prompt and itself
    assert forest.by_completion(torch.arange(1.0, 9.0)).tolist() == [[1, 2, 0], [6, 7, 8], [3, 0, 0], [4, 5, 0]]


def test_a_borrowed_prompt_is_not_in_the_row() -> None:
    lender = grow(SHARED, CPU)
    forest = grow(sequences([([30], [8, 9]), ([5, 6, 7], [31, 32, 33]), ([40, 41], [8])]), CPU, lender.prompts)
    assert forest.input_ids.tolist() == [[8, 31, 32, 40, 41]]
    assert forest.positions.tolist() == [[1, 3, 4, 0, 1]]
    assert forest.sources.tolist() == [5 + 5, 0, 5 + 2, 1, 2, 4]  # the lender's row goes on behind this one's 5 tokens
    seen = forest.mask(1, torch.float32) == 0
    assert seen.int().tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]


def test_a_row_is_never_empty() -> None:
    lender = grow(SHARED, CPU)
    forest = grow(sequences([([30], [8]), ([5, 6, 7], [31])]), CPU, lender.prompts)
    assert forest.input_ids.tolist() == [[8, 31]]
    assert forest.sources.tolist() == [2 + 5, 2 + 2]


def test_the_stem_of_a_long_tree_stands_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.forest.APART", 5)
    long, short = grow(SHARED, CPU).trees
    assert (long.length, long.stem, long.others) == (5, 4, (0, 1))
    assert (short.length, short.stem, short.others) == (3, 0, (2,))
    seen = grow(SHARED, CPU).mask(0, torch.float32) == 0
    assert seen.int().tolist() == [[1, 1, 1, 1]]


@pytest.mark.parametrize("apart", [0, 384])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pairs=st.lists(st.tuples(st.sampled_from([[5, 6, 7], [30], [8] * 9]), IDS), min_size=2, max_size=6), data=st.data()
)
def test_forests_and_padded_rows_give_the_same_log_probabilities(
    apart: int, pairs: list[tuple[list[int], list[int]]], data: st.DataObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.forest.APART", apart)
    here, policy = sequences(pairs), Policy(model())
    order = data.draw(st.permutations(range(len(pairs))))
    other = Sequences(prompts=here.prompts, completions=tuple(here.completions[at] for at in order))
    with torch.no_grad():
        expected = [policy(pad(one, CPU)) for one in (here, other)]
        assert pack_if_exact(policy, policy, SHARED, longest=16) is None
        memory = Memory()
        forest = grow(here, CPU)
        own = policy(forest, memory)
        memory.open = False
        crossed = policy(grow(other, CPU, forest.prompts), memory)
    torch.testing.assert_close(own, expected[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(crossed, expected[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["Llama", "Qwen2", "Qwen3", "Mistral", "Gemma2", "GPTNeoX", "Phi3", "Olmo2", "Mixtral"]
)
@pytest.mark.parametrize(("checkpointing", "apart"), [(False, 384), (True, 384), (False, 0)])
def test_architectures_read_forests_with_the_gradients_of_padded_rows(
    name: str, checkpointing: bool, apart: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.forest.APART", apart)
    policy = Policy(model(name))
    expected = torch.autograd.grad(policy(pad(SHARED, CPU)).sum(), list(policy.parameters()))
    assert pack_if_exact(policy, policy, SHARED, longest=16) is None
    if checkpointing:
        checkpoint_activations(policy.model)
        policy.train()
    found = torch.autograd.grad(policy(grow(SHARED, CPU), Memory()).sum(), list(policy.parameters()))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["Mamba", "Bloom", "Cohere"])
def test_architectures_that_cannot_read_forests_keep_padded_rows(name: str) -> None:
    policy = Policy(model(name))
    with torch.no_grad():
        before = policy(policy.layout(SHARED))
        reason = pack_if_exact(policy, policy, SHARED, longest=16)
        assert reason is not None
        assert not policy.packs
        assert torch.equal(policy(policy.layout(SHARED)), before)


@pytest.mark.parametrize(
    ("name", "dtype", "special"),
    [
        ("Lfm2", torch.float32, {"layer_types": ["conv", "full_attention"]}),
        ("Granite", torch.bfloat16, {"logits_scaling": 2.0}),
        ("Rwkv", torch.float32, {"attention_hidden_size": 32}),
        ("Bart", torch.float32, {"d_model": 32, "decoder_layers": 2}),
    ],
)
def test_weights_that_are_still_small_hide_no_wrong_layout(
    name: str, dtype: torch.dtype, special: dict[str, Any]
) -> None:
    from transformers import AutoModelForCausalLM

    settings = config(name)
    settings.update({"initializer_range": 0.02, **special})
    torch.manual_seed(0)
    policy = Policy(AutoModelForCausalLM.from_config(settings).eval(), dtype)
    assert pack_if_exact(policy, policy, SHARED, longest=16) is not None
    assert policy.dtype == dtype


def test_a_window_shorter_than_a_sequence_keeps_padded_rows() -> None:
    policy = Policy(model("Mistral"))
    policy.model.config.sliding_window = 10
    reason = pack_if_exact(policy, policy, SHARED, longest=16)
    assert reason == "its sliding_window of 10 is shorter than the longest sequence of 16 tokens"


def test_logits_that_are_scaled_are_left_to_the_models_own_head() -> None:
    from transformers import AutoModelForCausalLM

    scaled = config("Granite")
    scaled.logits_scaling = 8.0
    policy = Policy(AutoModelForCausalLM.from_config(scaled).bfloat16())  # too coarse for the numbers to show it
    reason = pack_if_exact(policy, policy, SHARED, longest=16)
    assert reason == "its logits_scaling of 8.0 belongs to a head of its own"
    assert not policy.packs
