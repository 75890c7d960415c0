"""Every record says how it was made and what it assumes, in words that can be printed."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

import evalkit.statistics as s

RNG = np.random.default_rng(0)
A, B = [1, 0, 1, 1, 0, 1, 0, 1], [0, 0, 1, 0, 1, 1, 0, 0]
G, H = [0.1, 0.5, 0.9, 0.4, 0.7, 0.2, 0.3, 0.8], [0.2, 0.1, 0.3, 0.3, 0.9, 0.1, 0.2, 0.5]
IN_TWOS = [0, 0, 1, 1, 2, 2, 3, 3]

RECORDS: dict[str, Any] = {
    "wilson": lambda: s.wilson(3, 8),
    "exact": lambda: s.exact(3, 8),
    "stratified": lambda: s.stratified_wilson([3, 4], [8, 8]),
    "macro": lambda: s.macro_average(A, IN_TWOS),
    "macro, graded": lambda: s.macro_average(G, IN_TWOS),
    "t": lambda: s.t_interval(G),
    "clustered": lambda: s.clustered(A, IN_TWOS),
    "bias-reduced": lambda: s.bias_reduced(A, [0, 0, 0, 0, 1, 1, 2, 3]),
    "estimate": lambda: s.estimate(A),
    "pass@k": lambda: s.mean_pass_at_k([4] * 8, [1, 2, 3, 4, 0, 0, 1, 2], 2),
    "paired": lambda: s.paired_difference(A, B),
    "paired t": lambda: s.paired_difference(G, H),
    "permutation": lambda: s.paired_permutation(G, H, rng=RNG),
    "bootstrap": lambda: s.paired_bootstrap(G, H, rng=RNG),
    "clustered difference": lambda: s.clustered_difference(G, H, IN_TWOS),
    "clustered bootstrap": lambda: s.clustered_bootstrap(np.subtract(G, H), IN_TWOS, rng=RNG),
    "wild bootstrap": lambda: s.wild_bootstrap(G, H, IN_TWOS, rng=RNG),
    "unpaired": lambda: s.unpaired_difference(G, H),
    "two proportions": lambda: s.two_proportions(30, 80, 20, 70),
    "win rate": lambda: s.win_rate(A),
    "win rate, ties": lambda: s.win_rate([*A, 0.5]),
    "win rate, flips": lambda: s.win_rate_permutation(A, rng=RNG),
    "win rate difference": lambda: s.win_rate_difference(G, H),
    "Cochran's Q": lambda: s.cochran_q(np.stack([A, B], axis=1)),
    "Cochran's Q, shuffled": lambda: s.cochran_q_permutation(np.stack([A, B], axis=1), rng=RNG),
    "power": lambda: s.power(s.PairedDesign(discordant=0.2), n=100, difference=0.1),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_names_its_methods_and_assumptions(name: str) -> None:
    record = RECORDS[name]()
    named = {field.name: getattr(record, field.name) for field in fields(record)}
    for field in ("method", "interval_method", "test", "assumptions"):
        if field in named:
            assert named[field]
            assert "\n" not in named[field]
            assert not named[field].endswith(".")
    assert {"method", "test"} & set(named)
    for field in ("p_value", "power"):
        if field in named:
            assert 0 <= named[field] <= 1
    if named.get("interval") is not None:
        assert all(type(end) is float for end in named["interval"])  # so that JSON can write them


def test_caveats_are_sentences_to_print() -> None:
    assert len(s.EVERY_COMPARISON) == 2
    assert "seed" in s.SEED_VARIANCE
    assert "judges" in s.JUDGE_NOISE
    assert all(caveat.endswith(".") for caveat in s.EVERY_COMPARISON)
