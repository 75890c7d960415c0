"""The processes of a run, and how the weights are spread over them: one, DDP or FSDP2, by accelerate."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, DistributedType, GradientAccumulationPlugin
from torch import Tensor

from trainer.errors import TrainerError
from trainer.models import DTYPES

T = TypeVar("T")


def make_accelerator(dtype: str = "float32", *, quantized: bool = False) -> Accelerator:
    """Return which process this is, on a GPU where there is one.

    Autocast is the policy's own. Sharded weights are gathered in the dtype of the forward pass, so that no process
    holds all of them in float32.

    Args:
        dtype: of the forward pass, a key of DTYPES.
        quantized: whether frozen weights are.

    Raises:
        TrainerError: the launcher asks for what the trainer does not do, or for processes that nothing connects.
    """
    has_device = torch.accelerator.is_available()
    if dtype == "float16" and not torch.cuda.is_available():
        raise TrainerError("--dtype float16: needs a CUDA GPU, and torch finds none; take bfloat16 or float32")
    for flag, what in (("ACCELERATE_USE_DEEPSPEED", "DeepSpeed"), ("ACCELERATE_USE_MEGATRON_LM", "Megatron-LM")):
        if _is_set(flag):
            raise TrainerError(
                f"the launcher asks for {what}, which the trainer does not support; "
                "to shard a model launch with FSDP2: accelerate launch --config_file examples/fsdp2.yaml"
            )
    if _is_set("ACCELERATE_USE_FSDP") and (not has_device or _is_set("ACCELERATE_USE_CPU")):
        raise TrainerError(
            "the launcher asks for FSDP on the CPU, where accelerate would run DDP instead; "
            "launch with GPUs, or with torchrun and no FSDP settings"
        )
    accelerator = Accelerator(
        mixed_precision="no",
        cpu=not has_device,
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),  # else the environment may divide it
        kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True, broadcast_buffers=False)],
    )
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != accelerator.num_processes:
        raise TrainerError(
            f"the launcher started {started} processes and {accelerator.num_processes} are connected; "
            "set ACCELERATE_USE_CPU=true to connect them on the CPU, or start one"
        )
    if accelerator.distributed_type == DistributedType.FSDP:
        _set_up_fsdp(accelerator, dtype, quantized)
    return accelerator


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").lower() in {"1", "true", "yes"}


def _set_up_fsdp(accelerator: Accelerator, dtype: str, quantized: bool) -> None:
    from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy

    plugin = accelerator.state.fsdp_plugin
    if plugin.fsdp_version != 2:
        raise TrainerError(f"the launcher asks for FSDP{plugin.fsdp_version}; set fsdp_version: 2 in its config file")
    if isinstance(plugin.cpu_offload, CPUOffloadPolicy):
        raise TrainerError("the launcher asks to keep weights in the CPU's memory; set fsdp_offload_params: false")
    if plugin.activation_checkpointing:
        raise TrainerError(
            "the launcher asks for checkpointed activations; set fsdp_activation_checkpointing: false, "
            "and give --gradient-checkpointing"
        )
    if quantized:
        raise TrainerError("--quantize: quantised weights are not sharded here; launch without FSDP, or leave it out")
    if dtype != "float32":
        # inputs are not cast: FSDP would hand each layer a copy of the forest, and of the memory that it is to fill
        plugin.mixed_precision_policy = MixedPrecisionPolicy(
            param_dtype=DTYPES[dtype], reduce_dtype=torch.float32, cast_forward_inputs=False
        )


def of_main_process(accelerator: Accelerator, compute: Callable[[], T]) -> T:
    """Return what the main process computes, in every process. Called by every process."""
    from accelerate.utils import broadcast_object_list

    (found,) = broadcast_object_list([compute() if accelerator.is_main_process else None])
    return found


def is_sharded(accelerator: Accelerator) -> bool:
    """Return whether every process holds only its part of the weights."""
    return accelerator.distributed_type == DistributedType.FSDP


def holds_all_weights(accelerator: Accelerator) -> bool:
    """Return whether every process has the whole model: neither FSDP nor DeepSpeed has cut it up."""
    return accelerator.distributed_type.value in {"NO", "MULTI_CPU", "MULTI_GPU"}


def gathered(accelerator: Accelerator, policy: Any) -> dict[str, Tensor]:
    """Return the weights of a sharded policy's model by name, whole, on the main process. Called by every process."""
    state = accelerator.get_state_dict(policy)
    return {name.removeprefix("model."): weight for name, weight in state.items()}


@contextmanager
def loaded_everywhere() -> Iterator[None]:
    """Let every process load a model's weights, also where accelerate has the main process load and share them."""
    name = "FSDP_CPU_RAM_EFFICIENT_LOADING"
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before
