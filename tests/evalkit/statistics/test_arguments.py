"""Bad arguments of every statistic: one table."""

from typing import Any

import numpy as np
import pytest

from evalkit.errors import EvalkitError
from evalkit.statistics import (
    benjamini_hochberg,
    clustered_bootstrap,
    cochran_q,
    cochran_q_permutation,
    estimate,
    exact,
    holm,
    intraclass_correlation,
    macro_average,
    mcnemar_exact,
    mcnemar_mid_p,
    newcombe,
    paired_bootstrap,
    paired_difference,
    paired_permutation,
    pass_at_k,
    simultaneous_level,
    stratified_wilson,
    tango,
    two_proportions,
    unpaired_difference,
    wild_bootstrap,
    wilson,
    win_rate,
    win_rate_difference,
)

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: estimate([]), "no scores"),
        (lambda: estimate([1.0, float("nan")]), "score 2 is not a finite number"),
        (lambda: paired_difference([1, 0], [1]), "same items; got 2 and 1"),
        (lambda: paired_difference([], []), "no scores"),
        (lambda: paired_difference([1, float("inf")], [1, 0]), "score 2 is not a finite number"),
        (lambda: wilson(0, 0), "no items"),
        (lambda: wilson(3, 2), "got 3 of 2"),
        (lambda: wilson(1.5, 5), "whole numbers; got 1.5 of 5"),  # pyright: ignore[reportArgumentType]
        (lambda: tango(1.5, 0, 5), "whole numbers; got 1.5 of 5"),  # pyright: ignore[reportArgumentType]
        (lambda: wilson(1, 2, level=95), "level must lie between 0 and 1"),
        (lambda: stratified_wilson([1], [2, 3]), "got 1 and 2"),
        (lambda: stratified_wilson([1, 0], [2, 0]), "no items"),
        (lambda: tango(3, 3, 5), "got 6 of 5"),
        (lambda: tango(-1, 3, 5), "negative"),
        (lambda: mcnemar_mid_p(-1, 2), "negative"),
        (lambda: estimate(["right"]), "list of numbers"),
        (lambda: estimate([[1, 0]]), "no scores"),
        (lambda: estimate([1, 1e200]), "score 2 is too large"),
        (lambda: unpaired_difference([0.5], [0.7, 0.2]), "need two of each model; got 1 and 2"),
        (lambda: estimate([1, 0], clusters=["a"]), "one cluster per score; got 1 for 2"),
        (lambda: estimate([1, 0], strata=["a", "b", "c"]), "one subset per score; got 3 for 2"),
        (lambda: estimate([1, 0, 1], clusters="aab", strata="xyy"), "in two subsets|one cluster only"),
        (lambda: exact(5, 4), "got 5 of 4"),
        (lambda: macro_average([1, 0], ["a"]), "one subset per score"),
        (lambda: newcombe(1, -1, 0, 0), "negative"),
        (lambda: newcombe(0, 0, 0, 0), "no items"),
        (lambda: mcnemar_exact(-1, 0), "negative"),
        (lambda: paired_permutation([1], [0], rng=RNG, resamples=10), "at least 100 resamples"),
        (lambda: paired_bootstrap([1, 0], [0, 0], rng=RNG, resamples=0), "at least 100 resamples"),
        (lambda: paired_bootstrap([1, 0], [0, 0], rng=RNG, level=95), "level must lie"),
        (lambda: clustered_bootstrap([1, 0], ["a"], rng=RNG), "one cluster per score"),
        (lambda: clustered_bootstrap([], [], rng=RNG), "no differences"),
        (lambda: wild_bootstrap([1, 0], [0], ["a", "b"], rng=RNG), "same items; got 2 and 1"),
        (lambda: two_proportions(1, 0, 1, 2), "no items"),
        (lambda: unpaired_difference([], [1]), "no scores"),
        (lambda: win_rate([]), "no preferences"),
        (lambda: win_rate([1.2, 1.9]), r"must lie in \[0, 1\].*less 1"),
        (lambda: win_rate([1, 0], weights=[1]), "one weight per preference; got 1 for 2"),
        (lambda: win_rate([1, 0], weights=[1, 0]), "above 0; got 0"),
        (lambda: win_rate([1, float("nan")]), "preference 2 is not a finite number"),
        (lambda: win_rate_difference([1, 0], [1]), "same items"),
        (lambda: pass_at_k([5], [1], 6), r"problem 1: pass@6 needs 6 samples; it has 5"),
        (lambda: pass_at_k([5], [6], 1), "6 right of 5 samples"),
        (lambda: pass_at_k([5], [1], 0), "at least 1; got 0"),
        (lambda: pass_at_k([], [], 1), "got 0 and 0"),
        (lambda: cochran_q([[1, 0], [0.5, 1]]), "scores of 0 and 1"),
        (lambda: cochran_q([1, 0]), "a column per model"),
        (lambda: cochran_q_permutation(np.eye(13), rng=RNG), "13 models are too many"),
        (lambda: simultaneous_level(0.95, 0), "at least one interval; got 0"),
        (lambda: intraclass_correlation([1, 2], ["a", "b"]), "fewer than items; got 2"),
        (lambda: benjamini_hochberg([-0.1]), r"\[0, 1\]"),
        (lambda: holm([]), "no p-values"),
        (lambda: holm([0.1, 1.1]), r"\[0, 1\]"),
    ],
)
def test_bad_arguments_are_named(call: Any, message: str) -> None:
    with pytest.raises(EvalkitError, match=message):
        call()
