"""The built-in losses against TRL's code for the same losses: value of the mean, and gradients."""

import warnings
from collections import defaultdict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from halotheory.contract import load_loss

trl = pytest.importorskip("trl", reason="TRL is the oracle of these tests; install the test group")

# Three pairs; their margins have one order under the policy and under the reference, so that AOT's sorting is idle.
LENGTHS = {"chosen": torch.tensor([2, 4, 3]), "rejected": torch.tensor([3, 1, 4])}
POLICY = {"chosen": torch.tensor([-9.0, -7.5, -4.0]), "rejected": torch.tensor([-6.0, -8.0, -9.5])}
REFERENCE = {"chosen": torch.tensor([-7.0, -8.5, -6.0]), "rejected": torch.tensor([-5.5, -7.5, -7.0])}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CI", "1")  # TRL sends telemetry without
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TRL's own deprecations
        yield


def ours(name: str, settings: dict[str, float], *, per_token: bool = False) -> tuple[Tensor, ...]:
    """Return the mean of our loss and its gradients by the two log-probabilities of each pair."""
    policy = {key: value.clone().requires_grad_() for key, value in POLICY.items()}
    tensors = {}
    for key, logps in policy.items():
        per = LENGTHS[key] if per_token else 1
        tensors[f"policy_{key}_logps"], tensors[f"reference_{key}_logps"] = logps / per, REFERENCE[key] / per
        tensors[f"{key}_lengths"] = LENGTHS[key].float()
    mean = load_loss(name, settings)(**tensors).mean()
    return mean, *torch.autograd.grad(mean, list(policy.values()))


def spread(logps: dict[str, Tensor]) -> Tensor:
    """Return log-probabilities of tokens, (2 * batch, 4), that sum to those of the sequences; chosen ones first."""
    both = torch.cat([logps["chosen"], logps["rejected"]])
    lengths = torch.cat([LENGTHS["chosen"], LENGTHS["rejected"]])
    return torch.where(torch.arange(4) < lengths[:, None], (both / lengths)[:, None], 0)


def dpo_trainer(settings: dict[str, Any]) -> Any:
    """Return what `DPOTrainer._compute_loss` reads of its trainer."""
    alone = SimpleNamespace(device="cpu", gather=lambda x: x, gather_for_metrics=lambda x: x)
    values: dict[str, Any] = {
        "model": SimpleNamespace(training=True),
        "accelerator": alone,
        "aux_loss_enabled": False,
        "ld_alpha": None,
        "precompute_ref_logps": True,
        "f_divergence_type": "reverse_kl",
        "f_alpha_divergence_coef": None,
        "loss_weights": [1.0],
        "label_smoothing": 0.0,
        "use_weighting": False,
        "args": SimpleNamespace(discopop_tau=settings.pop("tau", None)),
        "_metrics": {"train": defaultdict(list)},
        "_total_train_tokens": 0,
        "_tp_size": 1,
    }
    return SimpleNamespace(**{**values, **settings})


def theirs(loss_type: str, **settings: Any) -> tuple[Tensor, ...]:
    """Return the loss of TRL's DPOTrainer, and its gradients, with a model that only recites log-probabilities."""
    policy = {key: value.clone().requires_grad_() for key, value in POLICY.items()}
    tokens = spread(policy)
    told = SimpleNamespace(
        log_probs=tokens,
        log_sum_sq_probs=torch.zeros_like(tokens),
        entropy=torch.zeros_like(tokens),
        mean_logits=torch.zeros_like(tokens),
        is_top1=torch.ones_like(tokens, dtype=torch.bool),
    )
    lengths = torch.cat([LENGTHS["chosen"], LENGTHS["rejected"]])
    completion = torch.arange(-1, 4)[None] < lengths[:, None]
    completion[:, 0] = False  # one token of prompt
    inputs = {
        "input_ids": torch.ones(6, 5, dtype=torch.long),
        "attention_mask": torch.ones(6, 5, dtype=torch.long),
        "completion_mask": completion.long(),
        "ref_chosen_logps": REFERENCE["chosen"],
        "ref_rejected_logps": REFERENCE["rejected"],
    }
    trainer = dpo_trainer({"loss_types": [loss_type], **settings})
    mean = trl.DPOTrainer._compute_loss(trainer, lambda **_: told, inputs, False)
    return mean, *torch.autograd.grad(mean, list(policy.values()))


@pytest.mark.parametrize(
    ("name", "settings", "loss_type"),
    [
        ("dpo", {"beta": 0.3}, "sigmoid"),
        ("robust_dpo", {"beta": 0.3, "label_smoothing": 0.2}, "robust"),
        ("hinge", {"beta": 0.3}, "hinge"),
        ("exo", {"beta": 0.3, "label_smoothing": 0.2}, "exo_pair"),
        ("nca", {"beta": 0.3}, "nca_pair"),
        ("bco_pair", {"beta": 0.3}, "bco_pair"),
        ("sppo", {"beta": 0.3}, "sppo_hard"),
        ("aot", {"beta": 0.3, "label_smoothing": 0.2}, "aot"),
        ("apo_zero", {"beta": 0.3}, "apo_zero"),
        ("apo_down", {"beta": 0.3}, "apo_down"),
        ("discopop", {"beta": 0.3, "tau": 0.1}, "discopop"),
        ("ln_dpo", {"beta": 0.3}, "sigmoid_norm"),
    ],
)
def test_paired_losses_are_those_of_the_dpo_trainer(name: str, settings: dict[str, float], loss_type: str) -> None:
    assert_same(ours(name, settings), theirs(loss_type, **settings))


def test_ipo_is_the_dpo_trainers_on_log_probabilities_per_token() -> None:
    assert_same(ours("ipo", {"beta": 0.3}, per_token=True), theirs("ipo", beta=0.3))


def test_wpo_is_the_dpo_trainers_with_weights_that_are_not_aligned() -> None:
    assert_same(ours("wpo", {"beta": 0.3}), theirs("sigmoid", beta=0.3, use_weighting=True))


@pytest.mark.parametrize(
    ("name", "settings", "divergence"),
    [
        ("fdpo_forward_kl", {}, {"f_divergence_type": "forward_kl"}),
        ("fdpo_js", {}, {"f_divergence_type": "js_divergence"}),
        ("fdpo_alpha", {"alpha": 0.3}, {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 0.7}),
    ],
)
def test_f_dpo_is_the_dpo_trainers(name: str, settings: dict[str, float], divergence: dict[str, Any]) -> None:
    """TRL's alpha is 1 - ours, which is the paper's."""
    assert_same(ours(name, {"beta": 0.3, **settings}), theirs("sigmoid", beta=0.3, **divergence))


def from_method(method: Any, trainer: dict[str, Any], *, sft_weight: float = 0.0, per_token: bool = False) -> Any:
    """Return what a TRL trainer's method makes of log-probabilities, plus the likelihood that it adds elsewhere."""
    policy = {key: value.clone().requires_grad_() for key, value in POLICY.items()}
    given = [logps / LENGTHS[key] if per_token else logps for key, logps in policy.items()]
    alone = SimpleNamespace(device="cpu")
    losses, *_ = method(SimpleNamespace(accelerator=alone, **trainer), *given)
    mean = (losses - sft_weight * given[0]).mean()
    return mean, *torch.autograd.grad(mean, list(policy.values()))


def test_cpo_and_simpo_are_the_cpo_trainers() -> None:
    from trl.experimental.cpo import CPOTrainer

    shared = {"alpha": 0.0, "label_smoothing": 0.0, "beta": 0.3}
    cpo = from_method(CPOTrainer.cpo_loss, {**shared, "loss_type": "sigmoid"}, sft_weight=0.7)
    assert_same(ours("cpo", {"beta": 0.3, "sft_weight": 0.7}), cpo)
    simpo = from_method(CPOTrainer.cpo_loss, {**shared, "loss_type": "simpo", "simpo_gamma": 0.5}, per_token=True)
    assert_same(ours("simpo", {"beta": 0.3, "target_margin": 0.5}), simpo)


def test_orpo_is_the_orpo_trainers() -> None:
    """TRL's method returns the odds term with its sign turned: the trainer subtracts it from the likelihood."""
    from trl.experimental.orpo import ORPOTrainer

    def subtracted(*given: Any) -> Any:
        odds, *rest = ORPOTrainer.odds_ratio_loss(*given)
        return -odds, *rest

    assert_same(
        ours("orpo", {"odds_weight": 0.3}), from_method(subtracted, {"beta": 0.3}, sft_weight=1, per_token=True)
    )


def assert_same(mine: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> None:
    for one, its in zip(mine, other, strict=True):
        torch.testing.assert_close(one, its, rtol=1e-5, atol=1e-7)
    assert max(float(one.abs().max()) for one in mine[1:]) > 1e-4
