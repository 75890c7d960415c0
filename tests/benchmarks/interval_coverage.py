"""How often each interval holds the truth, and how often each test rejects where there is nothing to find.

python tests/benchmarks/interval_coverage.py [--quick] [--simulations N] [--seed S] [--markdown FILE] [--json]

Data are drawn from models whose truth is known: two models' right and wrong answers, correlated over items; answers in
clusters whose difficulty and difference vary; samples of one problem; subsets with scores of their own; preferences
with ties. Every interval is nominally of 95 %, every test of 5 %. The exit status is 1 if an interval that is a default
covers less than 94 % or more than 96.5 %, or a default test or family rejects more than 5 % of what is true, beyond
three standard errors of the simulation.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from evalkit.statistics import (
    Interval,
    benjamini_hochberg,
    bias_reduced,
    bias_reduced_difference,
    clustered,
    clustered_bootstrap,
    clustered_difference,
    cochran_q,
    exact,
    holm,
    macro_average,
    mcnemar_exact,
    mcnemar_mid_p,
    mean_pass_at_k,
    newcombe,
    paired_bootstrap,
    paired_permutation,
    paired_t,
    stratified_wilson,
    tango,
    two_proportions,
    wild_bootstrap,
    wilson,
    win_rate,
    win_rate_difference,
)

Random = np.random.Generator
RESAMPLES = 1000

# Test items of MMLU's 57 subjects, as published.
MMLU = (
    *(100, 135, 152, 100, 265, 144, 100, 100, 100, 173, 102, 100, 235, 114, 145, 378),
    *(126, 100, 310, 203, 100, 165, 198, 193, 390, 270, 238, 151, 545, 216, 204, 237),
    *(223, 131, 121, 108, 163, 112, 103, 234, 100, 783, 346, 895, 306, 311, 324, 282),
    *(1534, 272, 612, 110, 245, 201, 100, 166, 171),
)


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How often something happened.

    Attributes:
        kind: "coverage" of an interval, or "rejections" of a test.
        method: its name.
        setting: what was drawn.
        rate: share of the simulations.
        simulations: how many.
        default: whether evalkit chooses this method by itself for such data.
    """

    kind: str
    method: str
    setting: str
    rate: float
    simulations: int
    default: bool

    @property
    def error(self) -> float:
        """The standard error of a rate of 5 % or 95 %."""
        return math.sqrt(0.05 * 0.95 / self.simulations)

    @property
    def failed(self) -> bool:
        """Whether a default does not keep what it promises."""
        slack = 3 * self.error
        if self.kind == "coverage":
            return self.default and not 0.94 - slack <= self.rate <= 0.965 + slack
        return self.default and self.rate > 0.05 + slack


def holds(interval: Interval | None, truth: float) -> bool:
    """Return whether a closed interval holds the truth, rounding aside."""
    return interval is not None and interval[0] - 1e-12 <= truth <= interval[1] + 1e-12


def rates(
    kind: str, setting: str, draws: Iterable[dict[str, bool]], defaults: frozenset[str] = frozenset()
) -> Iterator[Rate]:
    """Yield the rate of each method over all draws."""
    counts: dict[str, int] = {}
    simulations = 0
    for draw in draws:
        simulations += 1
        for method, happened in draw.items():
            counts[method] = counts.get(method, 0) + happened
    for method, count in counts.items():
        rate, default = count / simulations, method in defaults
        yield Rate(kind=kind, method=method, setting=setting, rate=rate, simulations=simulations, default=default)


def cells(first: float, second: float, correlation: float) -> list[float]:
    """Return the probabilities that both, only the first, only the second, and neither are right."""
    both = first * second + correlation * math.sqrt(first * (1 - first) * second * (1 - second))
    return [both, first - both, second - both, 1 - first - second + both]


def independent(random: Random, simulations: int) -> Iterator[Rate]:
    """Two models' answers to independent items, correlated over them."""
    remembered: dict[str, Callable[..., Interval | None]] = {
        "wilson": lru_cache(None)(lambda k, n: wilson(k, n).interval),
        "exact": lru_cache(None)(lambda k, n: exact(k, n).interval),
        "tango": lru_cache(None)(tango),
        "newcombe": lru_cache(None)(newcombe),
        "bootstrap": lru_cache(None)(lambda w, x, n: _bootstrap(random, w, x, n)),
    }
    for n in (100, 200, 500, 1319):
        for first, second, correlation in ((0.55, 0.5, 0.5), (0.8, 0.75, 0.4), (0.95, 0.92, 0.3), (0.3, 0.3, 0.7)):
            drawn = random.multinomial(n, cells(first, second, correlation), size=simulations).tolist()
            other = random.binomial(n, second, size=simulations).tolist()
            draws = (
                _independent(remembered, counts, unpaired, first, second)
                for counts, unpaired in zip(drawn, other, strict=True)
            )
            setting = f"n = {n}, scores {first} and {second}, correlation {correlation}"
            yield from rates("coverage", setting, draws, frozenset({"Wilson", "Tango"} if n > 100 else ()))


def _bootstrap(random: Random, wins: int, losses: int, n: int) -> Interval | None:
    differences = _differences(wins, losses, n)
    return paired_bootstrap(differences, np.zeros(n), rng=random, resamples=RESAMPLES).interval


def _differences(wins: int, losses: int, n: int) -> np.ndarray:
    return np.concatenate([np.ones(wins), -np.ones(losses), np.zeros(n - wins - losses)])


def _independent(
    methods: dict[str, Callable[..., Interval | None]], counts: list[int], other: int, first: float, second: float
) -> dict[str, bool]:
    both, wins, losses, _ = counts
    n, difference = sum(counts), first - second
    return {
        "Wilson": holds(methods["wilson"](both + wins, n), first),
        "exact (Clopper-Pearson)": holds(methods["exact"](both + wins, n), first),
        "Tango": holds(methods["tango"](wins, losses, n), difference),
        "Newcombe": holds(methods["newcombe"](*counts), difference),
        "paired t": holds(paired_t(_differences(wins, losses, n)).interval, difference),
        "bootstrap over items (BCa)": holds(methods["bootstrap"](wins, losses, n), difference),
        "unpaired (Newcombe hybrid)": holds(two_proportions(both + wins, n, other, n).interval, difference),
    }


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """Answers in clusters: logits of a cluster, an item, and a difference between models that varies by cluster."""

    name: str
    sizes: tuple[int, ...]
    spread: float
    gap: float = 0.2

    def draw(self, random: Random) -> tuple[np.ndarray, np.ndarray, list[int]]:
        """Return two models' scores and the clusters."""
        clusters = np.repeat(np.arange(len(self.sizes)), self.sizes)
        chances = self._chances(
            random.normal(size=(2, len(self.sizes)))[:, clusters], random.normal(size=len(clusters))
        )
        first, second = random.random((2, len(clusters))) < chances
        return first.astype(float), second.astype(float), clusters.tolist()

    def _chances(self, of_cluster: np.ndarray, of_item: np.ndarray) -> np.ndarray:
        base = 0.4 + 0.7 * of_cluster[0] + of_item
        return 1 / (1 + np.exp(-np.stack([base + self.gap + self.spread * of_cluster[1], base])))

    def truth(self) -> tuple[float, float]:
        """Return the two models' expected scores."""
        random = np.random.default_rng(0)
        first, second = self._chances(random.normal(size=(2, 4_000_000)), random.normal(size=4_000_000)).mean(axis=1)
        return float(first), float(second)


CLUSTERS = (
    Clusters(name="10 clusters of 30", sizes=(30,) * 10, spread=0.5),
    Clusters(name="27 clusters of 60 (BBH)", sizes=(60,) * 27, spread=0.3),
    Clusters(name="57 clusters of 20", sizes=(20,) * 57, spread=0.5),
    Clusters(name="57 clusters, MMLU's sizes / 4", sizes=tuple(size // 4 for size in MMLU), spread=0.3),
)


def in_clusters(random: Random, simulations: int) -> Iterator[Rate]:
    """Two models' answers to items in clusters."""
    for world in CLUSTERS:
        first, second = world.truth()

        def draw(world: Clusters = world, first: float = first, second: float = second) -> dict[str, bool]:
            a, b, groups = world.draw(random)
            resampled = clustered_bootstrap(a - b, groups, rng=random, resamples=RESAMPLES)
            return {
                "one score, clustered t": holds(clustered(a, groups).interval, first),
                "one score, bias-reduced t": holds(bias_reduced(a, groups).interval, first),
                "difference, clustered t": holds(clustered_difference(a, b, groups).interval, first - second),
                "difference, bias-reduced t": holds(bias_reduced_difference(a, b, groups).interval, first - second),
                "difference, bootstrap over clusters": holds(resampled.interval, first - second),
            }

        defaults = frozenset({"one score, bias-reduced t", "difference, bias-reduced t"})
        yield from rates("coverage", world.name, (draw() for _ in range(simulations // 2)), defaults)


def repeated(random: Random, simulations: int) -> Iterator[Rate]:
    """Ten samples of each of 164 problems, their chances from a beta distribution."""
    for alpha, beta in ((0.6, 0.8), (0.3, 0.1)):
        problems = [problem for problem in range(164) for _ in range(10)]
        pass5 = 1 - math.exp(
            math.lgamma(beta + 5) + math.lgamma(alpha + beta) - math.lgamma(beta) - math.lgamma(alpha + beta + 5)
        )

        def draw(
            alpha: float = alpha, beta: float = beta, pass5: float = pass5, problems: list[int] = problems
        ) -> dict[str, bool]:
            chances = random.beta(alpha, beta, 164)
            right = random.random((164, 10)) < chances[:, None]
            correct = right.sum(axis=1).tolist()
            return {
                "samples clustered by problem": holds(
                    clustered(right.ravel().astype(float), problems).interval, alpha / (alpha + beta)
                ),
                "pass@5, t over problems": holds(mean_pass_at_k([10] * 164, correct, 5).interval, pass5),
            }

        defaults = frozenset({"samples clustered by problem", "pass@5, t over problems"})
        setting = f"164 problems, 10 samples, mean {alpha / (alpha + beta):.2f}"
        yield from rates("coverage", setting, (draw() for _ in range(simulations)), defaults)


def in_subsets(random: Random, simulations: int) -> Iterator[Rate]:
    """Scores in a fixed list of subsets, each with a chance of its own."""
    shapes = {"27 subsets of 60": np.full(27, 60), "12 subsets of 20 to 400": np.geomspace(20, 400, 12).astype(int)}
    for name, sizes in shapes.items():
        chances = np.linspace(0.98, 0.2, len(sizes))
        truth, macro = float((sizes * chances).sum() / sizes.sum()), float(chances.mean())
        strata: list[Hashable] = [i for i, size in enumerate(sizes) for _ in range(size)]

        def draw(
            sizes: np.ndarray = sizes,
            chances: np.ndarray = chances,
            truth: float = truth,
            macro: float = macro,
            strata: list[Hashable] = strata,
        ) -> dict[str, bool]:
            right = random.binomial(sizes, chances).tolist()
            scores = np.concatenate([np.arange(size) < k for size, k in zip(sizes, right, strict=True)]).astype(float)
            graded = np.clip(scores + random.normal(0, 0.1, len(scores)), -5, 5)
            return {
                "Wilson, stratified": holds(stratified_wilson(right, sizes.tolist()).interval, truth),
                "Wilson, macro average": holds(macro_average(scores, strata).interval, macro),
                "t (Satterthwaite), macro average": holds(macro_average(graded, strata).interval, macro),
            }

        defaults = frozenset({"Wilson, stratified", "Wilson, macro average", "t (Satterthwaite), macro average"})
        yield from rates("coverage", name, (draw() for _ in range(simulations // 2)), defaults)


def preferences(random: Random, simulations: int) -> Iterator[Rate]:
    """Win rates with ties, of two orders, and with weights."""
    for n, win, tie in ((100, 0.45, 0.1), (300, 0.3, 0.1), (300, 0.05, 0.05), (805, 0.02, 0.01)):
        truth = win + tie / 2

        def draw(n: int = n, win: float = win, tie: float = tie, truth: float = truth) -> dict[str, bool]:
            drawn = random.multinomial(n, [win, tie, 1 - win - tie])
            return {"win rate with ties": holds(win_rate(np.repeat([1, 0.5, 0], drawn)).interval, truth)}

        setting = f"n = {n}, {win:.0%} won, {tie:.0%} tied"
        yield from rates("coverage", setting, (draw() for _ in range(simulations)), frozenset({"win rate with ties"}))
    for n in (100, 805):
        groups: list[Hashable] = [i for i in range(n) for _ in range(2)]

        def judged(n: int = n, groups: list[Hashable] = groups) -> dict[str, bool]:
            chances, other = random.beta(0.6, 1.4, n), random.beta(0.8, 1.2, n)
            first, second = ((random.random((n, 2)) < p[:, None]).ravel().astype(float) for p in (chances, other))
            weights = random.gamma(2.0, size=n)
            once = random.beta(0.3, 0.7, n)
            return {
                "win rate, both orders": holds(win_rate(first, clusters=groups).interval, 0.3),
                "win rate, weighted": holds(win_rate(once, weights=weights).interval, 0.3),
                "difference of win rates": holds(win_rate_difference(first, second, clusters=groups).interval, -0.1),
            }

        defaults = frozenset({"win rate, both orders", "win rate, weighted", "difference of win rates"})
        yield from rates("coverage", f"{n} instructions", (judged() for _ in range(simulations)), defaults)


def tests(random: Random, simulations: int) -> Iterator[Rate]:
    """Tests of two models that are equally good."""
    for n, score, correlation in ((164, 0.5, 0.5), (500, 0.8, 0.6), (1319, 0.55, 0.5)):

        def draw(n: int = n, score: float = score, correlation: float = correlation) -> dict[str, bool]:
            _, wins, losses, _ = random.multinomial(n, cells(score, score, correlation)).tolist()
            differences, none = _differences(wins, losses, n), np.zeros(n)
            permuted = paired_permutation(differences, none, rng=random, resamples=RESAMPLES)
            resampled = paired_bootstrap(differences, none, rng=random, resamples=RESAMPLES)
            return {
                "McNemar mid-p": mcnemar_mid_p(wins, losses) <= 0.05,
                "McNemar exact": mcnemar_exact(wins, losses) <= 0.05,
                "paired permutation": permuted.p_value <= 0.05,
                "bootstrap over items, shifted": resampled.p_value <= 0.05,
                "win rate, t (ties)": win_rate((differences + 1) / 2).p_value <= 0.05,
            }

        setting = f"n = {n}, score {score}, correlation {correlation}"
        yield from rates("rejections", setting, (draw() for _ in range(simulations)), frozenset({"McNemar mid-p"}))
    for world in CLUSTERS:
        alike = Clusters(name=world.name, sizes=world.sizes, spread=world.spread, gap=0.0)
        first, second = alike.truth()  # a spread of differences in logits moves the mean of chances a little
        yield from rates(
            "rejections",
            alike.name,
            (_clustered_tests(random, alike, first - second) for _ in range(simulations // 4)),
            frozenset({"bias-reduced t"}),
        )


def _clustered_tests(random: Random, world: Clusters, shift: float) -> dict[str, bool]:
    a, b, groups = world.draw(random)
    a = a - shift
    return {
        "clustered t": clustered_difference(a, b, groups).p_value <= 0.05,
        "bias-reduced t": bias_reduced_difference(a, b, groups).p_value <= 0.05,
        "wild cluster bootstrap": wild_bootstrap(a, b, groups, rng=random, resamples=RESAMPLES).p_value <= 0.05,
        "bootstrap over clusters": clustered_bootstrap(a - b, groups, rng=random, resamples=RESAMPLES).p_value <= 0.05,
    }


def families(random: Random, simulations: int) -> Iterator[Rate]:
    """A baseline and three models on four benchmarks: twelve comparisons, each by McNemar's mid-p."""
    remembered = lru_cache(None)(mcnemar_mid_p)

    def draw(n: int, better: float) -> dict[str, bool]:
        p_values, false, alike = [], [], 1.0
        for _ in range(4):
            ability = random.normal(size=n)
            answers = random.random((4, n)) < 1 / (1 + np.exp(-1.5 * ability - np.array([0, 0, 0, better])[:, None]))
            for model in range(1, 4):
                wins, losses = (answers[model] & ~answers[0]).sum(), (~answers[model] & answers[0]).sum()
                p_values.append(remembered(int(wins), int(losses)))
                false.append(model < 3 or better == 0)
            alike = cochran_q(answers.T.astype(float)).p_value
        null = np.array(false)
        discovered = benjamini_hochberg(p_values) <= 0.05
        return {
            "any false rejection, Holm": bool((holm(p_values) <= 0.05)[null].any()),
            "any false rejection, unadjusted": bool((np.array(p_values) <= 0.05)[null].any()),
            "any false rejection, Benjamini-Hochberg": bool(discovered[null].any()),
            "Cochran's Q of the last benchmark": alike <= 0.05,
        }

    for n in (200, 1000):
        for better, what in ((0.0, "all alike"), (0.4, "one of the three better")):
            setting = f"3 models x 4 benchmarks of {n}, {what}"
            found = rates(
                "rejections",
                setting,
                (draw(n, better) for _ in range(simulations)),
                frozenset({"any false rejection, Holm", "Cochran's Q of the last benchmark"}),
            )
            yield from (rate for rate in found if better == 0 or "Cochran" not in rate.method)


def markdown(found: list[Rate]) -> str:
    """Return two tables."""
    lines = []
    for kind, head in (("coverage", "coverage of 95 % intervals"), ("rejections", "rejections at 5 %")):
        lines += [f"| method | data | {head} |", "| --- | --- | --- |"]
        for rate in found:
            if rate.kind == kind:
                bold = "**" if rate.default else ""
                lines.append(f"| {bold}{rate.method}{bold} | {rate.setting} | {100 * rate.rate:.1f} |")
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    """Simulate, print, and return 1 if a default does not keep its promise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1,000 simulations instead of 10,000")
    parser.add_argument("--simulations", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", type=Path, help="write the tables here")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    simulations = options.simulations or (1000 if options.quick else 10_000)
    random, found = np.random.default_rng(options.seed), []
    for study in (independent, in_clusters, repeated, in_subsets, preferences, tests, families):
        for rate in study(random, simulations):
            found.append(rate)
            if not options.json:
                mark = "FAILED" if rate.failed else "default" if rate.default else ""
                print(f"{100 * rate.rate:6.2f} %  {rate.kind:10}  {rate.method:42} {rate.setting}  {mark}", flush=True)
    if options.json:
        print(json.dumps([asdict(rate) for rate in found], indent=2))
    if options.markdown:
        options.markdown.write_text(markdown(found), encoding="utf-8")
    return int(any(rate.failed for rate in found))


if __name__ == "__main__":
    sys.exit(main())
