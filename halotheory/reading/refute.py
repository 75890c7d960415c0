"""Why a loss is not a function of any z: exact counterexamples to the conditions on log-ratios."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product

import sympy
from sympy import Expr, Integer, Rational, Symbol

from halotheory.findings import Finding, Status, Witness
from halotheory.proving.enclose import sign
from halotheory.proving.shape import Z
from halotheory.reading.direction import along, conditions_of, independent_of, linear_forms, tidied
from halotheory.reading.forms import Example
from halotheory.reading.outputs import KL, moving
from halotheory.tracing.trace import token_symbol

_STEPS = [Integer(n) for n in (0, 1, -1, 2, 10)]
_LOW, _DEEP = Integer(-20), Integer(-40)  # nats; steps of log-ratios from here leave log-probabilities below 0
_LENGTH = Integer(10)
_ADVANTAGE = token_symbol("advantages", 0)
_MOST_OUTPUTS, _MOST_STARTS = 4, 24
_MOST_EXAMPLES = 3


@dataclass(frozen=True, kw_only=True)
class Refutation:
    """A finding that the loss is no function of z.

    Attributes:
        finding: on `reference_point`.
        final: whether it excludes every relaxation as well.
    """

    finding: Finding
    final: bool


def reference_outside_ratio(examples: Sequence[Example], settings: Mapping[Symbol, Expr]) -> Finding | None:
    """Return the refutation of `log_ratio_only`: log-ratios whose effect depends on log pi_ref, if found."""
    for example in examples:
        ratios = [output.log_ratio for output in example.among if output.own]
        references = [output.reference for output in example.among if output.own]
        for ratio, reference in product(ratios, references):
            if reference not in example.term.free_symbols:
                continue
            sides = _STEPS[1:3] if _ADVANTAGE in example.term.free_symbols else _STEPS[1:2]
            for advantage, start, step, low in product(sides, _STEPS, _STEPS[1:], _STEPS[1:3]):
                known = {**settings, _ADVANTAGE: advantage}
                witness = _cross_difference(example, ratio, reference, (start, step, low), known)
                if witness is not None:
                    return Finding(
                        name="log_ratio_only",
                        status=Status.REFUTED,
                        method="evaluated exactly",
                        statement="the effect of the log-ratio on the loss changes when log pi_ref does",
                        witness=witness,
                    )
    return None


def _cross_difference(
    example: Example,
    ratio: Symbol,
    reference: Symbol,
    steps: tuple[Integer, Integer, Integer],
    settings: Mapping[Symbol, Expr],
) -> Witness | None:
    start, step, low = steps
    point = _others(example, {ratio, reference}, settings)
    corner = {
        (i, j): example.term.subs({**point, ratio: start + i * step, reference: _DEEP + j * low})
        for i, j in product((0, 1), repeat=2)
    }
    if sign(corner[1, 1] - corner[0, 1] - corner[1, 0] + corner[0, 0]) not in (1, -1):
        return None
    return {
        "label": example.label,
        str(ratio): f"{start} -> {start + step}",
        f"change of the loss at {reference} = {_DEEP}": str(corner[1, 0] - corner[0, 0]),
        f"change of the loss at {reference} = {_DEEP + low}": str(corner[1, 1] - corner[0, 1]),
        **{str(symbol): str(value) for symbol, value in point.items()},
    }


def no_reference_point(examples: Sequence[Example], settings: Mapping[Symbol, Expr], *, kl: bool) -> Refutation | None:
    """Return the refutation of `reference_point`: all rewards raised alike, z unchanged for any Q, the loss changed.

    Where lengths are equal, so are all values of l(y); rewards that are equal before and after make z = 0 for every
    increasing link and every reference as well, so that such a witness excludes the relaxed readings too.
    """
    examples = _telling(examples)
    found = None
    for example in examples:
        found = found or _shift(example, settings, kl=kl)
    if found is not None:
        witness, final = found
        beyond = None if final else _weights_that_move(examples, settings, kl=kl)
        return beyond or Refutation(
            finding=Finding(
                name="reference_point",
                status=Status.REFUTED,
                method="evaluated exactly",
                statement=(
                    "raising the log-ratio of every output by the same amount leaves z unchanged whatever Q is "
                    "(its weights sum to one), but it changes the loss"
                ),
                witness=witness,
            ),
            final=final,
        )
    return _improper_weights(examples, kl=kl) or _weights_that_move(examples, settings, kl=kl)


def _telling(examples: Sequence[Example]) -> list[Example]:
    """Return the examples of each label in its smallest batches, and in one of the largest."""
    by_label: dict[str, list[Example]] = {}
    for example in examples:
        by_label.setdefault(example.label, []).append(example)
    few = [(of_one[:_MOST_EXAMPLES], of_one[_MOST_EXAMPLES:][-1:]) for of_one in by_label.values()]
    return [example for small, _ in few for example in small] + [example for _, large in few for example in large]


def _weights_that_move(examples: Sequence[Example], settings: Mapping[Symbol, Expr], *, kl: bool) -> Refutation | None:
    """Return the refutation by weights that are not fixed, whatever increasing function of the ratio r is.

    With r = g(log-ratio), two outputs a and b have slopes in the ratio w_a g'(a) : w_b g'(b), which no third output
    can change; and in a pair, where the weights are 1 and -1, the ratios of (a, b), (b, c) and (a, c) must fit.
    """
    for example in examples:
        symbols = [symbol for symbol in moving(example.among, kl=kl) if symbol in example.term.free_symbols]
        if not symbols or (_in_pair(example) and len(symbols) > 2 and not _only_margins(example)):
            continue  # (a sum of one term for each output of a pair has other weights)
        point = _others(example, set(symbols), settings)
        term = example.term.subs(point)
        if _clamped(term, symbols):
            continue
        slopes = {symbol: sympy.diff(term, symbol) for symbol in symbols}
        found = _chain(slopes, symbols) if len(symbols) == 2 and _in_pair(example) else _third(slopes, symbols, kl=kl)
        if found is not None:
            return _moving_weights({"label": example.label, **found, **{str(s): str(v) for s, v in point.items()}})
    return None


def _clamped(term: Expr, symbols: Sequence[Symbol]) -> bool:
    """Return whether raising all rewards alike may change a condition of the term."""
    raised = {symbol: symbol + Z for symbol in symbols}
    differences = ((one.lhs - one.rhs).xreplace(raised) for one in conditions_of(term))
    return any(Z in tidied(difference).free_symbols for difference in differences)


def _in_pair(example: Example) -> bool:
    return any(output.role for output in example.among)


def _only_margins(example: Example) -> bool:
    """Return whether the loss sees the own outputs of a pair only through the difference of their log-ratios."""
    one, other = (output.log_ratio for output in example.among if output.own)
    return independent_of(tidied(example.term.xreplace({one: Z + other})), other)


def _chain(slopes: Mapping[Symbol, Expr], symbols: Sequence[Symbol]) -> dict[str, str] | None:
    one, other = symbols
    a, b, c = (_LOW + Rational(n, 3) for n in (0, 4, 8))

    def pair(x: Expr, y: Expr) -> tuple[Expr, Expr]:
        at = {one: x, other: y}
        return slopes[one].subs(at), slopes[other].subs(at)

    (ab, ba), (bc, cb), (ac, ca) = pair(a, b), pair(b, c), pair(a, c)
    if sign(ab * bc * ca + ba * cb * ac) in (1, -1):
        return {
            "log-ratios a, b, c": f"{a}, {b}, {c}",
            "slopes at (a, b)": f"{ab}, {ba}",
            "at (b, c)": f"{bc}, {cb}",
        } | {"at (a, c)": f"{ac}, {ca}"}
    return None


def _third(slopes: Mapping[Symbol, Expr], symbols: Sequence[Symbol], *, kl: bool) -> dict[str, str] | None:
    base: dict[Expr, Expr] = {
        symbol: (Integer(0) if kl else _LOW) + Rational(2 * i + 1, 3) for i, symbol in enumerate(symbols)
    }
    for one, other, third in permutations(symbols, 3):
        moved = base | {third: base[third] + 1}
        (p, q), (r, s) = ((slopes[one].subs(at), slopes[other].subs(at)) for at in (base, moved))
        if sign(p * s - q * r) in (1, -1):
            shown = {str(symbol): str(value) for symbol, value in base.items()}
            return shown | {
                str(third): f"{base[third]} -> {moved[third]}",
                f"slopes in {one}, {other}": f"{p}, {q} -> {r}, {s}",
            }
    return None


def _moving_weights(witness: Witness) -> Refutation:
    return Refutation(
        finding=Finding(
            name="reference_point",
            status=Status.REFUTED,
            method="slopes evaluated exactly",
            statement=(
                "in z = r - E_Q[r] the weights of Q are fixed; here the slopes of the loss in two log-ratios are in "
                "no fixed ratio"
            ),
            witness=witness,
        ),
        final=True,
    )


def _shift(example: Example, settings: Mapping[Symbol, Expr], *, kl: bool) -> tuple[Witness, bool] | None:
    symbols = [symbol for symbol in moving(example.among, kl=kl) if symbol in example.term.free_symbols]
    spread = sorted(product(_STEPS[:4], repeat=min(len(symbols), _MOST_OUTPUTS)), key=lambda values: len(set(values)))
    for values in spread[:_MOST_STARTS]:
        offsets = [*values, *[values[-1]] * (len(symbols) - len(values))] if values else []
        start = {
            symbol: value + (Integer(0) if symbol == KL else _LOW)
            for symbol, value in zip(symbols, offsets, strict=True)
        }
        if any(symbol.is_nonnegative and value < 0 for symbol, value in start.items()):
            continue
        point = _others(example, set(symbols), settings)
        before = example.term.subs({**point, **start})
        after = example.term.subs({**point, **{symbol: value + 1 for symbol, value in start.items()}})
        if sign(after - before) in (1, -1):
            alike = kl or len(set(start.values())) == 1
            shown = {str(symbol): f"{value} -> {value + 1}" for symbol, value in start.items()}
            lengths = {str(s): str(v) for s, v in point.items() if "lengths" in s.name}
            return {"label": example.label, **shown, **lengths, "loss": f"{before} -> {after}"}, alike
    return None


def _improper_weights(examples: Sequence[Example], *, kl: bool) -> Refutation | None:
    """Return the refutation by weights: one combination of log-ratios, but no reward minus a mean of others."""
    for example in examples:
        symbols = moving(example.among, kl=kl)
        forms = list(linear_forms(example.term, frozenset(symbols)))
        if not forms or along(example.term, forms[0], Z) is None:
            continue
        signs = {str(symbol): str(value) for symbol, value in forms[0].items()}
        positive = [value for value in forms[0].values() if value.is_positive]
        negative = [value for value in forms[0].values() if value.is_negative]
        ratios = {sympy.cancel(value / next(iter(forms[0].values()))) for value in forms[0].values()}
        if any(_of_input(symbol) for ratio in ratios for symbol in ratio.free_symbols):
            return _weights_of_input({"label": example.label, **signs})
        if len(positive) > 1 and len(negative) > 1:
            return Refutation(
                finding=Finding(
                    name="reference_point",
                    status=Status.REFUTED,
                    method="the coefficients of the one combination of log-ratios that the loss depends on",
                    statement="the loss depends on sum c * log-ratio; in z = r - E_Q[r] one output stands alone "
                    "on its side, but two have c > 0 and two have c < 0",
                    witness={"label": example.label, **signs},
                ),
                final=True,
            )
    return None


def _of_input(symbol: Symbol) -> bool:
    return symbol.name.startswith("reference_")


def _weights_of_input(witness: Witness) -> Refutation:
    return Refutation(
        finding=Finding(
            name="reference_point",
            status=Status.REFUTED,
            method="the coefficients of the one combination of log-ratios that the loss depends on",
            statement="l(y) depends on y alone, but the ratio of these coefficients changes with log pi_ref(y|x)",
            witness=witness,
        ),
        final=True,
    )


def _others(example: Example, named: Iterable[Symbol], settings: Mapping[Symbol, Expr]) -> dict[Symbol, Expr]:
    """Return a simple value for every symbol of the term but the named ones, the same for all outputs."""
    free = sorted(example.term.free_symbols - set(named), key=str)
    return {symbol: settings.get(symbol, simple_value(symbol)) for symbol in free}


def simple_value(symbol: Symbol) -> Expr:
    """Return a value that the symbol can take: a length, a low log-probability, or 1."""
    if "lengths" in symbol.name:
        return _LENGTH
    return _LOW if symbol.is_nonpositive else Integer(1)
