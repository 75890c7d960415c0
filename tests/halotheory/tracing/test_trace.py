"""What a trace holds: terms by label, by batch and by token, hyperparameters and their domains, notes."""

import functools
from collections.abc import Callable
from itertools import product
from typing import Annotated

import pytest
import sympy
import torch
import torch.nn.functional as F  # noqa: N812
from sympy import Expr, Rational, Symbol, exp
from torch import Tensor

from halotheory import losses
from halotheory.contract import loss_of
from halotheory.errors import HaloTheoryError
from halotheory.tracing.agreement import check_agreement
from halotheory.tracing.expressions import detach
from halotheory.tracing.trace import Traced, argument_symbol, token_symbol, trace

BETA = Symbol("beta", positive=True)
R = [argument_symbol("policy_logps", i) - argument_symbol("reference_logps", i) for i in range(4)]
POLICY = argument_symbol("policy_logps", 0)


def read(function: Callable[..., Tensor], **settings: float) -> Traced:
    """Return a trace that agrees with running the function."""
    traced = trace(loss_of(function).with_settings(settings))
    check_agreement(traced)
    return traced


def same(one: Expr, other: Expr) -> bool:
    return sympy.expand(one - other) == 0


# one number for the whole batch


def mean_of_all(policy_logps, reference_logps):
    return (policy_logps - reference_logps).mean()


def sum_of_all(policy_logps, reference_logps):
    return (policy_logps - reference_logps).sum()


def half_the_sum_by_length(policy_logps, reference_logps):
    return 0.5 * ((policy_logps - reference_logps).sum() / len(policy_logps)) + 3


def sum_of_a_loop(policy_logps, reference_logps):
    return sum(policy_logps - reference_logps) / policy_logps.numel()


def dot_product(policy_logps, reference_logps):
    return torch.dot(policy_logps - reference_logps, torch.ones(len(policy_logps))) / len(policy_logps)


@pytest.mark.parametrize(
    ("function", "reduction", "expected"),
    [
        (mean_of_all, "mean", R[0]),
        (sum_of_all, "sum", R[0]),
        (half_the_sum_by_length, "mean", R[0] / 2 + 3),
        (sum_of_a_loop, "mean", R[0]),
        (dot_product, "mean", R[0]),
    ],
)
def test_an_examples_own_term_is_found_in_one_number(function, reduction: str, expected: Expr) -> None:
    traced = read(function)
    assert traced.reduction == reduction
    assert same(traced.terms["example"], expected)
    assert not traced.batches


def mean_of_deviations(policy_logps, reference_logps):
    rewards = policy_logps - reference_logps
    return torch.exp(rewards - rewards.mean().detach()).mean()


def sum_of_deviations(policy_logps, reference_logps):
    rewards = policy_logps - reference_logps
    return torch.exp(rewards - rewards.mean().detach()).sum()


@pytest.mark.parametrize(("function", "reduction"), [(mean_of_deviations, "mean"), (sum_of_deviations, "sum")])
def test_sums_over_a_batch_that_matters_come_apart_too(function, reduction: str) -> None:
    traced = read(function)
    assert traced.reduction == reduction
    for term in traced.batches["example"]:
        mean = sympy.Add(*R[: term.size]) / term.size
        inner = next(iter(term.term.atoms(detach))).args[0]
        assert same(inner, mean)
        assert same(term.term, exp(R[0] - detach(inner)))


def variance_of_all(policy_logps, reference_logps):
    return torch.log(torch.exp(policy_logps - reference_logps).mean())


def test_a_number_that_mixes_its_examples_is_refused() -> None:
    with pytest.raises(HaloTheoryError, match="cannot be told apart"):
        read(variance_of_all)


# batches


def centred(policy_logps, reference_logps):
    rewards = policy_logps - reference_logps
    return rewards - rewards.mean()


def test_terms_of_a_batch_name_the_others() -> None:
    traced = read(centred)
    assert [(term.size, term.labels) for term in traced.batches["example"]] == [(2, None), (3, None), (4, None)]
    for term in traced.batches["example"]:
        assert same(term.term, R[0] - sympy.Add(*R[: term.size]) / term.size)


def by_the_other_label(policy_logps, reference_logps, desirable, *, beta=0.3):
    rewards = beta * (policy_logps - reference_logps)
    good, bad = rewards[desirable], rewards[~desirable]
    return torch.cat([1 - torch.sigmoid(good - bad.mean()), 1 - torch.sigmoid(good.mean() - bad)])


def test_every_labelling_of_a_batch_is_there_but_those_that_are_nan() -> None:
    traced = read(by_the_other_label)
    patterns = {size: [(True, *other) for other in product((True, False), repeat=size - 1)] for size in (2, 3, 4)}
    wanted = {tuple(sorted(labels, reverse=True)) for size in patterns for labels in patterns[size] if False in labels}
    assert {term.labels for term in traced.batches["desirable"]} == wanted
    term = next(term.term for term in traced.batches["undesirable"] if term.labels == (False, True, True, False))
    good = BETA * (R[1] + R[2]) / 2
    assert same(term, 1 - 1 / (1 + exp(-(good - BETA * R[0]))))


def means_by_label(policy_logps, reference_logps, desirable):
    rewards = policy_logps - reference_logps
    return rewards[~desirable].mean() - rewards[desirable].mean()


def test_means_by_label_weigh_an_example_by_the_batch() -> None:
    traced = read(means_by_label)
    found = {term.labels: term.term for term in traced.batches["desirable"]}
    assert found.keys() >= {(True, False), (True, False, False), (True, True, True, False)}
    assert same(found[True, True, True, False], Rational(-4, 3) * R[0])


def softmax_over_the_batch(policy_logps):
    return -policy_logps.log_softmax(0)


def largest_of_the_batch(policy_logps):
    return policy_logps - policy_logps.max().detach()


def pairwise_margins(policy_logps):
    return F.softplus(policy_logps[None, :] - policy_logps[:, None]).mean(dim=1)


def standardised(policy_logps):
    return (policy_logps - policy_logps.mean()) / (policy_logps.std() + 0.1)


@pytest.mark.parametrize(
    "function", [softmax_over_the_batch, largest_of_the_batch, pairwise_margins, standardised, centred]
)
def test_what_is_common_to_a_batch_agrees_with_the_code(function) -> None:
    assert len(read(function).batches["example"]) == 3


def neighbour(policy_logps):
    return policy_logps - policy_logps.roll(1)


def first(policy_logps):
    return policy_logps - policy_logps[0]


def weighted_by_place(policy_logps):
    return policy_logps * torch.arange(1, len(policy_logps) + 1)


def running_total(policy_logps):
    return policy_logps.cumsum(0)


@pytest.mark.parametrize("function", [neighbour, first, weighted_by_place, running_total])
def test_places_in_the_batch_may_not_matter(function) -> None:
    with pytest.raises(HaloTheoryError, match="depends on the others of its batch and on its place"):
        read(function)


def other_in_large_batches(policy_logps):
    return policy_logps if len(policy_logps) < 5 else 2 * policy_logps


def other_alone(policy_logps):
    return policy_logps if len(policy_logps) > 1 else 2 * policy_logps


@pytest.mark.parametrize("function", [other_in_large_batches, other_alone])
def test_the_size_of_the_batch_may_not_matter_alone(function) -> None:
    with pytest.raises(HaloTheoryError, match="changes with the size of its batch"):
        read(function)


CALLS: list[int] = []


def counts_its_calls(policy_logps):
    CALLS.append(1)
    return policy_logps * (1 if len(CALLS) % 100 < 4 else 2)


SUM = torch.zeros(())


def keeps_a_sum(policy_logps):
    SUM.add_(policy_logps.mean().detach())
    return policy_logps - SUM


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (counts_its_calls, "size of its batch|two runs"),
        (keeps_a_sum, "'add_' writes in place into a tensor that outlives the call"),
    ],
)
def test_memory_is_noticed(function, message: str) -> None:
    CALLS.clear()
    with pytest.raises(HaloTheoryError, match=message):
        read(function)


# tokens


def clipped_ratio(policy_token_logps, reference_token_logps, advantages, mask, *, epsilon=0.2):
    ratio = torch.exp(policy_token_logps - reference_token_logps)
    gain = torch.minimum(ratio * advantages, ratio.clamp(1 - epsilon, 1 + epsilon) * advantages)
    return -(gain * mask).sum(-1) / mask.sum(-1)


def mean_over_all_tokens(policy_token_logps, reference_token_logps, advantages, mask):
    ratio = torch.exp(policy_token_logps - reference_token_logps)
    return -(ratio * advantages * mask).sum() / mask.sum()


def by_selected_tokens(policy_token_logps, reference_token_logps, advantages, mask):
    return -((policy_token_logps - reference_token_logps) * advantages)[mask].mean()


def with_a_mask_of_numbers(policy_token_logps, advantages, mask):
    kept = 1 - (1 - mask)
    return -(policy_token_logps * advantages * kept).sum(1)


def with_a_loop_over_completions(policy_token_logps, advantages, mask):
    rows = zip(policy_token_logps, advantages, mask, strict=True)
    return torch.stack([-(logps * advantage)[counts].sum() for logps, advantage, counts in rows])


@pytest.mark.parametrize(
    "function",
    [
        clipped_ratio,
        mean_over_all_tokens,
        by_selected_tokens,
        with_a_mask_of_numbers,
        with_a_loop_over_completions,
        losses.ppo_clip,
    ],
)
def test_token_level_losses_are_traced_under_several_masks(function) -> None:
    traced = read(function)
    alone = [term for term in traced.tokens if not term.others]
    assert sorted({len(term.mask) for term in alone}) == [1, 2, 3, 7, 8, 9, 17, 40, 130]
    assert traced.terms["example"] == next(term.term for term in alone if term.mask == (True, True))
    for found in (term for term in alone if len(term.mask) <= 3):
        counted = {f"policy_token_logps_t{t}" for t, counts in enumerate(found.mask) if counts}
        assert {s.name for s in found.term.free_symbols if s.name.startswith("policy_")} == counted


def test_a_mean_over_tokens_is_one_over_the_completions_own() -> None:
    policy, reference = ([token_symbol(f"{who}_token_logps", t) for t in range(3)] for who in ("policy", "reference"))
    advantages = [token_symbol("advantages", t) for t in range(3)]
    ratios = [exp(p - r) * a for p, r, a in zip(policy, reference, advantages, strict=True)]
    found = {term.mask: term.term for term in read(mean_over_all_tokens).tokens}
    assert same(found[True, False, True], -(ratios[0] + ratios[2]) / 2)


def mean_of_all_completions(policy_token_logps, reference_token_logps, advantages, mask):
    ratio = torch.exp(policy_token_logps - reference_token_logps)
    return -(ratio * advantages * mask).sum(-1) / mask.sum()


def test_other_completions_may_change_a_positive_factor() -> None:
    tokens = read(mean_of_all_completions).tokens
    alone = next(term.term for term in tokens if (term.mask, term.others) == ((True, True), ()))
    beside = next(term.term for term in tokens if (term.mask, term.others) == ((True, True), ((True, False),)))
    assert same(beside, alone * Rational(2, 3))


def other_on_the_last_of_many(policy_token_logps, advantages, mask):
    weight = torch.where(mask.cumsum(-1) > 100, -1.0, 1.0)
    return -(weight * policy_token_logps * advantages * mask).sum(-1)


def test_long_completions_are_run_with_numbers_for_most_tokens() -> None:
    longest = read(other_on_the_last_of_many).tokens[-1]
    places = [0, 1, 65, 129]
    logps, advantages = ([token_symbol(name, t) for t in places] for name in ("policy_token_logps", "advantages"))
    signs = [-1, -1, -1, 1]
    own = sum(sign * logp * a for sign, logp, a in zip(signs, logps, advantages, strict=True))
    assert (longest.term - own).is_number


def centred_tokens(policy_token_logps, advantages, mask):
    return -(policy_token_logps * (advantages - advantages.mean()) * mask).sum(-1)


def test_the_other_completions_may_not_matter() -> None:
    with pytest.raises(HaloTheoryError, match="depends on the others of its batch"):
        read(centred_tokens)


# the reference point of each example


def below_kl(policy_logps, reference_logps, kl):
    return policy_logps - reference_logps - kl


def below_the_mean(policy_logps, reference_logps, kl):
    return policy_logps - reference_logps - kl.mean().clamp(min=0)


def below_the_largest(policy_logps, reference_logps, desirable, kl):
    return torch.where(desirable, -1.0, 1.0) * (policy_logps - reference_logps - kl.max()).sigmoid()


def below_the_sum(policy_logps, reference_logps, kl):
    return policy_logps - reference_logps - kl.sum()


@pytest.mark.parametrize(("function", "shared"), [(below_kl, False), (below_the_mean, True), (below_the_largest, True)])
def test_one_kl_for_all_is_told_from_one_for_each(function, shared: bool) -> None:
    assert read(function).shared_kl is shared


def test_a_sum_of_the_reference_points_is_refused() -> None:
    with pytest.raises(HaloTheoryError, match="kl may be a scalar or"):
        read(below_the_sum)


# hyperparameters


def smoothed(
    policy_logps,
    *,
    label_smoothing: Annotated[float, "0 <= label_smoothing < 0.5"] = 0.1,
    rate: Annotated[float, "rate > 1/3 and rate <= 1"] = 0.5,
    shift: Annotated[float, "-1 < shift < 1"] = -0.5,
    beta=0.3,
):
    return label_smoothing * policy_logps + rate + beta * shift


def test_domains_become_assumptions_and_relations() -> None:
    traced = read(smoothed)
    smoothing, rate, shift = (traced.hyperparameters[name] for name in ("label_smoothing", "rate", "shift"))
    assert (smoothing.is_nonnegative, smoothing.is_positive) == (True, None)
    assert rate.is_positive
    assert (shift.is_real, shift.is_nonnegative) == (True, None)
    assert traced.hyperparameters["beta"].is_positive
    assert set(traced.domains) == {smoothing < Rational(1, 2), rate > Rational(1, 3), rate <= 1, shift > -1, shift < 1}


def scaled(policy_logps, *, beta=0.0, offset=-2.0):
    return beta * policy_logps + offset


def test_values_that_are_not_positive_are_taken_as_set_without_a_domain() -> None:
    traced = read(scaled, offset=0.5)
    assert traced.hyperparameters == {"beta": 0, "offset": Symbol("offset", positive=True)}


def takes_the_larger(policy_logps, *, beta=0.3, gamma=0.5):
    return max(beta, 0.1) * policy_logps + gamma


def checks_its_type(policy_logps, *, beta=0.3):
    if not isinstance(beta, float):
        raise TypeError("beta must be a float")
    return beta * policy_logps


@pytest.mark.parametrize("function", [takes_the_larger, checks_its_type])
def test_hyperparameters_that_python_needs_are_numbers(function) -> None:
    traced = read(function)
    assert traced.hyperparameters["beta"] == Rational(3, 10)
    assert traced.notes == ["the code needs the value of beta: traced at 0.3"]


def test_the_other_hyperparameters_stay_symbols() -> None:
    assert read(takes_the_larger).hyperparameters["gamma"] == Symbol("gamma", positive=True)


@pytest.mark.parametrize("name", ["z", "log_ratio"])
def test_names_of_the_construction_are_refused(name: str) -> None:
    space: dict[str, Callable[..., Tensor]] = {}
    exec(f"def loss(policy_logps, *, {name}=0.1):\n    return {name} * policy_logps", space)
    with pytest.raises(HaloTheoryError, match="rename it"):
        read(space["loss"])


# ways to write code


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return 2 * x

    @staticmethod
    def backward(ctx, *gradients):
        return 2 * gradients[0]


class Squared(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return x**2

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx, *gradients):
        return 2 * ctx.saved_tensors[0] * gradients[0]


class Dishonest(Doubled):
    @staticmethod
    def backward(ctx, *gradients):
        return 5 * gradients[0]


def by_autograd_functions(policy_logps):
    return Doubled.apply(policy_logps) + Squared.apply(policy_logps)


def dishonest(policy_logps):
    return Dishonest.apply(policy_logps)


def test_a_custom_function_is_read_by_its_forward() -> None:
    assert same(read(by_autograd_functions).terms["example"], 2 * POLICY + POLICY**2)


def test_a_custom_function_whose_gradient_is_another_is_refused() -> None:
    with pytest.raises(HaloTheoryError, match="misreads this code: gradient in policy_logps 5 when run, 2 as read"):
        read(dishonest)


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return 2 * function(*args, **kwargs)

    return wrapper


@decorated
def with_a_decorator(policy_logps, *, beta=0.3):
    scale = functools.partial(torch.mul, beta)
    shift = lambda x, by=0.5: x + by  # noqa: E731 - as people write it
    return shift(scale(policy_logps))


def test_decorators_closures_and_defaults_are_followed() -> None:
    assert same(read(with_a_decorator).terms["example"], 2 * (BETA * POLICY + Rational(1, 2)))


SCALE = torch.tensor(0.1)


def with_a_constant_of_the_module(policy_logps):
    return SCALE * policy_logps


def test_a_float_of_32_bits_is_the_decimal_that_was_written() -> None:
    assert read(with_a_constant_of_the_module).terms["example"] == POLICY / 10


def hides_with_a_bare_except(policy_logps):
    try:
        return policy_logps.sin()
    except:  # noqa: E722 - that is the point
        return policy_logps


def test_no_except_hides_what_cannot_be_read() -> None:
    with pytest.raises(HaloTheoryError, match="operation 'sin' is not supported"):
        read(hides_with_a_bare_except)


def branches_on_labels(policy_logps, desirable):
    if desirable.any() and len(desirable) == int(desirable.numel()):
        weights = [1.0 if label else 2.0 for label in desirable.tolist()]
        return policy_logps * torch.tensor(weights)
    return policy_logps * 2.0


def test_labels_are_known_to_python() -> None:
    traced = read(branches_on_labels)
    assert traced.terms == {"desirable": POLICY, "undesirable": 2 * POLICY}


def writes_labels(policy_logps, desirable):
    desirable[0] = True
    return torch.where(desirable, policy_logps, 2 * policy_logps)


def test_labels_may_not_be_written() -> None:
    with pytest.raises(HaloTheoryError, match="writes in place into 'desirable'"):
        read(writes_labels)


def warns(policy_logps):
    import warnings

    warnings.warn("an old way to write it", stacklevel=1)
    return policy_logps


def test_the_codes_own_warnings_are_not_ours() -> None:
    assert read(warns).terms == {"example": POLICY}


def test_tracing_leaves_pytorch_as_it_was() -> None:
    before = torch.get_default_dtype(), torch.autograd.Function.__dict__["apply"]
    read(by_autograd_functions)
    assert (torch.get_default_dtype(), torch.autograd.Function.__dict__["apply"]) == before


@pytest.mark.parametrize("name", losses.__all__)
def test_every_built_in_agrees_with_its_trace(name: str) -> None:
    read(getattr(losses, name))


def test_a_whole_exponent_over_what_may_be_negative_is_taken_at_its_value() -> None:
    def cubed(policy_logps: Tensor, *, n: float = 3.0, m: float = 0.5) -> Tensor:
        return policy_logps**n + torch.sigmoid(policy_logps) ** m

    traced = trace(loss_of(cubed))
    assert traced.hyperparameters["n"] == 3
    assert isinstance(traced.hyperparameters["m"], sympy.Symbol)
    assert traced.notes == ["the code needs the value of n: traced at 3"]
