"""The functions of real numbers that PyTorch offers, as exact expressions."""

from collections.abc import Callable, Sequence

import sympy
from sympy import Expr, Piecewise, Rational

from halotheory.tracing.expressions import cases, detach, number, piecewise

SOFTPLUS_THRESHOLD = sympy.Integer(20)
"""PyTorch's default: above it softplus(x) is x, which saves time and changes it by less than 2.1e-9."""

_HALF = Rational(1, 2)
_SELU_ALPHA, _SELU_SCALE = Rational("1.6732632423543772848170429916717"), Rational("1.0507009873554804934193349852946")
_SQRT_HALF = Rational("0.70710678118654752440")  # PyTorch's own decimals, here and below
_GELU_SLOPE, _GELU_CUBE = Rational("0.79788456080286535588"), Rational("0.044715")


def maximum(a: Expr, b: Expr) -> Expr:
    """Return the larger of two numbers."""
    return piecewise(compared("ge", a, b), a, b)


def minimum(a: Expr, b: Expr) -> Expr:
    """Return the smaller of two numbers."""
    return piecewise(compared("le", a, b), a, b)


def extreme(values: Sequence[Expr], sign: int) -> Expr:
    """Return the largest of some numbers (sign 1), or the smallest (sign -1): the first that no later one exceeds."""
    values = list(dict.fromkeys(values))
    if len(values) <= 2:
        return values[0] if len(values) == 1 else (maximum if sign > 0 else minimum)(*values)
    kind = "ge" if sign > 0 else "le"
    pairs = []
    for i, value in enumerate(values[:-1]):
        pairs.append((value, sympy.And(*(compared(kind, value, other) for other in values[i + 1 :]))))
    return cases(*pairs, (values[-1], sympy.true))


def compared(kind: str, a: Expr, b: Expr) -> Expr:
    """Return whether a is ge, gt, le, lt, eq or ne b; both are real numbers, b possibly infinite."""
    a, b = number(a), number(b)
    for one, other, direction in ((a, b, kind), (b, a, _TURNED[kind])):
        if other.is_infinite and not one.is_number:
            return sympy.sympify(_COMPARE[direction](sympy.S.Zero, other))
    if sympy.nan in (a, b):
        return sympy.sympify(kind == "ne")
    return _COMPARE[kind](a, b)


_TURNED = {"ge": "le", "gt": "lt", "le": "ge", "lt": "gt", "eq": "eq", "ne": "ne"}
_COMPARE: dict[str, Callable[[Expr, Expr], Expr]] = {
    "eq": lambda a, b: sympy.Eq(a, b),
    "ge": lambda a, b: a >= b,
    "gt": lambda a, b: a > b,
    "le": lambda a, b: a <= b,
    "lt": lambda a, b: a < b,
    "ne": lambda a, b: sympy.Ne(a, b),
}


def divide(a: Expr, b: Expr) -> Expr:
    """Return a / b; by zero as floating point does it."""
    if b != 0:
        return a / b
    if not a.is_number:
        raise NotImplementedError("a division by zero")
    return sympy.nan if a == 0 or a is sympy.nan else sympy.sign(a) * sympy.oo


def power(a: Expr, b: Expr) -> Expr:
    """Return a**b, real: the square root of a square is an absolute value, that of a negative number is NaN."""
    if b.is_Integer:
        return divide(sympy.S.One, a ** (-b)) if b.is_negative else a**b
    if isinstance(a, Piecewise):
        return cases(*((power(value, b), condition) for value, condition in a.args))
    result = a**b
    if result.is_extended_real is False:
        return sympy.nan
    return _without_abs(result)


def _without_abs(value: Expr) -> Expr:
    return value.replace(sympy.Abs, absolute) if value.has(sympy.Abs) else value


def absolute(x: Expr) -> Expr:
    """Return |x|."""
    if x.is_nonpositive:
        return -x
    return piecewise(compared("ge", x, sympy.S.Zero), x, -x)


def logarithm(x: Expr) -> Expr:
    """Return log x; of zero minus infinity, of a negative number NaN."""
    if x == 0:
        return -sympy.oo
    return sympy.nan if x.is_negative else sympy.log(x)


def sigmoid(x: Expr) -> Expr:
    """Return 1 / (1 + exp(-x))."""
    return 1 / (1 + sympy.exp(-x))


def log_sigmoid(x: Expr) -> Expr:
    """Return log sigmoid(x)."""
    return -sympy.log(1 + sympy.exp(-x))


def tanh(x: Expr) -> Expr:
    """Return tanh x through one exponential."""
    return 1 - 2 / (1 + sympy.exp(2 * x))


def log_sum_exp(values: Sequence[Expr]) -> Expr:
    """Return log(sum exp(values)), written with the differences of the values."""
    finite = [value for value in values if value != -sympy.oo]
    if not finite:
        return -sympy.oo
    base = next((value for value in finite if value.is_number), finite[0])
    at = finite.index(base)
    rest = [sympy.exp(value - base) for i, value in enumerate(finite) if i != at]
    return base + logarithm(1 + sympy.Add(*rest))


def softmax(values: Sequence[Expr], at: int) -> Expr:
    """Return exp(values[at]) / sum exp(values), written with the differences of the values."""
    if values[at] == -sympy.oo:
        return sympy.S.Zero
    return 1 / (1 + sympy.Add(*(sympy.exp(value - values[at]) for i, value in enumerate(values) if i != at)))


def log_softmax(values: Sequence[Expr], at: int) -> Expr:
    """Return log softmax(values)[at]."""
    if values[at] == -sympy.oo:
        return -sympy.oo
    rest = [sympy.exp(value - values[at]) for i, value in enumerate(values) if i != at]
    return -logarithm(1 + sympy.Add(*rest))


def clamp(x: Expr, low: Expr | None, high: Expr | None) -> Expr:
    """Return min(max(x, low), high), as PyTorch does even where low > high."""
    if low is not None and high is not None and not x.is_number and (high - low).is_positive:
        return cases((low, compared("le", x, low)), (high, compared("ge", x, high)), (x, sympy.true))
    x = x if low is None else maximum(x, low)
    return x if high is None else minimum(x, high)


def elu(x: Expr, alpha: Expr, scale: Expr, input_scale: Expr) -> Expr:
    """Return scale * x above 0 and scale * alpha * (exp(input_scale x) - 1) below."""
    return piecewise(compared("gt", x, sympy.S.Zero), scale * x, scale * alpha * (sympy.exp(input_scale * x) - 1))


def gelu(x: Expr, approximate: str = "none") -> Expr:
    """Return x times the normal distribution function, or its approximation by tanh."""
    if approximate == "none":
        return x * _HALF * (1 + sympy.erf(_SQRT_HALF * x))
    return x * sigmoid(2 * _GELU_SLOPE * (x + _GELU_CUBE * x**3))


def sign(x: Expr) -> Expr:
    """Return -1, 0 or 1."""
    above, below = compared("gt", x, sympy.S.Zero), compared("lt", x, sympy.S.Zero)
    return piecewise(above, sympy.S.One, piecewise(below, sympy.S.NegativeOne, sympy.S.Zero))


def softplus(x: Expr, slope: Expr = sympy.S.One, threshold: Expr = SOFTPLUS_THRESHOLD) -> Expr:
    """Return log(1 + exp(slope x)) / slope, and x where slope x is above the threshold.

    From the default threshold on, where the two differ by less than 2.1e-9, the switch only saves time.
    """
    smooth = sympy.log(1 + sympy.exp(slope * x)) / slope
    return smooth if threshold >= SOFTPLUS_THRESHOLD else piecewise(compared("gt", slope * x, threshold), x, smooth)


def xlogy(x: Expr, y: Expr) -> Expr:
    """Return x log y, and 0 where x is 0."""
    return piecewise(compared("eq", x, sympy.S.Zero), sympy.S.Zero, x * logarithm(y))


def _heaviside(x: Expr, at_zero: Expr) -> Expr:
    above, below = compared("gt", x, sympy.S.Zero), compared("lt", x, sympy.S.Zero)
    return piecewise(above, sympy.S.One, piecewise(below, sympy.S.Zero, at_zero))


def _shrunk(x: Expr, by: Expr, moved: Expr) -> Expr:
    """Return x moved towards 0 outside of [-by, by], and 0 inside."""
    above, below = compared("gt", x, by), compared("lt", x, -by)
    return piecewise(above, x - moved, piecewise(below, x + moved, sympy.S.Zero))


def _ndtr(x: Expr) -> Expr:
    return _HALF * (1 + sympy.erf(_SQRT_HALF * x))


def _hard_sigmoid(x: Expr) -> Expr:
    return clamp(x / 6 + _HALF, sympy.S.Zero, sympy.S.One)


def _logit(x: Expr) -> Expr:
    return logarithm(divide(x, 1 - x))


UNARY: dict[str, Callable[[Expr], Expr]] = {
    "abs": absolute,
    "acosh": lambda x: logarithm(x + power(x**2 - 1, _HALF)),
    "asinh": lambda x: logarithm(x + power(x**2 + 1, _HALF)),
    "atan": sympy.atan,
    "atanh": lambda x: logarithm(divide(1 + x, 1 - x)) / 2,
    "cosh": lambda x: (sympy.exp(x) + sympy.exp(-x)) / 2,
    "detach": detach,
    "erf": sympy.erf,
    "erfc": lambda x: 1 - sympy.erf(x),
    "exp": sympy.exp,
    "exp2": lambda x: sympy.Integer(2) ** x,
    "expm1": lambda x: sympy.exp(x) - 1,
    "hardsigmoid": _hard_sigmoid,
    "hardswish": lambda x: x * _hard_sigmoid(x),
    "isinf": lambda x: sympy.sympify(bool(x.is_infinite)),
    "isnan": lambda x: sympy.sympify(x is sympy.nan),
    "isneginf": lambda x: sympy.sympify(x == -sympy.oo),
    "isposinf": lambda x: sympy.sympify(x == sympy.oo),
    "log": logarithm,
    "log10": lambda x: logarithm(x) / sympy.log(10),
    "log1p": lambda x: logarithm(1 + x),
    "log2": lambda x: logarithm(x) / sympy.log(2),
    "log_sigmoid": log_sigmoid,
    "mish": lambda x: x * tanh(softplus(x)),
    "neg": lambda x: -x,
    "positive": lambda x: x,
    "reciprocal": lambda x: divide(sympy.S.One, x),
    "relu": lambda x: maximum(x, sympy.S.Zero),
    "rsqrt": lambda x: divide(sympy.S.One, power(x, _HALF)),
    "sgn": sign,
    "sigmoid": sigmoid,
    "sign": sign,
    "silu": lambda x: x * sigmoid(x),
    "sinh": lambda x: (sympy.exp(x) - sympy.exp(-x)) / 2,
    "special_entr": lambda x: -xlogy(x, x),
    "special_erfcx": lambda x: sympy.exp(x**2) * (1 - sympy.erf(x)),
    "special_log_ndtr": lambda x: logarithm(_ndtr(x)),
    "special_ndtr": _ndtr,
    "sqrt": lambda x: power(x, _HALF),
    "square": lambda x: x**2,
    "tanh": tanh,
}
"""Functions of one number, by their ATen name."""

BINARY: dict[str, Callable[[Expr, Expr], Expr]] = {
    "div": divide,
    "fmax": maximum,
    "fmin": minimum,
    "hardshrink": lambda x, by: _shrunk(x, by, sympy.S.Zero),
    "heaviside": _heaviside,
    "hypot": lambda a, b: power(a**2 + b**2, _HALF),
    "logaddexp": lambda a, b: log_sum_exp([a, b]),
    "logaddexp2": lambda a, b: log_sum_exp([a * sympy.log(2), b * sympy.log(2)]) / sympy.log(2),
    "maximum": maximum,
    "minimum": minimum,
    "mul": lambda a, b: a * b,
    "pow": power,
    "softshrink": lambda x, by: _shrunk(x, by, by),
    "special_xlog1py": lambda x, y: xlogy(x, 1 + y),
    "xlogy": xlogy,
    **{kind: (lambda a, b, kind=kind: compared(kind, a, b)) for kind in _COMPARE},
}
"""Functions of two numbers, by their ATen name."""

LOGICAL: dict[str, Callable[..., Expr]] = {
    "bitwise_and": sympy.And,
    "bitwise_not": sympy.Not,
    "bitwise_or": sympy.Or,
    "bitwise_xor": sympy.Xor,
    "logical_and": sympy.And,
    "logical_not": sympy.Not,
    "logical_or": sympy.Or,
    "logical_xor": sympy.Xor,
}
"""Functions of truth values, by their ATen name."""
