"""How much each loss loses as more labels are wrong."""

from halotheory.experiments.data import noisy_data
from halotheory.experiments.experiment import Asked, Experiment
from halotheory.experiments.measures import GAIN, KL, WIN
from halotheory.experiments.result import Result
from halotheory.experiments.sweep import Axis, Design, check_within, sweep


def _result(asked: Asked) -> Result:
    check_within("a share of labels", asked.at, 0, 1)
    design = Design(
        experiment="noise",
        question="Which loss stands wrong labels best?",
        axis=Axis(where="at {} label noise", label="labels that are turned round, %", at=asked.at, percent=True),
        data=lambda flipped, tuning: noisy_data(asked.budget, flipped, tuning=tuning),
        measures=(GAIN, WIN, KL),
    )
    return sweep(design, asked.contenders(), asked)


EXPERIMENT = Experiment(
    name="noise",
    varies="the share of labels that are turned round, in [0, 1]",
    losses=("kto", "dpo"),
    at=(0.0, 0.1, 0.2, 0.3, 0.4),
    result=_result,
)
run = EXPERIMENT.run
