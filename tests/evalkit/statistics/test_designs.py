"""Power: against enumeration by hand, simulation, and its own inverses."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multinomial

from evalkit.errors import EvalkitError
from evalkit.statistics import (
    PairedDesign,
    clustered_difference,
    detectable_difference,
    discordant_share,
    mcnemar_mid_p,
    mcnemar_power,
    power,
    sample_size,
)
from evalkit.statistics.designs import APPROXIMATION_ERROR, MOST_ENUMERATED, normal_power


@pytest.mark.parametrize(
    ("n", "wins", "losses", "alpha"), [(12, 0.3, 0.1, 0.05), (25, 0.2, 0.2, 0.1), (30, 0.5, 0.0, 0.01)]
)
def test_power_is_the_sum_over_every_table(n: int, wins: float, losses: float, alpha: float) -> None:
    total = sum(
        multinomial.pmf([w, x, n - w - x], n, [wins, losses, 1 - wins - losses])
        for w in range(n + 1)
        for x in range(n + 1 - w)
        if mcnemar_mid_p(w, x) <= alpha
    )
    assert mcnemar_power(n, wins=wins, losses=losses, alpha=alpha) == pytest.approx(total, abs=1e-10)


def test_power_is_what_simulation_finds() -> None:
    random = np.random.default_rng(0)
    counts = random.multinomial(500, [0.13, 0.07, 0.8], size=20_000)
    tables, times = np.unique(counts[:, :2], axis=0, return_counts=True)
    found = sum(int(t) for (w, x), t in zip(tables, times, strict=True) if mcnemar_mid_p(int(w), int(x)) <= 0.05)
    design = PairedDesign(discordant=0.2)
    assert power(design, n=500, difference=0.06).power == pytest.approx(found / 20_000, abs=0.01)


def test_power_of_clusters_is_what_simulation_finds() -> None:
    random = np.random.default_rng(1)
    groups, size, icc, difference = 40, 10, 0.2, 0.15
    of: list[int] = [i // size for i in range(groups * size)]
    found = 0
    for _ in range(2000):
        shared = random.normal(0, math.sqrt(icc), groups).repeat(size)
        values = difference + shared + random.normal(0, math.sqrt(1 - icc), groups * size)
        found += clustered_difference(values, values * 0, of).p_value <= 0.05
    design = PairedDesign(deviation=1.0, clusters=groups, icc=icc)
    assert power(design, n=groups * size, difference=difference).power == pytest.approx(found / 2000, abs=0.035)


@settings(max_examples=30)
@given(st.integers(30, 20_000), st.floats(0.05, 0.6), st.floats(0.5, 0.95), st.integers(1, 12))
def test_what_is_detectable_is_found_with_the_power_asked_for(
    n: int, discordant: float, wanted: float, family: int
) -> None:
    design = PairedDesign(discordant=discordant, comparisons=family)
    if power(design, n=n, difference=discordant).power < wanted:
        with pytest.raises(EvalkitError, match="ask more items"):
            detectable_difference(design, n=n, power=wanted)
        return
    found = detectable_difference(design, n=n, power=wanted)
    assert found.power == pytest.approx(wanted, abs=1e-6)
    assert 0 < found.difference <= discordant
    assert power(design, n=n, difference=found.difference * 0.9).power < wanted
    assert found.alpha == pytest.approx(0.05 / family)


@settings(max_examples=30)
@given(st.floats(0.02, 0.2), st.floats(0.2, 0.5), st.booleans())
def test_the_sample_size_is_enough_and_hardly_more(difference: float, discordant: float, graded: bool) -> None:
    design = PairedDesign(deviation=math.sqrt(discordant)) if graded else PairedDesign(discordant=discordant)
    found = sample_size(design, difference=difference)
    assert found.power >= 0.8
    assert power(design, n=found.n - 1, difference=difference).power < 0.8
    assert power(design, n=math.ceil(found.n * 1.05), difference=difference).power >= 0.8


def test_the_exact_test_takes_about_as_many_items_as_the_formula() -> None:
    by_formula = next(n for n in range(500, 1500) if normal_power(n, 0.05, 0.2, 0.05) >= 0.9)
    exact = sample_size(PairedDesign(discordant=0.2), difference=0.05, power=0.9).n
    assert exact == pytest.approx(by_formula, rel=0.01)
    assert by_formula == pytest.approx(
        (1.959964 * math.sqrt(0.2) + 1.281552 * math.sqrt(0.2 - 0.05**2)) ** 2 / 0.05**2, abs=1
    )


def test_the_test_keeps_its_level_where_25_items_tell_models_apart() -> None:
    for n, discordant in ((100, 0.25), (200, 0.5), (500, 0.05), (1319, 0.2), (14_042, 0.1)):
        for family in (1, 6, 12):
            alpha = 0.05 / family
            level = mcnemar_power(n, wins=discordant / 2, losses=discordant / 2, alpha=alpha)
            assert 0.7 * alpha < level <= 1.001 * alpha
            assert 1 - (1 - level) ** family <= 0.0501


def test_the_approximation_beyond_enumeration_is_as_good_as_it_says() -> None:
    n = MOST_ENUMERATED
    for discordant in (0.02, 0.5):
        difference = 2.5 * math.sqrt(discordant / n)
        exact = mcnemar_power(n, wins=(discordant + difference) / 2, losses=(discordant - difference) / 2)
        assert normal_power(n, difference, discordant, 0.05) == pytest.approx(exact, abs=APPROXIMATION_ERROR)
    assert "approximation" in power(PairedDesign(discordant=0.2), n=n + 1, difference=0.002).method


@given(st.floats(0.01, 0.99), st.floats(0, 1), st.floats(-1, 0.999))
def test_scores_and_correlation_give_a_possible_share(first: float, share: float, correlation: float) -> None:
    difference = share * (1 - first)
    discordant = discordant_share(first, difference, correlation)
    second = first + difference
    assert difference - 1e-12 <= discordant <= min(first + second, 2 - first - second) + 1e-12
    if correlation == 0:
        assert discordant == pytest.approx(first * (1 - second) + second * (1 - first))


def test_correlation_is_that_of_the_scores() -> None:
    share = discordant_share(0.6, 0.1, 0.4)
    wins, losses = (share + 0.1) / 2, (share - 0.1) / 2
    both = 0.6 - losses
    assert (both - 0.6 * 0.7) / math.sqrt(0.6 * 0.4 * 0.7 * 0.3) == pytest.approx(0.4)
    assert wins + both == pytest.approx(0.7)


def test_clusters_multiply_the_variance() -> None:
    design = PairedDesign(discordant=0.2, clusters=57, icc=0.05)
    found = detectable_difference(design, n=14_042)
    assert found.design_effect == pytest.approx(1 + (14_042 / 57 - 1) * 0.05)
    alone = detectable_difference(PairedDesign(discordant=0.2), n=14_042)
    assert found.difference > 3 * alone.difference


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PairedDesign(), "describe the noise in one way"),
        (lambda: PairedDesign(discordant=0.2, deviation=1), "in one way"),
        (lambda: PairedDesign(baseline_score=0.5), "in one way"),
        (lambda: PairedDesign(discordant=20), r"must lie in \(0, 1\]; got 20"),
        (lambda: PairedDesign(discordant=math.nan), "got nan"),
        (lambda: PairedDesign(baseline_score=55, correlation=0), "such as 0.55; got 55"),
        (lambda: PairedDesign(baseline_score=0.5, correlation=1), r"\[-1, 1\); got 1"),
        (lambda: PairedDesign(deviation=0), "above 0; got 0"),
        (lambda: PairedDesign(discordant=0.2, level=95), "such as 0.95; got 95"),
        (lambda: PairedDesign(discordant=0.2, comparisons=0), "at least 1; got 0"),
        (lambda: PairedDesign(discordant=0.2, clusters=1), "at least 2; got 1"),
        (lambda: PairedDesign(discordant=0.2, icc=0.1), "needs the number of clusters"),
        (lambda: PairedDesign(discordant=0.2, clusters=5, icc=1.5), r"in \[0, 1\]; got 1.5"),
        (lambda: power(PairedDesign(discordant=0.2), n=1, difference=0.1), "items must be 2 to"),
        (lambda: power(PairedDesign(discordant=0.2), n=100, difference=0.3), "at most 0.2 here; got 0.3"),
        (lambda: power(PairedDesign(discordant=0.2), n=100, difference=0), "must not be 0"),
        (lambda: sample_size(PairedDesign(discordant=0.2), difference=0.1, power=80), "such as 0.8; got 80"),
        (lambda: detectable_difference(PairedDesign(discordant=0.2), n=100, power=0.01), "between 0.05 and 1"),
        (lambda: detectable_difference(PairedDesign(discordant=0.2), n=10), "at most 0.2.* ask more items"),
        (
            lambda: sample_size(PairedDesign(deviation=1, clusters=5, icc=0.2), difference=0.01),
            "no number of items in 5 clusters",
        ),
        (lambda: mcnemar_power(10, wins=0.7, losses=0.7), "within"),
    ],
)
def test_bad_arguments_are_named(call: Any, message: str) -> None:
    with pytest.raises(EvalkitError, match=message):
        call()
