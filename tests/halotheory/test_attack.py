"""Attacks on what was proved: values drawn at random, constructions put together again, witnesses run as code."""

import re
import runpy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mpmath
import pytest
import sympy
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sympy import Expr, Symbol
from sympy.core.relational import Relational

from halotheory import losses
from halotheory.contract import Loss, load_loss
from halotheory.domains import parse_domain
from halotheory.findings import Construction, Finding, Status, Verdict

COLLECTIONS = Path(__file__).parent / "collections"
EXPECTED = {
    f"{path}:{name}": expected[0]
    for path in sorted(COLLECTIONS.glob("*.py"))
    for name, expected in runpy.run_path(str(path))["EXPECTED"].items()
}
HALOS = [*losses.__all__, *(spec for spec, word in EXPECTED.items() if word == "halo")]
NO_LOSS = "reference_model_only"  # no argument of the policy: outside the contract
OTHERS = [
    *losses.__all__,
    *(spec for spec, word in EXPECTED.items() if word == "not_halo" and not spec.endswith(NO_LOSS)),
]
NOT_IN_THE_TEXT = {
    "estimated_reference_point": "the clamp",
    "implied_policy": "tokens and their mask",
    "label_mixture": "v is that of the clean labels",
    "modified_reference": "the other reference, which the notes name",
}
"""Relaxations under which the construction's text alone does not say what the loss is, and what is missing."""

NOT_ROW_BY_ROW = {
    "beta_dpo": "its detached part sees the whole batch",
    "weighted_by_batch_softmax": "its detached part sees the whole batch",
    "losses_in_label_order": "it returns the desirable outputs first",
    "kto_concatenated": "it returns the desirable outputs first",
    "dpo_mutant_sign_by_chosen_length": "its sign depends on the lengths, which the notes say",
}
"""Losses whose result for a row is not told by that row and the construction, and why."""

DIGITS = 50
MANY_DIGITS = 400
LEAST, MOST = 1e-3, 1e3  # what stands for "every positive value"
_FUNCTIONS = {
    "And",
    "E",
    "Max",
    "Min",
    "Ne",
    "Or",
    "Piecewise",
    "True",
    "atan",
    "erf",
    "exp",
    "log",
    "pi",
    "sqrt",
    "tanh",
    "z",
}
_z = Symbol("z", real=True)

Check = Callable[[str], Verdict]
Number = Any  # of mpmath, which has no type hints


def _name(spec: str) -> str:
    return spec.rpartition(":")[2]


def _read(text: str) -> Expr:
    """Return a construction's expression; every name in it is a real number."""
    names = set(re.findall(r"[A-Za-z_]\w*", text)) - _FUNCTIONS
    return sympy.sympify(text, locals={name: Symbol(name, real=True) for name in names} | {"z": _z})


# Drawn values


@dataclass(frozen=True, kw_only=True)
class Target:
    """A value function under attack.

    Attributes:
        value: v, from z and the other symbols' values in order.
        seams: where its conditions may change, from the other symbols' values.
        symbols: the other symbols: hyperparameters and context.
        ranges: what may be drawn for a hyperparameter.
        half_lines: whether v lives on the side of zero on which the advantage is.
    """

    value: Callable[..., Number]
    seams: Callable[..., Sequence[Number]]
    symbols: Sequence[str]
    ranges: Mapping[str, tuple[float, float]]
    half_lines: bool


def _target(verdict: Verdict) -> Target:
    assert verdict.construction is not None
    v = _read(verdict.construction.value_function)
    symbols = sorted(v.free_symbols - {_z}, key=str)
    seams = list(_seams(v.rewrite(sympy.Piecewise)))
    return Target(
        value=sympy.lambdify([_z, *symbols], v, modules="mpmath"),
        seams=sympy.lambdify(symbols, seams, modules="mpmath"),
        symbols=[symbol.name for symbol in symbols],
        ranges=_ranges(verdict),
        half_lines=Symbol("advantage", real=True) in symbols,
    )


def _seams(v: Expr) -> Iterator[Expr]:
    atoms = {atom for part in v.atoms(sympy.Piecewise) for atom in part.atoms(Relational)}
    for atom in sorted(atoms, key=str):
        difference = atom.lhs - atom.rhs
        slope = sympy.diff(difference, _z)
        if slope != 0 and _z not in slope.free_symbols:
            yield sympy.expand(_z - difference / slope)


def _ranges(verdict: Verdict) -> dict[str, tuple[float, float]]:
    """Return for which values of each hyperparameter the verdict is said to hold, within what is drawn."""
    found = {name: (value, value) for name, value in verdict.hyperparameters.items()}
    said = re.sub(r"\(.*?\)", "", verdict.holds_for.partition(";")[0])
    for part in re.split(r" with |, ", said.replace("every ", "")):
        name = next((name for name in found if re.search(rf"\b{name}\b", part)), None)
        if name is None or not re.search("[<>]", part):
            continue
        low, high = LEAST, MOST
        for bound in parse_domain(name, part.strip()):
            inside = 1e-9 * (1 if bound.relation in "<>" else 0)
            if bound.relation.startswith(">"):
                low = max(low, float(bound.number) + inside) if bound.number > 0 else LEAST
            else:
                high = min(high, float(bound.number) - inside)
        found[name] = (low, high)
    return found


@st.composite
def _contexts(draw: st.DrawFn, target: Target) -> dict[str, Number]:
    """Draw hyperparameters within what is claimed, and what a batch may hold."""
    return {name: mpmath.mpf(draw(_values(name, target))) for name in target.symbols}


def _values(name: str, target: Target) -> st.SearchStrategy[float]:
    if name in target.ranges:
        low, high = target.ranges[name]
        return st.just(low) if low == high else st.floats(mpmath.log(low), mpmath.log(high)).map(_exp(low, high))
    if "lengths" in name:
        return st.integers(1, 2000).map(float)
    if name == "advantage":
        return st.floats(-6, 6).map(lambda x: x + (0.01 if x >= 0 else -0.01))
    if name.startswith("reference_"):
        return st.floats(0, 300).map(lambda x: -x)
    assert name.startswith("detached"), name
    return st.floats(-9, 3).map(_exp(0.0, MOST))


def _exp(low: float, high: float) -> Callable[[float], float]:
    return lambda x: min(max(float(mpmath.exp(x)), low), high)


@st.composite
def _points(draw: st.DrawFn, target: Target) -> tuple[Number, Number, dict[str, Number]]:
    """Draw z1 <= z2 and what v depends on: at several scales, around 0 and around the seams of v."""
    context = draw(_contexts(target))
    centres = [mpmath.mpf(0), *target.seams(*context.values())]
    places = []
    for _ in range(2):
        size = mpmath.mpf(10) ** draw(st.floats(-7, 5))
        places.append(draw(st.sampled_from(centres)) + draw(st.sampled_from([-1, 0, 1])) * size)
    return min(places), max(places), context


@pytest.mark.parametrize("spec", HALOS, ids=_name)
def test_no_drawn_value_contradicts_a_proof(spec: str, checked: Check) -> None:
    verdict = checked(spec)
    if verdict.verdict != "halo":
        assert verdict.construction is None
        return
    _attack(_target(verdict))


@pytest.mark.parametrize(
    "v",
    [
        "z**2",
        "z**3",
        "exp(z/1000)",
        "Piecewise((z, z < 37), (z - 1/1000, True))",
        "Piecewise((z, z < 37), (z + 1/1000, True))",
        "Piecewise((z, z < beta), (2*z - beta, True))",
    ],
)
def test_an_attack_finds_what_is_not_so(v: str, checked: Check) -> None:
    verdict = checked("kto")
    assert verdict.construction is not None
    wrong = replace(verdict, construction=replace(verdict.construction, value_function=v))
    with pytest.raises(AssertionError):
        _attack(_target(wrong))


def _attack(target: Target) -> None:
    @settings(
        max_examples=50,
        derandomize=True,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(point=_points(target))
    def attack(point: tuple[Number, Number, dict[str, Number]]) -> None:
        with mpmath.workdps(DIGITS):
            _rises_and_bends_down(target, *point)

    attack()


def _rises_and_bends_down(target: Target, z1: Number, z2: Number, context: Mapping[str, Number]) -> None:
    gains = losses = True
    if target.half_lines:
        gains = context["advantage"] > 0
        losses = not gains
        z1, z2 = sorted((abs(z1), abs(z2)) if gains else (-abs(z1), -abs(z2)))

    def v(z: Number) -> Number:
        return target.value(z, *context.values())

    if (losses or z1 > 0) and (gains or z2 < 0):
        assert v(z1) <= v(z2) + _tiny(z1, z2, v(z1), v(z2))
    low, high = sorted((abs(z1), abs(z2)))
    if gains and low > 0:
        chord = (v(low) + v(high)) / 2
        assert v((low + high) / 2) >= chord - _tiny(low, high, v(low), v(high))


def _tiny(*sizes: Number) -> Number:
    return mpmath.mpf(10) ** (12 - DIGITS) * (1 + sum(abs(size) for size in sizes))


# Constructions put together again


@pytest.mark.parametrize("spec", HALOS, ids=_name)
def test_the_construction_is_the_loss(spec: str, checked: Check) -> None:
    """a * v(z) + C from log-probabilities, in numbers, is what the code returns for them."""
    verdict = checked(spec)
    if verdict.construction is None or set(verdict.relaxations) & set(NOT_IN_THE_TEXT) or _name(spec) in NOT_ROW_BY_ROW:
        return
    loss = load_loss(spec)
    if "distribution of the batch" in verdict.construction.reference_point or loss.kind == "token":
        return  # (the text does not say how large the batch is)
    for seed, scale in enumerate((0.5, 5.0, 60.0)):
        tensors = _tensors(loss, scale, torch.Generator().manual_seed(seed))
        returned = loss(**tensors)
        rows = [
            _rebuilt(loss, verdict, {n: float(t[i] if t.dim() else t) for n, t in tensors.items()}) for i in range(4)
        ]
        expected = torch.tensor(rows, dtype=torch.float64)
        torch.testing.assert_close(returned, expected if returned.dim() else expected.mean(), rtol=1e-7, atol=1e-8)


def _tensors(loss: Loss, scale: float, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Return a batch of four: log-probabilities below 0, two outputs of each label, lengths up to 40."""
    found = {}
    for name in loss.arguments:
        uniform = torch.rand(4, generator=generator, dtype=torch.float64)
        if name == "desirable":
            found[name] = torch.tensor([True, False, True, False])
        elif name == "kl":
            found[name] = uniform[0] * scale / 4
        elif "lengths" in name:
            found[name] = torch.ceil(40 * uniform)
        else:
            found[name] = -scale * uniform
    return found


def _rebuilt(loss: Loss, verdict: Verdict, row: Mapping[str, float]) -> float:
    construction = verdict.construction
    assert construction is not None
    known = {**verdict.hyperparameters, **row}
    label = "desirable" if row.get("desirable", 1.0) else "undesirable"
    known |= _detached(verdict, known, label)
    z = _z_of(loss, construction, known)
    sign = _for_label(construction.sign, label)
    if "with v(-z)" in sign:
        z = -z
    a, _, weight = sign.removesuffix("with v(-z)").partition("times")
    value = _number(construction.value_function, known | {"z": z})
    factor = int(a) * (_number(weight, known) if weight else 1.0)
    return factor * value + _number(_for_label(construction.constant, label), known)


def _z_of(loss: Loss, construction: Construction, known: Mapping[str, float]) -> float:
    if loss.kind == "unpaired":
        assert construction.reference_point.startswith("kl =")
        assert construction.normalizer == "1"
        return known["policy_logps"] - known.get("reference_logps", 0.0) - known["kl"]
    rewards = {}
    for role in ("chosen", "rejected"):
        at = {"log_ratio": _log_ratio(role, known), "length": known.get(f"{role}_lengths", 1.0)}
        assert _number(construction.normalizer, {**known, **at}) > 0
        rewards[role] = _number(construction.implied_reward, {**known, **at})
    y = "chosen" if "y is the chosen output" in construction.reference_point else "rejected"
    return rewards[y] - rewards["rejected" if y == "chosen" else "chosen"]


def _log_ratio(role: str, known: Mapping[str, float]) -> float:
    return known[f"policy_{role}_logps"] - known.get(f"reference_{role}_logps", 0.0)


def _detached(verdict: Verdict, known: Mapping[str, float], label: str) -> dict[str, float]:
    """Return what the notes say is held constant, at its value for outputs of this label."""
    found = {}
    ratios = {
        f"{role}_log_ratio": _log_ratio(role, known)
        for role in ("chosen", "rejected")
        if f"policy_{role}_logps" in known
    }
    if "policy_logps" in known:
        ratios["log_ratio"] = known["policy_logps"] - known.get("reference_logps", 0.0)
    for note in verdict.notes:
        match = re.fullmatch(r"(detached\w*) = (.*), held constant", note)
        if match:
            own = re.search(rf"(?:^|outputs, )((?:(?!outputs, ).)*) for {label} outputs", match[2])
            found[match[1]] = _number(own[1] if own else match[2], {**known, **ratios})
    return found


def _for_label(text: str, label: str) -> str:
    """Return what a text such as '-1 for desirable, +1 for undesirable' says of one label."""
    match = re.search(rf"(?:^|, )([^,]*(?:\([^()]*\)[^,]*)*) for {label}(?:$|, )", text)
    return match[1] if match else text


def _number(text: str, known: Mapping[str, float]) -> float:
    return float(_exactly(text, known))


def _exactly(text: str, known: Mapping[str, float]) -> Number:
    expression = _read(text)
    symbols = sorted(expression.free_symbols, key=str)
    with mpmath.workdps(max(DIGITS, mpmath.mp.dps)):
        return sympy.lambdify(symbols, expression, modules="mpmath")(*(mpmath.mpf(known[s.name]) for s in symbols))


# Witnesses run as code


@pytest.mark.parametrize("spec", OTHERS, ids=_name)
def test_the_witness_of_a_refuted_shape_is_seen_in_the_code(spec: str, checked: Check) -> None:
    """v at the witness's places is, up to a and C, what the code returns where z has these values."""
    verdict = checked(spec)
    loss = load_loss(spec)
    if verdict.verdict != "not_halo" or loss.kind == "token":
        return
    for finding in verdict.conditions:
        if finding.status is not Status.REFUTED or finding.name not in {"non_decreasing", "concave_in_gains"}:
            continue
        with mpmath.workdps(MANY_DIGITS):  # some fail by 1e-300
            places, values = _witness(finding, verdict)
            excess = _excess(finding.name, places, values)
        assert excess > 0
        reward = _reward_of_one_nat(verdict)
        if reward is not None and excess > 1e-9:
            ways = _ways(loss, finding, [float(place) / reward for place in places])
            steps = [float(value - values[0]) for value in values]
            assert any(_same_steps(steps, run) for run in ways), (places, values)


def _witness(finding: Finding, verdict: Verdict) -> tuple[list[Number], list[Number]]:
    """Return the places of a witness and v there."""
    assert finding.witness is not None
    known = {name: float(sympy.sympify(text)) for name, text in _context_of(finding).items()}
    known |= verdict.hyperparameters
    names = [name for name in ("z1", "z2", "z3") if name in finding.witness]
    texts = [[finding.witness[key.format(name)] for name in names] for key in ("{}", "v({})")]
    places, values = ([_exactly(text.partition("~")[0], known) for text in each] for each in texts)
    return places, values


def _context_of(finding: Finding) -> dict[str, str]:
    assert finding.witness is not None
    return {name: text for name, text in finding.witness.items() if not re.fullmatch(r"z\d|v\(z\d?\)", name)}


def _excess(condition: str, places: Sequence[Number], values: Sequence[Number]) -> Number:
    """Return by how much values break a condition."""
    if condition == "non_decreasing":
        assert places[0] < places[1]
        return values[0] - values[1]
    assert 0 < places[0] < places[1] < places[2]
    share = (places[2] - places[1]) / (places[2] - places[0])
    return share * values[0] + (1 - share) * values[2] - values[1]


def _reward_of_one_nat(verdict: Verdict) -> float | None:
    """Return l for outputs of ten tokens, where z is said to be l * log-ratio less that of one other or kl."""
    statement = verdict.conditions[1].statement
    found = re.search(r"with r = (.*?);", statement)
    if found is None or "distribution of the batch" in statement or "clamped" in statement or "exp" in found[1]:
        return None
    return _number(found[1], {**verdict.hyperparameters, "log_ratio": 1.0, "length": 10.0})


def _ways(loss: Loss, finding: Finding, ratios: Sequence[float]) -> Iterator[list[float]]:
    """Yield what may be v at the places, up to a constant: either sign, either output or label as y."""
    for good, side, a in [(good, side, a) for good in (True, False) for side in (1, -1) for a in (1, -1)]:
        yield [a * _run(loss, finding, side * ratio, good) for ratio in ratios]


def _run(loss: Loss, finding: Finding, ratio: float, good: bool) -> float:
    """Return the loss where one output has this log-ratio, and everything else has 0."""
    tensors = {}
    for name in loss.arguments:
        usual = 10.0 if "lengths" in name else 0.0 if name == "kl" else -20.0
        tensors[name] = torch.tensor([float(sympy.sympify(_context_of(finding).get(name, usual)))], dtype=torch.float64)
    if loss.needs_labels:
        tensors["desirable"] = torch.tensor([good])
    moved = next(name for name in loss.arguments if name.startswith("policy_"))
    for name in [name for name in tensors if name.startswith("policy_")]:
        tensors[name] = tensors.get(name.replace("policy_", "reference_"), torch.zeros(1, dtype=torch.float64)).clone()
    tensors[moved] = tensors[moved] + ratio
    return float(loss(**tensors).sum())


def _same_steps(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(
        abs((x - one[0]) - (y - other[0])) <= 1e-8 * max(1.0, abs(x), abs(y)) for x, y in zip(one, other, strict=True)
    )
