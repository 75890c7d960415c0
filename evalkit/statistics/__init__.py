"""Statistics of scores: arrays in, a record with its method named out."""

from evalkit.statistics.scores import (
    Estimate,
    Interval,
    PairedDifference,
    estimate,
    holm,
    is_binary,
    mcnemar_mid_p,
    paired_difference,
    paired_t,
    stratified_wilson,
    t_interval,
    tango,
    wilson,
)

__all__ = [
    "Estimate",
    "Interval",
    "PairedDifference",
    "estimate",
    "holm",
    "is_binary",
    "mcnemar_mid_p",
    "paired_difference",
    "paired_t",
    "stratified_wilson",
    "t_interval",
    "tango",
    "wilson",
]
