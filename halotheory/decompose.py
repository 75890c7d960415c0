"""From the loss of one example to its shape as a function of z: log-ratios, reference point, normaliser."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import sympy
from sympy import Expr, Integer, Symbol

from halotheory.enclose import sign
from halotheory.findings import Finding, Status, Witness, undecided
from halotheory.operations import detach, expanded
from halotheory.shape import Z
from halotheory.trace import Traced, argument_symbol

KL = argument_symbol("kl", 0)
_STEPS = [Integer(n) for n in (0, 1, -1, 2, 10)]
_LOW, _DEEP = Integer(-20), Integer(-40)  # nats; steps of log-ratios from here leave log-probabilities below 0
_ALIKE = "all rewards alike"


@dataclass(frozen=True, kw_only=True)
class Decomposition:
    """The theta-dependent part of a loss as a function of z, where there is one.

    Attributes:
        findings: on `log_ratio_only` and `reference_point`.
        shapes: by label, the function of `Z` that the loss of an example is, up to its constant; None where the
            loss is not a function of z.
        constants: by label, what is free of theta.
        normalizer: l(y), a positive expression in the hyperparameters.
        reference_point: E_Q[r], with Q named.
        relaxations: those that were needed so far.
        final: whether a refutation among the findings also excludes every relaxation.
        paired: whether another output of the same example can carry Q.
    """

    findings: Sequence[Finding]
    shapes: Mapping[str, Expr] | None
    constants: Mapping[str, Expr]
    normalizer: Expr
    reference_point: str
    relaxations: Sequence[str] = ()
    final: bool = False
    paired: bool = False

    @classmethod
    def open(cls) -> "Decomposition":
        """Return what is known before anything is."""
        return cls(findings=(), shapes=None, constants={}, normalizer=sympy.S.One, reference_point="")


@dataclass(frozen=True, kw_only=True)
class _Ratio:
    """One output's log-probabilities, and the symbol of their log-ratio."""

    policy: Symbol
    reference: Symbol
    log_ratio: Symbol


def decompose(traced: Traced, settings: Mapping[Symbol, Expr]) -> Decomposition:
    """Return the loss as a function of z = r(x, y) - E_Q[r(x, y')], or the findings that say why it is none.

    Args:
        traced: the loss of one example.
        settings: the values of the symbolic hyperparameters, where counterexamples are looked for.
    """
    ratios = _ratios(traced)
    log_ratios = [ratio.log_ratio for ratio in ratios]
    moving = [*log_ratios, KL] if traced.loss.needs_kl else log_ratios
    in_ratios = {ratio.policy: ratio.log_ratio + ratio.reference for ratio in ratios}
    constants, terms = {}, {}
    for label, term in traced.terms.items():
        constants[label], terms[label] = _split(expanded(term.subs(in_ratios)), moving)
    references = {ratio.reference for ratio in ratios}
    named = any(name.startswith("reference_") for name in traced.loss.arguments)
    reference_free = not named and not traced.loss.needs_kl  # a given kl holds log pi_ref, uniform or not
    findings = [_log_ratio_only(terms, ratios, reference_free, settings)]
    relaxations: list[str] = []
    if reference_free and any(term.free_symbols & references for term in terms.values()):
        relaxations.append("uniform_reference")
        terms = {label: term.subs(dict.fromkeys(references, 0)) for label, term in terms.items()}
    shapes, normalizer, final = None, sympy.S.One, False
    if findings[0].status is Status.PROVED:
        shapes = _shapes(terms, log_ratios, moving)
        if shapes is not None and traced.loss.kind == "paired":
            normalizer, shapes = _normalised(shapes, settings)
        if shapes is not None and any(shape.free_symbols & _lengths(traced) for shape in shapes.values()):
            relaxations.append("context_indexed_value")
        witness = _shift(terms, moving, log_ratios, settings) if shapes is None else None
        findings.append(_reference_point(terms, shapes, traced, normalizer, witness))
        final = witness is not None and witness.get(_ALIKE) == "yes"
    return Decomposition(
        findings=findings,
        shapes=shapes,
        constants=constants,
        normalizer=normalizer,
        reference_point=_named_reference_point(traced),
        relaxations=relaxations,
        final=final,
        paired=traced.loss.kind == "paired",
    )


def _ratios(traced: Traced) -> list[_Ratio]:
    return [
        _Ratio(
            policy=argument_symbol(name, 0),
            reference=argument_symbol(name.replace("policy_", "reference_"), 0),
            log_ratio=Symbol(name.removeprefix("policy_").removesuffix("logps") + "log_ratio", real=True),
        )
        for name in traced.loss.arguments
        if name.startswith("policy_")
    ]


def _split(term: Expr, moving: Sequence[Symbol]) -> tuple[Expr, Expr]:
    """Return the additive part free of theta, and the rest; kl and what is detached still depend on theta."""
    constant, rest = term.as_independent(*moving, as_Add=True)
    return constant, rest


def _log_ratio_only(
    terms: Mapping[str, Expr], ratios: Sequence[_Ratio], reference_free: bool, settings: Mapping[Symbol, Expr]
) -> Finding:
    name = "log_ratio_only"
    references = {ratio.reference for ratio in ratios}
    if any(term.has(detach) for term in terms.values()):
        return undecided(name, "theta enters only through log-ratios", "a detached part depends on theta")
    if not any(term.free_symbols & references for term in terms.values()):
        return Finding(
            name=name,
            status=Status.PROVED,
            method="log pi = log-ratio + log pi_ref put in; log pi_ref cancels",
            statement="up to a constant free of theta, the loss depends on log pi only through log pi - log pi_ref",
        )
    if reference_free:
        return Finding(
            name=name,
            status=Status.PROVED,
            method="the loss names no reference",
            statement="the loss ignores pi_ref; if pi_ref is uniform, log pi is the log-ratio up to a constant",
        )
    witness = _cross_difference(terms, ratios, settings)
    if witness is None:
        return undecided(name, "log pi_ref enters only through log-ratios", "no counterexample at simple points")
    return Finding(
        name=name,
        status=Status.REFUTED,
        method="evaluated exactly",
        statement="the effect of the log-ratio on the loss changes when log pi_ref does",
        witness=witness,
    )


def _cross_difference(
    terms: Mapping[str, Expr], ratios: Sequence[_Ratio], settings: Mapping[Symbol, Expr]
) -> Witness | None:
    """Return log-ratios and references at which moving the log-ratio changes the loss by different amounts."""
    for label, term in terms.items():
        for ratio, reference in product(ratios, [ratio.reference for ratio in ratios]):
            for start, step, low in product(_STEPS, _STEPS[1:], _STEPS[1:3]):
                point = _others(term, {ratio.log_ratio, reference}, settings)
                corner = {
                    (i, j): term.subs({**point, ratio.log_ratio: start + i * step, reference: _DEEP + j * low})
                    for i, j in product((0, 1), repeat=2)
                }
                if sign(corner[1, 1] - corner[0, 1] - corner[1, 0] + corner[0, 0]) in (1, -1):
                    return {
                        "label": label,
                        str(ratio.log_ratio): f"{start} -> {start + step}",
                        f"change of the loss at {reference} = {_DEEP}": str(corner[1, 0] - corner[0, 0]),
                        f"change of the loss at {reference} = {_DEEP + low}": str(corner[1, 1] - corner[0, 1]),
                        **{str(symbol): str(value) for symbol, value in point.items()},
                    }
    return None


def _reference_point(
    terms: Mapping[str, Expr],
    shapes: Mapping[str, Expr] | None,
    traced: Traced,
    normalizer: Expr,
    witness: Witness | None,
) -> Finding:
    name = "reference_point"
    if shapes is not None:
        unit = "" if normalizer == 1 else f"{normalizer}*"
        z = f"{unit}log_ratio - kl" if traced.loss.needs_kl else f"{unit}(log_ratio - log_ratio of the other output)"
        return Finding(
            name=name,
            status=Status.PROVED,
            method="the loss does not change when the rewards of all outputs are raised alike",
            statement=f"the loss is a function of z = {z}, with {_named_reference_point(traced)}",
        )
    if any(term.free_symbols & _lengths(traced) for term in terms.values()):
        return undecided(name, "the loss is a function of some z", "lengths as normalisers are not analysed yet")
    if witness is None:
        tried = "no common shift of the rewards that changes the loss at simple points"
        return undecided(name, "the loss is a function of some z", tried)
    return Finding(
        name=name,
        status=Status.REFUTED,
        method="evaluated exactly",
        statement=(
            "raising the log-ratio of every output by the same amount leaves z unchanged whatever Q is "
            "(its weights sum to one), but it changes the loss"
        ),
        witness={name: value for name, value in witness.items() if name != _ALIKE},
    )


def _lengths(traced: Traced) -> set[Symbol]:
    return {symbol for symbol in traced.symbols.values() if "lengths" in symbol.name}


def _shift(
    terms: Mapping[str, Expr], moving: Sequence[Symbol], log_ratios: Sequence[Symbol], settings: Mapping[Symbol, Expr]
) -> Witness | None:
    """Return a point at which raising all rewards alike changes the loss, if possible one with all rewards equal.

    Equal rewards before and after make z = 0 for every Q and every increasing link of reward and ratio: such a
    witness, or one for a single output or a given `kl`, excludes relaxed readings as well.
    """
    spread = sorted(product(_STEPS[:4], repeat=len(moving)), key=lambda values: len(set(values)))
    for values in spread:
        start = {
            symbol: value + (_LOW if symbol in log_ratios else 0) for symbol, value in zip(moving, values, strict=True)
        }
        if any(symbol.is_nonnegative and value < 0 for symbol, value in start.items()):
            continue
        for label, term in terms.items():
            point = _others(term, set(moving), settings)
            before = term.subs({**point, **start})
            after = term.subs({**point, **{symbol: value + 1 for symbol, value in start.items()}})
            if sign(after - before) in (1, -1):
                alike = KL in moving or len(set(start.values())) == 1
                shown = {str(symbol): f"{value} -> {value + 1}" for symbol, value in start.items()}
                return {"label": label, **shown, "loss": f"{before} -> {after}", _ALIKE: "yes" if alike else "no"}
    return None


def _others(term: Expr, named: Iterable[Symbol], settings: Mapping[Symbol, Expr]) -> dict[Symbol, Expr]:
    """Return a simple value for every symbol of the term but the named ones."""
    free = sorted(term.free_symbols - set(named), key=str)
    return {symbol: settings.get(symbol, _simple(symbol)) for symbol in free}


def _simple(symbol: Symbol) -> Integer:
    """Return a value that the symbol can take: 1 for what is positive, a low log-probability, or 0."""
    return Integer(1) if symbol.is_positive else _LOW if symbol.is_nonpositive else Integer(0)


def _at_z(term: Expr, log_ratios: Sequence[Symbol]) -> Expr:
    """Return the term with the first log-ratio written as z plus what carries the reference point."""
    base = log_ratios[1] if len(log_ratios) > 1 else KL
    return expanded(term.subs(log_ratios[0], Z + base))


def _shapes(
    terms: Mapping[str, Expr], log_ratios: Sequence[Symbol], moving: Sequence[Symbol]
) -> dict[str, Expr] | None:
    """Return the terms as functions of `Z`, or None where something else that moves with theta is left."""
    if len(moving) < 2:  # one log-ratio and nothing to compare it with
        return None
    shapes = {label: _at_z(term, log_ratios) for label, term in terms.items()}
    return None if any(shape.free_symbols & set(moving) for shape in shapes.values()) else shapes


def _normalised(shapes: Mapping[str, Expr], settings: Mapping[Symbol, Expr]) -> tuple[Expr, dict[str, Expr]]:
    """Return l and the shapes with l taken into z, where one hyperparameter can be absorbed (DPO's beta)."""
    for symbol in sorted(settings, key=str):
        absorbed = {label: expanded(shape.subs(Z, Z / symbol)) for label, shape in shapes.items()}
        if any(shape.has(symbol) for shape in shapes.values()) and not any(
            shape.has(symbol) for shape in absorbed.values()
        ):
            return symbol, absorbed
    return sympy.S.One, dict(shapes)


def _named_reference_point(traced: Traced) -> str:
    if traced.loss.needs_kl:
        return "kl = E_Q[log_ratio], Q the policy"
    if traced.loss.kind == "paired":
        return "Q the point mass on the other output of the pair"
    return "a reference point"
