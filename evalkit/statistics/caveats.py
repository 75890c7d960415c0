"""What no interval here holds, for every report to print."""

SEED_VARIANCE = (
    "The intervals and p-values hold the chance in which items were asked of these two sets of weights: training again "
    "with another seed gives other weights, and that variance is not inside them."
)
JUDGE_NOISE = (
    "Where a model judges, its own noise, its taste and its drift between versions are not inside the intervals."
)
EVERY_COMPARISON = (SEED_VARIANCE, JUDGE_NOISE)
