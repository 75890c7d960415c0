"""What the shape of the value function is worth: the paper's ablations, at equal budgets."""

import torch
from torch import Tensor

from halotheory.contract import Loss, loss_of
from halotheory.experiments.data import usual_data
from halotheory.experiments.experiment import Asked, Experiment
from halotheory.experiments.measures import GAIN, KL, WIN
from halotheory.experiments.result import Result
from halotheory.experiments.sweep import Axis, Design, check_sizes, sweep

_SMOOTH = 1e-6  # nats, from where on the power is taken: at 0 its slope is infinite


def kahneman_tversky(
    policy_logps: Tensor,
    reference_logps: Tensor,
    desirable: Tensor,
    kl: Tensor,
    *,
    alpha: float = 0.88,
    loss_aversion: float = 2.25,
) -> Tensor:
    """Return -v(z) for desirable and v(z) for undesirable outputs, v(z) = z^alpha, or -loss_aversion (-z)^alpha.

    |z|^alpha is taken as (|z| + c)^alpha - c^alpha with c = 1e-6 nats, so that its slope is finite where training
    begins.

    Source: Ethayarajh et al. 2024 (KTO), arXiv 2402.01306, eq. 4.

    Args:
        policy_logps: log pi(y|x), nats, (batch,).
        reference_logps: log pi_ref(y|x), alike.
        desirable: bool, (batch,).
        kl: the reference point z0, nats, scalar or (batch,).
        alpha: curvature, in (0, 1].
        loss_aversion: lambda, > 0.
    """
    z = policy_logps - reference_logps - kl
    gains, losses = ((side.clamp(min=0) + _SMOOTH) ** alpha - _SMOOTH**alpha for side in (z, -z))
    value = torch.where(z >= 0, gains, -loss_aversion * losses)
    return torch.where(desirable, -value, value)


LOSSES: tuple[Loss | str, ...] = (
    "kto",
    "kto_concave",
    "kto_risk_neutral",
    "kto_without_reference_point",
    loss_of(kahneman_tversky, name="Eq. 4"),
)


def _result(asked: Asked) -> Result:
    """Return the gain in reward of KTO and of its ablations, by the number of pairs."""
    check_sizes(asked.at)
    design = Design(
        experiment="shape",
        question="What is the shape of the value function worth?",
        axis=Axis(where="with {} pairs", label="pairs in the data set", at=asked.at, scale="log"),
        data=lambda size, tuning: usual_data(asked.budget, tuning=tuning, size=round(size)),
        measures=(GAIN, WIN, KL),
        largest=round(max(asked.at, default=0)),
    )
    return sweep(design, asked.contenders(), asked)


EXPERIMENT = Experiment(
    name="shape",
    varies="the number of pairs in a world's data set, whole, in [1, 10^6]",
    losses=LOSSES,
    at=(20, 80, 320, 1280),
    result=_result,
)
run = EXPERIMENT.run
