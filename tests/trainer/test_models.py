"""Checkpointed activations: the same numbers in every mode, with dropout only where it was asked for."""

import copy
from typing import Any

import pytest
import torch

from tests.trainer.test_forest import CPU, SHARED, VOCABULARY, model
from trainer.errors import TrainerError
from trainer.models import checkpoint_activations
from trainer.padded import pad
from trainer.policy import Policy


def gradients(model: Any) -> list[torch.Tensor]:
    policy = Policy(model)
    return list(torch.autograd.grad(policy(pad(SHARED, CPU)).sum(), list(policy.parameters())))


def opt() -> Any:
    """Return a model whose layers themselves apply dropout."""
    from transformers import OPTConfig, OPTForCausalLM

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    return OPTForCausalLM(OPTConfig(vocab_size=VOCABULARY, word_embed_proj_dim=32, dropout=0.5, **sizes)).eval()


@pytest.mark.parametrize("make", [model, opt])
def test_gradients_are_the_same_and_layers_are_computed_twice(make: Any) -> None:
    expected, checkpointed = gradients(make()), make()
    checkpoint_activations(checkpointed)
    calls = []
    layers = checkpointed.base_model.layers if hasattr(checkpointed.base_model, "layers") else None
    for layer in layers if layers is not None else checkpointed.model.decoder.layers:
        layer.self_attn.q_proj.register_forward_hook(lambda *what: calls.append(1))
    found = gradients(checkpointed)
    assert len(calls) == 4
    assert all(torch.equal(*both) for both in zip(found, expected, strict=True))
    with torch.no_grad():
        Policy(checkpointed)(pad(SHARED, CPU))
    assert len(calls) == 6


def test_dropout_is_the_same_in_both_computations() -> None:
    plain, checkpointed = opt().train(), opt().train()
    checkpoint_activations(checkpointed)
    torch.manual_seed(3)
    expected = gradients(plain)
    torch.manual_seed(3)
    for one, other in zip(gradients(checkpointed), expected, strict=True):
        torch.testing.assert_close(one, other)
    assert not torch.equal(expected[0], gradients(opt())[0])


def test_a_copy_of_a_checkpointed_model_computes_with_its_own_weights() -> None:
    first = model()
    checkpoint_activations(first)
    second, expected = copy.deepcopy(first), gradients(first)
    with torch.no_grad():
        for weight in first.parameters():
            weight.zero_()
    assert all(torch.equal(*both) for both in zip(gradients(second), expected, strict=True))


def test_a_checkpointed_model_generates_as_before() -> None:
    prompt, checkpointed = torch.tensor([[5, 6, 7]]), model()
    expected = checkpointed.generate(prompt, do_sample=False, max_new_tokens=8, pad_token_id=0)
    checkpoint_activations(checkpointed)
    assert torch.equal(checkpointed.generate(prompt, do_sample=False, max_new_tokens=8, pad_token_id=0), expected)


def test_a_model_without_layers_is_refused() -> None:
    with pytest.raises(TrainerError, match="--gradient-checkpointing: Linear has no layers to do so in; leave it out"):
        checkpoint_activations(torch.nn.Linear(2, 2))
