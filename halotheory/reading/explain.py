"""The smallest part of a loss that breaks a condition, and what would mend it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import sympy
from sympy import Expr, Symbol

from halotheory.deadline import Deadline
from halotheory.findings import Finding, Status
from halotheory.proving.shape import Z, concave_in_gains, non_constant, non_decreasing
from halotheory.reading.direction import linear_parts
from halotheory.reading.forms import Example
from halotheory.reading.outputs import KL, moving

_SECONDS = 2.0
_MOST_PARTS = 8


def explained(
    findings: Sequence[Finding],
    examples: Sequence[Example],
    shapes: Mapping[str, Expr],
    v: Expr | None,
    settings: Mapping[Symbol, Expr],
    *,
    kl: bool,
) -> list[Finding]:
    """Return the findings, each refutation with the guilty part and a remedy where these are found.

    Args:
        findings: on the conditions.
        examples: the loss in log-ratios.
        shapes: the loss as a function of z by label, where it is one.
        v: the value function that was examined, where there is one.
        settings: the hyperparameters as set.
        kl: whether the loss is given the reference point.
    """
    found = []
    for finding in findings:
        if finding.status is not Status.REFUTED or finding.guilty is not None:
            found.append(finding)
        elif finding.name == "log_ratio_only":
            found.append(replace(finding, **_outside_ratio(examples)))
        elif finding.name == "reference_point":
            found.append(replace(finding, **_uncompared(examples, kl=kl)))
        elif finding.name == "single_value_function":
            found.append(replace(finding, **_odd_label(shapes, settings)))
        else:
            witness = {"v(z)": str(v), **(finding.witness or {})}  # so that a reader can evaluate it again
            found.append(replace(finding, witness=witness, **_bent(finding, v, settings)))
    return found


def _outside_ratio(examples: Sequence[Example]) -> dict[str, str]:
    """Return the first sum in which log pi and log pi_ref do not cancel."""
    for example in examples:
        log_pi = {o.log_ratio: o.policy - o.reference for o in example.among}
        symbols = frozenset(symbol for o in example.among for symbol in (o.policy, o.reference))
        for part, form in linear_parts(sympy.expand(example.term.xreplace(log_pi)), symbols):
            for output in (o for o in example.among if o.own):
                policy, reference = form.get(output.policy, sympy.S.Zero), form.get(output.reference, sympy.S.Zero)
                if reference != 0 and sympy.cancel(policy + reference) != 0:
                    return {
                        "guilty": str(part),
                        "remedy": f"theta should enter through {output.policy} - {output.reference} alone",
                    }
    return {}


def _uncompared(examples: Sequence[Example], *, kl: bool) -> dict[str, str]:
    """Return the first sum that moves when all rewards are raised alike."""
    for example in examples:
        symbols = frozenset(moving(example.among, kl=kl))
        for part, form in linear_parts(example.term, symbols):
            if sympy.cancel(sympy.Add(*form.values())) == 0:
                continue
            pair = any(output.role for output in example.among)
            if KL in form:
                remedy = "subtract kl whole: z = log_ratio - kl"
            elif pair:
                remedy = "compare the outputs: chosen_log_ratio - rejected_log_ratio, with one factor for both"
            else:
                remedy = "compare with a reference point: name the argument kl and subtract it, z = log_ratio - kl"
            return {"guilty": str(part), "remedy": remedy}
    return {}


def _odd_label(shapes: Mapping[str, Expr], settings: Mapping[Symbol, Expr]) -> dict[str, str]:
    """Return which label's term fits, and how the other would fit."""
    if len(shapes) != 2:
        return {}
    up, down = shapes
    for label, other, a in ((up, down, -1), (down, up, 1)):
        v = (a * shapes[label]).subs(dict(settings))
        if _has_the_shape(v):
            written = f"{shown(-a * v)} up to a positive constant factor and a constant"
            return {
                "guilty": f"the {other} term, {shown(shapes[other])}",
                "remedy": f"becomes a HALO if the {other} term is written as {written}",
            }
    return {}


def _bent(finding: Finding, v: Expr | None, settings: Mapping[Symbol, Expr]) -> dict[str, str]:
    """Return the part of v that falls, or sags, at the witness, and whether v is mended without it."""
    if v is None or finding.witness is None:
        return {}
    at_settings = v.subs(dict(settings))
    names = {symbol.name: symbol for symbol in v.free_symbols | set(settings)}
    points = [
        sympy.sympify(text, locals=names).subs(dict(settings))
        for name, text in finding.witness.items()
        if name in {"z1", "z2", "z3"}
    ]
    context = [symbol for symbol in at_settings.free_symbols - {Z} if symbol.name in finding.witness]
    at_settings = at_settings.subs({symbol: sympy.sympify(finding.witness[symbol.name]) for symbol in context})
    if len(points) < 2 or at_settings.free_symbols - {Z}:
        return {}
    test = _falls if finding.name == "non_decreasing" else _sags
    part = _smallest(at_settings, lambda function: test(function, points))
    if part is None or part == at_settings:
        return {}
    rest = at_settings - part
    mended = Z in rest.free_symbols and part in sympy.Add.make_args(at_settings) and _has_the_shape(rest)
    remedy = {"remedy": f"without it v would be {shown(rest)}, which has the shape"} if mended else {}
    return {"guilty": shown(part), **remedy}


def _smallest(function: Expr, guilty: Callable[[Expr], float]) -> Expr | None:
    """Return the smallest part of a function that shows the failure itself."""
    if guilty(function) <= 0:
        return None
    for part in _parts(function):
        smaller = _smallest(part, guilty)
        if smaller is not None:
            return smaller
    return function


def _parts(function: Expr) -> Iterator[Expr]:
    """Yield the parts that might be guilty in its place; a factor or an argument has to fail in the same direction."""
    if function.is_Add and len(function.args) <= _MOST_PARTS:
        yield from (part for part in function.args if Z in part.free_symbols)
    elif function.is_Mul:
        constant, rest = function.as_independent(Z, as_Add=False)
        if constant.is_positive and constant != 1:
            yield rest
    elif isinstance(function, sympy.exp | sympy.log):
        yield function.args[0]


def _falls(function: Expr, points: Sequence[Expr]) -> float:
    return _float(function, points[0]) - _float(function, points[1])


def _sags(function: Expr, points: Sequence[Expr]) -> float:
    share = float((points[-1] - points[1]) / (points[-1] - points[0]))
    low, middle, high = (_float(function, point) for point in (points[0], points[1], points[-1]))
    return share * low + (1 - share) * high - middle


def _float(function: Expr, point: Expr) -> float:
    value = sympy.N(function.subs(Z, point), 20)
    return float(value) if value.is_real else float("nan")


def _has_the_shape(v: Expr) -> bool:
    deadline = Deadline(_SECONDS)
    checks = (non_decreasing, concave_in_gains, non_constant)
    return not v.free_symbols - {Z} and all(check(v, {}, deadline).status is Status.PROVED for check in checks)


def shown(function: Expr) -> str:
    """Return a function of z as text, with logistic functions under their name."""
    x = sympy.Wild("x")
    sigma = sympy.Function("sigmoid")
    named = function.replace(1 / (1 + sympy.exp(x)), lambda x: sigma(-x))
    return str(named)
