"""The lean blocks, against the models' own code: the same values, the same gradients, less kept."""

from typing import Any

import pytest
import torch

from tests.trainer.test_forest import model
from trainer.lean import make_lean


def outcome(module: Any, x: torch.Tensor) -> list[torch.Tensor]:
    """Return a block's output and its gradients, of the input first."""
    given = x.clone().requires_grad_()
    output = module(given)
    upstream = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    return [output, *torch.autograd.grad(output, [given, *module.parameters()], upstream)]


def kept(module: Any, x: torch.Tensor) -> int:
    """Return the numbers that autograd keeps of a block, parameters apart."""
    parameters, found = {one.data_ptr() for one in module.parameters()}, dict[int, int]()

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in parameters:
            found[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        alive = module(x.requires_grad_())
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
