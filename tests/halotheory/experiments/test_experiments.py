"""Each experiment on a small scale: closed forms, laws, determinism."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sympy import Rational

from halotheory.contract import loss_of
from halotheory.errors import HaloTheoryError
from halotheory.experiments import (
    EXPERIMENTS,
    drift,
    imbalance,
    intransitive,
    minority,
    noise,
    one_per_prompt,
    phase,
    shape,
    training,
    tuning,
    utility,
)
from halotheory.experiments import reference_point as points
from halotheory.experiments.budget import Budget
from halotheory.experiments.contenders import contenders
from halotheory.experiments.data import drawn_pairs, drawn_worlds, usual_data
from halotheory.experiments.measures import GAIN, VALUE, gain_of
from halotheory.experiments.memory import needed_bytes
from halotheory.experiments.result import Choice, Key, Map, Result
from halotheory.losses import kto
from halotheory.simulate import EXPERIMENTS as LISTED
from halotheory.theorems import kto_curves
from halotheory.worlds import Thumbs, bradley_terry
from halotheory.worlds import intransitive as going_round

SMALL: dict[str, Any] = {
    "seeds": 6,
    "tuning_seeds": 4,
    "prompts": 2,
    "outputs": 3,
    "examples": 24,
    "steps": 6,
}
BUDGET = Budget(**SMALL)


def quiet(text: str) -> None:
    pass


def small(name: str, **options: Any) -> Result:
    experiment = EXPERIMENTS[name]
    least: dict[str, Any] = {"drift": {"at": (0.001,)}, "imbalance": {"at": (0.25, 0.5)}, "phase": {"at": (0.6, 0.9)}}
    options = {**least.get(name, {}), "settings": {} if name == "phase" else {"beta": 0.3}, **options}
    return experiment.run(budget=replace(experiment.budget, **SMALL), started=quiet, **options)


def means(result: Result) -> dict[tuple[str, str, str], float]:
    return {
        (each.key.condition, each.key.contender, each.key.measure): each.estimate.mean for each in result.measurements
    }


def test_the_command_lists_the_experiments_that_there_are() -> None:
    assert list(LISTED) == list(EXPERIMENTS)


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the phase diagram's grid and the search for learning rates coarse."""
    monkeypatch.setattr(phase, "_BETAS", np.geomspace(0.05, 5, 9))
    monkeypatch.setattr(phase, "_REFERENCES", np.linspace(0.01, 0.99, 8))
    monkeypatch.setattr(tuning, "BETAS", (0.1, 1.0))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_reports_intervals_and_is_the_same_again(name: str) -> None:
    first, again = small(name).as_dict(), small(name).as_dict()
    assert first.pop("seconds") > 0
    again.pop("seconds")
    assert first == again
    assert first["findings"]
    for each in [*first["measurements"], *first["comparisons"]]:
        assert each["low"] <= each["mean"] <= each["high"]
        assert each["count"] == (6 if name == "phase" else 4)
    for each in first["comparisons"]:
        assert each["p_value"] <= each["adjusted_p_value"] <= 1


def test_another_seed_is_another_result() -> None:
    changed = EXPERIMENTS["noise"].run(budget=replace(BUDGET, seed=1), at=(0.1,), started=quiet)
    assert means(changed) != means(small("noise", at=(0.1,)))


def test_a_loss_under_another_name_does_not_differ() -> None:
    found = small("noise", losses=("kto", loss_of(kto, name="the same")))
    assert all(each.direction == "not shown" and not each.difference.mean for each in found.comparisons)
    assert found.findings == ["kto against the same: no difference shown in reward"]


def test_one_loss_is_compared_with_itself() -> None:
    found = small("noise", losses=("dpo",), at=(0.0, 0.4))
    assert [(each.first.condition, each.second.condition) for each in found.comparisons] == [("0.4", "0")]
    assert "dpo at 40 % label noise" in found.findings[0]
    assert len(found.panels) == 1


def test_what_is_set_is_not_tuned() -> None:
    found = small("noise", at=(0.1,), settings={"beta": 0.7})
    assert {each.beta for each in found.choices} == {None}
    assert "beta = 0.7, as set" in found.held_equal
    assert means(found) != means(small("noise", at=(0.1,), settings={"beta": 0.2}))


@pytest.mark.parametrize("measure", [GAIN, VALUE])
def test_a_gain_is_0_at_the_reference_and_1_at_the_best_outputs(measure: Any) -> None:
    data = usual_data(BUDGET, tuning=False)
    assert torch.allclose(measure.of(data, data.world.reference_logits), torch.zeros(6).double(), atol=1e-12)
    assert torch.allclose(measure.of(data, 1e4 * data.world.mean_rewards), torch.ones(6).double())


def test_a_gain_does_not_depend_on_the_unit_of_reward() -> None:
    world = drawn_worlds(BUDGET, tuning=False)
    logits = torch.randn(world.reference_logits.shape, dtype=torch.float64)
    gain = gain_of(world.mean_rewards, world, logits)
    assert torch.allclose(gain_of(3 * world.mean_rewards + 7, world, logits), gain)


def test_worlds_for_tuning_are_others() -> None:
    count = replace(BUDGET, tuning_seeds=6)
    others, own = (drawn_worlds(count, tuning=each).rewards for each in (True, False))
    assert not torch.isclose(others, own).any()


@pytest.mark.parametrize("name", ["kto", "dpo", "bco"])
def test_what_is_tried_at_once_is_what_each_choice_gives_alone(name: str) -> None:
    data = usual_data(BUDGET, tuning=True)
    contender = contenders([name])[0]
    choices = [choice(rate, beta) for beta in (0.1, 1.0) for rate in (0.5, 2.0)]
    found = tuning.first_look(contender, [data, data], BUDGET, choices, aim=GAIN)
    for i, each in enumerate(choices):
        feedback = contender.feedback(data)
        run = training.trained(contender, data.world, feedback, BUDGET, each.learning_rate, beta=each.beta)
        alone = float(GAIN.of(data, run.final).mean())
        assert [look.scores[i] for look in found] == pytest.approx([alone, alone], abs=1e-9)


def test_a_chaotic_learning_rate_is_not_taken() -> None:
    budget = Budget(tuning_seeds=20, examples=80, steps=60)
    data, contender = usual_data(budget, tuning=True), contenders(["kto"])[0]
    slope = tuning.first_slopes(contender, [data], budget, [0.3])[0.3]
    choices = [choice(1 / slope, 0.3), choice(100 / slope, 0.3)]
    look = tuning.first_look(contender, [data], budget, choices, aim=GAIN)[0]
    assert look.settled.tolist() == [True, False]
    assert [each.learning_rate for each in look.among(choices, "")] == [1 / slope]
    alone = replace(look, settled=np.array([False, False])).among(choices, "")
    assert len(alone) == 2
    assert not any(each.settled for each in alone)


def test_an_end_is_one_only_where_it_is_better_than_what_lies_inside() -> None:
    choices = [replace(choice(rate, 1.0), at_edge=rate == 3) for rate in (1.0, 2.0, 3.0)]
    for lead, is_end in ((0.005, False), (0.05, True)):
        look = tuning.Look(scores=np.array([0.1, 0.5, 0.5 + lead]), settled=np.ones(3, dtype=bool))
        assert next((each.learning_rate, each.at_edge) for each in look.among(choices, "")) == (3.0, is_end)


def choice(rate: float, beta: float) -> Choice:
    return Choice(
        condition="",
        contender="",
        replication=0,
        learning_rate=rate,
        first_step=1,
        beta=beta,
        settled=True,
        at_edge=False,
    )


def test_memory_grows_with_everything_that_is_held() -> None:
    least = needed_bytes(BUDGET, conditions=1)
    for name in ("seeds", "prompts", "outputs", "examples"):
        assert needed_bytes(replace(BUDGET, **{name: 1000 * getattr(BUDGET, name)}), conditions=1) > 10 * least
    assert needed_bytes(BUDGET, conditions=9) > least


def test_the_title_of_the_phase_diagram_is_one_claim() -> None:
    found = small("phase", at=(0.6, 0.9))
    assert found.claim.startswith("share of the map where the majority's output ends up the likelier one: kto 100 % in")
    maps = [panel.values for panel in found.panels if isinstance(panel, Map) and panel.row == "dpo"]
    for each, share in zip(maps, (0.6, 0.9), strict=True):
        assert f"{int(100 * (each > 0.5).mean())} % (p = {share})" in found.claim


def test_noise_turns_labels_round() -> None:
    found = small("noise", losses=("dpo",), at=(0.0, 1.0), settings={"beta": 0.1})
    values = means(found)
    assert values["0", "dpo", "gain"] > 0 > values["1", "dpo", "gain"]


@pytest.mark.parametrize("fraction", [0.05, 0.25, 0.5, 0.6, 0.75, 0.95])
def test_weights_satisfy_equation_7(fraction: float) -> None:
    weights = torch.zeros(2, 1, 2, 2).double()
    weights[:, 0, 0, 1], weights[:, 0, 1, 0] = fraction, 1 - fraction
    found = imbalance.balanced_weights(Thumbs(weights=weights))
    desirable, undesirable = (found[name] for name in ("desirable_weight", "undesirable_weight"))
    ratio = desirable * fraction / (undesirable * (1 - fraction))
    assert ((ratio >= 1 - 1e-9) & (ratio <= 1.5 + 1e-9)).all()
    assert torch.minimum(desirable, undesirable).eq(1).all()
    if 0.5 <= fraction <= 0.6:
        assert (desirable == undesirable).all()


def test_balanced_labels_need_no_weights() -> None:
    found = small("imbalance", at=(0.5,))
    assert [each.difference.mean for each in found.comparisons] == [0]


def test_one_of_each_pair_is_half_of_the_examples() -> None:
    world = drawn_worlds(BUDGET, tuning=False)
    people = bradley_terry(world)
    data = drawn_pairs(world, people, people, BUDGET, tuning=False)
    assert data.pairs is not None
    found = one_per_prompt.one_of_each_pair(data.pairs, 24, generator=torch.Generator().manual_seed(0))
    counts = found.weights * 24
    assert torch.allclose(counts, counts.round())
    assert torch.allclose(counts.sum((1, 2, 3)), torch.full((6,), 24.0).double())
    assert (counts <= 2 * 24 * data.thumbs.weights + 1e-9).all()
    assert 0.2 < float(found.desirable_fraction.mean()) < 0.8


def test_z0_of_0_is_kto_without_a_reference_point() -> None:
    told = means(small("reference-point", at=(0.1,)))
    without = means(small("noise", losses=("kto_without_reference_point",), at=(0.1,)))
    key = ("0.1", "kto_without_reference_point", "gain")
    assert told["0.1", "z0 = 0", "gain"] == pytest.approx(without[key], abs=1e-12)


def test_another_number_is_one_more_reference_point() -> None:
    found = small("reference-point", at=(0.1,), reference_point=0.5)
    assert [each.first.contender for each in found.comparisons] == ["z0 = 0.5"] * len(points.POINTS)


def test_the_best_reply_to_a_cycle() -> None:
    world = drawn_worlds(BUDGET, tuning=False)
    people = going_round(world, strength=0.9)
    data = drawn_pairs(world, people, people, BUDGET, tuning=False)
    alike = torch.zeros_like(world.reference_logits)
    settled = alike.clone()
    settled[..., 1] = 1e4
    assert torch.allclose(intransitive.BEST_REPLY.of(data, alike), torch.full((6,), 0.5).double())
    assert torch.allclose(intransitive.BEST_REPLY.of(data, settled), torch.full((6,), 0.9).double())


def test_the_groups_gains_are_those_of_their_own_rewards() -> None:
    world = drawn_worlds(BUDGET, tuning=False, num_groups=2)
    people = bradley_terry(world)
    data = drawn_pairs(world, people, people, BUDGET, tuning=False)
    logits = 1e4 * world.rewards[:, 1]
    assert torch.allclose(minority.MINORITY.of(data, logits), torch.ones(6).double())
    assert torch.allclose(minority.MAJORITY.of(data, 1e4 * world.rewards[:, 0]), torch.ones(6).double())


def test_nobody_gains_more_than_is_possible_at_its_distance() -> None:
    found = drift.run(budget=replace(BUDGET, steps=200), at=(0.01, 0.05, 0.1), started=quiet)
    values = means(found)
    for condition, contender, measure in values:
        assert values[condition, contender, measure] <= values[condition, drift.BEST, measure] + 1e-3


def test_a_gain_on_the_way_is_interpolated_in_the_root_of_the_distance() -> None:
    kls, gains = np.array([[0.0], [0.01], [0.09]]), np.array([[0.0], [0.1], [0.5]])
    assert drift.gain_at(0.01, kls, gains) == pytest.approx([0.1])
    assert drift.gain_at(0.04, kls, gains) == pytest.approx([0.3])


def test_a_distance_that_is_not_reached_is_left_out_and_said() -> None:
    found = drift.run(budget=BUDGET, at=(0.001, 50.0), started=quiet)
    assert {each.key.condition for each in found.measurements} == {"0.001"}
    assert any("not reached by every world: 50 nats" in note for note in found.notes)


def test_the_phase_diagram_of_dpo_is_its_closed_form() -> None:
    found = small("phase", losses=("dpo",), at=(0.6, 0.9))
    for panel, share in zip(found.panels, (0.6, 0.9), strict=True):
        assert isinstance(panel, Map)
        beyond = panel.y[:, None] - phase.dpo_boundary(share, panel.x)[None]
        clear = np.abs(beyond) > 1e-6
        assert ((panel.values > 0.5) == (beyond > 0))[clear].all()


def test_the_phase_diagram_of_kto_by_reading() -> None:
    found = small("phase", at=(0.8,))
    maps = {panel.row: panel.values for panel in found.panels if isinstance(panel, Map)}
    for name in ("kto (z0 = 0)", "kto (z0 = KL)"):
        assert (maps[name] > 0.99).all()
    assert maps["kto (z0 = KL, with gradient)"].min() < 0.6
    assert maps["kto (least loss, z0 = KL)"].min() < 0.6


def test_areas_are_those_of_the_finite_data_sets() -> None:
    found = phase.run(("dpo",), at=(0.7,), budget=Budget(**{**SMALL, "examples": 5, "seeds": 40}), started=quiet)
    counts = np.random.default_rng(0).binomial(5, 0.7, (1, 40))[0]
    betas, references = np.geomspace(0.05, 5, 9)[::3], np.linspace(0.01, 0.99, 8)[::3]
    with np.errstate(divide="ignore"):
        odds = np.log(counts / 5) - np.log(1 - counts / 5)
    logit = odds[:, None, None] / betas[:, None] + np.log(references / (1 - references))
    key = Key(condition="0.7", contender="dpo", measure="likelier")
    shown = {each.key: each.estimate.mean for each in found.measurements}
    assert shown[key] == pytest.approx((logit > 0).mean(), abs=1e-12)


@pytest.mark.parametrize("name", ["kto_without_reference", "bco", "ppo_clip", "simpo", "ipo", "orpo", "sft"])
def test_losses_of_every_kind_take_part(name: str) -> None:
    found = small("noise", losses=(name, "kto"), at=(0.1,))
    assert len(found.comparisons) == 1


def test_minibatches_are_another_way_to_train() -> None:
    budget = replace(BUDGET, batch_size=8)
    found = noise.run(("kto", "dpo"), at=(0.1,), budget=budget, reference_point="mismatched", started=quiet)
    assert "6 steps of gradient descent from the reference, minibatches of 8" in found.held_equal


def nowhere(policy_logps: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(policy_logps) * policy_logps


def broken(policy_logps: torch.Tensor) -> torch.Tensor:
    return policy_logps * float("nan")


def nan_at_start(policy_logps: torch.Tensor, reference_logps: torch.Tensor) -> torch.Tensor:
    return (policy_logps - reference_logps - 1).log()


def narrow(policy_logps: torch.Tensor, reference_logps: torch.Tensor, desirable: torch.Tensor) -> torch.Tensor:
    z = (policy_logps - reference_logps).float()
    return torch.where(desirable, -z, z)


BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: noise.run(()), "no loss"),
    (lambda: noise.run(("kto", "kto")), "kto: named twice"),
    (lambda: noise.run(("ktoo",)), "did you mean 'kto'"),
    (lambda: noise.run(at=()), "give one or more different values"),
    (lambda: noise.run(at=(0.1, 0.1)), "give one or more different values"),
    (lambda: noise.run(at=(1.5,)), "numbers from 0 to 1"),
    (lambda: noise.run(at=(float("nan"),)), "numbers from 0 to 1"),
    (lambda: noise.run(settings={"gamma": 1}), "none of these losses has such a hyperparameter"),
    (lambda: noise.run((loss_of(nowhere),), budget=BUDGET, started=quiet), "it cannot begin"),
    (lambda: noise.run((loss_of(broken),), budget=BUDGET, started=quiet), "not finite where the policy is the"),
    (lambda: noise.run(reference_point="kkl", budget=BUDGET, started=quiet), "unknown reference point"),  # type: ignore[arg-type]
    (lambda: imbalance.run(("dpo",), at=(0.5,), budget=BUDGET, started=quiet), "people judge single outputs"),
    (lambda: imbalance.run(at=(0.01,), budget=BUDGET), "numbers from 0.0416667 to 0.958333"),
    (lambda: imbalance.run(settings={"desirable_weight": 2}), "sets the weights itself"),
    (lambda: points.run(("kto", "kto_concave")), "the reference points of one"),
    (lambda: points.run(("dpo",)), "takes no argument `kl`"),
    (lambda: points.run(reference_point="middle"), "unknown reference point 'middle'"),  # type: ignore[arg-type]
    (lambda: noise.run(reference_point=-1.0), "a KL is a number >= 0"),
    (lambda: utility.run(at=(1.0,)), "varies nothing that has values"),
    (lambda: minority.run(at=(0.5,)), "between 0 and 0.5"),
    (lambda: intransitive.run(at=(0.2,)), "numbers from 0.5 to 1"),
    (lambda: phase.run(at=(0.5,)), "between 0.5 and 1"),
    (lambda: phase.run(("sft",)), "no hyperparameter beta"),
    (lambda: phase.run(settings={"beta": 1}), "is an axis"),
    (lambda: drift.run(at=(99.0,), budget=BUDGET, started=quiet), "some world never gets so far"),
    (lambda: drift.run(at=(0.0,), budget=BUDGET, started=quiet), "give numbers above 0"),
    (lambda: phase.run(at=()), "give one or more different values"),
    (lambda: noise.run(budget=replace(BUDGET, seeds=10**12)), "GiB of memory"),
    (lambda: shape.run(at=(20, 10**6), budget=replace(BUDGET, seeds=10**7)), "GiB of memory"),
    (lambda: shape.run(at=(1.5,)), "give whole numbers"),
    (lambda: imbalance.run(at=(0.5,), budget=replace(BUDGET, examples=1)), "of both labels"),
    (lambda: noise.run((loss_of(nan_at_start),), budget=BUDGET, started=quiet), "not finite where the policy is the"),
    (lambda: noise.run((loss_of(narrow),), budget=BUDGET, started=quiet), "keep the arguments' dtype"),
    (lambda: Budget(seed=2**64), "give 0 to"),
    (lambda: Budget(device="meta"), "--device meta: cannot be used"),
    (lambda: Budget(seeds=1), "seeds=1; give 2 or more"),
    (lambda: Budget(tuning_seeds=0), "tuning-seeds=0; give 2 or more"),
    (lambda: Budget(device="nowhere"), "--device nowhere: cannot be used"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_arguments(call: Callable[[], object], message: str) -> None:
    with pytest.raises(HaloTheoryError, match=message.replace("(", r"\(")):
        call()


def by_rank(policy_logps: torch.Tensor, reference_logps: torch.Tensor, desirable: torch.Tensor) -> torch.Tensor:
    z = policy_logps - reference_logps
    return torch.where(desirable, -1.0, 1.0).double() * (z - z.detach().median()) ** 3 - torch.where(desirable, z, -z)


def test_a_loss_that_mixes_its_batch_otherwise_needs_minibatches() -> None:
    mixing = loss_of(by_rank)
    with pytest.raises(HaloTheoryError, match="--batch-size"):
        noise.run((mixing,), at=(0.1,), budget=BUDGET, started=quiet)
    assert noise.run((mixing,), at=(0.1,), budget=replace(BUDGET, batch_size=8), started=quiet).choices


@pytest.mark.parametrize("reference", [Rational(1, 257), Rational(1, 20), Rational(1, 2)])
def test_the_least_loss_leaves_the_vertex_where_theorem_4_says(reference: Rational) -> None:
    boundary = kto_curves.VALUE.largest_beta(reference)[0].middle
    point, diagram = phase.READINGS["least loss, z0 = KL"]
    found = diagram(
        "kto",
        shares=[0.7],
        betas=[boundary * 0.998, boundary * 1.005],
        reference_probabilities=[float(reference)],
        reference_point=point,
    ).probabilities.flatten()
    assert found[0] > 1 - 1e-9
    assert found[1] < 1 - 1e-5
