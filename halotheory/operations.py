"""What each PyTorch operation means: one lookup table from ATen to SymPy, over arrays of expressions."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy
from sympy import Expr, Piecewise, Rational
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean, BooleanAtom, BooleanFunction

Array = np.ndarray[Any, np.dtype[np.object_]]
"""An array of SymPy expressions."""


class detach(sympy.Function):  # noqa: N801 - printed in proofs under PyTorch's own name
    """The value of an expression through which no gradient flows."""

    @classmethod
    def eval(cls, value: Expr) -> Expr | None:
        """Return the argument where there is nothing to detach."""
        return value if isinstance(value, Boolean | detach) or value.is_number else None

    def fdiff(self, argindex: int = 1) -> Expr:
        """Return 0: what is detached is a constant for the parameters."""
        return sympy.S.Zero

    def _eval_is_real(self) -> bool | None:
        return self.args[0].is_real


def as_array(values: object) -> Array:
    """Return `values` as an array of expressions; floats become the decimal number that they print as."""
    plain = np.asarray(values, dtype=object)
    return _elementwise(exact)(plain)


def exact(value: object) -> Expr:
    """Return a Python number as an exact expression: 0.1 is 1/10."""
    if isinstance(value, float):
        return sympy.sympify(value) if not np.isfinite(value) else Rational(repr(value))
    return sympy.sympify(value)


def piecewise(condition: Expr, then: Expr, otherwise: Expr) -> Expr:
    """Return `then` where the condition holds, and `otherwise` elsewhere."""
    if condition in (True, sympy.true):
        return then
    if condition in (False, sympy.false):
        return otherwise
    condition = condition.xreplace({part: _lifted(part) for part in condition.atoms(Relational) if part.has(Piecewise)})
    return Piecewise((then, condition), (otherwise, True))


def _lifted(relation: Relational) -> Boolean:
    """Return the same condition with no Piecewise inside: |z| > 1 becomes (z >= 0 and z > 1) or (z < 0 and -z > 1).

    SymPy would do it too, into conditions that are Piecewise themselves, which it then refuses.
    """
    inner = next(iter(relation.atoms(Piecewise)), None)
    if inner is None:
        return relation
    cases, earlier = [], sympy.true
    for expression, condition in inner.args:
        sides = [side.xreplace({inner: expression}) for side in relation.args]
        nested = any(side.has(Piecewise) for side in sides)
        case = _lifted(relation.func(*sides, evaluate=False)) if nested else relation.func(*sides)
        cases.append(sympy.And(earlier, condition, case))
        earlier = sympy.And(earlier, sympy.Not(condition))
    return sympy.Or(*cases)


def expanded(term: Expr) -> Expr:
    """Return the term with every polynomial inside multiplied out, so that equal and opposite parts cancel."""
    return sympy.expand(term, power_exp=False, power_base=False, log=False)


def number(value: Expr) -> Expr:
    """Return 1 or 0 for a truth value, and a number unchanged."""
    if isinstance(value, BooleanAtom | BooleanFunction | Relational):
        return piecewise(value, sympy.S.One, sympy.S.Zero)
    return value


def _elementwise(function: Callable[..., Expr]) -> Callable[..., Array]:
    def apply(*arrays: Any) -> Array:
        outputs = np.frompyfunc(function, len(arrays), 1)(*arrays)
        return np.asarray(outputs, dtype=object)

    return apply


def _maximum(a: Expr, b: Expr) -> Expr:
    return piecewise(a >= b, a, b)


def _minimum(a: Expr, b: Expr) -> Expr:
    return piecewise(a <= b, a, b)


def _sigmoid(x: Expr) -> Expr:
    return 1 / (1 + sympy.exp(-x))


def _log_sigmoid(x: Expr) -> Expr:
    return -sympy.log(1 + sympy.exp(-x))


def _sign(x: Expr) -> Expr:
    return piecewise(x > 0, sympy.S.One, piecewise(x < 0, sympy.S.NegativeOne, sympy.S.Zero))


def _relu(x: Expr) -> Expr:
    return _maximum(x, sympy.S.Zero)


def _tanh(x: Expr) -> Expr:
    return 1 - 2 / (1 + sympy.exp(2 * x))


_UNARY: dict[str, Callable[[Expr], Expr]] = {
    "abs": lambda x: piecewise(x >= 0, x, -x),
    "atan": sympy.atan,
    "bitwise_not": sympy.Not,
    "exp": sympy.exp,
    "expm1": lambda x: sympy.exp(x) - 1,
    "log": sympy.log,
    "log1p": lambda x: sympy.log(1 + x),
    "log2": lambda x: sympy.log(x) / sympy.log(2),
    "logical_not": sympy.Not,
    "neg": lambda x: -x,
    "reciprocal": lambda x: 1 / x,
    "relu": _relu,
    "rsqrt": lambda x: 1 / sympy.sqrt(x),
    "sigmoid": _sigmoid,
    "sign": _sign,
    "silu": lambda x: x * _sigmoid(x),
    "sqrt": sympy.sqrt,
    "square": lambda x: x**2,
    "tanh": _tanh,
}

_BINARY: dict[str, Callable[[Expr, Expr], Expr]] = {
    "bitwise_and": sympy.And,
    "bitwise_or": sympy.Or,
    "div": lambda a, b: a / b,
    "eq": lambda a, b: sympy.Eq(a, b),
    "ge": lambda a, b: a >= b,
    "gt": lambda a, b: a > b,
    "le": lambda a, b: a <= b,
    "logaddexp": lambda a, b: sympy.log(sympy.exp(a) + sympy.exp(b)),
    "logical_and": sympy.And,
    "logical_or": sympy.Or,
    "lt": lambda a, b: a < b,
    "maximum": _maximum,
    "minimum": _minimum,
    "mul": lambda a, b: a * b,
    "ne": lambda a, b: sympy.Ne(a, b),
    "pow": lambda a, b: a**b,
}


def _add(a: Array, b: Array, *, alpha: object = 1) -> Array:
    return a + exact(alpha) * b


def _sub(a: Array, b: Array, *, alpha: object = 1) -> Array:
    return a - exact(alpha) * b


def _rsub(a: Array, b: Array, alpha: object = 1) -> Array:
    return b - exact(alpha) * a


def _clamp_array(x: Array, low: object = None, high: object = None) -> Array:
    for bound, pick in ((low, _maximum), (high, _minimum)):
        x = x if bound is None else _elementwise(pick)(x, as_array(bound))
    return x


def _leaky_relu(x: Array, slope: object = 0.01) -> Array:
    return _elementwise(lambda t: piecewise(t > 0, t, exact(slope) * t))(x)


def _softplus(x: Array, beta: object = 1, threshold: object = 20) -> Array:
    """Return log(1 + exp(beta x)) / beta, and x where beta x is above the threshold.

    From the default threshold on, where the two differ by less than 2.1e-9, the switch only saves time.
    """
    slope, limit = exact(beta), exact(threshold)

    def one(t: Expr) -> Expr:
        smooth = sympy.log(1 + sympy.exp(slope * t)) / slope
        return smooth if limit >= _SOFTPLUS_THRESHOLD else piecewise(slope * t > limit, t, smooth)

    return _elementwise(one)(x)


def _sum(x: Array, dim: Sequence[int] | int | None = None, keepdim: bool = False, *, dtype: object = None) -> Array:
    axes = tuple(range(x.ndim)) if dim is None or dim == [] else tuple(np.atleast_1d(np.asarray(dim)).tolist())
    return np.asarray(np.sum(x, axis=axes, keepdims=keepdim), dtype=object)


def _mean(x: Array, dim: Sequence[int] | int | None = None, keepdim: bool = False, *, dtype: object = None) -> Array:
    total = _sum(x, dim, keepdim)
    return np.asarray(total * Rational(total.size, x.size), dtype=object)


def _index(x: Array, indices: Sequence[Array | None]) -> Array:
    """Return x[mask, ...]; the masks are known truth values or whole numbers."""
    where = tuple(slice(None) if index is None else _known(index) for index in indices)
    return np.asarray(x[where], dtype=object)


def _known(index: Array) -> np.ndarray[Any, Any]:
    truth = {sympy.true: True, sympy.false: False}
    items: list[Any] = [truth.get(item, item) for item in index.ravel().tolist()]
    if not all(isinstance(item, bool) or (item.is_Integer) for item in items):
        raise NotImplementedError("an index that depends on the data")
    kind = np.bool_ if items and isinstance(items[0], bool) else np.int64
    return np.array(items, dtype=kind).reshape(index.shape)


def _slice(x: Array, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Array:
    where = [slice(None)] * x.ndim
    where[dim] = slice(start, end, step)
    return x[tuple(where)]


def _select(x: Array, dim: int, index: int) -> Array:
    return np.asarray(np.take(x, index, axis=dim), dtype=object)


def _split(x: Array, size: int | Sequence[int], dim: int = 0) -> list[Array]:
    sizes = [size] * -(-x.shape[dim] // size) if isinstance(size, int) else list(size)
    return np.split(x, np.cumsum(sizes)[:-1].tolist(), axis=dim)


def _same(x: Array, *args: object, **kwargs: object) -> Array:
    return x


def _filled(value: int) -> Callable[..., Array]:
    return lambda x, **kwargs: np.full(x.shape, sympy.Integer(value), dtype=object)


_SOFTPLUS_THRESHOLD = 20
_LOGICAL = {"bitwise_and", "bitwise_not", "bitwise_or", "logical_and", "logical_not", "logical_or"}

ARITHMETIC = ({*_UNARY, *_BINARY, "add", "clamp", "leaky_relu", "mean", "rsub", "softplus", "sub", "sum"}) - _LOGICAL
"""Operations to which a truth value counts as 1 or 0."""

OPERATIONS: dict[str, Callable[..., Any]] = {
    **{name: _elementwise(function) for name, function in _UNARY.items()},
    **{name: _elementwise(function) for name, function in _BINARY.items()},
    "_unsafe_view": lambda x, shape: x.reshape(shape),
    "add": _add,
    "alias": _same,
    "cat": lambda arrays, dim=0: np.concatenate(arrays, axis=dim),
    "clamp": _clamp_array,
    "clamp_max": lambda x, high: _clamp_array(x, None, high),
    "clamp_min": lambda x, low: _clamp_array(x, low),
    "clone": _same,
    "detach": _elementwise(detach),
    "expand": lambda x, shape: np.broadcast_to(x, [x.shape[i] if n == -1 else n for i, n in enumerate(shape)]),
    "full_like": lambda x, value, **kwargs: np.full(x.shape, exact(value), dtype=object),
    "index": _index,
    "leaky_relu": _leaky_relu,
    "lift_fresh": _same,
    "log_sigmoid_forward": lambda x: (_elementwise(_log_sigmoid)(x), x),  # (and a buffer for its backward)
    "mean": _mean,
    "ones_like": _filled(1),
    "rsub": _rsub,
    "select": _select,
    "slice": _slice,
    "softplus": _softplus,
    "split": _split,
    "split_with_sizes": _split,
    "squeeze": lambda x, dim=None: np.squeeze(x, axis=None if dim is None else tuple(np.atleast_1d(dim).tolist())),
    "stack": lambda arrays, dim=0: np.stack(arrays, axis=dim),
    "sub": _sub,
    "sum": _sum,
    "t": lambda x: x.T,
    "unbind": lambda x, dim=0: [np.asarray(part, dtype=object) for part in np.moveaxis(x, dim, 0)],
    "unsqueeze": np.expand_dims,
    "view": lambda x, shape: x.reshape(shape),
    "where": _elementwise(piecewise),
    "zeros_like": _filled(0),
}
"""ATen operation (without its overload) to its meaning on arrays of expressions."""
