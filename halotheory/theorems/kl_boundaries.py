"""Where the bias of the KTO estimate changes its sign, and how it falls with m: one family of worlds, exactly."""

from collections.abc import Iterator
from fractions import Fraction
from math import ceil, floor

from halotheory.proving.enclose import sign
from halotheory.theorems import kl_counts as exact
from halotheory.theorems import kl_worlds as floats
from halotheory.theorems.claims import Boundary
from halotheory.theorems.kl_counts import RationalWorld

LARGEST = 128
"""The largest m that the paper recommends."""

_SIZES = (2, 4, 8, 16, 32, 64, 128)
_LARGEST_BRACKETED = 32  # the exact distribution has thousands of terms beyond
_GRID = 10**4  # of the ends of brackets: decimals that are exact as they are printed
_HALF = Fraction(1, 2)


def family(specific: Fraction) -> RationalWorld:
    """Return the world of the boundary: two prompts, two outputs, uniform pi_ref, outputs sampled from the policy.

    For the first prompt, pi(y_1) = 3/4; for the second, 3/4 - s/2: at s = 0 the policy ignores the prompt, at s = 1 it
    answers each prompt in its own way.
    """
    second = Fraction(3, 4) - specific / 2
    policy = ((Fraction(3, 4), Fraction(1, 4)), (second, 1 - second))
    half = (_HALF, _HALF)
    return RationalWorld(prompt_probabilities=half, data=policy, policy=policy, reference=(half, half))


def sign_of_the_bias() -> Boundary:
    """Return where the bias of the clamped estimate changes its sign, between policies with and without prompts."""
    return Boundary(
        name="sign_of_the_bias",
        statement="The bias of zhat0 changes its sign at s: it is positive at the lower end of the interval and "
        "negative at the upper. Two prompts, two outputs, uniform pi_ref, outputs sampled from the policy; "
        "pi(y_1) = 3/4 for the first prompt, 3/4 - s/2 for the second.",
        points=[{"m": str(size), "s": _bracket(size)} for size in _SIZES if size <= _LARGEST_BRACKETED],
        asymptotes=("s -> 0 as m -> oo: for every s > 0, mu < KL, and the bias tends to max(0, mu) - KL < 0",),
        axes=("m", "s"),
    )


def by_size() -> Boundary:
    """Return bias and variance of all estimates for m = 2 ... 128 at both ends of that family."""
    points = [point for specific in (0, 1) for point in _table(specific)]
    return Boundary(
        name="by_size",
        statement="The bias of zhat0 vanishes with m where the policy ignores the prompt, and tends to -KL where it "
        "answers it. Both ends of the same family, s = 0 and s = 1; rounded; bias in nats, variance in "
        "nats squared.",
        points=points,
        asymptotes=("s = 0: the bias tends to 0", f"s = 1: the bias tends to -KL = {-family(Fraction(1)).kl.evalf(6)}"),
        axes=("m", "bias, nats", "s"),
    )


def _table(specific: int) -> Iterator[dict[str, str]]:
    world = family(Fraction(specific))
    for size, found in exact.counts_by_size(world, LARGEST):
        if size not in _SIZES:
            continue
        mean, second = (part(world, found, size) for part in (exact.clamped_mean, exact.clamped_second_moment))
        before, before_second = (part(world, found, size) for part in (exact.mean, exact.second_moment))
        printed = exact.clamped_mean(world, exact.printed_counts(world, size), size)
        numbers = {
            "bias, nats": mean - world.kl,
            "variance": second - mean**2,
            "bias before the clamp": before - world.kl,
            "variance before the clamp": before_second - before**2,
            "bias as printed": printed - world.kl,
            "variance of the standard estimate": exact.matched_variance(world, size),
        }
        yield {"s": str(specific), "m": str(size), **{name: str(value.evalf(6)) for name, value in numbers.items()}}


def _bracket(size: int) -> str:
    """Return an interval at whose ends the bias has opposite signs, found in floats, decided exactly."""
    low, high = 0.0, 1.0
    while high - low > 2**-13:
        middle = (low + high) / 2
        world = family(Fraction(middle)).as_floats()
        bias = floats.clamped(world, size, points=2**14).bias(world.kl)
        low, high = (middle, high) if bias > 0 else (low, middle)
    ends = (Fraction(floor(low * _GRID - 0.5), _GRID), Fraction(ceil(high * _GRID + 0.5), _GRID))
    signs = [_sign_of_bias(end, size) for end in ends]
    if signs != [1, -1]:
        raise ArithmeticError(f"m = {size}: the bias has the signs {signs} at the ends of {ends}")
    return f"[{float(ends[0])}, {float(ends[1])}]"


def _sign_of_bias(specific: Fraction, size: int) -> int | None:
    world = family(specific)
    return sign(exact.clamped_mean(world, exact.counts(world, size), size) - world.kl)
