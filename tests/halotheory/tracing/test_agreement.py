"""What is compared with running the code, and what floating point is excused for."""

import re
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import sympy
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Symbol
from torch import Tensor

from halotheory.contract import load_loss, loss_of
from halotheory.errors import HaloTheoryError
from halotheory.tracing.agreement import check_agreement, run_in
from halotheory.tracing.evaluate import evaluate
from halotheory.tracing.expressions import detach
from halotheory.tracing.trace import Traced, trace

X = Symbol("x", real=True)


def kto_like(policy_logps, reference_logps, desirable, kl, *, beta=0.3):
    value = torch.sigmoid(beta * (policy_logps - reference_logps - kl))
    return torch.where(desirable, 1 - value, value)


def misread(change: Callable[[Traced], Traced]) -> None:
    check_agreement(change(trace(loss_of(kto_like))))


@pytest.mark.parametrize("label", ["desirable", "undesirable"])
def test_a_term_that_is_off_by_little_is_noticed(label: str) -> None:
    def change(traced: Traced) -> Traced:
        return replace(traced, terms={**traced.terms, label: traced.terms[label] * (1 + sympy.Rational(1, 10**11))})

    with pytest.raises(HaloTheoryError, match=r"misreads this code: value 0\.\d+ when run"):
        misread(change)


def test_a_detach_that_is_lost_is_noticed_in_the_gradient() -> None:
    def weighted(policy_logps, reference_logps):
        return torch.exp(policy_logps).detach() * (policy_logps - reference_logps)

    traced = trace(loss_of(weighted))
    bare = {label: term.replace(detach, lambda value: value) for label, term in traced.terms.items()}
    check_agreement(traced)
    with pytest.raises(HaloTheoryError, match="gradient in policy_logps"):
        check_agreement(replace(traced, terms=bare))


def test_a_batch_term_that_is_wrong_is_noticed() -> None:
    def centred(policy_logps):
        return policy_logps - policy_logps.mean()

    traced = trace(loss_of(centred))
    last = traced.batches["example"][-1]
    wrong = [
        *traced.batches["example"][:-1],
        replace(last, term=last.term + Symbol("policy_logps_1", nonpositive=True)),
    ]
    with pytest.raises(HaloTheoryError, match="misreads"):
        check_agreement(replace(traced, batches={"example": wrong}))


# what floating point does is no misreading


def saturates(policy_logps, reference_logps):
    return torch.log(1 - torch.sigmoid(policy_logps - reference_logps))


def overflows(policy_logps, reference_logps):
    return torch.log1p(torch.exp(20 * (policy_logps - reference_logps)))


def drops_small_terms(policy_logps, reference_logps):
    return F.softplus(policy_logps - reference_logps) * 1000


def casts_down(policy_logps, reference_logps, *, beta=0.1):
    z = beta * (policy_logps.float() - reference_logps.to(torch.bfloat16))
    return -F.logsigmoid(z.half()).to(torch.float32)


def makes_floats_of_32_bits(policy_logps, reference_logps):
    weights = torch.full((len(policy_logps),), 0.1, dtype=torch.float32)
    return weights * (policy_logps - reference_logps)


def masks_a_nan_gradient(policy_logps, reference_logps):
    z = policy_logps - reference_logps
    return torch.where(z > 0, torch.sqrt(z), z)


def has_no_value_for_some(policy_logps, reference_logps):
    return torch.log(policy_logps - reference_logps)


@pytest.mark.parametrize(
    "function",
    [
        saturates,
        overflows,
        drops_small_terms,
        casts_down,
        makes_floats_of_32_bits,
        masks_a_nan_gradient,
        has_no_value_for_some,
    ],
)
def test_rounding_and_overflow_are_no_misreading(function) -> None:
    check_agreement(trace(loss_of(function)))


def never_a_number(policy_logps):
    return torch.log(policy_logps - 1)


def test_a_loss_without_a_finite_value_is_refused() -> None:
    with pytest.raises(HaloTheoryError, match=r"NaN for every value|no finite number"):
        check_agreement(trace(loss_of(never_a_number)))


def undone_root(policy_logps, reference_logps):
    return torch.sqrt(policy_logps - reference_logps + 50) ** 2  # for SymPy that is what is under the root


def test_a_domain_that_the_formula_forgets_is_noticed() -> None:
    with pytest.raises(HaloTheoryError, match="is NaN where its formula gives"):
        check_agreement(trace(loss_of(undone_root)))


def spoils_what_its_gradient_needs(policy_logps, reference_logps):
    return (policy_logps - reference_logps).sigmoid().neg_()


def test_code_without_a_gradient_is_refused() -> None:
    with pytest.raises(HaloTheoryError, match="has no gradient: one of the variables needed"):
        check_agreement(trace(loss_of(spoils_what_its_gradient_needs)))


def other_in_batches_of_many(policy_logps):
    return policy_logps if len(policy_logps) < 20 else 2 * policy_logps


def other_from_five_desirable_on(policy_logps, reference_logps, desirable):
    z = policy_logps - reference_logps
    return torch.where(desirable.sum() > 4, z**2, z)


@pytest.mark.parametrize(
    ("function", "size"), [(other_in_batches_of_many, 33), (other_from_five_desirable_on, 8)], ids=str
)
def test_large_batches_are_compared_too(function, size: int) -> None:
    with pytest.raises(HaloTheoryError, match=f"the size or the composition of its batch, here of {size}"):
        check_agreement(trace(loss_of(function)))


def overflows_in_between(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1, share=0.3
):
    """DPO against a reference that is mixed with the policy: log(share * ratio + 1 - share) is finite, exp is not."""
    ratios = policy_chosen_logps - reference_chosen_logps, policy_rejected_logps - reference_rejected_logps
    chosen, rejected = (r - torch.log(share * torch.exp(r) + 1 - share) for r in ratios)
    return F.softplus(-beta * (chosen - rejected))


def test_an_overflow_in_between_is_no_misreading() -> None:
    check_agreement(trace(loss_of(overflows_in_between)))


def leaves_for_numpy(policy_logps):
    with torch.no_grad():
        shape = policy_logps.shape
    return policy_logps * (2.0 if policy_logps.requires_grad else 1.0) * len(shape)


def test_code_that_differs_when_it_is_trained_with_is_noticed() -> None:
    with pytest.raises(HaloTheoryError, match="misreads this code"):
        check_agreement(trace(loss_of(leaves_for_numpy)))


def test_the_comparison_is_quick() -> None:
    traced = trace(load_loss("kto"))
    check_agreement(traced)
    began = time.perf_counter()
    check_agreement(traced)
    assert time.perf_counter() - began < 0.5


def test_results_in_32_bits_are_rounded_and_those_in_64_are_not() -> None:
    loss = loss_of(casts_down)
    tensors = {name: torch.tensor([-1.5, -2.25], dtype=torch.float64) for name in loss.arguments}
    exact = run_in(torch.float64, loss, tensors).losses[0]
    assert exact == pytest.approx(float(torch.log(torch.tensor(2.0, dtype=torch.float64))), rel=1e-15)


# evaluation


@pytest.mark.parametrize(
    ("term", "x", "value", "slope"),
    [
        (X**2, 3.0, 9.0, 6.0),
        (1 / X, 2.0, 0.5, -0.25),
        (sympy.exp(X) - sympy.exp(X), 1.0, 0.0, 0.0),
        (sympy.log(X), 2.0, 0.6931471805599453, 0.5),
        (sympy.atan(X), 1.0, 0.7853981633974483, 0.5),
        (sympy.erf(X), 0.0, 0.0, 1.1283791670955126),
        (X ** sympy.Rational(3, 2), 4.0, 8.0, 3.0),
        (sympy.Integer(2) ** X, 3.0, 8.0, 5.545177444479562),
        (detach(X**2) * X, 3.0, 27.0, 9.0),
        (sympy.Piecewise((X, X > 0), (-2 * X, True)), -3.0, 6.0, -2.0),
        (sympy.Piecewise((X, (X > 0) & (X < 1)), (5, True)), 0.5, 0.5, 1.0),
        (sympy.Piecewise((X, ~((X > 0) | sympy.Eq(X, -1))), (5, True)), -1.0, 5.0, 0.0),
        (sympy.log(1 + sympy.exp(-X)), 1e3, 0.0, 0.0),
        (1 - 1 / (1 + sympy.exp(-X)), 800.0, 0.0, 0.0),
        (sympy.E * X + sympy.pi, 1.0, 5.859874482048838, 2.718281828459045),
    ],
)
def test_values_and_gradients_are_right_to_the_last_digit(term, x: float, value: float, slope: float) -> None:
    found = evaluate(term, {X: x}, [X])
    assert found.value == pytest.approx(value, rel=1e-15, abs=1e-30)
    assert found.gradient[X] == pytest.approx(slope, rel=1e-15, abs=1e-30)


def test_ties_of_fractions_are_decided() -> None:
    other = Symbol("y", positive=True)
    term = sympy.Piecewise((1, X / other >= sympy.Rational(1, 3)), (0, True))
    assert evaluate(term, {X: 7.0, other: 21.0}).value == 1
    assert evaluate(term, {X: 6.999999, other: 21.0}).value == 0


@pytest.mark.parametrize("term", [sympy.log(X), sympy.sqrt(X), X ** sympy.Rational(1, 3), sympy.log(X) * 0 + sympy.nan])
def test_what_has_no_real_value_is_nan(term) -> None:
    assert evaluate(term, {X: -1.0}).value != evaluate(term, {X: -1.0}).value


@settings(max_examples=30)
@given(x=st.floats(-50, 50, allow_subnormal=False), y=st.floats(-50, 50, allow_subnormal=False))
def test_gradients_are_sympys_derivatives(x: float, y: float) -> None:
    other = Symbol("y", real=True)
    term = sympy.exp(-X * other / 50) * sympy.atan(X + other**2) + sympy.log(1 + sympy.exp(X - other))
    found = evaluate(term, {X: x, other: y}, [X, other])
    for symbol in (X, other):
        expected = evaluate(sympy.diff(term, symbol), {X: x, other: y}).value
        assert found.gradient[symbol] == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_functions_that_no_trace_contains_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="gamma"):
        evaluate(sympy.gamma(X), {X: 1.0})


def test_messages_show_both_numbers() -> None:
    def change(traced: Traced) -> Traced:
        return replace(traced, terms={**traced.terms, "desirable": traced.terms["desirable"] + 1})

    with pytest.raises(HaloTheoryError) as error:
        misread(change)
    run, read = (float(number) for number in re.findall(r"([\d.]+) (?:when run|as read)", str(error.value)))
    assert read - run == pytest.approx(1)


def test_tensors_may_be_given_as_the_contract_says() -> None:
    loss = loss_of(kto_like)
    tensors: dict[str, Tensor] = {name: torch.tensor([-1.0]) for name in ("policy_logps", "reference_logps")}
    found = run_in(torch.float32, loss, {**tensors, "desirable": torch.tensor([True]), "kl": torch.tensor(0.0)})
    assert found.losses == [0.5]
    assert float(found.gradients["policy_logps"]) == pytest.approx(-0.3 / 4, rel=1e-6)
