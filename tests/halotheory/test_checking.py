"""The verdicts: every built-in, a zoo of losses with known answers, and the record that `--json` prints."""

import json
import re
import time
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import sympy
import torch

from halotheory import checking
from halotheory.checking import check
from halotheory.contract import load_loss
from halotheory.errors import HaloTheoryError
from halotheory.findings import Finding, Status, Verdict
from halotheory.proving.shape import Z

ZOO = Path(__file__).parent / "zoo.py"
MY_LOSS = Path(__file__).parents[2] / "examples" / "my_loss.py"

STRICT = [
    "clamped_by_hyperparameters",
    "dpo_by_softplus",
    "dpo_flipped",
    "dpo_plus_reference",
    "kto_mean",
    "kto_mean_of_worths",
    "detached_mask",
    "kto_by_masks",
    "kto_by_signs",
    "risk_neutral",
    "arctangent",
    "hyperbolic_tangent",
    "clipped",
    "jump_among_losses",
    "length_normalised",
    "kahneman_tversky",
    "batch_mean",
]
RELAXED = {
    "weighted_by_kl": ["detached_weight"],
    "size_of_the_advantage": ["context_indexed_value", "implied_policy"],
    "kto_weighted": ["class_weights"],
    "concave_both": ["mirrored_argument"],
    "simpo": ["uniform_reference"],
    "conservative_dpo": ["label_mixture"],
    "hard_coded_mixture": ["label_mixture"],
    "factor_as_a_name": ["label_mixture"],
    "margin_of_lengths": ["modified_reference"],
    "tempered_reference": ["modified_reference"],
    "detached_weight": ["detached_weight"],
    "linked": ["generalised_link"],
}
REFUTED = {
    "cancelled_by_value": "non_constant",
    "detached_margin": "reference_point",
    "no_reference_point": "reference_point",
    "half_subtracted": "reference_point",
    "two_value_functions": "single_value_function",
    "constant": "non_constant",
    "narrow_dip": "non_decreasing",
    "jump_among_gains": "concave_in_gains",
    "convex_among_gains": "concave_in_gains",
    "squared": "non_decreasing",
    "softplus_without_labels": "non_decreasing",
    "mirrored_for_desirable": "single_value_function",
    "two_slopes": "reference_point",
    "zeros": "non_constant",
    "softplus_with_a_jump": "non_decreasing",
    "error_function": "reference_point",
    "policy_gradient": "reference_point",
}
OPEN = [
    "without_reference_but_kl",  # kl is measured against a reference that the loss does not name
    "detached_factor_of_tokens",  # factors of tokens are not held constant
]


@pytest.mark.parametrize(
    ("name", "word", "holds_for"),
    [
        ("dpo", "halo", "every beta > 0"),
        ("hinge", "halo", "every beta > 0"),
        ("ipo", "not_halo", "every beta > 0"),
        ("sft", "not_halo", "the loss as it is"),
        (str(MY_LOSS), "halo", "every beta > 0, every loss_aversion > 0"),
    ],
)
def test_built_ins_are_decided_for_every_positive_hyperparameter(name: str, word: str, holds_for: str) -> None:
    verdict = check(name)
    assert (verdict.verdict, verdict.holds_for) == (word, holds_for)
    assert verdict.strict == (word == "halo")
    assert not verdict.relaxations


def test_kto_is_strict_with_equal_weights_and_needs_class_weights_otherwise() -> None:
    equal = check("kto")
    assert equal.verdict == "halo"
    assert equal.strict
    assert equal.holds_for.startswith("every beta > 0 with desirable_weight = 1, undesirable_weight = 1")
    unequal = check("kto", settings={"desirable_weight": 1.33})
    assert unequal.verdict == "halo"
    assert not unequal.strict
    assert unequal.relaxations == ["class_weights"]


def test_kto_construction_is_the_papers() -> None:
    construction = check("kto").construction
    assert construction is not None
    beta = sympy.Symbol("beta", positive=True)
    v = sympy.sympify(construction.value_function, locals={"z": Z, "beta": beta})
    assert sympy.simplify(v - 1 / (1 + sympy.exp(-beta * Z))) == 0
    assert construction.implied_reward == "log_ratio"
    assert construction.sign == "-1 for desirable, +1 for undesirable"
    assert construction.constant == "1 for desirable, 0 for undesirable"


def test_dpo_construction_is_the_papers() -> None:
    construction = check("dpo").construction
    assert construction is not None
    v = sympy.sympify(construction.value_function, locals={"z": Z})
    assert sympy.simplify(v - sympy.log(1 / (1 + sympy.exp(-Z)))) == 0
    assert construction.normalizer == "beta"
    assert construction.sign == "-1"


@pytest.mark.parametrize("name", STRICT)
def test_strict_halos_are_proved(name: str) -> None:
    verdict = check(f"{ZOO}:{name}", timeout=30)
    assert verdict.verdict == "halo"
    assert verdict.strict
    assert all(finding.status is Status.PROVED for finding in verdict.conditions)


@pytest.mark.parametrize("name", RELAXED)
def test_relaxed_halos_name_their_relaxation(name: str) -> None:
    verdict = check(f"{ZOO}:{name}", timeout=30)
    assert verdict.verdict == "halo"
    assert not verdict.strict
    assert list(verdict.relaxations) == RELAXED[name]
    refused = check(f"{ZOO}:{name}", strict=True, timeout=30)
    assert refused.verdict == "not_halo"


@pytest.mark.parametrize("name", REFUTED)
def test_losses_that_are_none_are_refuted_with_a_witness(name: str) -> None:
    verdict = check(f"{ZOO}:{name}", timeout=30)
    assert verdict.verdict == "not_halo"
    guilty = [finding for finding in verdict.conditions if finding.status is Status.REFUTED]
    assert REFUTED[name] in [finding.name for finding in guilty]
    assert all(finding.witness for finding in guilty)


@pytest.mark.parametrize("name", OPEN)
def test_what_is_not_analysed_is_undecided(name: str) -> None:
    assert check(f"{ZOO}:{name}", timeout=30).verdict == "undecided"


def test_kahneman_tversky_holds_for_every_loss_aversion() -> None:
    assert check(f"{ZOO}:kahneman_tversky", timeout=30).holds_for.startswith("every aversion > 0")


def test_a_batch_mean_is_a_reference_point() -> None:
    construction = check(f"{ZOO}:batch_mean").construction
    assert construction is not None
    assert (construction.value_function, construction.sign) == ("z", "+1")
    assert "empirical distribution of the batch" in construction.reference_point


def test_the_record_names_the_guilty_part_and_what_would_mend_it() -> None:
    refuted = next(f for f in check(f"{ZOO}:half_subtracted").conditions if f.status is Status.REFUTED)
    assert refuted.guilty is not None
    assert "kl" in refuted.guilty
    assert refuted.remedy == "subtract kl whole: z = log_ratio - kl"


def test_a_tempered_reference_is_refuted_strictly() -> None:
    verdict = check(f"{ZOO}:tempered_reference", strict=True)
    assert verdict.verdict == "not_halo"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("branches_on_data", "may not branch on its data"),
        ("hides_its_branch", "may not branch on its data"),
        ("reads_an_entry", "turn it into a Python number"),
        ("draws_like", "'rand_like' is random"),
        ("draws", "draws random numbers"),
        ("writes_in_place", "'mul_' writes in place"),
        ("unsupported", "operation 'lgamma' is not supported"),
        ("sign_of_the_first", "depends on the others of its batch"),
        ("weight_by_place", "depends on the others of its batch"),
        ("leaves", "raised SystemExit: 0"),
        ("raises", "raised ValueError: no such thing"),
        ("wrong_shape", "return (2,) or a scalar"),
        ("hides_its_gradient", "misreads this code"),
        ("leaves_pytorch", "two runs on the same input differ"),
    ],
)
def test_code_that_cannot_be_checked_is_named_with_its_line(name: str, message: str) -> None:
    lines = ZOO.read_text().splitlines()
    definition = next(i for i, line in enumerate(lines, 1) if line.startswith(f"def {name}("))
    with pytest.raises(HaloTheoryError) as error:
        check(f"{ZOO}:{name}")
    assert message in str(error.value)
    line = int(str(error.value).split("zoo.py:")[1].split(":")[0])
    assert definition <= line <= definition + 4


def test_a_branch_on_a_hyperparameter_is_taken_as_set() -> None:
    straight = check(f"{ZOO}:branches_on_a_hyperparameter")
    assert straight.verdict == "halo"
    assert any("power: traced at 1" in note for note in straight.notes)
    assert straight.holds_for == "every beta > 0, power = 1"


@pytest.mark.parametrize(
    "loss",
    ["ipo", *(f"{ZOO}:{name}" for name in ("narrow_dip", "squared", "jump_among_gains", "softplus_with_a_jump"))],
)
def test_witnesses_hold_when_the_real_code_is_run(loss: str) -> None:
    """The points of a refutation, put into the loss itself: z is the log-ratio, the reference point 0."""
    verdict = check(loss, timeout=30)
    refuted = next(finding for finding in verdict.conditions if finding.status is Status.REFUTED)
    at = _numbers(refuted, verdict.hyperparameters)
    values = [-_loss_at(loss, float(z / _reward_of_one_nat(verdict))) for z in at]
    if refuted.name == "non_decreasing":
        assert at[0] < at[1]
        assert values[0] > values[1]
    else:
        assert 0 < at[0] < at[1] < at[2]
        share = float((at[2] - at[1]) / (at[2] - at[0]))
        assert values[1] < share * values[0] + (1 - share) * values[2]


def _reward_of_one_nat(verdict: Verdict) -> Fraction:
    """Return l, from the statement on the reference point: z = r - E_Q[r] with r = l * log_ratio."""
    reward = re.search(r"with r = (.*?);", verdict.conditions[1].statement)
    assert reward is not None
    names = {name: sympy.Rational(repr(value)) for name, value in verdict.hyperparameters.items()}
    one = sympy.Rational(sympy.sympify(reward[1], locals={**names, "log_ratio": sympy.S.One}))
    return Fraction(int(one.p), int(one.q))


def _numbers(finding: Finding, hyperparameters: Mapping[str, float]) -> list[Fraction]:
    assert finding.witness is not None
    names = {name: sympy.Symbol(name) for name in hyperparameters}
    points = [value for name, value in finding.witness.items() if name.startswith("z")]
    settings = {names[name]: sympy.Rational(repr(value)) for name, value in hyperparameters.items()}
    exact = [sympy.sympify(point, locals=names).subs(settings) for point in points]
    return [Fraction(int(point.p), int(point.q)) for point in exact]


def _loss_at(spec: str, z: float) -> float:
    """Return the loss of one (desirable, or chosen) example whose log-ratio is z, all else at 0."""
    loss = load_loss(spec)
    tensors = {name: torch.zeros(1, dtype=torch.float64) for name in loss.arguments}
    tensors["desirable"] = torch.tensor([True])
    tensors[next(name for name in loss.arguments if name.startswith("policy_"))] += z
    return float(loss(**tensors))


def test_as_dict_is_the_documented_object() -> None:
    printed = json.loads(json.dumps(check("kto").as_dict()))
    assert list(printed) == [
        "loss",
        "verdict",
        "strict",
        "relaxations",
        "hyperparameters",
        "holds_for",
        "construction",
        "conditions",
        "notes",
        "seconds",
    ]
    assert printed["hyperparameters"] == {"beta": 0.1, "desirable_weight": 1.0, "undesirable_weight": 1.0}
    assert [condition["name"] for condition in printed["conditions"]] == [
        "log_ratio_only",
        "reference_point",
        "single_value_function",
        "non_decreasing",
        "concave_in_gains",
        "non_constant",
    ]
    assert set(printed["conditions"][0]) == {
        "name",
        "status",
        "method",
        "statement",
        "witness",
        "guilty",
        "remedy",
    }
    assert check("ipo").as_dict()["construction"] is None


def test_no_time_left_is_undecided_and_not_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "decide", lambda *_: time.sleep(60))
    verdict = check("dpo", timeout=4)
    assert verdict.verdict == "undecided"
    assert any("no decision within 4 s" in note for note in verdict.notes)


def test_a_loop_without_end_is_an_error_in_time() -> None:
    with pytest.raises(HaloTheoryError, match=r"could not be read within 0\.5 s"):
        check(f"{ZOO}:loops", timeout=0.5)


def test_a_loop_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "my_loss.py"
    path.write_text("def loss(policy_logps):\n    while True:\n        policy_logps = policy_logps + 1\n")
    with pytest.raises(HaloTheoryError, match=r"my_loss\.py:[23]: "):
        check(path, timeout=0.5)


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), None, "60", True])
def test_a_timeout_is_a_number_of_seconds(timeout: Any) -> None:
    with pytest.raises(HaloTheoryError, match="give a number of seconds > 0"):
        check("dpo", timeout=timeout)


@pytest.mark.parametrize("draws", ["random.random()", "next(count)"])
def test_what_draws_or_remembers_is_not_blamed_on_the_batch(draws: str, tmp_path: Path) -> None:
    path = tmp_path / "my_loss.py"
    path.write_text(
        "import itertools, random\ncount = itertools.count()\n"
        f"def loss(policy_logps, reference_logps):\n    return {draws} * (policy_logps - reference_logps)\n"
    )
    with pytest.raises(HaloTheoryError, match="two runs on the same input differ; a loss that draws or remembers"):
        check(path)


def test_a_loss_that_is_nan_on_part_of_the_line_is_told_so() -> None:
    def loss(policy_logps, reference_logps, kl):
        return -torch.log(policy_logps - reference_logps - kl)

    found = check(loss)
    assert found.verdict == "undecided"
    assert any("the loss is NaN where an example's log-ratio is -1 nats" in note for note in found.notes)


def test_values_of_hyperparameters_stand_beside_each_alternative() -> None:
    assert check("kto", settings={"beta": -1}).holds_for == (
        "desirable_weight = 1, undesirable_weight = 1, beta = -1; "
        "with class_weights for every desirable_weight > 0, every undesirable_weight > 0, beta = -1"
    )


def test_weights_and_constants_add_up_to_the_loss() -> None:
    construction = check(f"{ZOO}:kto_weighted").construction
    assert construction is not None
    assert construction.sign == "-1 times 3 for desirable, +1 for undesirable"
    assert construction.constant == "3/2 for desirable, 0 for undesirable"


def test_a_python_function_can_be_checked() -> None:
    def loss(policy_logps, reference_logps, desirable, kl, *, beta=1.0):
        value = torch.sigmoid(beta * (policy_logps - reference_logps - kl))
        return torch.where(desirable, 1 - value, value)

    assert check(loss).verdict == "halo"
