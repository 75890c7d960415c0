"""The named losses: ordinary functions that follow the loss-file contract."""

from halotheory.losses.paired import dpo, hinge, ipo
from halotheory.losses.unpaired import kto, sft

__all__ = ["dpo", "hinge", "ipo", "kto", "sft"]
