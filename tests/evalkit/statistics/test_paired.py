"""Differences of two models on the same items: published examples, other formulas, laws, coverage."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, norm
from scipy.stats import t as student

from evalkit.statistics import (
    Interval,
    estimate,
    mcnemar_exact,
    mcnemar_mid_p,
    newcombe,
    paired_difference,
    paired_t,
    tango,
)

pairs = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)
graded = st.lists(st.integers(0, 1000).map(lambda thousandths: thousandths / 1000), min_size=2, max_size=40)


def both(items: list[tuple[bool, bool]]) -> tuple[list[float], list[float]]:
    return [float(a) for a, _ in items], [float(b) for _, b in items]


def check_interval(interval: Interval | None, inside: float) -> Interval:
    assert interval is not None
    low, high = interval
    assert low <= inside <= high
    assert low < high
    return interval


# Published examples: (wins, losses, items), Tango's 95 % interval, mid-p.
# Bentur 2009 and Cavo 2012 as worked out by Fagerland, Lydersen and Laake (Stat. Med. 2014; BMC 2013 for the mid-p).
PUBLISHED = [
    ((1, 7, 21), (-0.517, -0.026), 0.0391),
    ((6, 16, 161), (-0.124, -0.005), 0.0347),
]


@pytest.mark.parametrize(("counts", "interval", "p"), PUBLISHED)
def test_published_examples_of_paired_proportions(counts: tuple[int, int, int], interval: Interval, p: float) -> None:
    assert tango(*counts) == pytest.approx(interval, abs=5e-4)
    assert mcnemar_mid_p(*counts[:2]) == pytest.approx(p, abs=5e-5)


def test_a_published_example_of_newcombes_interval() -> None:
    assert newcombe(1, 1, 7, 12) == pytest.approx((-0.507, -0.026), abs=5e-4)  # Bentur 2009, in Fagerland et al. 2014


@given(st.tuples(*[st.integers(0, 40)] * 4).filter(any))
def test_newcombes_interval_turns_with_the_models_and_with_right_and_wrong(counts: tuple[int, int, int, int]) -> None:
    both, wins, losses, neither = counts
    low, high = check_interval(newcombe(*counts), (wins - losses) / sum(counts))
    assert newcombe(both, losses, wins, neither) == pytest.approx((-high, -low), abs=1e-12)
    assert newcombe(neither, losses, wins, both) == pytest.approx((-high, -low), abs=1e-12)
    assert low >= -1
    assert high <= 1


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_exact_test_is_never_bolder_than_the_mid_p(wins: int, losses: int) -> None:
    assert mcnemar_mid_p(wins, losses) <= mcnemar_exact(wins, losses) <= 1


def score_statistic(difference: float, wins: int, losses: int, n: int) -> float:
    """Return Tango's statistic with the constrained likelihood maximized on a fine grid instead of solved."""
    lowest = max(0.0, -difference)
    q = np.linspace(lowest, (1 - difference) / 2, 2_000_001)[1:-1]
    log_likelihood = (
        wins * np.log(q + difference) + losses * np.log(q) + (n - wins - losses) * np.log(1 - 2 * q - difference)
    )
    best = q[np.argmax(log_likelihood)]
    return (wins - losses - n * difference) / np.sqrt(n * (2 * best + difference * (1 - difference)))


@pytest.mark.parametrize("counts", [(1, 7, 21), (6, 16, 161), (40, 20, 160), (9, 3, 12), (2, 1, 400)])
def test_tango_limits_are_where_the_score_statistic_is_the_normal_quantile(counts: tuple[int, int, int]) -> None:
    low, high = tango(*counts, level=0.9)
    quantile = norm.ppf(0.95)
    assert score_statistic(low, *counts) == pytest.approx(quantile, abs=1e-4)
    assert score_statistic(high, *counts) == pytest.approx(-quantile, abs=1e-4)


@pytest.mark.parametrize("n", [1, 2, 10, 500])
def test_no_discordant_items_still_leave_an_interval_of_wilsons_width(n: int) -> None:
    low, high = tango(0, 0, n)
    quantile = norm.ppf(0.975)
    assert high == pytest.approx(quantile**2 / (n + quantile**2))
    assert low == pytest.approx(-high)


@pytest.mark.parametrize(("wins", "losses", "n"), [(1, 0, 1), (0, 1, 1), (50, 0, 50), (0, 50, 50), (7000, 1, 14042)])
def test_extreme_counts_have_intervals_within_one(wins: int, losses: int, n: int) -> None:
    low, high = check_interval(tango(wins, losses, n), (wins - losses) / n)
    assert low >= -1
    assert high <= 1


@given(pairs)
def test_swapping_two_models_negates_the_difference(items: list[tuple[bool, bool]]) -> None:
    a, b = both(items)
    ours, theirs = paired_difference(a, b), paired_difference(b, a)
    assert ours.difference == -theirs.difference == pytest.approx(np.mean(a) - np.mean(b))
    assert (ours.wins, ours.losses, ours.p_value) == (theirs.losses, theirs.wins, theirs.p_value)
    low, high = check_interval(ours.interval, ours.difference)
    assert theirs.interval == pytest.approx((-high, -low), abs=1e-9)
    assert low >= -1
    assert high <= 1


@given(graded, graded)
def test_swapping_two_models_negates_a_graded_difference(a: list[float], b: list[float]) -> None:
    size = min(len(a), len(b))
    ours, theirs = paired_difference(a[:size], b[:size]), paired_difference(b[:size], a[:size])
    assert ours.difference == pytest.approx(-theirs.difference)
    assert ours.p_value == pytest.approx(theirs.p_value)
    assert (ours.interval is None) == (theirs.interval is None)
    if ours.interval is not None:
        assert theirs.interval == pytest.approx((-ours.interval[1], -ours.interval[0]))


@given(pairs, st.randoms(use_true_random=False))
def test_the_order_of_items_changes_nothing(items: list[tuple[bool, bool]], random: Any) -> None:
    shuffled = random.sample(items, len(items))
    assert paired_difference(*both(items)) == paired_difference(*both(shuffled))
    assert estimate(both(items)[0]) == estimate(both(shuffled)[0])


@given(st.integers(0, 80), st.integers(0, 80))
def test_mid_p_is_the_exact_p_less_the_observed_point(wins: int, losses: int) -> None:
    from statsmodels.stats.contingency_tables import mcnemar

    exact: Any = mcnemar([[5, wins], [losses, 5]], exact=True)
    expected = exact.pvalue - binom.pmf(wins, wins + losses, 0.5) if wins != losses else 1.0
    assert mcnemar_mid_p(wins, losses) == pytest.approx(expected, abs=1e-12)


def test_the_size_of_the_mid_p_test_is_below_its_level_and_above_the_exact_tests() -> None:
    n, discordant = 200, 0.2
    counts = np.arange(n + 1)
    rejections = {"mid": 0.0, "exact": 0.0}
    for m, weight in zip(counts.tolist(), binom.pmf(counts, n, discordant), strict=True):
        if weight < 1e-9:
            continue
        for wins in range(m + 1):
            probability = weight * binom.pmf(wins, m, 0.5)
            rejections["mid"] += probability * (mcnemar_mid_p(wins, m - wins) < 0.05)
            rejections["exact"] += probability * (m > 0 and 2 * binom.cdf(min(wins, m - wins), m, 0.5) < 0.05)
    assert 0.042 < rejections["mid"] <= 0.05
    assert rejections["exact"] < 0.04


def test_tango_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(7)
    n, both_right, win, loss = 150, 0.45, 0.17, 0.09
    counts = random.multinomial(n, [both_right, win, loss, 1 - both_right - win - loss], size=3000)
    drawn, times = np.unique(counts[:, 1:3], axis=0, return_counts=True)
    limits = [tango(int(w), int(x), n) for w, x in drawn]
    covered = sum(t for (low, high), t in zip(limits, times, strict=True) if low <= win - loss <= high) / 3000
    assert 0.94 <= covered <= 0.96


def test_graded_scores_have_students_interval_and_test() -> None:
    a, b = [0.1, 0.5, 0.9, 0.4], [0.2, 0.1, 0.3, 0.3]
    found = paired_difference(a, b)
    gaps = np.subtract(a, b)
    error = gaps.std(ddof=1) / 2
    assert found.difference == pytest.approx(gaps.mean())
    assert found.p_value == pytest.approx(2 * student.sf(gaps.mean() / error, 3))
    half = student.ppf(0.975, 3) * error
    assert found.interval == pytest.approx((gaps.mean() - half, gaps.mean() + half))
    assert (found.wins, found.losses, found.test) == (3, 1, "paired t")
    single = estimate(a)
    assert single.method == "Student's t"
    spread = student.ppf(0.975, 3) * np.std(a, ddof=1) / 2
    assert single.interval == pytest.approx((np.mean(a) - spread, np.mean(a) + spread))


def test_scores_without_spread_have_no_interval_instead_of_one_of_no_width() -> None:
    assert estimate([0.5, 0.5, 0.5]).interval is None
    assert estimate([0.5]).interval is None
    ties = paired_t([0.0, 0.0, 0.0])
    assert (ties.interval, ties.p_value, ties.test) == (None, 1.0, "sign-flip")
    assert paired_t([0.0, 1e-300]).interval is None
    rounded = paired_difference([0.3, 0.4, 0.9], [0.2, 0.3, 0.8])  # 0.1 each, but for rounding
    assert (rounded.interval, rounded.p_value) == (None, 0.25)
    constant = paired_t([0.25] * 6)
    assert (constant.interval, constant.p_value, constant.difference) == (None, 2.0**-5, 0.25)


def test_what_rounding_leaves_of_equal_scores_is_a_tie() -> None:
    found = paired_difference([0.1 + 0.2, 0.5, 0.4], [0.3, 0.2, 0.3])
    assert (found.wins, found.losses) == (2, 0)
    clustered = paired_difference([0.1 + 0.2, 0.5, 0.4], [0.3, 0.2, 0.3], clusters="aab")
    assert (clustered.wins, clustered.losses) == (2, 0)
