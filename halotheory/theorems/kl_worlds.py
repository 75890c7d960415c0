"""Bias and variance of the estimates of KL(pi || pi_ref) on tabular worlds given as arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SUMS_TO_ONE = 1e-9
_POINTS = 2**15


@dataclass(frozen=True, kw_only=True)
class World:
    """Prompts, the outputs that the data has for them, and two policies.

    A microbatch is m independent pairs (x_i, y_i): x_i a prompt, y_i an output of the data for it.

    Attributes:
        prompt_probabilities: P(x), (X,).
        data: D(y|x), (X, Y); the policy itself where outputs are sampled from it.
        policy: pi(y|x), > 0, (X, Y).
        reference: pi_ref(y|x), > 0, (X, Y).
    """

    prompt_probabilities: Floats
    data: Floats
    policy: Floats
    reference: Floats

    def __post_init__(self) -> None:
        shape = self.policy.shape
        if len(shape) != 2:
            raise ValueError(f"policy has shape {shape}; it should be (prompts, outputs)")
        for name in ("prompt_probabilities", "data", "policy", "reference"):
            values = getattr(self, name)
            wanted = shape[:1] if name == "prompt_probabilities" else shape
            if values.shape != wanted:
                raise ValueError(f"{name} has shape {values.shape}; it should be {wanted}, as policy is {shape}")
            if (values < 0).any() or np.abs(values.sum(axis=-1) - 1).max() > _SUMS_TO_ONE:
                raise ValueError(f"{name} must be probabilities that sum to one")
            if name in ("policy", "reference") and (values == 0).any():
                raise ValueError(f"{name} must give every output some probability")

    @property
    def log_ratios(self) -> Floats:
        """log pi(y|x) - log pi_ref(y|x), nats, (X, Y)."""
        return np.log(self.policy) - np.log(self.reference)

    @property
    def kl_by_prompt(self) -> Floats:
        """KL(pi(.|x) || pi_ref(.|x)), nats, (X,): the reference point of Eq. 6."""
        return (self.policy * self.log_ratios).sum(axis=1)

    @property
    def kl(self) -> float:
        """Its mean over prompts, nats."""
        return float(self.prompt_probabilities @ self.kl_by_prompt)

    @property
    def outputs(self) -> Floats:
        """How often an output occurs in the data, over all prompts, (Y,)."""
        return self.prompt_probabilities @ self.data


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Of an estimate, over microbatches.

    Attributes:
        mean: nats.
        variance: nats squared.
        tolerance: how far the mean and the variance may be from the exact ones, beside rounding.
    """

    mean: float
    variance: float
    tolerance: float = 0.0

    def bias(self, kl: float) -> float:
        """Return how far the mean is above the true KL, nats."""
        return self.mean - kl

    def squared_error(self, kl: float) -> float:
        """Return the mean squared error for the true KL, nats squared."""
        return self.variance + self.bias(kl) ** 2


def matched(world: World, size: int) -> Moments:
    """Return those of (1/m) sum_i log-ratio(x_i, y_i), y_i from the policy: the standard unbiased estimate."""
    second = float(world.prompt_probabilities @ (world.policy * world.log_ratios**2).sum(axis=1))
    return Moments(mean=world.kl, variance=(second - world.kl**2) / size)


def matched_by_prompt(world: World, size: int) -> list[Moments]:
    """Return, for each prompt, those of the mean of m outputs sampled from the policy for it: unbiased, not shared."""
    seconds = (world.policy * world.log_ratios**2).sum(axis=1)
    found = zip(world.kl_by_prompt, seconds, strict=True)
    return [Moments(mean=float(kl), variance=float(second - kl**2) / size) for kl, second in found]


def shared_squared_error(world: World, estimate: Moments) -> float:
    """Return the mean over prompts of the squared error of one shared estimate for each prompt's own KL.

    It is the estimate's own squared error for the mean KL, and the variance of KL(x) over prompts.
    """
    errors = [estimate.squared_error(float(kl)) for kl in world.kl_by_prompt]
    return float(world.prompt_probabilities @ np.array(errors))


def mismatched(world: World, size: int) -> Moments:
    """Return those of (1/m) sum_i log-ratio(x_i, y_{i+1}), i + 1 modulo m: the KTO estimate without its clamp.

    Args:
        world: of prompts and outputs.
        size: m, >= 2.
    """
    _check_size(size)
    mean, spread, neighbours = _second_moments(world)
    if size == 2:
        return Moments(mean=mean, variance=(spread + _both_ways(world) - mean**2) / 2)
    return Moments(mean=mean, variance=(spread + 2 * neighbours) / size)


def printed_unclamped(world: World, size: int) -> Moments:
    """Return those of the sum as printed, (1/m) sum over 1 <= i < m: one pair is left out, the divisor stays."""
    _check_size(size)
    mean, spread, neighbours = _second_moments(world)
    variance = ((size - 1) * spread + 2 * (size - 2) * neighbours) / size**2
    return Moments(mean=mean * (size - 1) / size, variance=variance)


def clamped(world: World, size: int, *, points: int = _POINTS) -> Moments:
    """Return those of max(0, (1/m) sum_i log-ratio(x_i, y_{i+1})): the KTO estimate, as implementations compute it.

    The characteristic function of the sum is the trace of a power of the transfer matrix
    T(t)[x, x'] = P(x') sum_y D(y|x') exp(i t log-ratio(x, y)). Log-ratios are split between the two nearest points
    of a lattice, such that their mean stays; the error that this makes is at most the returned tolerance.

    Args:
        world: of prompts and outputs.
        size: m, >= 2.
        points: of the lattice, for the sum.
    """
    _check_size(size)
    return _clamped(world, size, points, cyclic=True)


def printed(world: World, size: int, *, points: int = _POINTS) -> Moments:
    """Return those of the formula as printed: max(0, (1/m) sum over 1 <= i < m); see `clamped`."""
    _check_size(size)
    return _clamped(world, size, points, cyclic=False)


def limit(world: World) -> float:
    """Return what `clamped` tends to as m grows: max(0, mean of the mismatched log-ratios), nats."""
    return max(0.0, mismatched(world, 3).mean)


def _check_size(size: int) -> None:
    if size < 2:
        raise ValueError(f"a microbatch of {size} has no mismatched pairs; it should have 2 examples or more")


def _second_moments(world: World) -> tuple[float, float, float]:
    """Return mean and variance of one mismatched log-ratio, and its covariance with its neighbour's."""
    p, ratios = world.prompt_probabilities, world.log_ratios
    by_prompt, by_output = ratios @ world.outputs, p @ ratios
    mean = float(p @ by_prompt)
    spread = float(p @ ratios**2 @ world.outputs) - mean**2
    return mean, spread, float(p @ (world.data @ by_output * by_prompt)) - mean**2


def _both_ways(world: World) -> float:
    """Return E[log-ratio(x_1, y_2) log-ratio(x_2, y_1)], the product of both pairs of m = 2."""
    crossed = world.log_ratios @ world.data.T
    return float(world.prompt_probabilities @ (crossed * crossed.T) @ world.prompt_probabilities)


def _clamped(world: World, size: int, points: int, *, cyclic: bool) -> Moments:
    count = size if cyclic else size - 1
    lowest, step, chances = _distribution(world, count, points, cyclic=cyclic)
    sums = count * lowest + step * np.arange(len(chances))
    values = np.maximum(0, sums / size)
    mean = float(values @ chances)
    variance = float(values**2 @ chances) - mean**2
    return Moments(mean=mean, variance=variance, tolerance=_tolerance(sums / size, chances, step, count, mean))


def _tolerance(estimates: Floats, chances: Floats, step: float, count: int, mean: float) -> float:
    """Return how far the lattice may have moved the mean and the variance of the clamped estimate.

    Each term is moved by less than a step, its mean stays: the estimate moves by less than a step, with a variance of
    at most `moved`. Its positive part moves in the mean only where it was nearer to 0 than a step, by at most half a
    standard deviation; the square of it by at most `moved`.
    """
    moved = step**2 / (4 * count)
    near_zero = float(chances[np.abs(estimates) <= 2 * step].sum())
    of_mean = np.sqrt(moved) / 2 * near_zero
    return float(max(of_mean, moved, 2 * mean * of_mean))


def _distribution(world: World, count: int, points: int, *, cyclic: bool) -> tuple[float, float, Floats]:
    """Return the lattice's start for one term, its step, and the probabilities of the sum of `count` terms."""
    ratios = world.log_ratios
    lowest, span = float(ratios.min()), float(np.ptp(ratios))
    most = max(1, (points - 1) // count)
    step = span / most
    places = (ratios - lowest) / (step or 1)
    below = np.minimum(np.floor(places + 1e-9), most - 1).astype(int)
    share = np.clip(places - below, 0, 1)
    length = 1 << (most * count).bit_length()
    powers = _transfers(world, below, share, length, count, cyclic=cyclic)
    chances = np.fft.irfft(powers.conj(), n=length)[: most * count + 1]
    return lowest, step, np.maximum(chances, 0)


def _transfers(
    world: World, below: NDArray[np.int64], share: Floats, length: int, count: int, *, cyclic: bool
) -> NDArray[np.complex128]:
    """Return the characteristic function of the sum at the first half of the lattice's frequencies."""
    p = world.prompt_probabilities
    found = []
    for frequencies in np.array_split(2 * np.pi * np.arange(length // 2 + 1) / length, max(1, length // 2**12)):
        turned = np.exp(1j * frequencies)[:, None, None]
        waves = turned**below * (1 - share + share * turned)
        transfer = np.einsum("txy,wy,w->txw", waves, world.data, p, optimize=True)
        power = np.linalg.matrix_power(transfer, count)
        found.append(np.trace(power, axis1=1, axis2=2) if cyclic else power.sum(axis=2) @ p)
    return np.concatenate(found)
