"""The sign of the bias and its fall with m, against walks round the cycle and the Fourier transform."""

from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import brentq

from halotheory.theorems import kl_boundaries, kl_worlds

SIGNS = kl_boundaries.sign_of_the_bias().points


@pytest.mark.parametrize("point", SIGNS, ids=lambda point: point["m"])
def test_the_sign_of_the_bias_changes_where_it_is_said(point: dict[str, str]) -> None:
    size, (low, high) = int(point["m"]), eval(point["s"])

    def bias(specific: float) -> float:
        return dynamic_bias(specific, size) if size <= 8 else fourier_bias(specific, size)

    assert high - low < 1e-3
    assert low - 1e-9 <= brentq(bias, 0.01, 1, xtol=1e-6) <= high + 1e-9
    grid = [bias(specific) for specific in np.linspace(0, 1, 21)]
    assert (np.diff(np.sign(grid)) != 0).sum() == 1


def fourier_bias(specific: float, size: int) -> float:
    world = kl_boundaries.family(Fraction(specific)).as_floats()
    return kl_worlds.clamped(world, size, points=2**13).bias(world.kl)


def dynamic_bias(specific: float, size: int) -> float:
    """Return E zhat0 - KL by walking round the cycle: the probability of each sum of log-ratios, prompt by prompt."""
    policy = np.array([[0.75, 0.25], [0.75 - specific / 2, 0.25 + specific / 2]])
    ratios, total = np.log(2 * policy), 0.0
    for first in range(2):
        sums = {(first, 0.0): 0.5}
        for step in range(size):
            following = {}
            for (x, value), chance in sums.items():
                for other in range(2) if step < size - 1 else [first]:
                    for y in range(2):
                        key = (other, round(value + ratios[x, y], 9))
                        drawn = chance * policy[other, y] * (0.5 if step < size - 1 else 1)
                        following[key] = following.get(key, 0.0) + drawn
            sums = following
        total += sum(chance * max(0.0, value) for (_, value), chance in sums.items())
    return total / size - (policy * ratios).sum() / 2


def test_the_table_by_size() -> None:
    points = kl_boundaries.by_size().points
    assert [(point["s"], point["m"]) for point in points] == [(s, str(2**k)) for s in "01" for k in range(1, 8)]
    for point in points:
        size, world = int(point["m"]), kl_boundaries.family(Fraction(point["s"])).as_floats()
        clamped, before = kl_worlds.clamped(world, size), kl_worlds.mismatched(world, size)
        printed = kl_worlds.printed(world, size)
        assert float(point["bias, nats"]) == pytest.approx(clamped.bias(world.kl), rel=1e-5, abs=2 * clamped.tolerance)
        assert float(point["variance"]) == pytest.approx(clamped.variance, rel=1e-5, abs=2 * clamped.tolerance)
        assert float(point["bias before the clamp"]) == pytest.approx(before.bias(world.kl), rel=1e-5, abs=1e-12)
        assert float(point["variance before the clamp"]) == pytest.approx(before.variance, rel=1e-5)
        assert float(point["bias as printed"]) == pytest.approx(printed.bias(world.kl), rel=1e-5, abs=1e-5)
        standard = kl_worlds.matched(world, size).variance
        assert float(point["variance of the standard estimate"]) == pytest.approx(standard, rel=1e-5)


def test_the_ends_of_the_family() -> None:
    """At s = 0 prompts do not matter; at s = 1 each prompt has its own answer."""
    same, own = (kl_boundaries.family(Fraction(specific)) for specific in (0, 1))
    assert same.policy[0] == same.policy[1] == (Fraction(3, 4), Fraction(1, 4))
    assert own.policy[1] == (Fraction(1, 4), Fraction(3, 4))


def test_the_bias_is_positive_without_prompts_and_falls_with_s() -> None:
    biases = [dynamic_bias(specific, 4) for specific in np.linspace(0, 1, 11)]
    assert biases[0] > 0
    assert (np.diff(biases) < 0).all()
