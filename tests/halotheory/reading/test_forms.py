"""Forms: the readings of a loss as a * v(z) + C, the fewest relaxations first."""

from collections.abc import Callable

import pytest
import sympy
import torch
import torch.nn.functional as F  # noqa: N812
from sympy import Piecewise, exp
from torch import Tensor

from halotheory import losses
from halotheory.contract import loss_of
from halotheory.proving.shape import Z
from halotheory.reading.forms import ONE_TERM, Case, Form, examples, forms, multiple, reference_free
from halotheory.tracing.operations import exact
from halotheory.tracing.trace import trace


def _forms(loss: Callable[..., Tensor]) -> list[Form]:
    traced = trace(loss_of(loss))
    settings = {s: exact(traced.loss.hyperparameters[n]) for n, s in traced.hyperparameters.items()}
    return list(forms(traced, settings))


def tempered(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    return F.softplus(
        policy_rejected_logps - policy_chosen_logps + 0.5 * (reference_chosen_logps - reference_rejected_logps)
    )


def fixed_weight(policy_logps, reference_logps, desirable, kl):
    z = policy_logps - reference_logps - kl
    return policy_logps.exp().detach() * torch.where(desirable, torch.sigmoid(-z), torch.sigmoid(z))


def longer_matters_more(policy_logps, reference_logps, desirable, kl, lengths):
    z = policy_logps - reference_logps - kl
    return lengths * torch.where(desirable, torch.sigmoid(-z), torch.sigmoid(z))


def minus_a_sum(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    h = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)
    return -(1 + h.detach().abs()) * F.logsigmoid(h)


def added_weight(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    h = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)
    return F.softplus(-h) + h.detach().relu() * F.softplus(-h)


def weighted_by_label(policy_logps, reference_logps, desirable, kl):
    z = policy_logps - reference_logps - kl
    weight = torch.where(desirable, 1 + z.detach().abs(), z.detach().exp())
    return weight * torch.where(desirable, -torch.sigmoid(z), torch.sigmoid(z))


def cancelled_by_value(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    h = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)
    return -2 * (h - h.detach())


def balanced(policy_logps, reference_logps, desirable, kl):
    z = policy_logps - reference_logps - kl
    weight = torch.where(desirable, 1.0, desirable.sum().clamp(min=1) / (~desirable).sum().clamp(min=1))
    return weight * torch.where(desirable, torch.sigmoid(-z), torch.sigmoid(z))


@pytest.mark.parametrize("loss", [minus_a_sum, added_weight, weighted_by_label])
def test_a_detached_factor_is_put_together_and_its_sign_is_a(loss: Callable[..., Tensor]) -> None:
    form = next(form for form in _forms(loss) if "detached_weight" in form.relaxations)
    assert form.spoiled is None
    (factor,) = form.context
    assert factor.is_positive
    for shape in form.shapes.values():
        assert factor not in sympy.expand(shape / factor).free_symbols


def test_a_detached_part_that_is_only_added_is_no_factor() -> None:
    assert not any("detached_weight" in form.relaxations for form in _forms(cancelled_by_value))


def test_factors_that_differ_between_labels_are_named_for_each() -> None:
    form = next(form for form in _forms(weighted_by_label) if "detached_weight" in form.relaxations)
    assert any("for desirable outputs" in note and "for undesirable outputs" in note for note in form.notes)


def test_weights_from_the_composition_of_the_batch_are_class_weights() -> None:
    form = _forms(balanced)[0]
    assert list(form.relaxations) == ["context_indexed_value", "class_weights"]


def test_dpo_has_one_form_and_beta_is_its_normaliser() -> None:
    (form,) = _forms(losses.dpo)
    assert str(form.normalizer) == "beta"
    assert sympy.simplify(form.shapes[ONE_TERM] - sympy.log(1 + exp(-Z))) == 0
    assert form.either_output
    assert not form.relaxations


def test_kto_has_a_shape_for_each_label() -> None:
    form = _forms(losses.kto)[0]
    assert set(form.shapes) == {"desirable", "undesirable"}
    assert not form.either_output
    assert form.reward == "log_ratio"


@pytest.mark.parametrize(
    ("loss", "relaxations"),
    [
        (losses.simpo, ["uniform_reference"]),
        (tempered, ["modified_reference"]),
        (fixed_weight, ["detached_weight"]),
        (longer_matters_more, ["context_indexed_value"]),
        (losses.fdpo_forward_kl, ["generalised_link"]),
    ],
)
def test_a_form_names_what_it_needs(loss: Callable[..., Tensor], relaxations: list[str]) -> None:
    assert relaxations in [list(form.relaxations) for form in _forms(loss)]


@pytest.mark.parametrize("loss", [losses.sft, losses.orpo, losses.kto_without_reference_point])
def test_what_is_no_function_of_any_z_has_no_form(loss: Callable[..., Tensor]) -> None:
    assert _forms(loss) == []


def test_the_constants_and_shapes_add_up_to_the_term() -> None:
    traced = trace(loss_of(losses.kto))
    form = _forms(losses.kto)[0]
    for example in examples(traced):
        y = example.y
        kl = next(symbol for symbol in example.term.free_symbols if symbol.name == "kl")
        rebuilt = form.constants[example.label] + form.shapes[example.label].subs(Z, y.log_ratio - kl)
        at = dict.fromkeys(traced.hyperparameters.values(), sympy.Rational(1, 3)) | {
            y.log_ratio: 2,
            kl: sympy.Rational(7, 5),
        }
        assert float((rebuilt - example.term).subs(at)) == pytest.approx(0, abs=1e-12)


def test_a_loss_without_reference_arguments_is_reference_free() -> None:
    assert reference_free(trace(loss_of(losses.simpo)))
    assert not reference_free(trace(loss_of(losses.dpo)))


@pytest.mark.parametrize(
    ("one", "other", "is_multiple"),
    [
        (3 * exp(Z) + 1, exp(Z), True),
        (exp(Z), exp(Z), True),
        (-exp(Z), exp(Z), False),
        (exp(2 * Z), exp(Z), False),
        (exp(Z) / 7, exp(Z), True),
    ],
)
def test_positive_multiples_are_told_from_others(one: sympy.Expr, other: sympy.Expr, *, is_multiple: bool) -> None:
    assert bool(multiple(one, other)) is is_multiple


def test_a_case_puts_its_context_and_its_truths_into_a_function() -> None:
    c = sympy.Symbol("c", real=True)
    case = Case(context={c: sympy.Integer(3)}, truths={c > 0: sympy.true})
    assert case.of(c * Piecewise((Z, c > 0), (-Z, True)), {}) == 3 * Z
    assert case.conditions({}) == [c > 0]
