"""Learning rates, and which weights decay."""

import math
import sys
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.trainer.tiny import make_model
from trainer.config import AlignConfig
from trainer.errors import TrainerError
from trainer.schedule import learning_rate, make_optimizer, set_rate

PEAK = 1e-3


def rates(schedule: str, warmup_ratio: float, steps: int) -> list[float]:
    config = AlignConfig(
        model="m",
        data="d",
        output="o",
        learning_rate=PEAK,
        schedule=schedule,  # type: ignore[arg-type]
        warmup_ratio=warmup_ratio,
    )
    return [learning_rate(step, steps, config) / PEAK for step in range(steps)]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1, 1, 1, 1, 1]),
        ("linear", [0.5, 1, 1, 0.75, 0.5, 0.25]),
        ("cosine", [0.5, 1, 1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]),
    ],
)
def test_a_rise_over_a_third_of_six_steps_then_the_schedule(schedule: str, expected: list[float]) -> None:
    assert rates(schedule, 1 / 3, 6) == pytest.approx(expected)


def test_no_warmup_starts_at_the_peak_and_no_step_has_rate_zero() -> None:
    assert rates("linear", 0.0, 4) == pytest.approx([1, 0.75, 0.5, 0.25])
    assert rates("linear", 1.0, 4) == pytest.approx([0.25, 0.5, 0.75, 1])


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("rmsprop", torch.optim.RMSprop)])
def test_weight_decay_spares_the_norms(name: str, kind: type) -> None:
    model = make_model()
    config = AlignConfig(model="m", data="d", output="o", learning_rate=PEAK, optimizer=name, weight_decay=0.1)  # type: ignore[arg-type]
    optimizer = make_optimizer(model, config)
    assert isinstance(optimizer, kind)
    decayed, spared = optimizer.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    assert {weight.dim() for weight in spared["params"]} == {1}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))


def given(**values: object) -> AlignConfig:
    return AlignConfig(**{"model": "m", "data": "d", "output": "o", "learning_rate": PEAK, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_final_rate_is_fallen_to_and_not_below(schedule: str) -> None:
    config = given(schedule=schedule, warmup_ratio=0.0, final_rate_ratio=0.1)
    found = [learning_rate(step, 1000, config) / PEAK for step in range(1000)]
    assert found[0] == 1.0
    assert found[500] == pytest.approx(0.55)
    assert found[-1] == pytest.approx(0.1, abs=1e-3)
    assert min(found) >= 0.1


@pytest.mark.parametrize("name", ["adafactor", "sgd", "adagrad"])
def test_optimizers_of_transformers_step_with_the_rate_of_the_loop(name: str) -> None:
    model = make_model()
    optimizer = make_optimizer(model, given(optimizer=name, weight_decay=0.1))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    before = model.lm_head.weight.detach().clone()
    model(torch.tensor([[5, 6, 7]])).logits.sum().backward()
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    optimizer.step()
    assert torch.equal(model.lm_head.weight, before)
    for group in optimizer.param_groups:
        group["lr"] = 1e-2
    optimizer.step()
    assert not torch.equal(model.lm_head.weight, before)


LIBRARIES = {"adamw_8bit": "bitsandbytes", "adamw_torch_8bit": "torchao", "stable_adamw": "optimi"}


@pytest.mark.parametrize(("name", "library"), [one for one in LIBRARIES.items() if find_spec(one[1]) is None])
def test_an_optimizer_whose_library_is_missing_is_told(name: str, library: str) -> None:
    with pytest.raises(TrainerError, match=f"--optimizer {name}: cannot be made: .*{library}.*; install it, or take"):
        make_optimizer(make_model(), given(optimizer=name))


@pytest.mark.parametrize("bits", [8, 32])
def test_embeddings_keep_moments_of_32_bits(monkeypatch: pytest.MonkeyPatch, bits: int) -> None:
    """As bitsandbytes advises and transformers' trainer has it; the library itself needs a GPU."""
    told: list[tuple[Any, str, dict[str, int]]] = []
    manager = SimpleNamespace(register_module_override=lambda *words: told.append(words))
    optim = SimpleNamespace(GlobalOptimManager=SimpleNamespace(get_instance=lambda: manager))
    monkeypatch.setitem(sys.modules, "bitsandbytes", SimpleNamespace(optim=optim))
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", optim)

    def kind(groups: Any, *, optim_bits: int) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups)

    monkeypatch.setattr("transformers.Trainer.get_optimizer_cls_and_kwargs", lambda _: (kind, {"optim_bits": bits}))
    model = make_model()
    make_optimizer(model, given(optimizer="adamw_8bit"))
    assert told == ([(model.model.embed_tokens, "weight", {"optim_bits": 32})] if bits == 8 else [])


def test_a_rate_that_is_held_in_a_tensor_stays_in_it() -> None:
    """torchao's optimizers refuse a number in its place."""
    held = torch.tensor(1.0)
    optimizer = SimpleNamespace(param_groups=[{"lr": held}, {"lr": 1.0}])
    set_rate(optimizer, 0.25)
    assert optimizer.param_groups[0]["lr"] is held
    assert (float(held), optimizer.param_groups[1]["lr"]) == (0.25, 0.25)
