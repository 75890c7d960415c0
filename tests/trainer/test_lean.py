"""The lean blocks, against the models' own code: the same values, the same gradients, less kept."""

from typing import Any

import pytest
import torch

from tests.trainer.test_forest import CPU, SHARED, model
from trainer import attention, lean
from trainer.forest import grow
from trainer.lean import make_lean
from trainer.policy import Policy


def outcome(module: Any, x: torch.Tensor) -> list[torch.Tensor]:
    """Return a block's output and its gradients, of the input first."""
    given = x.clone().requires_grad_()
    output = module(given)
    upstream = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    return [output, *torch.autograd.grad(output, [given, *module.parameters()], upstream)]


def kept(module: Any, x: Any) -> int:
    """Return the numbers that autograd keeps of a module, parameters apart."""
    parameters, found = {one.data_ptr() for one in module.parameters()}, dict[int, int]()

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in parameters:
            found[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        alive = module(x.requires_grad_() if isinstance(x, torch.Tensor) else x)
    assert alive is not None
    return sum(found.values())


@pytest.mark.parametrize("name", ["Llama", "Qwen2", "Qwen3", "Mistral"])
@pytest.mark.parametrize("block", ["mlp", "input_layernorm"])
def test_values_and_gradients_are_those_of_the_models_own_code_with_less_kept(name: str, block: str) -> None:
    torch.manual_seed(1)
    whole = model(name)
    module, x = getattr(whole.model.layers[0], block), torch.randn(1, 6, 32)
    torch.nn.init.normal_(next(module.parameters()))
    expected, before = outcome(module, x), kept(module, x)
    undo = make_lean(whole)
    assert "forward" in vars(module)
    for one, other in zip(outcome(module, x), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert kept(module, x) < before
    undo()
    assert "forward" not in vars(module)


@pytest.mark.parametrize("name", ["Llama", "Qwen2", "Mistral", "Granite"])
def test_attention_over_a_forest_is_the_models_own_with_less_kept(name: str) -> None:
    policy, forest = Policy(model(name)), grow(SHARED, CPU)
    policy.model.set_attn_implementation(attention.register())
    weights = list(policy.parameters())
    for weight in weights:
        torch.nn.init.normal_(weight, std=0.3)  # biases are 0 before

    def values_and_gradients() -> list[torch.Tensor]:
        logps = policy(forest)
        return [logps, *torch.autograd.grad(logps.sum(), weights)]

    expected, before = values_and_gradients(), kept(policy, forest)
    undo = make_lean(policy.model)
    for layer in policy.model.model.layers:
        for block in (layer.mlp, layer.input_layernorm, layer.post_attention_layernorm):
            vars(block).pop("forward")
        assert "forward" in vars(layer.self_attn)
    for one, other in zip(values_and_gradients(), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert kept(policy, forest) < before
    undo()
    assert not any("forward" in vars(module) for module in policy.model.modules())


@pytest.mark.parametrize("name", ["Qwen3", "Olmo2", "Phi3", "GPTNeoX"])
def test_attention_that_does_more_is_left_alone(name: str) -> None:
    whole = model(name)
    make_lean(whole)
    assert not any(
        "forward" in vars(module) for module in whole.modules() if type(module).__name__.endswith("Attention")
    )


def test_attention_that_turns_by_a_kernel_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package `kernels`, where it is installed, puts a module in the place of transformers' function."""
    from transformers.models.llama import modeling_llama as llama

    monkeypatch.setattr(llama, "apply_rotary_pos_emb", torch.nn.Identity())
    monkeypatch.setattr(lean, "_attends_as_llama", lean._attends_as_llama.__wrapped__)  # without what it remembers
    whole = model()
    make_lean(whole)
    assert ["forward" in vars(layer.self_attn) for layer in whole.model.layers] == [False, False]


def test_an_mlp_that_does_more_is_left_alone() -> None:
    from transformers.models.llama.modeling_llama import LlamaMLP

    class ClampedMLP(LlamaMLP):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.down_proj((self.act_fn(self.gate_proj(x)) * self.up_proj(x)).clamp(-1, 1))

    whole = model()
    whole.model.layers[0].mlp = ClampedMLP(whole.config)
    make_lean(whole)
    assert ["forward" in vars(layer.mlp) for layer in whole.model.layers] == [False, True]


def test_a_lean_model_generates_as_before() -> None:
    whole, prompt = model(), torch.tensor([[5, 6, 7]])
    expected = whole.generate(prompt, max_new_tokens=8, do_sample=False)
    make_lean(whole)
    assert whole.generate(prompt, max_new_tokens=8, do_sample=False).tolist() == expected.tolist()


def test_under_autocast_the_products_are_in_its_dtype() -> None:
    whole, x = model(), torch.randn(1, 6, 32)
    module = whole.model.layers[0].mlp
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = outcome(module, x)
    make_lean(whole)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = outcome(module, x)
    assert [one.dtype for one in found] == [one.dtype for one in expected]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.02)


def test_blocks_that_are_something_else_are_left_alone() -> None:
    gpt = model("GPTNeoX")
    make_lean(gpt)
    assert not any("forward" in vars(module) for module in gpt.modules())
