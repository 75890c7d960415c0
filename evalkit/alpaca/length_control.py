"""The length-controlled win rate: the GLM of AlpacaEval 2, its bootstrap over instructions, a paired difference."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.alpaca import glm
from evalkit.alpaca.annotations import Annotations
from evalkit.alpaca.published import DIFFICULTY, LENGTH, MODEL, Gamed, Published
from evalkit.errors import EvalkitError
from evalkit.statistics import PairedDifference

Array = NDArray[np.float64]

V1, NOREG, MINIMAL = "length_controlled_v1", "length_controlled_noreg", "length_controlled_minimal"
GLMS = (V1, NOREG, MINIMAL)
GAMED_WEIGHT = 0.1  # AlpacaEval's 0.2, shared by two gamed baselines
RESAMPLES, FEWEST_RESAMPLES = 1000, 100
CELLS_AT_ONCE = 160_000
"""Fits times rows that are worked on together: they stay in the processor's cache."""
ASSUMPTIONS = (
    "instructions are a random sample; lengths act on the judge as the GLM says; the judge's own noise is not inside"
)
INTERVAL_METHOD = "percentile bootstrap over instructions, refitted"


@dataclass(frozen=True, kw_only=True)
class LengthControlled:
    """A length-controlled win rate, in percent.

    Attributes:
        glm: AlpacaEval's name of the model.
        rate: as alpaca_eval computes it.
        rate_at_optimum: of the coefficients that minimise its loss, which scikit-learn's solver stops short of.
        coefficients: of the length, the difficulty (where the model has one) and the model itself, by their names.
        strength: the inverse penalty C that cross-validation chose.
        n: instructions.
        alpaca_eval_standard_error: the spread of the fitted probabilities, which alpaca_eval calls its standard
            error: it takes the coefficients as known, so it is too small.
        standard_error: of the bootstrap; None without one, or where it leaves the rate as it is, as a penalty does
            that lets no coefficient differ from 0.
        interval: the same.
        level: its nominal coverage.
        resamples: how many; 0 without a bootstrap.
    """

    glm: str
    rate: float
    rate_at_optimum: float
    coefficients: Mapping[str, float]
    strength: float
    n: int
    alpaca_eval_standard_error: float
    standard_error: float | None
    interval: tuple[float, float] | None
    level: float
    resamples: int


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """What a GLM is fitted to. Own rows are instructions; the others, if any, are of the gamed baselines.

    Attributes:
        lengths: of the own rows, characters of the baseline minus the model's, (n,).
        features: of the own rows beside the length, (n, features - 1).
        preferences: of the own rows, NaN where missing, (n,).
        gamed: features of the other rows, (rows, features).
        gamed_preferences: (rows,).
        gamed_rows: the own row with the same instruction, -1 where there is none, (rows,).
        names: of the features, the length first.
    """

    lengths: Array
    features: Array
    preferences: Array
    gamed: Array
    gamed_preferences: Array
    gamed_rows: NDArray[np.intp]
    names: tuple[str, ...]

    @property
    def targets(self) -> Array:
        return np.concatenate([self.gamed_preferences, np.nan_to_num(self.preferences)])

    def weights(self, counts: Array) -> Array:
        """Return the weight of each row when instructions occur `counts` times, (fits, n) to (fits, rows)."""
        with_rest = np.concatenate([counts, np.ones((len(counts), 1))], axis=1)  # -1 is the last: once
        own = counts * np.isfinite(self.preferences)
        return np.concatenate([GAMED_WEIGHT * with_rest[:, self.gamed_rows], own], axis=1)

    def design(self, counts: Array) -> Array:
        """Return the features of each row, (features, fits, rows); the unit of length is that of the resample."""
        fixed = np.concatenate([self.gamed, np.column_stack([np.zeros(len(self.lengths)), self.features])])
        design = np.repeat(fixed.T[:, None, :], len(counts), axis=1)
        design[0, :, len(self.gamed) :] = np.tanh(self.lengths / _spread(self.lengths, counts)[:, None])
        return design

    def rates(self, coefficients: Array, counts: Array) -> Array:
        """Return the mean probability of a win at equal lengths, in percent, (fits,)."""
        chances = glm.logistic(coefficients[:, 1:] @ self.features.T)
        return 100 * (counts * chances).sum(axis=1) / counts.sum(axis=1)


def possible_glms(annotations: Annotations, published: Published) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return AlpacaEval's GLMs that the inputs allow, the closest to the leaderboard's first, and why not the others.

    Difficulties are those of particular instructions: they are used only where every instruction has one.
    """
    known = sum(j.key in published.difficulty for j in annotations.judgements)
    n = len(annotations.judgements)
    if n < glm.FOLDS:
        return (), (f"no length control: {n} instructions, and its cross-validation needs {glm.FOLDS}",)
    if not published.difficulty:
        return (MINIMAL,), ("no instruction difficulties were given: length is controlled without them",)
    if known < n:
        return (MINIMAL,), (
            f"{n - known} of {n} instructions are not among those whose difficulty was given, so none was used; "
            "length is controlled without them",
        )
    if published.gamed is None:
        return (NOREG, MINIMAL), ("no --df-gamed: the leaderboard's own GLM, which is held back by it, is not fitted",)
    return GLMS, ()


def length_controlled(
    annotations: Annotations,
    published: Published,
    *,
    glm_name: str = V1,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    level: float = 0.95,
) -> LengthControlled:
    """Return the length-controlled win rate with an interval from a bootstrap over instructions.

    The preference for the model is fitted by logistic(l tanh(D / s) + d difficulty + m), where D is the baseline's
    length minus the model's in characters and s the standard deviation of D; the rate is the mean of
    logistic(d difficulty + m): what it would be at equal lengths. The rate is fitted as alpaca_eval fits it, on
    rows in an order that does not depend on the file. Each resample draws instructions with replacement, each with
    its judgement, difficulty and gamed rows, measures s again and fits again, at the penalty chosen on all.

    Source: Dubois et al. 2024, arXiv 2404.04475, section 3; alpaca_eval 0.6.6, `metrics/glm_winrate.py`.

    Args:
        annotations: of one model.
        published: difficulties and gamed baselines, as the GLM needs them.
        glm_name: one of GLMS.
        rng: of the bootstrap.
        resamples: how many; 0 leaves the interval out.
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: a GLM that the inputs do not allow, or no preference at all.
    """
    problem = _problem(annotations, published, glm_name)
    strength, coefficients = _fit_as_alpaca_eval(problem)
    once = np.ones((1, len(problem.lengths)))
    chances = glm.logistic(problem.features @ coefficients[1:])
    optimum = _fit(problem, once, strength, coefficients)
    rates = _resampled_rates(problem, strength, optimum[0], rng, resamples)
    interval = _percentiles(rates, level) if resamples > 1 else None
    return LengthControlled(
        glm=glm_name,
        rate=100 * float(chances.mean()),
        rate_at_optimum=float(problem.rates(optimum, once)[0]),
        coefficients=dict(zip(problem.names, coefficients.tolist(), strict=True)),
        strength=strength,
        n=len(chances),
        alpaca_eval_standard_error=100 * float(chances.std(ddof=1) / np.sqrt(len(chances))),
        standard_error=None if interval is None else float(rates.std(ddof=1)),
        interval=interval,
        level=level,
        resamples=resamples,
    )


def length_controlled_difference(
    first: Annotations,
    second: Annotations,
    published: Published,
    *,
    glm_name: str = V1,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    level: float = 0.95,
) -> PairedDifference:
    """Return the difference of two models' length-controlled win rates on the same instructions, in percent.

    Both models are fitted to the instructions that both have a judgement of, and in each resample to the same drawn
    instructions; both at the optimum of the weaker of the two penalties that cross-validation chooses. With a penalty
    each, as their separate rates have, the luck of that choice would enter the difference and not its interval: in a
    simulation 92 % of nominal 95 % intervals then held the truth.

    The p-value is that of the bootstrap: twice the smaller share of resampled differences on one side of 0, each
    counted with one more, so that it is never below 2 / (resamples + 1).

    Args:
        first: annotations of one model.
        second: of the other, against the same baseline by the same judge.
        published: difficulties and gamed baselines, as the GLM needs them.
        glm_name: one of GLMS.
        rng: of the bootstrap.
        resamples: how many, at least 100: with fewer no p-value could be below 0.02.
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: different baselines or judges, no instruction in common, too few resamples, or a GLM that the
            inputs do not allow.
    """
    if resamples < FEWEST_RESAMPLES:
        raise EvalkitError(f"--resamples {resamples}: a difference needs at least {FEWEST_RESAMPLES}")
    pair = in_common(first, second)
    problems = [_problem(one, published, glm_name) for one in pair]
    chosen = [_fit_as_alpaca_eval(problem) for problem in problems]
    strength = max(strength for strength, _ in chosen)
    once = np.ones((1, len(problems[0].lengths)))
    fits = [_fit(problem, once, strength, start) for problem, (_, start) in zip(problems, chosen, strict=True)]
    rates = [problem.rates(fit, once)[0] for problem, fit in zip(problems, fits, strict=True)]
    seed = int(rng.integers(2**63))  # the same draws for both
    resampled = [
        _resampled_rates(problem, strength, fit[0], np.random.default_rng(seed), resamples)
        for problem, fit in zip(problems, fits, strict=True)
    ]
    differences = resampled[0] - resampled[1]
    scores = problems[0].preferences - problems[1].preferences
    below, above = (1 + int((differences <= 0).sum())), (1 + int((differences >= 0).sum()))
    return PairedDifference(
        difference=float(rates[0] - rates[1]),
        n=len(scores),
        wins=int((scores > 0).sum()),
        losses=int((scores < 0).sum()),
        interval=_percentiles(differences, level),
        level=level,
        interval_method=INTERVAL_METHOD,
        p_value=min(1.0, 2 * min(below, above) / (1 + len(differences))),
        test="bootstrap over instructions",
        assumptions=ASSUMPTIONS,
    )


def in_common(first: Annotations, second: Annotations) -> tuple[Annotations, Annotations]:
    """Return two models' annotations of the instructions that both have a preference for, in the same order.

    Raises:
        EvalkitError: different baselines or judges, or no instruction in common.
    """
    for what, one, other in (("baseline", first.baseline, second.baseline), ("judge", first.judge, second.judge)):
        if one != other:
            raise EvalkitError(
                f"{first.source}, {second.source}: different {what}s, '{one}' and '{other}'; rates against different "
                f"{what}s cannot be compared: annotate both alike"
            )
    keys = {j.key for j in first.judgements if j.preference is not None}
    keys &= {j.key for j in second.judgements if j.preference is not None}
    if not keys:
        raise EvalkitError(f"{first.source}, {second.source}: no instruction with a preference in both")
    return _only(first, keys), _only(second, keys)


def _only(annotations: Annotations, keys: set[str]) -> Annotations:
    return Annotations(
        source=annotations.source,
        model=annotations.model,
        baseline=annotations.baseline,
        judge=annotations.judge,
        judgements=tuple(j for j in annotations.judgements if j.key in keys),
    )


def _problem(annotations: Annotations, published: Published, glm_name: str) -> _Problem:
    possible, why_not = possible_glms(annotations, published)
    if glm_name not in possible:
        reason = "; ".join(why_not) or f"the GLMs are {', '.join(GLMS)}"
        raise EvalkitError(f"{annotations.source}: '{glm_name}' cannot be fitted: {reason}")
    preferences = annotations.preferences()
    if np.isfinite(preferences).sum() < glm.FOLDS:
        raise EvalkitError(f"{annotations.source}: fewer than {glm.FOLDS} preferences; there is nothing to fit")
    n = len(preferences)
    ones, names = np.ones((n, 1)), (LENGTH, MODEL)
    features = ones
    if glm_name != MINIMAL:
        difficulty = np.array([published.difficulty[j.key] for j in annotations.judgements])
        features, names = np.column_stack([difficulty, ones]), (LENGTH, DIFFICULTY, MODEL)
    rows = published.gamed if glm_name == V1 else None
    return _Problem(
        lengths=annotations.length_differences(),
        features=features,
        preferences=preferences,
        gamed=np.empty((0, len(names))) if rows is None else _gamed_features(rows),
        gamed_preferences=np.empty(0) if rows is None else rows.preference,
        gamed_rows=_rows_of(annotations, rows),
        names=names,
    )


def _gamed_features(rows: Gamed) -> Array:
    return np.column_stack([np.tanh(rows.length), rows.difficulty, rows.not_gamed])


def _rows_of(annotations: Annotations, rows: Gamed | None) -> NDArray[np.intp]:
    place = {j.key: i for i, j in enumerate(annotations.judgements)}
    return np.array([place.get(key, -1) for key in (rows.keys if rows else ())], dtype=np.intp)


def _spread(lengths: Array, counts: Array) -> Array:
    """Return the standard deviation of lengths that occur `counts` times, (fits,); 1 where they do not vary."""
    n = counts.sum(axis=1)
    mean = (counts * lengths).sum(axis=1) / n
    variance = (counts * (lengths - mean[:, None]) ** 2).sum(axis=1) / (n - 1)
    return np.where(variance > 0, np.sqrt(variance), 1.0)


def _fit_as_alpaca_eval(problem: _Problem) -> tuple[float, Array]:
    """Return the inverse penalty, and the coefficients that alpaca_eval's solver finds with it."""
    once = np.ones((1, len(problem.lengths)))
    weights = problem.weights(once)[0]
    used = weights > 0
    design, targets, weights = problem.design(once)[:, 0].T[used], problem.targets[used], weights[used]
    strength = glm.choose_strength(design, targets, weights)
    return strength, glm.fit_liblinear(design, targets, weights, strength)


def _fit(problem: _Problem, counts: Array, strength: float, start: Array) -> Array:
    return glm.fit_exactly(problem.design(counts), problem.targets, problem.weights(counts), strength, start)


def _resampled_rates(
    problem: _Problem, strength: float, start: Array, rng: np.random.Generator, resamples: int
) -> Array:
    """Return the rate of each resample of the instructions, in percent, (resamples,)."""
    n, at_once = len(problem.lengths), max(1, CELLS_AT_ONCE // len(problem.targets))
    rates = [np.empty(0)]
    for counts in _drawn_counts(rng, n, resamples, at_once):
        rates.append(problem.rates(_fit(problem, counts, strength, start), counts))
    return np.concatenate(rates)


def _drawn_counts(rng: np.random.Generator, n: int, resamples: int, at_once: int) -> Iterator[Array]:
    for first in range(0, resamples, at_once):
        yield rng.multinomial(n, np.full(n, 1 / n), size=min(at_once, resamples - first)).astype(float)


def _percentiles(values: Array, level: float) -> tuple[float, float] | None:
    """Return the limits, None where all values are one: no interval has no width."""
    if not np.ptp(values):
        return None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
