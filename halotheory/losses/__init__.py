"""The named losses: ordinary functions that follow the loss-file contract."""

from halotheory.losses.anchored import apo_down, apo_zero, bco_pair, dpop, nca, sppo
from halotheory.losses.f_divergence import fdpo_alpha, fdpo_forward_kl, fdpo_js
from halotheory.losses.kto import (
    bco,
    kto,
    kto_concave,
    kto_risk_neutral,
    kto_without_reference,
    kto_without_reference_point,
)
from halotheory.losses.lengths import ln_dpo, rdpo
from halotheory.losses.likelihood import csft, sft, unlikelihood
from halotheory.losses.paired import aot, cdpo, discopop, dpo, exo, hinge, ipo, odpo, robust_dpo
from halotheory.losses.reference_free import cpo, orpo, simpo, slic
from halotheory.losses.token_level import ppo_clip
from halotheory.losses.weighted import beta_dpo, wpo

__all__ = [
    "aot",
    "apo_down",
    "apo_zero",
    "bco",
    "bco_pair",
    "beta_dpo",
    "cdpo",
    "cpo",
    "csft",
    "discopop",
    "dpo",
    "dpop",
    "exo",
    "fdpo_alpha",
    "fdpo_forward_kl",
    "fdpo_js",
    "hinge",
    "ipo",
    "kto",
    "kto_concave",
    "kto_risk_neutral",
    "kto_without_reference",
    "kto_without_reference_point",
    "ln_dpo",
    "nca",
    "odpo",
    "orpo",
    "ppo_clip",
    "rdpo",
    "robust_dpo",
    "sft",
    "simpo",
    "slic",
    "sppo",
    "unlikelihood",
    "wpo",
]
