"""What a statistic returns: the number, its interval or p-value, the method's name and what it assumes."""

from dataclasses import dataclass

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean score.

    Attributes:
        score: the mean over all items, each item counted once, unless the method says otherwise.
        n: number of scores.
        interval: the confidence interval; None where the scores do not determine one.
        level: its nominal coverage, such as 0.95.
        method: how it was computed.
        assumptions: what must hold for the interval to cover as often as it says; one sentence to print.
    """

    score: float
    n: int
    interval: Interval | None
    level: float
    method: str
    assumptions: str


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """The difference of two mean scores on the same items.

    Attributes:
        difference: mean score of the first minus that of the second.
        n: number of items scored by both.
        wins: items on which the first scores higher; `losses`: lower; the others are ties.
        interval: the confidence interval; None where the scores do not determine one.
        level: its nominal coverage.
        interval_method: how it was computed.
        p_value: two-sided, of the hypothesis of no difference.
        test: how the p-value was computed.
        assumptions: what must hold for both; one sentence to print.
    """

    difference: float
    n: int
    wins: int
    losses: int
    interval: Interval | None
    level: float
    interval_method: str
    p_value: float
    test: str
    assumptions: str


@dataclass(frozen=True, kw_only=True)
class UnpairedDifference:
    """The difference of two mean scores on different items.

    Attributes:
        difference: mean score of the first minus that of the second.
        sizes: number of items of each.
        interval: the confidence interval; None where the scores do not determine one.
        level: its nominal coverage.
        interval_method: how it was computed.
        p_value: two-sided, of the hypothesis of no difference.
        test: how the p-value was computed.
        assumptions: what must hold for both; one sentence to print.
    """

    difference: float
    sizes: tuple[int, int]
    interval: Interval | None
    level: float
    interval_method: str
    p_value: float
    test: str
    assumptions: str


@dataclass(frozen=True, kw_only=True)
class WinRate:
    """The mean of preferences, with its test against one half.

    Attributes:
        win_rate: the (weighted) mean: 1 a win, 0.5 a tie, 0 a loss, or a judge's probability between them.
        n: number of preferences.
        wins: preferences above 0.5; `ties`: of 0.5; `losses`: below.
        interval: the confidence interval; None where the preferences do not determine one.
        level: its nominal coverage.
        interval_method: how it was computed.
        p_value: two-sided, of the hypothesis that the win rate is one half.
        test: how the p-value was computed.
        assumptions: what must hold for both; one sentence to print.
    """

    win_rate: float
    n: int
    wins: int
    ties: int
    losses: int
    interval: Interval | None
    level: float
    interval_method: str
    p_value: float
    test: str
    assumptions: str


@dataclass(frozen=True, kw_only=True)
class FamilyTest:
    """One test of one hypothesis about several models: that they are all alike.

    Attributes:
        statistic: the larger, the less alike.
        p_value: the probability of such a statistic, or a larger one, where they are alike.
        test: how it was computed.
        assumptions: what must hold; one sentence to print.
    """

    statistic: float
    p_value: float
    test: str
    assumptions: str
