"""The KL estimate of section 4.1: what it estimates, how it is biased, and where the bias changes its sign."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
from sympy import (
    Expr,
    IndexedBase,
    Integer,
    Max,
    Mod,
    Sum,
    UnevaluatedExpr,
    exp,
    expand_log,
    log,
    symbols,
)

from halotheory.findings import Status
from halotheory.proving.enclose import sign
from halotheory.theorems import kl_counts as exact
from halotheory.theorems import kl_worlds as floats
from halotheory.theorems.cases import at_least_by_cases, equal_by_cases
from halotheory.theorems.claims import (
    Claim,
    Statement,
    Step,
    Trial,
    at_least,
    claim,
    equal,
    given,
    more_than,
    refutation,
)
from halotheory.theorems.kl_boundaries import LARGEST, by_size, family, sign_of_the_bias
from halotheory.theorems.kl_counts import RationalWorld

_HALF = Fraction(1, 2)

mu, sigma2, cov, m = symbols("mu sigma2 c m", real=True)
i, n = symbols("i n", integer=True, positive=True)


def verify() -> Statement:
    """Return what is true of the estimate of z0 that KTO uses."""
    return Statement(
        name="kl_estimate",
        title="The shared, mismatched, clamped estimate of KL(pi || pi_ref)",
        source="Ethayarajh et al. 2024, arXiv 2402.01306, section 4.1, 'KL Estimate'",
        formal="Of m independent pairs (x_i, y_i), x_i a prompt and y_i an output of the data for it, "
        "zhat0 = max(0, (1/m) sum_i log[pi(y_{i+1}|x_i)/pi_ref(y_{i+1}|x_i)]), i + 1 modulo m, is compared with "
        "KL = E_x[KL(pi(.|x) || pi_ref(.|x))].",
        assumptions=(
            "finitely many prompts and outputs; pi and pi_ref have full support",
            "the pairs of a microbatch are independent, so that two neighbours may have the same prompt",
            "m >= 2",
        ),
        claims=[
            printed_pairs(),
            printed_sum(),
            clamping_raises_the_mean(),
            clamping_lowers_the_variance(),
            variance_of_the_mean(),
            limit(),
            unbiased_before_the_clamp(),
            positive_bias(),
            positive_bias_without_prompts(),
            positive_bias_as_printed(),
            below_by_what_prompts_tell(),
            below_on_policy(),
            neighbours_of_different_prompts(),
            lower_variance(),
            lower_variance_without_prompts(),
            unbiased_for_each_prompt(),
            squared_error_of_sharing(),
        ],
        boundaries=[sign_of_the_bias(), by_size()],
        notes=_NOTES,
    )


_NOTES = (
    "The clamp makes the estimate larger than the mismatched mean; but the mismatched mean is not KL. With outputs "
    "sampled from the policy, and a pi_ref that ignores the prompt, it is smaller by the mutual information of prompt "
    "and output and the lautum information. 'Because of clamping, our estimator has a positive bias' holds where the "
    "policy ignores the prompt. For a policy that answers its prompts zhat0 tends, under the same conditions, to "
    "max(0, mu) < KL; the same section says further on that 'zhat0 might actually be an under-estimate'. With other "
    "outputs, or a pi_ref that answers the prompt, mu may be larger than KL.",
    "The printed sum has m - 1 terms, divided by m. By inspection of their code, which no claim here is about, TRL's "
    "KTOTrainer and the trainer of this project average all m pairs of a cyclic shift, and clamp the mean.",
    "By inspection as well, the trainer of this project lets neighbours answer different prompts, which independent "
    "draws do not always do. Where each prompt is as frequent as any other, that takes the mismatched mean further "
    "from KL (neighbours_of_different_prompts).",
)


def off_policy() -> RationalWorld:
    """Return a world of one prompt whose data has the output that the policy rarely gives half of the time."""
    return RationalWorld(
        prompt_probabilities=(Fraction(1),),
        data=((_HALF, _HALF),),
        policy=((Fraction(7, 8), Fraction(1, 8)),),
        reference=((Fraction(15, 16), Fraction(1, 16)),),
    )


def printed_pairs() -> Claim:
    """Return the refutation that the printed sum runs over the pairs that the text lists."""
    size = 4
    indices = [(k, (k + 1) % size) for k in range(1, size)]
    return refutation(
        "printed_pairs",
        "The sum over 1 <= i < m, with j = (i + 1) mod m, runs over the pairs (x_1, y_2), (x_2, y_3), ..., (x_m, y_0).",
        {"m": size, "(i, j) of the sum": indices},
        [
            more_than("The text lists m pairs, the sum has fewer.", Integer(size), Integer(len(indices))),
            more_than("For i = m, (i + 1) mod m is 1, not 0.", Mod(size + 1, size), Integer(0)),
            given("Among y_1, ..., y_m there is no y_0; read as y_m, the sum is that of (x_1, y_2) to (x_{m-1}, y_m)."),
            given(
                "It looks like a slip for 0 <= i < m with indices 0 to m - 1: there all m pairs fit, and the last is "
                "that of x_{m-1} and y_0:"
            ),
            equal("(m - 1 + 1) mod m is 0.", Mod(UnevaluatedExpr(Integer(size - 1)) + 1, size), Integer(0)),
        ],
    )


def printed_sum() -> Claim:
    """Return the claim that the printed formula shrinks the estimate."""
    total = symbols("S", real=True)
    size = symbols("m", integer=True, positive=True)
    return claim(
        "printed_sum",
        "The printed formula is (m - 1)/m times the clamped mean of m - 1 pairs; before the clamp its mean is "
        "(m - 1)/m times that of one mismatched log-ratio.",
        [
            equal("m - 1 terms with mean mu, divided by m.", Sum(mu, (i, 1, size - 1)) / size, (size - 1) * mu / size),
            equal_by_cases(
                "S the sum of the m - 1 terms: the factor leaves the clamp, for m >= 2.",
                Max(0, total / m),
                (m - 1) / m * Max(0, total / (m - 1)),
                [m >= 2],
            ),
        ],
        trials=[_printed_agrees()],
    )


def clamping_raises_the_mean() -> Claim:
    """Return the claim that the clamped estimate is larger in the mean than before the clamp."""
    x = symbols("X", real=True)
    return claim(
        "clamping_raises_the_mean",
        "E max(0, X) >= max(0, E X) >= E X; and E max(0, X) > E X exactly if X < 0 has some probability.",
        [
            at_least_by_cases("At every value of X: max(0, X) >= X ...", Max(0, x), x),
            at_least_by_cases("... and max(0, X) >= 0; means keep both.", Max(0, x), Integer(0)),
            at_least_by_cases("Where X < 0 it is more.", Max(0, x), x, [x < 0], strictly=True),
            equal_by_cases("Elsewhere it is X.", Max(0, x), x, [x >= 0]),
        ],
        reading="'Because of clamping, our estimator has a positive bias': than before the clamp.",
    )


def clamping_lowers_the_variance() -> Claim:
    """Return the claim that the clamped estimate varies less than before the clamp."""
    a, b, first, second = symbols("a b x_1 x_2", real=True)
    return claim(
        "clamping_lowers_the_variance",
        "Var max(0, X) <= Var X.",
        [
            equal(
                "For X and an independent copy X', E (X - X')^2 / 2 = Var X; x_1 = E X, x_2 = E X^2.",
                (second - 2 * UnevaluatedExpr(first) * first + second) / 2,
                second - first**2,
            ),
            at_least_by_cases("Values a and b come no farther apart.", (a - b) ** 2, (Max(0, a) - Max(0, b)) ** 2),
            given("The mean over X = a, X' = b keeps the inequality."),
        ],
        reading="'lower variance': compared with the estimate before the clamp.",
    )


def variance_of_the_mean() -> Claim:
    """Return the claim of the closed form of the unclamped estimate's variance."""
    return claim(
        "variance_of_the_mean",
        "Before the clamp the variance is (sigma2 + 2 c)/m for m >= 3, sigma2 being that of one mismatched log-ratio "
        "and c its covariance with the next; for m = 2 it is (sigma2 + c)/2, with c the covariance of both pairs.",
        [
            given("log-ratio(x_i, y_{i+1}) shares an example with its two neighbours in the cycle, and with no other."),
            equal("m variances, 2 m covariances, divided by m^2.", UnevaluatedExpr(m * sigma2 + 2 * m * cov) / m**2,
                  (sigma2 + 2 * cov) / m),
            equal("m = 2: two variances, two covariances.", UnevaluatedExpr(2 * sigma2 + 2 * cov) / 4,
                  (sigma2 + cov) / 2),
        ],
        trials=[_moments_agree()],
    )  # fmt: skip


def limit() -> Claim:
    """Return the claim that the estimate tends to the clamped mismatched mean, not to KL."""
    a, b = symbols("a b", real=True)
    return claim(
        "limit",
        "As m grows, zhat0 tends to max(0, mu) and its bias to max(0, mu) - KL, where mu is the mean of a mismatched "
        "log-ratio; the mean squared distance is at most 3 sigma2/m.",
        [
            at_least("2 a b <= a^2 + b^2 for the deviations of neighbours: c <= sigma2.", a**2 + b**2, 2 * a * b),
            at_least("The variance before the clamp, m >= 3.", 3 * sigma2 / m, (sigma2 + 2 * cov) / m,
                     [m >= 3, cov <= sigma2]),
            at_least_by_cases("The clamp brings zhat0 and max(0, mu) no farther apart.", (a - mu) ** 2,
                              (Max(0, a) - Max(0, mu)) ** 2),
        ],
    )  # fmt: skip


def unbiased_before_the_clamp() -> Claim:
    """Return the refutation that mismatched pairs estimate KL without bias, in both directions."""
    below = family(Fraction(1))
    data = ((Fraction(1), Fraction(0)),) * 2
    independent = family(Fraction(0))
    above = RationalWorld(
        prompt_probabilities=independent.prompt_probabilities,
        data=data,
        policy=independent.policy,
        reference=independent.reference,
    )
    prompt, gap, policy, ratio = (IndexedBase(name) for name in ("P", "g", "p", "l"))
    return refutation(
        "unbiased_before_the_clamp",
        "The mean of the mismatched log-ratios is KL.",
        {**_shown(below), "pi of a second world": _text(above.policy), "D of the second world": _text(above.data)},
        [
            equal("mu - KL = sum P (Dbar - pi) log-ratio over x, y; Dbar(y) = E_x[D(y|x)], here Dbar = p + g, pi = p.",
                  Sum(prompt[i] * (policy[i] + gap[i]) * ratio[i], (i, 1, n))
                  - Sum(prompt[i] * policy[i] * ratio[i], (i, 1, n)),
                  Sum(prompt[i] * gap[i] * ratio[i], (i, 1, n))),
            more_than("Too small: outputs of a policy that answers each prompt in its own way.", _tidy(below.kl),
                      _tidy(below.mismatched_mean)),
            more_than("Too large: data with the outputs that the policy has come to prefer.",
                      _tidy(above.mismatched_mean), _tidy(above.kl)),
        ],
    )  # fmt: skip


def positive_bias() -> Claim:
    """Return the refutation that the clamp makes the bias positive."""
    world = family(Fraction(1))
    means = dict(_clamped_means(world))
    return refutation(
        "positive_bias",
        "Because of clamping, the estimator has a positive bias.",
        {**_shown(world), "m": 2},
        [
            more_than("KL is more than E zhat0 for m = 2 ...", _tidy(world.kl), _tidy(means[2])),
            _for_every_size("... and for every m from 2 to 128.", [world.kl - mean for mean in means.values()]),
            more_than("As m grows, E zhat0 tends to max(0, mu), here 0.", Integer(0), _tidy(world.mismatched_mean)),
        ],
        reading="Compared with the true KL; outputs sampled from the policy.",
    )


def positive_bias_without_prompts() -> Claim:
    """Return the claim that the bias is positive where the policy ignores the prompt and the data is its own."""
    p, ratio = IndexedBase("p"), IndexedBase("l")
    world = family(Fraction(0))
    return claim(
        "positive_bias_without_prompts",
        "Because of clamping, the estimator has a positive bias.",
        [
            equal("Dbar = pi for every prompt: mu = KL.", Sum(UnevaluatedExpr(p[i]) * ratio[i], (i, 1, n)),
                  Sum(p[i] * ratio[i], (i, 1, n))),
            given("The clamp can only raise it, and does if the sum can be negative: if pi is not pi_ref, some "
                  "log-ratio is, and all m may be that one."),
            _for_every_size("For example in the first world of the boundary, for every m from 2 to 128.",
                            [mean - world.kl for _, mean in _clamped_means(world)]),
        ],
        assumptions=("pi(y|x) is the same for every prompt", "the data's outputs are sampled from the policy",
                     "pi is not pi_ref"),
        reading="Compared with the true KL.",
    )  # fmt: skip


def positive_bias_as_printed() -> Claim:
    """Return the refutation of the same for the formula as printed."""
    policy, size = ((Fraction(9, 10), Fraction(1, 10)),), 2
    world = RationalWorld(prompt_probabilities=(Fraction(1),), data=policy, policy=policy, reference=((_HALF, _HALF),))
    mean = exact.clamped_mean(world, exact.printed_counts(world, size), size)
    return refutation(
        "positive_bias_as_printed",
        "Because of clamping, the estimator has a positive bias.",
        {**_shown(world), "m": size},
        [more_than("KL is more than the mean of the printed formula, half of one clamped log-ratio.", _tidy(world.kl),
                   _tidy(mean))],
        assumptions=("pi(y|x) is the same for every prompt", "the data's outputs are sampled from the policy"),
        reading="The formula as printed, with m - 1 terms divided by m: what is missing outweighs the clamp.",
    )  # fmt: skip


def below_by_what_prompts_tell() -> Claim:
    """Return the exact gap between KL and the mismatched mean, for outputs of the policy."""
    prompt, p, level = IndexedBase("P"), IndexedBase("p"), symbols("h", real=True)
    mixture, u = symbols("pbar", positive=True), symbols("u", real=True)
    one = mixture * exp(u)
    term = UnevaluatedExpr(one - mixture) * UnevaluatedExpr(log(one) - log(mixture))
    return claim(
        "below_by_what_prompts_tell",
        "KL - mu = sum P (pi - pbar) (log pi - log pbar), pbar(y) = E_x[pi(y|x)]: the mutual information of prompt and "
        "output and the lautum information. It is 0 only where the policy ignores the prompt.",
        [
            given("KL - mu = sum over x, y of P(x) (pi(y|x) - pbar(y)) (log pi(y|x) - log pi_ref(y))."),
            equal("What depends on y alone, h(y), drops out: log pi_ref(y) may be replaced by log pbar(y).",
                  Sum(prompt[i] * (p[i] - mixture) * level, (i, 1, n)),
                  level * (Sum(prompt[i] * p[i], (i, 1, n)) - mixture * Sum(prompt[i], (i, 1, n)))),
            given("... for sum P pi = pbar and sum P = 1. At one x and y, let pi = pbar exp(u)."),
            equal("The term is that of KL(pi || pbar) and that of KL(pbar || pi).", term,
                  one * (log(one) - log(mixture)) + mixture * (log(mixture) - log(one))),
            at_least("It is at least 0 ...", mixture * (exp(u) - 1) * u, Integer(0)),
            more_than("... and more for u > 0 ...", mixture * (exp(u) - 1) * u, Integer(0), [u > 0]),
            more_than("... and for u < 0.", mixture * (exp(u) - 1) * u, Integer(0), [u < 0]),
        ],
        assumptions=("the data's outputs are sampled from the policy", "pi_ref(y|x) is the same for every prompt"),
        trials=[_gap_agrees()],
    )  # fmt: skip


def below_on_policy() -> Claim:
    """Return the refutation of KL >= mu for outputs of the policy, where pi_ref answers its prompts more sharply."""
    policy = ((Fraction(3, 4), Fraction(1, 4)), (Fraction(1, 4), Fraction(3, 4)))
    reference = ((Fraction(9, 10), Fraction(1, 10)), (Fraction(1, 10), Fraction(9, 10)))
    world = RationalWorld(prompt_probabilities=(_HALF, _HALF), data=policy, policy=policy, reference=reference)
    return refutation(
        "below_on_policy",
        "With outputs sampled from the policy, mu <= KL for every pi_ref.",
        _shown(world),
        [more_than("mu > KL.", _tidy(world.mismatched_mean), _tidy(world.kl))],
        reading="pi_ref may depend on the prompt: a policy that has become less specific than pi_ref.",
    )


def neighbours_of_different_prompts() -> Claim:
    """Return what it does to the mismatched mean that a pair's output never answers its own prompt."""
    divergence, count = symbols("KL N", real=True)
    apart = (count**2 * mu - count * divergence) / (count**2 - count)
    return claim(
        "neighbours_of_different_prompts",
        "With N >= 2 prompts, each as frequent as any other, and pairs whose output was given for another prompt than "
        "theirs, the mean of a mismatched log-ratio is mu - (KL - mu)/(N - 1): where mu < KL, it is lower still.",
        [
            given("Of the N^2 pairs of prompts, N are of one prompt; their log-ratios add up to N KL, and all to "
                  "N^2 mu. The mean over the others:"),
            equal("mu - (KL - mu)/(N - 1).", apart, mu - (divergence - mu) / (count - 1)),
            more_than("It is below mu.", mu, mu - (divergence - mu) / (count - 1), [count >= 2, divergence > mu]),
        ],
        assumptions=("the data's outputs are sampled from the policy", "all prompts have the same probability"),
        trials=[_apart_agrees()],
    )  # fmt: skip


def lower_variance() -> Claim:
    """Return the refutation that the clamped estimate varies less than the standard one, for data of another origin."""
    world = off_policy()
    gaps = {}
    for size, found in exact.counts_by_size(world, LARGEST):
        variance = exact.clamped_second_moment(world, found, size) - exact.clamped_mean(world, found, size) ** 2
        gaps[size] = (variance, exact.matched_variance(world, size))
    return refutation(
        "lower_variance",
        "The estimator has lower variance than the standard unbiased estimator.",
        {**_shown(world), "D": _text(world.data), "m": 2},
        [
            more_than("Var zhat0 is more than that of the mean of m log-ratios of the policy's outputs ...", *gaps[2]),
            _for_every_size("... and for every m from 2 to 128.", [one - other for one, other in gaps.values()]),
        ],
        reading="The standard estimator averages m log-ratios of outputs that the policy gives for their own prompts. "
        "KTO's data is not sampled from the policy.",
    )


def lower_variance_without_prompts() -> Claim:
    """Return the claim that it does where the mismatched pairs are like matched ones."""
    a, b = symbols("a b", real=True)
    return claim(
        "lower_variance_without_prompts",
        "The estimator has at most the variance of the standard unbiased estimator.",
        [
            given("x_i and y_{i+1} are independent, as are all pairs of the cycle: before the clamp, both estimators "
                  "have the same distribution."),
            at_least_by_cases("The clamp lowers the variance.", (a - b) ** 2, (Max(0, a) - Max(0, b)) ** 2),
        ],
        assumptions=("pi(y|x) is the same for every prompt", "the data's outputs are sampled from the policy"),
    )  # fmt: skip


def unbiased_for_each_prompt() -> Claim:
    """Return the refutation that one shared estimate, however good, fits each prompt's own KL."""
    policy = ((Fraction(3, 4), Fraction(1, 4)), (_HALF, _HALF))
    half = (_HALF, _HALF)
    world = RationalWorld(prompt_probabilities=half, data=policy, policy=policy, reference=(half, half))
    first, second = world.kl_by_prompt
    return refutation(
        "unbiased_for_each_prompt",
        "A shared estimate without bias for E_x[KL(x)] has none for Eq. 6's z0 = KL(pi(.|x) || pi_ref(.|x)).",
        _shown(world),
        [
            more_than("KL at the first prompt is more than the mean ...", _tidy(first), _tidy(world.kl)),
            more_than("... and at the second it is less.", _tidy(world.kl), _tidy(second)),
        ],
    )


def squared_error_of_sharing() -> Claim:
    """Return the claim that sharing costs the variance of KL over prompts."""
    z1, z2, k1, k2 = symbols("z_1 z_2 k_1 k_2", real=True)
    return claim(
        "squared_error_of_sharing",
        "The mean squared error of a shared estimate Z for each prompt's KL(x) is Var Z + (E Z - KL)^2 + Var_x KL(x).",
        [
            equal(
                "With z_1 = E Z, z_2 = E Z^2, and k_1, k_2 alike for K = KL(x); Z and x are independent.",
                z2 - 2 * z1 * k1 + k2,
                (z2 - z1**2) + (z1 - k1) ** 2 + (k2 - k1**2),
            )
        ],
        assumptions=("x is drawn from P, independently of the microbatch",),
    )


def _clamped_means(world: RationalWorld) -> Iterator[tuple[int, Expr]]:
    for size, found in exact.counts_by_size(world, LARGEST):
        yield size, exact.clamped_mean(world, found, size)


def _for_every_size(text: str, positive: Sequence[Expr]) -> Step:
    """Return the step that all of these numbers are positive."""
    proved = all(sign(number) == 1 for number in positive)
    status = Status.PROVED if proved else Status.UNDECIDED
    return Step(text=text, status=status, method=f"ball arithmetic on {len(positive)} exact numbers")


def _tidy(number: Expr) -> Expr:
    return expand_log(number)


def _shown(world: RationalWorld) -> dict[str, str]:
    """Return a world as the numbers of a witness; D is the policy where it is not named."""
    names = {"P": world.prompt_probabilities, "pi": world.policy, "pi_ref": world.reference}
    return {name: _text(values) for name, values in names.items()}


def _text(values: object) -> str:
    """Return nested fractions as a tuple that Python and SymPy read."""
    if isinstance(values, Sequence) and not isinstance(values, str):
        return f"({', '.join(_text(value) for value in values)}{',' if len(values) == 1 else ''})"
    return str(values)


def _printed_agrees() -> Trial:
    """Return the printed formula's exact means against those of the transfer matrix in floats."""
    errors = []
    for size in (2, 3, 5, 8):
        for world in _random_worlds(10):
            found = exact.printed_counts(world, size)
            expected = floats.printed_unclamped(world.as_floats(), size).mean
            errors.append(abs(float(exact.mean(world, found, size)) - expected))
    return Trial(text="(m - 1) mu/m by counting", count=len(errors), largest_error=max(errors), tolerance=1e-12)


def _moments_agree() -> Trial:
    """Return the closed forms of mean and variance against the exact distribution."""
    errors = []
    for size in (2, 3, 4, 5):
        for world in _random_worlds(10):
            found, expected = exact.counts(world, size), floats.mismatched(world.as_floats(), size)
            mean = float(exact.mean(world, found, size))
            errors += [
                abs(mean - expected.mean),
                abs(float(exact.second_moment(world, found, size)) - mean**2 - expected.variance),
            ]
    return Trial(text="closed forms by counting", count=len(errors) // 2, largest_error=max(errors), tolerance=1e-12)


def _gap_agrees() -> Trial:
    """Return KL - mu against the two informations, on random worlds."""
    generator = np.random.default_rng(0)
    errors = []
    for _ in range(1000):
        policy = generator.dirichlet(np.ones(5), 4)
        reference = np.tile(generator.dirichlet(np.ones(5)), (4, 1))
        world = floats.World(
            prompt_probabilities=generator.dirichlet(np.ones(4)), data=policy, policy=policy, reference=reference
        )
        mixture = world.outputs
        terms = (policy - mixture) * (np.log(policy) - np.log(mixture))
        gap = world.kl - floats.mismatched(world, 3).mean
        errors.append(abs(gap - float(world.prompt_probabilities @ terms.sum(axis=1))))
    return Trial(text="KL - mu by both sums", count=1000, largest_error=max(errors), tolerance=1e-12)


def _apart_agrees() -> Trial:
    """Return the mean over pairs of different prompts, by the formula and by the sum, on random worlds."""
    generator, count, errors = np.random.default_rng(0), 4, []
    for _ in range(1000):
        policy, reference = generator.dirichlet(np.ones(5), (2, count))
        crossed = (np.log(policy) - np.log(reference)) @ policy.T
        mean, kl = crossed.mean(), np.trace(crossed) / count
        apart = (crossed.sum() - np.trace(crossed)) / (count**2 - count)
        errors.append(abs(apart - (mean - (kl - mean) / (count - 1))))
    return Trial(text="the mean over different prompts", count=1000, largest_error=max(errors), tolerance=1e-12)


def _random_worlds(count: int) -> Iterator[RationalWorld]:
    generator = np.random.default_rng(0)
    for _ in range(count):
        parts = [_shares(generator.integers(1, 9, size=2)) for _ in range(7)]
        yield RationalWorld(prompt_probabilities=parts[0], data=parts[1:3], policy=parts[3:5], reference=parts[5:])


def _shares(weights: np.ndarray) -> tuple[Fraction, ...]:
    return tuple(Fraction(int(weight), int(weights.sum())) for weight in weights)
