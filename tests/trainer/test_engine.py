"""What launchers ask for, and what is refused in one line rather than done by halves."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from accelerate import Accelerator
from torch.distributed.fsdp import CPUOffloadPolicy, OffloadPolicy

from trainer.engine import _set_up_fsdp, is_sharded, loaded_everywhere, make_accelerator, of_main_process
from trainer.errors import TrainerError

LAUNCHED = ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_MEGATRON_LM", "ACCELERATE_USE_FSDP", "WORLD_SIZE")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LAUNCHED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


def test_one_process_on_the_cpu_is_not_sharded_and_casts_nothing_itself() -> None:
    accelerator = make_accelerator("bfloat16")
    assert (accelerator.num_processes, accelerator.device.type, accelerator.mixed_precision) == (1, "cpu", "no")
    assert not is_sharded(accelerator)
    assert of_main_process(accelerator, lambda: "x") == "x"


def test_gradients_are_not_divided_by_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trainer divides by the examples of a step itself."""
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    assert make_accelerator().gradient_accumulation_steps == 1


@pytest.mark.parametrize(
    ("environment", "dtype", "message"),
    [
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, "float32", "asks for DeepSpeed, which the trainer does not support"),
        ({"ACCELERATE_USE_MEGATRON_LM": "true"}, "float32", "asks for Megatron-LM"),
        ({"ACCELERATE_USE_FSDP": "true"}, "float32", "asks for FSDP on the CPU, where accelerate would run DDP"),
        ({"WORLD_SIZE": "4"}, "float32", "the launcher started 4 processes and 1 are connected"),
        ({}, "float16", "--dtype float16: needs a CUDA GPU, and torch finds none"),
    ],
)
def test_what_is_not_supported_is_refused(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], dtype: str, message: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TrainerError) as error:
        make_accelerator(dtype)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("values", "quantized", "message"),
    [
        ({"fsdp_version": 1}, False, "the launcher asks for FSDP1; set fsdp_version: 2"),
        ({"cpu_offload": CPUOffloadPolicy()}, False, "set fsdp_offload_params: false"),
        ({"activation_checkpointing": True}, False, "set fsdp_activation_checkpointing: false"),
        ({}, True, "--quantize: quantised weights are not sharded here"),
    ],
)
def test_what_sharding_does_not_go_with_is_refused(values: dict[str, Any], quantized: bool, message: str) -> None:
    usual = {"fsdp_version": 2, "cpu_offload": OffloadPolicy(), "activation_checkpointing": False}
    accelerator: Any = SimpleNamespace(state=SimpleNamespace(fsdp_plugin=SimpleNamespace(**{**usual, **values})))
    with pytest.raises(TrainerError) as error:
        _set_up_fsdp(accelerator, "float32", quantized)
    assert message in str(error.value)


def test_the_example_asks_for_what_is_supported() -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    settings = load_config_from_file(str(Path(__file__).parents[2] / "examples" / "fsdp2.yaml")).fsdp_config
    assert (settings["fsdp_version"], settings["fsdp_auto_wrap_policy"]) == (2, "TRANSFORMER_BASED_WRAP")
    assert not settings["fsdp_activation_checkpointing"]


def test_a_reference_model_is_loaded_by_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "FSDP_CPU_RAM_EFFICIENT_LOADING"
    monkeypatch.setenv(name, "true")
    with loaded_everywhere():
        assert os.environ[name] == "false"
    assert os.environ[name] == "true"
    monkeypatch.delenv(name)
    with loaded_everywhere():
        pass
    assert name not in os.environ


def test_accelerate_still_takes_ddp_for_fsdp_on_the_cpu() -> None:
    """The reason why it is refused here."""
    assert not is_sharded(Accelerator(cpu=True))
