"""One process of a run under FSDP2 on the CPU: the trainer's command line, with accelerate told to shard there too.

torchrun --nproc_per_node 2 -m tests.trainer.fsdp2_process align --loss kto ...
"""

import os
import sys
from typing import NoReturn

from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

from halotheory.command import run
from trainer import align, engine
from trainer.cli import app
from trainer.errors import HaloTheoryError


def sharding_accelerator(dtype: str = "float32", *, quantized: bool = False) -> Accelerator:
    """Return what `engine.make_accelerator` does on GPUs; accelerate itself takes DDP for every run on the CPU."""
    asked = os.environ.pop("ACCELERATE_USE_FSDP", "false")  # accelerate refuses it here; transformers is to see it
    accelerator = Accelerator(mixed_precision="no", cpu=True)
    for state in (PartialState._shared_state, AcceleratorState._shared_state):
        state["distributed_type"] = DistributedType.FSDP
    AcceleratorState._shared_state["fsdp_plugin"] = plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        state_dict_type="SHARDED_STATE_DICT",
    )
    plugin.cpu_ram_efficient_loading = asked == "true"
    os.environ["ACCELERATE_USE_FSDP"] = asked
    engine._set_up_fsdp(accelerator, dtype, quantized)
    accelerator.no_sync = _never  # type: ignore[method-assign]
    return accelerator


def _never(*_: object) -> NoReturn:
    raise AssertionError("without synchronisation FSDP2 holds whole gradients on every process")


if __name__ == "__main__":
    align.make_accelerator = sharding_accelerator
    sys.exit(run(app, HaloTheoryError))
