"""Statistics of scores: arrays in, a record with its method named out."""

from evalkit.statistics.bootstrap import clustered_bootstrap, paired_bootstrap
from evalkit.statistics.caveats import EVERY_COMPARISON, JUDGE_NOISE, SEED_VARIANCE
from evalkit.statistics.checks import is_binary
from evalkit.statistics.choice import estimate, paired_difference
from evalkit.statistics.clusters import (
    bias_reduced,
    bias_reduced_difference,
    clustered,
    clustered_difference,
    intraclass_correlation,
)
from evalkit.statistics.designs import (
    PairedDesign,
    PowerAnalysis,
    detectable_difference,
    discordant_share,
    mcnemar_power,
    power,
    sample_size,
)
from evalkit.statistics.families import (
    benjamini_hochberg,
    cochran_q,
    cochran_q_permutation,
    holm,
    simultaneous_level,
)
from evalkit.statistics.means import macro_average, t_interval
from evalkit.statistics.paired import mcnemar_exact, mcnemar_mid_p, newcombe, paired_t, tango
from evalkit.statistics.passing import mean_pass_at_k, pass_at_k
from evalkit.statistics.permutation import paired_permutation, wild_bootstrap
from evalkit.statistics.proportions import exact, macro_wilson, stratified_wilson, wilson
from evalkit.statistics.records import (
    Estimate,
    FamilyTest,
    Interval,
    PairedDifference,
    UnpairedDifference,
    WinRate,
)
from evalkit.statistics.unpaired import two_proportions, unpaired_difference
from evalkit.statistics.winrates import win_rate, win_rate_difference, win_rate_permutation

__all__ = [
    "EVERY_COMPARISON",
    "JUDGE_NOISE",
    "SEED_VARIANCE",
    "Estimate",
    "FamilyTest",
    "Interval",
    "PairedDesign",
    "PairedDifference",
    "PowerAnalysis",
    "UnpairedDifference",
    "WinRate",
    "benjamini_hochberg",
    "bias_reduced",
    "bias_reduced_difference",
    "clustered",
    "clustered_bootstrap",
    "clustered_difference",
    "cochran_q",
    "cochran_q_permutation",
    "detectable_difference",
    "discordant_share",
    "estimate",
    "exact",
    "holm",
    "intraclass_correlation",
    "is_binary",
    "macro_average",
    "macro_wilson",
    "mcnemar_exact",
    "mcnemar_mid_p",
    "mcnemar_power",
    "mean_pass_at_k",
    "newcombe",
    "paired_bootstrap",
    "paired_difference",
    "paired_permutation",
    "paired_t",
    "pass_at_k",
    "power",
    "sample_size",
    "simultaneous_level",
    "stratified_wilson",
    "t_interval",
    "tango",
    "two_proportions",
    "unpaired_difference",
    "wild_bootstrap",
    "wilson",
    "win_rate",
    "win_rate_difference",
    "win_rate_permutation",
]
