"""The value function of a verdict, as an expression and as numbers to draw."""

import math
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np
import sympy
from sympy import Expr, Rational, Symbol

from halotheory.errors import HaloTheoryError
from halotheory.findings import Verdict
from halotheory.formula import FUNCTIONS, read_formula
from halotheory.proving.shape import Z

_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, kw_only=True)
class ImpliedValue:
    """v(z) with its hyperparameters.

    Attributes:
        v: of `halotheory.proving.shape.Z`, hyperparameters and, in some losses, of what else an example brings.
        settings: the hyperparameters' values as set, exactly.
    """

    v: Expr
    settings: Mapping[Symbol, Expr]

    @property
    def as_set(self) -> Expr:
        """v with the hyperparameters as set."""
        return self.v.subs(dict(self.settings))


def implied_value(verdict: Verdict) -> ImpliedValue:
    """Return the value function that the verdict's construction names.

    Raises:
        HaloTheoryError: there is none, or it cannot be read.
    """
    if verdict.construction is None:
        raise HaloTheoryError(f"{verdict.loss}: no value function to draw: its verdict is {verdict.verdict}")
    positive = {"detached"} if "detached_weight" in verdict.relaxations else set()
    return read_value(verdict.construction.value_function, verdict.hyperparameters, positive)


def read_value(text: str, hyperparameters: Mapping[str, float], positive: Set[str] = frozenset()) -> ImpliedValue:
    """Return a value function that is given as text.

    Args:
        text: SymPy-readable, in z, hyperparameters and other names, such as lengths.
        hyperparameters: their values; a positive one is a positive symbol.
        positive: other names of which it is known; lengths are positive, too.
    """
    names = {name: Symbol(name, positive=True if value > 0 else None) for name, value in hyperparameters.items()}
    others = set(_NAME.findall(text)) - {"z", *FUNCTIONS, *names}
    others -= {"True", "False", "pi", "E", "e"}
    signs = {name: _other(name, "length" in name or name in positive) for name in others}
    settings = {symbol: Rational(repr(float(hyperparameters[name]))) for name, symbol in names.items()}
    return ImpliedValue(v=read_formula(text, {**names, **signs}), settings=settings)


def _other(name: str, positive: bool) -> Symbol:
    return Symbol(name, positive=True) if positive else Symbol(name, real=True)


def numbers(expression: Expr, z: np.ndarray) -> np.ndarray:
    """Return the values of an expression of `Z` alone, NaN where floats cannot hold them.

    Raises:
        HaloTheoryError: it names something else than z.
    """
    others = sorted(str(symbol) for symbol in expression.free_symbols - {Z})
    if others:
        raise HaloTheoryError(f"a curve over z cannot be drawn: the value function also depends on {', '.join(others)}")
    erf = np.vectorize(math.erf, otypes=[float])
    function = sympy.lambdify(Z, expression, modules=[{"erf": erf}, "numpy"])
    with np.errstate(all="ignore"):
        return np.broadcast_to(np.asarray(function(z), dtype=float), z.shape)
