"""Token-level losses: the reward of an implied policy, as in the paper's proof for PPO-Clip."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import sympy
from sympy import Expr, Piecewise, Symbol
from sympy.core.relational import Relational

from halotheory.deadline import Deadline, in_time
from halotheory.proving.enclose import sign
from halotheory.proving.germs import OpenError, leading, limit, on_the_tail
from halotheory.proving.pieces import tidy
from halotheory.proving.shape import Z
from halotheory.reading.direction import conditions_of, tidied
from halotheory.reading.estimated import same
from halotheory.reading.forms import ONE_TERM, Case, Example, Form, multiple, reference_free
from halotheory.reading.outputs import Output, by_value
from halotheory.reading.refute import simple_value
from halotheory.tracing.operations import expanded
from halotheory.tracing.trace import Traced, token_symbol

LOG_RATIO = Symbol("log_ratio", real=True)
"""log pi - log pi_ref of one token."""

ADVANTAGE = Symbol("advantage", real=True)
"""The advantage of the token."""

_SIZE = Symbol("advantage_size", positive=True)
_SIDES = tuple(sympy.Integer(n) for n in (1, -1, 3, -3))
_RATIOS = tuple(sympy.Rational(n, 4) for n in range(1, 17))
_SHORT = 3  # tokens
_ADVANTAGES = {token_symbol("advantages", 0)}
_TIDY_SECONDS = 1.0


def token_terms(traced: Traced) -> list[Expr] | None:
    """Return the different losses of a token, wherever it stands in whatever completion; None where tokens meet."""
    found: dict[Expr, None] = {}
    for term, tokens in {part.term: len(part.mask) for part in traced.tokens}.items():
        alone = _by_token(_in_log_ratios(traced, by_value(term), tokens), tokens)
        if alone is None:
            return None
        found |= dict.fromkeys(alone)
    return list(found)


def token_forms(traced: Traced) -> Iterator[Form]:
    """Yield the form with z = ratio * advantage.

    The advantage A = Q(y) - E_policy[Q] carries the reference point: with q the ratio of the token's probabilities,
    q A = r - z0 is the reward of an implied policy minus its expectation (Ethayarajh et al. 2024, arXiv 2402.01306,
    proof of theorem 1). v depends on A, the context. For A > 0 it is asked for on z > 0, for A < 0 on z < 0; for
    A = 0 the loss must not depend on theta.
    """
    advantage = token_symbol("advantages", 0)
    terms = token_terms(traced) if "advantages" in traced.loss.arguments else None
    if not terms or advantage not in terms[0].free_symbols:
        return
    term, *others = terms
    if not _still_without_advantage(term, advantage):
        return
    if not all(multiple(each.xreplace({LOG_RATIO: Z}), term.xreplace({LOG_RATIO: Z})) for each in others):
        return
    known: set[Expr] = {LOG_RATIO, advantage, *traced.hyperparameters.values()}
    if term.free_symbols - known:
        return
    constant, shape = tidied(_in_z(term.xreplace({advantage: ADVANTAGE}))).as_independent(Z, as_Add=True)
    up, down = {ADVANTAGE: _SIZE}, {ADVANTAGE: -_SIZE}
    if any(shape.subs({**side, Z: 0}).has(sympy.zoo, sympy.oo, sympy.nan) for side in (up, down)):
        return  # no v on the whole line goes on from a limit that is not finite
    shape = _by_sign(shape)
    context = (ADVANTAGE,) if ADVANTAGE in shape.free_symbols else ()
    for side in (1, -1):
        yield Form(
            shapes={ONE_TERM: shape},
            constants={ONE_TERM: constant},
            reward="log-ratio of an implied policy, with r - E_Q[r] = exp(log_ratio)*advantage",
            normalizer=sympy.S.One,
            point="contained in the advantage A = Q(y) - E_policy[Q]: Q the policy",
            relaxations=("implied_policy", *(("context_indexed_value",) if context or others else ())),
            cases=(
                Case(context=up, where=(sympy.StrictGreaterThan(Z, 0),)),
                Case(context=down, where=(sympy.StrictLessThan(Z, 0),), side=side),
            ),
            context=context,
            notes=["for negative advantages the sign a is the other one"] * (side < 0),
            unsure="a detached factor of a token-level loss is not analysed" if traced.detaches else None,
        )


def _by_sign(shape: Expr) -> Expr:
    """Return the same function of z, flattened for A > 0 and for A < 0 where that is quick."""
    deadline = Deadline(_TIDY_SECONDS)
    up, down = (
        in_time(deadline, lambda size=size: tidy(shape.subs(ADVANTAGE, size), Z, deadline), None)
        for size in (_SIZE, -_SIZE)
    )
    if up is None or down is None:
        return shape
    up, down = up.subs(_SIZE, ADVANTAGE), down.subs(_SIZE, -ADVANTAGE)
    return up if up == down else Piecewise((up, ADVANTAGE > 0), (down, True))


def excluded(examples: Sequence[Example], traced: Traced, settings: Mapping[Symbol, Expr]) -> bool:
    """Return whether no implied policy can help: for some token the term cannot be v(z) with z = ratio * advantage.

    Args:
        examples: the losses of a token, with detached parts by value or held constant.
        traced: the loss.
        settings: the values of the symbolic hyperparameters.
    """
    if not any(_ADVANTAGES & part.term.free_symbols for part in traced.tokens[:1]):
        return True
    ratios = [ratio / max(_RATIOS) for ratio in _RATIOS] if reference_free(traced) else _RATIOS
    return any(
        _is_no_value(example.term.subs(dict(settings)), ratios) for example in examples if len(example.among) == 1
    )


def _is_no_value(term: Expr, ratios: Sequence[Expr]) -> bool:
    """Return whether a token's loss moves where A is 0, is infinite at z = 0, or has not the shape of any v."""
    factors = term.free_symbols - {LOG_RATIO, *_symbols(0)}  # what is held constant
    if any(LOG_RATIO in tidied(term - factor * term.subs(factor, 1)).free_symbols for factor in factors):
        return False
    advantage = token_symbol("advantages", 0)
    shown = {symbol: simple_value(symbol) for symbol in term.free_symbols - {LOG_RATIO, advantage}}
    still = term.subs({**shown, advantage: 0})
    if advantage in term.free_symbols and any(_steps(still, ratios)):
        return True
    sides = {side: term.subs({**shown, advantage: side}) for side in _SIDES}
    return any(_unbounded(at) or _misshapen(at, ratios, gains=side > 0) for side, at in sides.items())


def _unbounded(term: Expr) -> bool:
    """Return whether the term has no finite limit as the ratio tends to 0, where z does."""
    falling = term.subs(LOG_RATIO, -Z)
    try:
        found = limit(leading(expanded(on_the_tail(falling, Z)), Z), Z)
    except OpenError:
        return False
    return found in (sympy.oo, -sympy.oo)


def _steps(term: Expr, ratios: Sequence[Expr]) -> list[int | None]:
    """Return the signs of the term's changes from each ratio to the next."""
    values = [term.subs(LOG_RATIO, sympy.log(ratio)) for ratio in ratios]
    return [sign(after - before) for before, after in pairwise(values)]


def _misshapen(term: Expr, ratios: Sequence[Expr], *, gains: bool) -> bool:
    """Return whether neither the term nor its negative rises with the ratio, concave where that is a gain.

    The ratios lie evenly, so that a concave function rises less from each to the next.
    """
    steps = _steps(term, ratios)
    if 1 in steps and -1 in steps:
        return True
    rising = 1 if 1 in steps else -1
    values = [term.subs(LOG_RATIO, sympy.log(ratio)) for ratio in ratios]
    bends = (sign(one + other - 2 * middle) for one, middle, other in zip(values, values[1:], values[2:], strict=False))
    return gains and any(steps) and rising in bends


def _still_without_advantage(term: Expr, advantage: Symbol) -> bool:
    return same(term.subs({advantage: 0, LOG_RATIO: Z}), sympy.S.Zero)


def sequence_examples(traced: Traced) -> list[Example]:
    """Return a token's losses as those of a single output, detached parts marked, to look for counterexamples.

    Where tokens meet in one term and no advantages are given, the completion's loss stands for them: tokens are
    outputs then, and to raise them alike is also to raise the completion.
    """
    found: dict[Expr, Example] = {}
    for part in (part for part in traced.tokens if not part.others and all(part.mask)):
        tokens = len(part.mask)
        term = _in_log_ratios(traced, part.term, tokens)
        alone = (
            _by_token(term, tokens) if tokens <= _SHORT or all(len(one.among) == 1 for one in found.values()) else []
        )
        if alone is None and "advantages" in traced.loss.arguments:
            return []
        if alone is None:
            found[term] = Example(label=ONE_TERM, term=term, y=_output(0), among=[_output(t) for t in range(tokens)])
        for one in alone or ():
            found[one] = Example(label=ONE_TERM, term=one, y=_output(0), among=[_output(0)])
    return list(found.values())


def _output(t: int) -> Output:
    policy, reference = (token_symbol(f"{who}_token_logps", t) for who in ("policy", "reference"))
    return Output(
        role="",
        example=0,
        policy=policy,
        reference=reference,
        log_ratio=_log_ratio(t),
        length=Symbol("lengths", positive=True),
    )


def _log_ratio(t: int) -> Symbol:
    return Symbol(f"log_ratio_{t}", real=True) if t else LOG_RATIO


def _in_log_ratios(traced: Traced, term: Expr, tokens: int) -> Expr:
    """Return the term with log pi written as log-ratio + log pi_ref, which is 0 where the loss takes none."""
    every = [_output(t) for t in range(tokens)]
    free = reference_free(traced)
    return term.xreplace({one.policy: one.log_ratio + (0 if free else one.reference) for one in every})


def _by_token(term: Expr, tokens: int) -> list[Expr] | None:
    """Return the loss of each token on which the term depends, as the first one's; None where two meet in an addend."""
    return _grouped(term, tokens) or _grouped(sympy.expand_mul(term), tokens) or _grouped(tidied(term), tokens)


def _grouped(term: Expr, tokens: int) -> list[Expr] | None:
    owners = {symbol: t for t in range(tokens) for symbol in _symbols(t)}
    groups: dict[int, list[Expr]] = {}
    for part in sympy.Add.make_args(term):
        about = {owners[symbol] for symbol in part.free_symbols & owners.keys()}
        if len(about) > 1:
            return None
        for t in about:
            groups.setdefault(t, []).append(part)
    first = _symbols(0)
    return [
        sympy.Add(*parts).xreplace(dict(zip(_symbols(t), first, strict=True))) for t, parts in sorted(groups.items())
    ]


def _symbols(t: int) -> list[Symbol]:
    names = ("policy_token_logps", "reference_token_logps", "advantages")
    return [*(token_symbol(name, t) for name in names), _log_ratio(t)]


def _in_z(term: Expr) -> Expr:
    """Return the term with the ratio written as z / A, which is positive; log(z/A) <= c becomes z/A <= exp(c)."""
    plain = {condition: _without_logarithm(condition, Z / ADVANTAGE) for condition in conditions_of(term)}
    return _exponentials_inside(term.xreplace(plain)).subs(LOG_RATIO, sympy.log(Z / ADVANTAGE))


def _exponentials_inside(term: Expr) -> Expr:
    """Return the term with the exponential of a choice written as a choice of exponentials."""

    def inside(exponent: Expr) -> Expr:
        if not isinstance(exponent, Piecewise):
            return sympy.exp(exponent)
        return Piecewise(*((inside(choice), condition) for choice, condition in exponent.args))

    return term.replace(sympy.exp, inside)


def _without_logarithm(condition: Relational, ratio: Expr) -> Expr:
    difference = sympy.expand(condition.lhs - condition.rhs)
    slope = difference.coeff(LOG_RATIO)
    rest = difference - slope * LOG_RATIO
    if LOG_RATIO in rest.free_symbols or not slope.is_Rational or slope == 0:
        return condition
    func = condition.func if slope > 0 else condition.reversed.func
    return func(ratio, sympy.exp(-rest / slope))
