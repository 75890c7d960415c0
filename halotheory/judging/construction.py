"""The parts of a HALO in words: r, l, v, the reference point, a and C."""

from collections.abc import Mapping

import sympy
from sympy import Expr, Piecewise

from halotheory.deadline import Deadline, in_time
from halotheory.findings import Construction
from halotheory.judging.decision import Decision
from halotheory.judging.judge import Reading
from halotheory.proving.nonnegative import identically_zero
from halotheory.proving.pieces import tidy
from halotheory.proving.shape import Z
from halotheory.reading.forms import Form

_TIDY_SECONDS = 1.0


def construction_of(decision: Decision) -> Construction:
    """Return the parts of the HALO that was decided on."""
    form, outcome = decision.form, decision.outcome
    assert form is not None
    assert outcome is not None
    reading, shapes = outcome.reading, outcome.shapes
    assert reading is not None
    assert shapes is not None
    signs = {label: _sign(reading, label) for label in sorted(reading.signs)}
    point = form.point
    if form.either_output:
        y, other = (reading.output, "rejected" if reading.output == "chosen" else "chosen")
        point = f"r of the {other} output: Q is the point mass on it (y is the {y} output)"
    return Construction(
        implied_reward=form.reward,
        normalizer=str(form.normalizer),
        value_function=str(_tidied(reading.v)),
        reference_point=point,
        sign=_by_label(signs),
        constant=_by_label(_constants(form, reading, shapes)),
    )


def _tidied(v: Expr) -> Expr:
    """Return the value function with its conditions flattened, if that is quick; else as it is."""
    deadline = Deadline(_TIDY_SECONDS)
    return _shortened(in_time(deadline, lambda: tidy(v, Z, deadline), v))


def _shortened(v: Expr) -> Expr:
    """Return the value function with numbers multiplied into its branches, and min(z, c) called so."""
    number, choice = v.as_coeff_Mul()
    if not isinstance(choice, Piecewise):
        return v
    branches = [(_shortened(number * branch), condition) for branch, condition in choice.args]
    if len(branches) == 2:
        (below, condition), (above, _) = branches
        if below == Z and isinstance(condition, sympy.LessThan) and condition.lhs == Z:
            return sympy.Min(Z, above) if sympy.cancel(condition.rhs - above) == 0 else Piecewise(*branches)
    return Piecewise(*branches)


def _sign(reading: Reading, label: str) -> str:
    """Return a, and what v needs before it is the label's term."""
    found, other = reading.matched, list(reading.signs)[-1]
    text = f"{reading.signs[label]:+d}"
    if found is None or label != other:
        return text
    scaled = f" times {found.scale}" if found.scale != 1 else ""
    return f"{text}{scaled}" + (" with v(-z)" if found.mirrored else "")


def _constants(form: Form, reading: Reading, shapes: Mapping[str, Expr]) -> dict[str, str]:
    """Return C by label: what is left of each term when a * v(z) is taken away, seen at z = 0."""
    constants, other = {}, list(reading.signs)[-1]
    at_0 = reading.v.subs(Z, 0)
    for label, a in sorted(reading.signs.items()):
        scale = reading.matched.scale if reading.matched is not None and label == other else 1
        left = shapes[label].subs(Z, 0) - a * scale * at_0
        constants[label] = str(form.constants[label] + (0 if identically_zero(left) else sympy.cancel(left)))
    return constants


def _by_label(texts: Mapping[str, str]) -> str:
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return ", ".join(f"{text} for {label}" for label, text in texts.items())
