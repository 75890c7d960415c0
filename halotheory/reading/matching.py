"""Do the terms of desirable and undesirable outputs share one value function?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import sympy
from sympy import Expr, Integer, Rational, Symbol

from halotheory.deadline import Deadline
from halotheory.findings import Finding, Status, Witness, undecided
from halotheory.proving.enclose import sign
from halotheory.proving.shape import Z, equal_up_to_constant
from halotheory.reading.refute import simple_value

_PLACES = [Rational(*n) for n in ((0, 1), (1, 1), (-1, 1), (2, 1), (-2, 1), (5, 1), (-5, 1), (10, 1), (-10, 1))]


@dataclass(frozen=True, kw_only=True)
class Match:
    """How the other label's term is a * v + C.

    Attributes:
        sign: a.
        scale: c, 1 unless the labels are weighted.
        mirrored: whether v is applied to -z for the other label.
        relaxations: `class_weights` where v must be scaled, `mirrored_argument` where it is applied to -z.
        finding: on `single_value_function`.
    """

    sign: int
    scale: Expr
    mirrored: bool
    relaxations: Sequence[str]
    finding: Finding


def match(v: Expr, shape: Expr, settings: Mapping[Symbol, Expr], deadline: Deadline, *, may_mirror: bool) -> Match:
    """Return whether `shape` is a * c * v(+-z) + C with a sign a and a positive constant c, and which.

    Args:
        v: the value function, read from one label's term.
        shape: the other label's term as a function of `Z`.
        settings: the values of free hyperparameters, where counterexamples are looked for.
        deadline: what is left of the time of the check.
        may_mirror: whether the other label is the undesirable one, whose term may be v(-z).
    """
    if (Z in v.free_symbols) != (Z in shape.free_symbols):
        return Match(sign=1, scale=sympy.S.One, mirrored=False, relaxations=(), finding=_one_is_constant(v, shape))
    for mirrored, weighted, a in product((False, True)[: 1 + may_mirror], (False, True), (-1, 1)):
        candidate = a * (shape.subs(Z, -Z) if mirrored else shape)
        scale = _scale(candidate, v) if weighted else sympy.S.One
        if scale is None or not equal_up_to_constant(candidate, scale * v, deadline):
            continue
        relaxations = ["class_weights"] * weighted + ["mirrored_argument"] * mirrored
        ways = [f"scaled by {scale}"] * weighted + ["applied to z0 - r"] * mirrored
        how = f" ({', '.join(ways)} for one label)" if ways else ""
        finding = Finding(
            name="single_value_function",
            status=Status.PROVED,
            method="the terms of the two labels differ by a constant",
            statement=f"desirable and undesirable outputs share one v, up to sign and constant{how}",
        )
        return Match(sign=a, scale=scale, mirrored=mirrored, relaxations=relaxations, finding=finding)
    finding = _no_match(v, shape, settings, may_mirror=may_mirror)
    return Match(sign=1, scale=sympy.S.One, mirrored=False, relaxations=(), finding=finding)


def _scale(candidate: Expr, v: Expr) -> Expr | None:
    """Return the positive factor between the slopes of two functions at one place, if it is one."""
    slopes = [sympy.diff(function, Z).subs(Z, 1) for function in (candidate, v)]
    if slopes[1] == 0 or any(slope.has(sympy.Piecewise) for slope in slopes):
        return None
    ratio = sympy.cancel(sympy.together(slopes[0] / slopes[1]))
    return ratio if ratio.is_positive and ratio != 1 else None


def _one_is_constant(v: Expr, shape: Expr) -> Finding:
    return Finding(
        name="single_value_function",
        status=Status.REFUTED,
        method="read off the terms",
        statement="the loss of one label does not depend on theta, that of the other does",
        witness={"v(z)": str(v), "term(z)": str(shape)},
    )


def _no_match(v: Expr, shape: Expr, settings: Mapping[Symbol, Expr], *, may_mirror: bool) -> Finding:
    """Return the refutation: increments of the two functions that no common factor relates, mirrored or not."""
    name = "single_value_function"
    context = sorted((v.free_symbols | shape.free_symbols) - {Z, *settings}, key=str)
    somewhere = {symbol: simple_value(symbol) for symbol in context}  # v must be shared whatever the context
    v, shape = (function.subs({**settings, **somewhere}) for function in (v, shape))
    free_of_settings = not settings  # a counterexample at one setting refutes only that setting
    witnesses = [_increments(v, other) for other in (shape, shape.subs(Z, -Z))[: 1 + may_mirror]]
    if free_of_settings and all(witness is not None for witness in witnesses):
        plain, mirrored = [*({**(witness or {})} for witness in witnesses), {}][:2]
        return Finding(
            name=name,
            status=Status.REFUTED,
            method="evaluated exactly",
            statement="increments of the two labels' terms are in no constant ratio, neither in z nor in -z",
            witness={**plain, **{f"mirrored: {key}": value for key, value in mirrored.items()}},
        )
    tried = "equality up to sign, constant, weight and mirror image, and increments at simple places"
    return undecided(name, "desirable and undesirable outputs share one v", tried)


def _increments(v: Expr, shape: Expr) -> Witness | None:
    """Return places whose increments of v and of the shape are in different ratios."""
    zero = Integer(0)
    for one, other in product(_PLACES[1:], _PLACES[1:]):
        steps = [function.subs(Z, place) - function.subs(Z, zero) for place in (one, other) for function in (v, shape)]
        if sign(steps[0] * steps[3] - steps[2] * steps[1]) in (1, -1):
            names = ["v(z1)-v(0)", "term(z1)-term(0)", "v(z2)-v(0)", "term(z2)-term(0)"]
            return {"z1": str(one), "z2": str(other), **dict(zip(names, map(str, steps), strict=True))}
    return None
