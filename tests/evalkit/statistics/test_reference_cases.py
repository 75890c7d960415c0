"""Reference cases: scipy, statsmodels, closed forms and papers, to 1e-6, or to 1e-3 where a method is random."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from evalkit.statistics import (
    Interval,
    PairedDesign,
    benjamini_hochberg,
    clustered,
    clustered_bootstrap,
    clustered_difference,
    cochran_q,
    cochran_q_permutation,
    exact,
    holm,
    intraclass_correlation,
    macro_average,
    mcnemar_exact,
    mcnemar_mid_p,
    mean_pass_at_k,
    newcombe,
    paired_bootstrap,
    paired_permutation,
    paired_t,
    pass_at_k,
    power,
    sample_size,
    simultaneous_level,
    stratified_wilson,
    t_interval,
    tango,
    two_proportions,
    unpaired_difference,
    wilson,
    win_rate,
    win_rate_difference,
    win_rate_permutation,
)

RANDOM = np.random.default_rng(20)
A, B = (RANDOM.random(200) < [[0.6], [0.5]]).astype(float)
GRADED, OTHER = RANDOM.beta(2, 3, 120), RANDOM.beta(2, 4, 120)
CLUSTERS = np.repeat(np.arange(25), RANDOM.integers(2, 15, 25))[:120].tolist()
OF_A = [i // 8 for i in range(200)]
WEIGHTS = RANDOM.gamma(2.0, size=120)
TABLE = (RANDOM.random((80, 4)) < [0.7, 0.6, 0.6, 0.4]).astype(float)
P_VALUES = [0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216]  # Benjamini and Hochberg's kind
WINS, LOSSES = int(((A == 1) & (B == 0)).sum()), int(((A == 0) & (B == 1)).sum())


def ends(interval: Interval | None) -> Interval:
    assert interval is not None
    return interval


def in_statsmodels() -> Any:
    from statsmodels.stats import contingency_tables, multitest, proportion
    from statsmodels.stats import power as powers

    return contingency_tables, multitest, proportion, powers


def by_clusters(values: np.ndarray, clusters: list[int]) -> Any:
    import statsmodels.api as sm

    fit = sm.OLS(values, np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": np.array(clusters)}, use_t=True
    )
    return fit


def half_width(wins: int) -> float:
    low, high = ends(exact(wins, 512, level=0.9).interval)
    return round(50 * (high - low), 1)


def one_way(values: np.ndarray, clusters: list[int]) -> float:
    """Return the intraclass correlation from scipy's F statistic."""
    groups = [values[np.array(clusters) == code] for code in sorted(set(clusters))]
    f = float(stats.f_oneway(*groups).statistic)
    sizes = np.array([len(group) for group in groups])
    size = (sizes.sum() - (sizes**2).sum() / sizes.sum()) / (len(groups) - 1)
    return (f - 1) / (f + size - 1)


def cases() -> dict[str, tuple[Any, Any]]:
    """Return name: (ours, theirs)."""
    tables, multi, proportion, powers = in_statsmodels()
    pair = [[int(((A == 1) & (B == 1)).sum()), WINS], [LOSSES, int(((A == 0) & (B == 0)).sum())]]
    scipy_t, scipy_welch = stats.ttest_rel(GRADED, OTHER), stats.ttest_ind(GRADED, OTHER, equal_var=False)
    one, two = by_clusters(GRADED, CLUSTERS), by_clusters(GRADED - OTHER, CLUSTERS)
    binomial = stats.binomtest(int(A.sum()), 200)
    unpaired = two_proportions(156, 214, 133, 214)
    weighted = win_rate(GRADED, weights=WEIGHTS)
    return {
        "Wilson, scipy": (wilson(269, 512).interval, stats.binomtest(269, 512).proportion_ci(method="wilson")),
        "Wilson, statsmodels, 90 %": (
            wilson(3, 17, level=0.9).interval,
            proportion.proportion_confint(3, 17, 0.1, "wilson"),
        ),
        "Wilson, none right: z^2 / (n + z^2)": (wilson(0, 40).interval, (0, 1.959963984540054**2 / 43.841458820694124)),
        "exact, scipy": (exact(7, 40).interval, stats.binomtest(7, 40).proportion_ci(method="exact")),
        "exact, statsmodels": (exact(60, 61).interval, proportion.proportion_confint(60, 61, 0.05, "beta")),
        "exact, all right: (alpha/2)^(1/n)": (exact(30, 30).interval, (0.025 ** (1 / 30), 1)),
        "KTO paper, Table 3, half-widths in points": (
            [half_width(wins) for wins in (269, 307, 334, 323)],
            [3.7, 3.7, 3.6, 3.6],
        ),
        "stratified Wilson, equal subsets": (stratified_wilson([7, 7], [10, 10]).interval, wilson(14, 20).interval),
        "t, scipy": (t_interval(GRADED).interval, stats.ttest_1samp(GRADED, 0).confidence_interval()),
        "clustered, statsmodels": (clustered(GRADED, CLUSTERS).interval, one.conf_int()[0]),
        "clustered, 0 and 1, statsmodels": (clustered(A, OF_A).interval, by_clusters(A, OF_A).conf_int()[0]),
        "clustered, each item its own: t": (clustered(GRADED, range(120)).interval, t_interval(GRADED).interval),
        "macro average of equal subsets of one mean: pooled variance": (
            macro_average([1, 2, 3, 1, 2, 3], list("aaabbb")).interval,
            (2 - stats.t.ppf(0.975, 4) * math.sqrt(1 / 6), 2 + stats.t.ppf(0.975, 4) * math.sqrt(1 / 6)),
        ),
        "pass@k, ratio of binomials": (
            pass_at_k([10, 7, 20, 5], [3, 0, 19, 5], 4),
            [1 - math.comb(n - c, 4) / math.comb(n, 4) for n, c in ((10, 3), (7, 0), (20, 19), (5, 5))],
        ),
        "pass@1 of one sample: Wilson": (
            mean_pass_at_k([1] * 20, [1] * 7 + [0] * 13, 1).interval,
            wilson(7, 20).interval,
        ),
        "mid-p McNemar: exact less the point": (
            mcnemar_mid_p(WINS, LOSSES),
            tables.mcnemar(pair, exact=True).pvalue - stats.binom.pmf(WINS, WINS + LOSSES, 0.5),
        ),
        "exact McNemar, statsmodels": (mcnemar_exact(WINS, LOSSES), tables.mcnemar(pair, exact=True).pvalue),
        "exact McNemar, scipy": (mcnemar_exact(4, 13), stats.binomtest(4, 17).pvalue),
        "Tango, no discordant items: z^2 / (n + z^2)": (tango(0, 0, 40)[1], 1.959963984540054**2 / 43.841458820694124),
        "Newcombe, one margin empty: phi = 0": (
            newcombe(0, 10, 0, 10),
            (0.5 - math.hypot(0.5 - wilson(10, 20).interval[0], wilson(0, 20).interval[1]), wilson(10, 20).interval[1]),  # type: ignore[index]
        ),
        "paired t, scipy": (paired_t(GRADED - OTHER).p_value, scipy_t.pvalue),
        "paired t interval, scipy": (paired_t(GRADED - OTHER).interval, scipy_t.confidence_interval()),
        "clustered difference, statsmodels": (
            clustered_difference(GRADED, OTHER, CLUSTERS).interval,
            two.conf_int()[0],
        ),
        "clustered test, statsmodels": (clustered_difference(GRADED, OTHER, CLUSTERS).p_value, two.pvalues[0]),
        "intraclass correlation, one-way anova": (
            intraclass_correlation(GRADED + np.array(CLUSTERS) / 50, CLUSTERS),
            one_way(GRADED + np.array(CLUSTERS) / 50, CLUSTERS),
        ),
        "permutation, all patterns, scipy": (
            paired_permutation(GRADED[:12], OTHER[:12], rng=RANDOM).p_value,
            stats.permutation_test(
                (GRADED[:12], OTHER[:12]),
                lambda x, y, axis: (x - y).mean(axis),
                permutation_type="samples",
                vectorized=True,
            ).pvalue,
        ),
        "permutation of few right answers: exact McNemar": (
            paired_permutation([1] * 9 + [0] * 5, [0] * 9 + [1] * 2 + [0] * 3, rng=RANDOM).p_value,
            mcnemar_exact(9, 2),
        ),
        "unpaired, KTO paper's human evaluation": (round(unpaired.p_value, 3), 0.018),
        "unpaired, statsmodels z": (unpaired.p_value, proportion.proportions_ztest([156, 133], [214, 214])[1]),
        "unpaired, scipy chi-squared": (
            unpaired.p_value,
            stats.chi2_contingency([[156, 58], [133, 81]], correction=False).pvalue,
        ),
        "unpaired interval, statsmodels": (
            unpaired.interval,
            proportion.confint_proportions_2indep(156, 214, 133, 214, method="newcomb"),
        ),
        "unpaired, few: Fisher": (two_proportions(1, 9, 5, 8).p_value, stats.fisher_exact([[1, 8], [5, 3]])[1]),
        "unpaired, Welch": (unpaired_difference(GRADED, OTHER).p_value, scipy_welch.pvalue),
        "unpaired interval, Welch": (unpaired_difference(GRADED, OTHER).interval, scipy_welch.confidence_interval()),
        "win rate, no ties, interval": (win_rate(A).interval, binomial.proportion_ci(method="wilson")),
        "win rate, no ties, test": (win_rate(A).p_value, binomial.pvalue),
        "win rate, ties, test": (
            win_rate(np.r_[A, 0.5, 0.5]).p_value,
            stats.ttest_1samp(np.r_[A, 0.5, 0.5], 0.5).pvalue,
        ),
        "win rate, weighted mean": (weighted.win_rate, np.average(GRADED, weights=WEIGHTS)),
        "win rate, few, sign flips: binomial": (
            win_rate_permutation([1] * 8 + [0] * 2 + [0.5] * 5, rng=RANDOM).p_value,
            stats.binomtest(8, 10).pvalue,
        ),
        "difference of win rates, scipy": (win_rate_difference(GRADED, OTHER).p_value, scipy_t.pvalue),
        "Holm, statsmodels": (holm(P_VALUES), multi.multipletests(P_VALUES, method="holm")[1]),
        "Benjamini-Hochberg, statsmodels": (
            benjamini_hochberg(P_VALUES),
            multi.multipletests(P_VALUES, method="fdr_bh")[1],
        ),
        "simultaneous intervals": (simultaneous_level(0.95, 4), 0.9875),
        "Cochran's Q, statsmodels": (cochran_q(TABLE).p_value, tables.cochrans_q(TABLE).pvalue),
        "Cochran's Q of two: McNemar's chi-squared": (
            cochran_q(np.stack([A, B], axis=1)).statistic,
            (WINS - LOSSES) ** 2 / (WINS + LOSSES),
        ),
        "power of a t test, statsmodels": (
            power(PairedDesign(deviation=0.4), n=120, difference=0.1).power,
            powers.TTestPower().power(0.25, 120, 0.05),
        ),
        "items of a t test, statsmodels": (
            sample_size(PairedDesign(deviation=0.4), difference=0.1, power=0.9).n,
            math.ceil(powers.TTestPower().solve_power(0.25, None, 0.05, 0.9)),
        ),
    }


def same_in_the_long_run() -> dict[str, tuple[Any, Any]]:
    """Return name: (ours, theirs) of methods that draw at random."""
    many = np.random.default_rng(1)
    paired = paired_bootstrap(GRADED, OTHER, rng=many, resamples=200_000)
    theirs = stats.bootstrap(
        (GRADED - OTHER,), np.mean, n_resamples=99_999, method="BCa", rng=np.random.default_rng(2), batch=1000
    )
    t = paired_permutation(GRADED, OTHER + 0.05, rng=many, resamples=200_000)
    scipys = stats.permutation_test(
        (GRADED, OTHER + 0.05),
        lambda x, y, axis: (x - y).mean(axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=99_999,
        batch=1000,
        rng=np.random.default_rng(3),
    )
    normal = np.random.default_rng(4).normal(0.01, 1, 4000)
    halves: list[int] = [i // 2 for i in range(4000)]
    resampled = clustered_bootstrap(normal, halves, rng=many, resamples=40_000)
    return {
        "BCa, scipy": (paired.interval, theirs.confidence_interval),
        "permutation, scipy": (t.p_value, scipys.pvalue),
        "studentized over many clusters: t": (
            resampled.interval,
            clustered_difference(normal, normal * 0, halves).interval,
        ),
        "Cochran's Q, shuffled, many items: chi-squared": (
            cochran_q_permutation(np.tile(TABLE[:40], (20, 1)) * 1.0, rng=many, resamples=20_000).p_value,
            cochran_q(np.tile(TABLE[:40], (20, 1))).p_value,
        ),
    }


def disagreements(found: dict[str, tuple[Any, Any]], *, relative: float, absolute: float) -> dict[str, tuple[Any, Any]]:
    wrong = {}
    for name, (ours, theirs) in found.items():
        pair = [np.asarray(tuple(one) if np.ndim(one) else one, dtype=float) for one in (ours, theirs)]
        if pair[0] != pytest.approx(pair[1], rel=relative, abs=absolute):
            wrong[name] = (ours, theirs)
    return wrong


def test_forty_cases_agree_to_a_millionth() -> None:
    found = cases()
    assert len(found) >= 40
    assert disagreements(found, relative=1e-6, absolute=1e-9) == {}


def test_random_methods_agree_to_a_thousandth() -> None:
    assert disagreements(same_in_the_long_run(), relative=0, absolute=1e-3) == {}
