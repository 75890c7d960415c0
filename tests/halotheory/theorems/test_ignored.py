"""The pull of each built-in loss, against automatic differentiation far out."""

import math

import pytest
import torch
from sympy import Symbol, sympify

import halotheory.losses
from halotheory.contract import Loss, load_loss
from halotheory.findings import Status
from halotheory.theorems.ignored import Pull, ignored_examples

PULLS = ignored_examples()
_LOG_POLICY, _OTHER = -5.0, -1.0
_FAR = {"sppo": 4000.0, "beta_dpo": 40_000.0}
"""Nats at which a loss is far out, where that is not at 400: its scale is another."""


@pytest.fixture(params=PULLS, ids=lambda pull: f"{pull.loss}-{pull.output}")
def pull(request: pytest.FixtureRequest) -> Pull:
    return request.param


def test_every_built_in_loss_is_decided_at_both_ends() -> None:
    assert {pull.loss for pull in PULLS} == set(halotheory.losses.__all__)
    assert not [pull for pull in PULLS if Status.UNDECIDED in (pull.gains.status, pull.losses.status)]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_limit_is_what_autograd_sees(pull: Pull, sign: int) -> None:
    tail = pull.gains if sign > 0 else pull.losses
    assert tail.limit is not None
    reward = sign * _FAR.get(pull.loss, 400.0)
    far, near = _pull_at(pull, reward), _pull_at(pull, reward / 4)
    if tail.limit in ("oo", "-oo"):
        assert math.copysign(1, far) == (1 if tail.limit == "oo" else -1)
        assert abs(far) > 2 * abs(near) > 1
    else:
        assert far == pytest.approx(_number(pull, tail.limit), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize(
    ("loss", "output", "gains", "losses", "ignores"),
    [
        ("kto", "desirable", "0", "0", "both"),
        ("kto", "undesirable", "0", "0", "both"),
        ("kto_concave", "desirable", "0", "beta*desirable_weight", "+oo"),
        ("kto_risk_neutral", "undesirable", "-beta*undesirable_weight", "-beta*undesirable_weight", "neither"),
        ("dpo", "chosen", "0", "beta", "+oo"),
        ("dpo", "rejected", "-beta", "0", "-oo"),
        ("ipo", "chosen", "-oo", "oo", "neither"),
        ("ppo_clip", "advantage > 0", "0", "0", "both"),
        ("ppo_clip", "advantage < 0", "-oo", "0", "-oo"),
        ("unlikelihood", "undesirable", "-oo", "0", "-oo"),
        ("sft", "every", "1", "1", "neither"),
    ],
)
def test_by_hand(loss: str, output: str, gains: str, losses: str, ignores: str) -> None:
    found = next(pull for pull in PULLS if (pull.loss, pull.output) == (loss, output))
    assert (found.gains.limit, found.losses.limit, found.ignores) == (gains, losses, ignores)


def test_a_long_limit_is_a_word_in_a_table() -> None:
    found = next(pull for pull in PULLS if (pull.loss, pull.output) == ("simpo", "chosen"))
    assert str(found.gains) == "not 0, by the other outputs"


def test_what_was_held_is_told_for_both_ends() -> None:
    told = {(pull.loss, pull.output): pull.where for pull in PULLS}
    assert told["slic", "rejected"] == "every hyperparameter > 0, other outputs at 1/2 per token"
    assert told["discopop", "chosen"] == "r rises: every hyperparameter > 0; r falls: hyperparameters as set"


def _pull_at(pull: Pull, reward: float) -> float:
    """Return minus the derivative of example 0's loss by its log pi, others held, by automatic differentiation."""
    loss = load_loss(pull.loss)
    tensors = _tensors(loss, pull)
    moving = _moving_names(loss, pull.output)
    policy, reference = tensors[moving[0]], tensors.get(moving[1])
    if reference is None:
        policy.view(-1)[0] = -(reward**-4) if reward > 0 else reward
    else:
        reference.view(-1)[0] = _LOG_POLICY - max(reward, 0)
        policy.view(-1)[0] = _LOG_POLICY + min(reward, 0)
    policy.requires_grad_()
    value = loss.function(**{name: tensors[name] for name in loss.arguments})
    (slope,) = torch.autograd.grad(value.reshape(-1)[0], policy)
    return -float(slope.view(-1)[0])


def _moving_names(loss: Loss, output: str) -> tuple[str, str]:
    middle = "token_" if loss.kind == "token" else f"{output}_" if loss.kind == "paired" else ""
    return f"policy_{middle}logps", f"reference_{middle}logps"


def _tensors(loss: Loss, pull: Pull) -> dict[str, torch.Tensor]:
    size = 2 if pull.loss in {"bco", "kto_without_reference", "beta_dpo"} else 1
    shape = (1, 1) if loss.kind == "token" else (size,)
    held = -math.log(2) if pull.reference_free else _LOG_POLICY + _OTHER
    found = {}
    for name in loss.arguments:
        number = _LOG_POLICY if name.startswith("reference") else held if name.startswith("policy") else 1.0
        found[name] = torch.full(shape, number, dtype=torch.float64)
    found["kl"] = torch.zeros(shape, dtype=torch.float64)
    found["desirable"] = torch.full(shape, pull.output != "undesirable")
    found["mask"] = torch.ones(shape, dtype=torch.bool)
    found["advantages"] = torch.full(shape, -1.0 if pull.output == "advantage < 0" else 1.0, dtype=torch.float64)
    return {name: tensor for name, tensor in found.items() if name in loss.arguments}


def _number(pull: Pull, limit: str) -> float:
    other = -math.log(2) if pull.reference_free else _OTHER
    expression = sympify(limit, locals={name: Symbol(name) for name in ("beta", "alpha", "gamma")})
    values = {str(symbol): other for symbol in expression.free_symbols if "log_ratio" in str(symbol)}
    values |= {str(symbol): 1.0 for symbol in expression.free_symbols if "length" in str(symbol)}
    values |= {str(symbol): _LOG_POLICY for symbol in expression.free_symbols if str(symbol).startswith("reference")}
    settings = load_loss(pull.loss).hyperparameters
    return float(expression.subs({**values, **settings, "logp": _LOG_POLICY, "advantage": 1.0}))
