"""Token-level losses: the reward of an implied policy, as in the paper's proof for PPO-Clip."""

from collections.abc import Iterator, Mapping

import sympy
from sympy import Expr, Piecewise, Symbol
from sympy.core.relational import Relational

from halotheory.deadline import Deadline, in_time
from halotheory.proving.enclose import sign
from halotheory.proving.pieces import tidy
from halotheory.proving.shape import Z
from halotheory.reading.direction import conditions_of, tidied
from halotheory.reading.estimated import same
from halotheory.reading.forms import ONE_TERM, Case, Example, Form, multiple
from halotheory.reading.outputs import Output, by_value
from halotheory.tracing.trace import Traced, token_symbol

LOG_RATIO = Symbol("log_ratio", real=True)
"""log pi - log pi_ref of one token."""

ADVANTAGE = Symbol("advantage", real=True)
"""The advantage of the token."""

_SIZE = Symbol("advantage_size", positive=True)
_TIDY_SECONDS = 1.0


def token_terms(traced: Traced) -> list[Expr] | None:
    """Return a token's loss in every traced mask, in its log-ratio; None where tokens meet in one term."""
    found = []
    for part in traced.tokens:
        term = by_value(part.term)
        for t in range(len(part.mask)):
            policy, reference = (token_symbol(f"{who}_token_logps", t) for who in ("policy", "reference"))
            term = term.xreplace({policy: Symbol(f"log_ratio_{t}", real=True) + reference})
        first = _of_first_token(term, len(part.mask)) or _of_first_token(tidied(term), len(part.mask))
        if first is None:
            return None
        found.append(first.xreplace({Symbol("log_ratio_0", real=True): LOG_RATIO}))
    return found


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
    term = terms[0]
    if not _still_without_advantage(term, advantage):
        return
    if not all(multiple(each.xreplace({LOG_RATIO: Z}), term.xreplace({LOG_RATIO: Z})) for each in terms[1:]):
        return
    known: set[Expr] = {LOG_RATIO, advantage, *traced.hyperparameters.values()}
    if term.free_symbols - known:
        return
    constant, shape = tidied(_in_z(term.xreplace({advantage: ADVANTAGE}))).as_independent(Z, as_Add=True)
    up, down = {ADVANTAGE: _SIZE}, {ADVANTAGE: -_SIZE}
    if any(shape.subs({**side, Z: 0}).has(sympy.zoo, sympy.oo, sympy.nan) for side in (up, down)):
        return  # no v on the whole line goes on from a limit that is not finite
    shape = _by_sign(shape)
    for side in (1, -1):
        yield Form(
            shapes={ONE_TERM: shape},
            constants={ONE_TERM: constant},
            reward="log-ratio of an implied policy, with r - E_Q[r] = exp(log_ratio)*advantage",
            normalizer=sympy.S.One,
            point="contained in the advantage A = Q(y) - E_policy[Q]: Q the policy",
            relaxations=("implied_policy", "context_indexed_value"),
            cases=(
                Case(context=up, where=(sympy.StrictGreaterThan(Z, 0),)),
                Case(context=down, where=(sympy.StrictLessThan(Z, 0),), side=side),
            ),
            context=(ADVANTAGE,),
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


def excluded(traced: Traced) -> bool:
    """Return whether no implied policy can help: no advantage is given, or the loss moves where it is 0."""
    terms = token_terms(traced)
    if not terms or traced.detaches:
        return False
    advantage = token_symbol("advantages", 0)
    if advantage not in terms[0].free_symbols:
        return True
    slope = sympy.diff(terms[0].subs(advantage, 0), LOG_RATIO)
    at_1 = slope.subs(dict.fromkeys(slope.free_symbols - {LOG_RATIO}, sympy.S.One))
    return any(sign(at_1, {LOG_RATIO: sympy.Integer(place)}) in (1, -1) for place in (1, -1, 2, -2))


def _still_without_advantage(term: Expr, advantage: Symbol) -> bool:
    return same(term.subs({advantage: 0, LOG_RATIO: Z}), sympy.S.Zero)


def sequence_examples(traced: Traced) -> list[Example]:
    """Return a token's loss as the loss of a single output, to look for counterexamples; none where tokens meet."""
    terms = token_terms(traced) if traced.tokens else None
    if not terms:
        return []
    policy, reference = (token_symbol(f"{who}_token_logps", 0) for who in ("policy", "reference"))
    token = Output(
        role="",
        example=0,
        policy=policy,
        reference=reference,
        log_ratio=LOG_RATIO,
        length=Symbol("lengths", positive=True),
    )
    return [Example(label=ONE_TERM, term=terms[0], y=token, among=[token])]


def _of_first_token(term: Expr, tokens: int) -> Expr | None:
    """Return the addends about the first token, where no addend is about two tokens."""
    groups: Mapping[int, set[Symbol]] = {t: _symbols(t) for t in range(tokens)}
    mine = []
    for part in sympy.Add.make_args(term):
        about = [t for t, symbols in groups.items() if part.free_symbols & symbols]
        if len(about) > 1:
            return None
        if about == [0]:
            mine.append(part)
    return sympy.Add(*mine)


def _symbols(t: int) -> set[Symbol]:
    names = ("policy_token_logps", "reference_token_logps", "advantages")
    return {*(token_symbol(name, t) for name in names), Symbol(f"log_ratio_{t}", real=True)}


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
