"""The win rate at equal lengths: a logistic regression of the preference on the difference in length."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.errors import EvalkitError

MOST_STEPS = 50
_NO_VARIANCE = 1e-14  # of log-odds: what rounding leaves of 0


@dataclass(frozen=True, kw_only=True)
class LengthAdjusted:
    """The win rate that a judge would give at equal lengths, under the model.

    Attributes:
        win_rate: at a difference of 0.
        interval: its confidence interval.
        level: its nominal coverage.
        slope: log-odds per unit of the length term; above 0 the judge prefers the longer answer.
        slope_interval: its confidence interval.
        method: how it was computed.
    """

    win_rate: float
    interval: tuple[float, float]
    level: float
    slope: float
    slope_interval: tuple[float, float]
    method: str


def length_adjusted(
    preferences: ArrayLike,
    differences: ArrayLike,
    *,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> LengthAdjusted:
    """Return the win rate at equal lengths.

    The preference's mean is sigma(a + b tanh(d / s)), with d the difference in length and s its standard deviation
    over the pairs; the win rate at equal lengths is sigma(a). This is AlpacaEval's length-controlled model without
    the instructions' difficulty. Fitted by maximum quasi-likelihood, as preferences may be graded; the interval is
    the logistic image of a's normal interval with the clusters' sandwich variance, times G / (G - 1).

    Source: Dubois et al. 2024, arXiv 2404.04475, section 3; the sandwich as in statsmodels' `GLM.fit(cov_type=
    "cluster")`.

    Args:
        preferences: for the judged answer, in [0, 1], (n,).
        differences: length of the judged answer less that of the other, (n,).
        clusters: the prompt of each pair where prompts have several, (n,).
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: lengths that do not vary, preferences that a threshold of length separates (no finite fit) or that
            follow the lengths exactly (no spread).
    """
    from scipy.special import expit, ndtri

    y, d = np.asarray(preferences, dtype=float), np.asarray(differences, dtype=float)
    spread = float(d.std())
    if not spread:
        raise EvalkitError("the differences in length do not vary")
    design = np.column_stack([np.ones_like(d), np.tanh(d / spread)])
    codes = np.unique(range(len(y)) if clusters is None else [str(one) for one in clusters], return_inverse=True)[1]
    coefficients, covariance = _fit(design, y, codes)
    variances = np.diag(covariance)
    if variances.min() < _NO_VARIANCE:
        raise EvalkitError("the preferences follow the lengths exactly, which leaves no spread")
    half = ndtri((1 + level) / 2) * np.sqrt(variances)
    low, high = coefficients - half, coefficients + half
    return LengthAdjusted(
        win_rate=float(expit(coefficients[0])),
        interval=(float(expit(low[0])), float(expit(high[0]))),
        level=level,
        slope=float(coefficients[1]),
        slope_interval=(float(low[1]), float(high[1])),
        method=f"logistic in tanh(difference / {spread:.4g} characters), normal with sandwich variance",
    )


def _fit(
    design: NDArray[np.float64], y: NDArray[np.float64], codes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coefficients and their covariance by Newton's method, which is concave and needs no damping but steps.

    Raises:
        EvalkitError: no finite maximum, or one cluster.
    """
    from scipy.special import expit

    groups = int(codes.max()) + 1
    if groups < 2:
        raise EvalkitError("one prompt has no spread")
    coefficients = np.zeros(design.shape[1])
    for _ in range(MOST_STEPS):
        p = expit(design @ coefficients)
        information = (design * (p * (1 - p))[:, None]).T @ design
        gradient = design.T @ (y - p)
        if np.linalg.cond(information) > 1e12 or np.abs(coefficients).max() > 30:
            break
        step = np.linalg.solve(information, gradient)
        coefficients = coefficients + step / max(1.0, float(np.abs(step).max()) / 4)
        if np.abs(step).max() < 1e-10:
            residuals = design * (y - expit(design @ coefficients))[:, None]
            sums = np.zeros((groups, design.shape[1]))
            np.add.at(sums, codes, residuals)
            bread = np.linalg.inv(information)
            covariance = bread @ (sums.T @ sums) @ bread * groups / (groups - 1)
            if math.isfinite(float(covariance.sum())):
                return coefficients, covariance
    raise EvalkitError("length separates wins from losses, or there are only wins or only losses: no finite fit")
