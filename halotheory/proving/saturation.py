"""Does the gradient of an example fade as its implied reward leaves the reference point? The paper's Proposition 2."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import sympy
from sympy import Expr, Symbol

from halotheory.deadline import time_limit
from halotheory.findings import Status
from halotheory.proving.germs import OpenError, gathered, leading, limit, on_the_tail
from halotheory.proving.shape import Z

_NO_SYMBOLS = "the loss as it is"
_PATIENCE = 5.0  # seconds for one limit


@dataclass(frozen=True, kw_only=True)
class Tail:
    """What the weight |v'(z)| of an example's gradient tends to on one side.

    Attributes:
        toward: `+oo` (gains) or `-oo` (losses).
        status: proved that it tends to 0, refuted (it tends to something else), or undecided.
        limit: what v'(z) tends to: a SymPy-readable expression in the hyperparameters, `oo`, `-oo`; None if open.
        holds_for: for which hyperparameters.
        method: how, in a few words; for undecided, what was tried.
    """

    toward: str
    status: Status
    limit: str | None
    holds_for: str
    method: str


@dataclass(frozen=True, kw_only=True)
class Saturation:
    """Both sides of a value function.

    Attributes:
        gains: as z -> +oo.
        losses: as z -> -oo.
    """

    gains: Tail
    losses: Tail

    @property
    def status(self) -> Status:
        """Proved if the weight fades on both sides, as Proposition 2 says of KTO; refuted if on one it does not."""
        found = {self.gains.status, self.losses.status}
        return next(word for word in (Status.REFUTED, Status.UNDECIDED, Status.PROVED) if word in found)

    def __str__(self) -> str:
        """Return one line: `v'(z) -> 0 as z -> +oo (proved), -> 1 as z -> -oo (proved)`."""
        return ", ".join(f"-> {tail.limit or '?'} as z -> {tail.toward}" for tail in (self.gains, self.losses))


def saturation(v: Expr, settings: Mapping[Symbol, Expr] | None = None) -> Saturation:
    """Return whether v'(z) tends to 0 as z -> +oo and as z -> -oo.

    An example whose term is a v(z) + C pulls on log pi(y|x) with weight l |v'(z)|. Proposition 2 of Ethayarajh et al.
    2024, arXiv 2402.01306: KTO's v'(z) = beta sigma(beta z) (1 - sigma(beta z)) tends to 0 on both sides, so that it
    ignores what is implied to be too easy or too hard. Each limit is derived from the leading term of v', for every
    value of the hyperparameters if possible, else as they are set.

    Args:
        v: of `halotheory.proving.shape.Z` and hyperparameters.
        settings: their values as set.
    """
    values = dict(settings or {})
    v = v.replace(sympy.tanh, lambda x: 1 - 2 / (sympy.exp(2 * x) + 1))
    unsigned = sorted((s for s in v.free_symbols - {Z, *values} if s.is_positive is None), key=str)
    if not unsigned:
        return Saturation(gains=_tail(v, values, "+oo"), losses=_tail(v.subs(Z, -Z), values, "-oo"))
    size = Symbol(unsigned[0].name, positive=True)
    up, down = (saturation(v.subs(unsigned[0], sign * size), values) for sign in (1, -1))
    return Saturation(gains=_for_both(size, up.gains, down.gains), losses=_for_both(size, up.losses, down.losses))


def _for_both(symbol: Symbol, up: Tail, down: Tail) -> Tail:
    """Return what holds for both signs of a symbol that v depends on, such as an advantage."""
    claims = [claim for claim in (up.holds_for, down.holds_for) if claim != _NO_SYMBOLS]
    holds_for = ", ".join(dict.fromkeys(claims)) or _NO_SYMBOLS
    if up.limit == down.limit and up.limit is not None and str(symbol) not in up.limit:
        return replace(up, holds_for=holds_for, method=f"{up.method}, for both signs of {symbol}")
    told = [f"for {symbol} {sign} 0: {tail.limit or tail.method}" for sign, tail in ((">", up), ("<", down))]
    return replace(up, status=Status.UNDECIDED, limit=None, holds_for=holds_for, method="; ".join(told))


def far_slope(v: Expr) -> Expr | None:
    """Return what v'(z) tends to as z -> oo, or None where that stays open."""
    try:
        with time_limit(_PATIENCE):
            return _first(sympy.diff(on_the_tail(v, Z), Z))
    except (OpenError, sympy.PolynomialError, TimeoutError):
        return None


def _tail(v: Expr, settings: Mapping[Symbol, Expr], toward: str) -> Tail:
    """Return what v' tends to as z -> oo, for v already turned the right way."""
    turned = 1 if toward == "+oo" else -1
    free = sorted(v.free_symbols & set(settings), key=str)
    every = ", ".join(f"every {symbol} > 0" for symbol in free) or _NO_SYMBOLS
    as_set = ", ".join(f"{symbol} = {settings[symbol]}" for symbol in free)
    tried = []
    for function, holds_for in ((v, every), *(((v.subs(dict(settings)), as_set),) if free else ())):
        try:
            with time_limit(_PATIENCE):
                found = turned * _first(sympy.diff(on_the_tail(function, Z), Z))
        except (OpenError, sympy.PolynomialError, TimeoutError) as error:
            tried.append(f"{holds_for}: {error}")
            continue
        status = Status.PROVED if found == 0 else Status.REFUTED
        method = "the leading term of v' as z grows"
        return Tail(toward=toward, status=status, limit=str(found), holds_for=holds_for, method=method)
    tried_text = f"tried the leading term of v' ({'; '.join(tried)})"
    return Tail(toward=toward, status=Status.UNDECIDED, limit=None, holds_for=as_set or every, method=tried_text)


def _first(slope: Expr) -> Expr:
    """Return the limit of the slope, read as it stands or, where its terms cancel, as one fraction."""
    attempts: tuple[Callable[[Expr], Expr], ...] = (lambda expression: expression, gathered)
    errors = []
    for attempt in attempts:
        try:
            return sympy.cancel(limit(leading(attempt(slope), Z), Z))
        except OpenError as error:
            errors.append(error)
    raise errors[-1]
