"""What each PyTorch operation means: one lookup table from ATen to SymPy, over arrays of expressions."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy
import torch
from sympy import Expr, Rational
from sympy.core.relational import Relational
from sympy.logic.boolalg import BooleanAtom, BooleanFunction

from halotheory.tracing import elementary
from halotheory.tracing.elementary import BINARY, LOGICAL, UNARY
from halotheory.tracing.expressions import detach, exact, expanded, number, piecewise

__all__ = ["ELEMENTWISE", "OPERATIONS", "STRUCTURAL", "Array", "as_array", "axes_of", "detach", "exact", "expanded"]

Array = np.ndarray[Any, np.dtype[np.object_]]
"""An array of SymPy expressions."""

_Dim = Sequence[int] | int | None
_MEAN, _SUM = 1, 2  # PyTorch's numbers for the reductions of its losses


def as_array(values: object) -> Array:
    """Return `values` as an array of expressions; floats become the decimal number that they print as."""
    plain = np.asarray(values, dtype=object)
    return np.asarray(np.frompyfunc(exact, 1, 1)(plain), dtype=object)


def axes_of(ndim: int, dim: _Dim) -> tuple[int, ...]:
    """Return the axes that `dim` names; None and an empty list name all."""
    if dim is None or dim == []:
        return tuple(range(ndim))
    return tuple(axis % max(ndim, 1) for axis in ([dim] if isinstance(dim, int) else dim) if ndim)


def _numbers(value: object) -> Array:
    """Return an array or a Python number as numbers; a truth value counts as 1 or 0."""
    array = value if isinstance(value, np.ndarray) else np.asarray(exact(value), dtype=object)
    return np.asarray(np.frompyfunc(number, 1, 1)(array), dtype=object)


def _elementwise(function: Callable[..., Expr]) -> Callable[..., Array]:
    def apply(*values: Any, **options: Any) -> Array:
        if options.get("rounding_mode") is not None:
            raise NotImplementedError("a division that rounds")
        arrays = [_numbers(value) for value in values]
        return np.asarray(np.frompyfunc(function, len(arrays), 1)(*arrays), dtype=object)

    return apply


def _logical(function: Callable[..., Expr]) -> Callable[..., Array]:
    def apply(*values: Any) -> Array:
        arrays = [value if isinstance(value, np.ndarray) else as_array(value) for value in values]
        return np.asarray(np.frompyfunc(function, len(arrays), 1)(*arrays), dtype=object)

    return apply


# arithmetic with options


def _cast(x: Array, *, dtype: torch.dtype | None = None, **kwargs: object) -> Array:
    """Return a change of dtype: real numbers have none, but truth values become 1 and 0, and numbers truth values."""
    if dtype is torch.bool:
        return np.asarray(np.frompyfunc(_truth, 1, 1)(x), dtype=object)
    numbers = _numbers(x).copy()
    if dtype is not None and not dtype.is_floating_point and not all(value.is_integer for value in numbers.ravel()):
        raise NotImplementedError("a number that is rounded")
    return numbers


def _add(a: Any, b: Any, alpha: object = 1) -> Array:
    return _numbers(a) + exact(alpha) * _numbers(b)


def _sub(a: Any, b: Any, alpha: object = 1) -> Array:
    return _numbers(a) - exact(alpha) * _numbers(b)


def _clamp(x: Array, low: object = None, high: object = None) -> Array:
    bounds = [np.asarray(None, dtype=object) if bound is None else _numbers(bound) for bound in (low, high)]
    return np.asarray(np.frompyfunc(elementary.clamp, 3, 1)(_numbers(x), *bounds), dtype=object)


def _elu(x: Array, alpha: object = 1, scale: object = 1, input_scale: object = 1) -> Array:
    return _elementwise(elementary.elu)(x, alpha, scale, input_scale)


def _celu(x: Array, alpha: object = 1) -> Array:
    return _elu(x, alpha, 1, 1 / exact(alpha))


def _leaky_relu(x: Array, slope: object = 0.01) -> Array:
    return _elementwise(lambda t, s: piecewise(elementary.compared("gt", t, sympy.S.Zero), t, s * t))(x, slope)


def _threshold(x: Array, limit: object, value: object) -> Array:
    return _elementwise(lambda t, a, b: piecewise(elementary.compared("gt", t, a), t, b))(x, limit, value)


def _softplus(x: Array, beta: object = 1, threshold: object = 20) -> Array:
    return _elementwise(elementary.softplus)(x, beta, threshold)


def _gelu(x: Array, approximate: str = "none") -> Array:
    return _elementwise(lambda t: elementary.gelu(t, approximate))(x)


def _logit(x: Array, eps: object = None) -> Array:
    inside = _numbers(x) if eps is None else _clamp(x, eps, 1 - exact(eps))
    return _elementwise(lambda t: elementary.logarithm(elementary.divide(t, 1 - t)))(inside)


def _lerp(start: Array, end: Array, weight: object) -> Array:
    return _numbers(start) + _numbers(weight) * (_numbers(end) - _numbers(start))


def _addcmul(x: Array, a: Array, b: Array, value: object = 1) -> Array:
    return _numbers(x) + exact(value) * _numbers(a) * _numbers(b)


def _addcdiv(x: Array, a: Array, b: Array, value: object = 1) -> Array:
    return _numbers(x) + exact(value) * OPERATIONS["div"](a, b)


def _nan_to_num(x: Array, nan: object = None, posinf: object = None, neginf: object = None) -> Array:
    def one(value: Expr) -> Expr:
        if value is sympy.nan:
            return exact(nan or 0)
        if value.is_infinite:
            bound = posinf if value == sympy.oo else neginf
            if bound is None:
                raise NotImplementedError("an infinity turned into the largest number")
            return exact(bound)
        return value

    return _elementwise(one)(x)


# reductions


def _sum(x: Array, dim: _Dim = None, keepdim: bool = False, *, dtype: object = None) -> Array:
    zeroed = np.sum(_numbers(x), axis=axes_of(x.ndim, dim), keepdims=keepdim, initial=sympy.S.Zero)
    return np.asarray(zeroed, dtype=object)


def _mean(x: Array, dim: _Dim = None, keepdim: bool = False, *, dtype: object = None) -> Array:
    total = _sum(x, dim, keepdim)
    if x.size == 0:
        return np.full(total.shape, sympy.nan, dtype=object)
    return np.asarray(total * Rational(total.size, x.size), dtype=object)


def _nansum(x: Array, dim: _Dim = None, keepdim: bool = False, *, dtype: object = None) -> Array:
    return _sum(_nan_to_num(x), dim, keepdim)


def _prod(x: Array, dim: _Dim = None, keepdim: bool = False, *, dtype: object = None) -> Array:
    product = np.prod(_numbers(x), axis=axes_of(x.ndim, dim), keepdims=keepdim, initial=sympy.S.One)
    return np.asarray(product, dtype=object)


def _along(function: Callable[[list[Expr]], Expr], of: Callable[[Expr], Expr] = number) -> Callable[..., Array]:
    """Return the reduction of a function of a list of numbers."""

    def reduce(x: Array, dim: _Dim = None, keepdim: bool = False) -> Array:
        axes = axes_of(x.ndim, dim)
        kept = [size for axis, size in enumerate(x.shape) if axis not in axes]
        rows = np.moveaxis(x, axes, range(-len(axes), 0)).reshape(*kept, -1) if axes else x[..., None]
        if not rows.shape[-1]:
            raise NotImplementedError("a reduction of nothing")
        found = np.empty(kept, dtype=object)
        for at in np.ndindex(*kept):
            found[at] = function([of(value) for value in rows[at]])
        return np.expand_dims(found, axes) if keepdim else found

    return reduce


def _all_entries(sign: int) -> Callable[..., Any]:
    """Return max or min: of everything, along a dimension with its place (which nothing can use), or of two."""
    amax = _along(lambda values: elementary.extreme(values, sign))

    def best(x: Array, dim: Any = None, keepdim: bool = False) -> Any:
        if dim is None:
            return amax(x)
        if isinstance(dim, np.ndarray):
            return _elementwise(elementary.maximum if sign > 0 else elementary.minimum)(x, dim)
        values = amax(x, dim, keepdim)
        return values, unknown(values.shape, "the place of an extreme value")

    return best


def unknown(shape: Sequence[int], what: str) -> Array:
    """Return an array of entries that nothing may depend on."""
    return np.full(tuple(shape), sympy.Dummy(what, real=True), dtype=object)


def _truth(value: Expr) -> Expr:
    """Return a truth value unchanged, and whether a number is not 0."""
    return value if isinstance(value, BooleanAtom | BooleanFunction | Relational) else sympy.Ne(value, 0)


def _variance(
    x: Array, dim: _Dim = None, unbiased: object = None, *, correction: object = None, keepdim: bool = False
) -> Array:
    count = int(np.prod([x.shape[axis] for axis in axes_of(x.ndim, dim)]))
    freedom = exact(1 if correction is None else correction)
    centred = _numbers(x) - _mean(x, dim if x.ndim else None, keepdim=True) if x.ndim else _numbers(x) * 0
    total = _sum(_elementwise(lambda t: t**2)(centred), dim, keepdim)
    if count - freedom <= 0:
        return np.full(total.shape, sympy.nan, dtype=object)
    return np.asarray(total / (count - freedom), dtype=object)


def _deviation(x: Array, dim: _Dim = None, unbiased: object = None, **options: Any) -> Array:
    return OPERATIONS["sqrt"](_variance(x, dim, unbiased, **options))


def _norm(x: Array, ord: object = 2, dim: _Dim = None, keepdim: bool = False, *, dtype: object = None) -> Array:  # noqa: A002 - PyTorch's name
    size, order = OPERATIONS["abs"](x), exact(ord)
    if order == sympy.oo:
        return OPERATIONS["amax"](size, dim, keepdim)
    if order == 2:
        return OPERATIONS["sqrt"](_sum(OPERATIONS["square"](x), dim, keepdim))
    powers = size if order == 1 else OPERATIONS["pow"](size, order)
    return OPERATIONS["pow"](_sum(powers, dim, keepdim), 1 / order)


def _each(function: Callable[[list[Expr], int], Expr]) -> Callable[..., Array]:
    """Return a function of each number along one dimension, such as softmax."""

    def apply(x: Array, dim: int, half_to_float: bool = False) -> Array:
        x = _numbers(x)
        if not x.ndim:
            return np.asarray(function([x[()]], 0), dtype=object)
        rows = np.moveaxis(x, dim, -1)
        found = np.empty(rows.shape, dtype=object)
        for at in np.ndindex(*rows.shape):
            found[at] = function(list(rows[at[:-1]]), at[-1])
        return np.moveaxis(found, -1, dim)

    return apply


def _cumsum(x: Array, dim: int, *, dtype: object = None) -> Array:
    return np.asarray(np.cumsum(_numbers(x), axis=dim), dtype=object) if x.ndim else _numbers(x)


def _cumprod(x: Array, dim: int, *, dtype: object = None) -> Array:
    return np.asarray(np.cumprod(_numbers(x), axis=dim), dtype=object) if x.ndim else _numbers(x)


def _product(a: Array, b: Array) -> Array:
    if a.shape[-1] == 0:
        raise NotImplementedError("a product over nothing")
    return np.asarray(_numbers(a) @ _numbers(b), dtype=object)


def _added_product(x: Array, a: Array, b: Array, *, beta: object = 1, alpha: object = 1) -> Array:
    return exact(beta) * _numbers(x) + exact(alpha) * _product(a, b)


# losses of torch.nn.functional


def _reduced(losses: Array, reduction: int) -> Array:
    return _mean(losses) if reduction == _MEAN else _sum(losses) if reduction == _SUM else losses


def _mse_loss(x: Array, y: Array, reduction: int = _MEAN) -> Array:
    return _reduced(_elementwise(lambda a, b: (a - b) ** 2)(x, y), reduction)


def _huber_loss(x: Array, y: Array, reduction: int = _MEAN, delta: object = 1.0) -> Array:
    def one(a: Expr, b: Expr, limit: Expr) -> Expr:
        size = elementary.absolute(a - b)
        return piecewise(elementary.compared("le", size, limit), (a - b) ** 2 / 2, limit * (size - limit / 2))

    return _reduced(_elementwise(one)(x, y, delta), reduction)


def _smooth_l1_loss(x: Array, y: Array, reduction: int = _MEAN, beta: object = 1.0) -> Array:
    if exact(beta) == 0:
        return _reduced(_elementwise(lambda a, b: elementary.absolute(a - b))(x, y), reduction)
    return _reduced(_huber_loss(x, y, 0, beta) / exact(beta), reduction)


def _weighted(losses: Array, weight: Array | None, reduction: int) -> Array:
    return _reduced(losses if weight is None else losses * _numbers(weight), reduction)


def _binary_cross_entropy(x: Array, y: Array, weight: Array | None = None, reduction: int = _MEAN) -> Array:
    """Return -y log x - (1 - y) log(1 - x); PyTorch keeps the logarithms above -100."""

    def log(t: Expr) -> Expr:
        return elementary.maximum(elementary.logarithm(t), sympy.Integer(-100))

    return _weighted(_elementwise(lambda p, t: -t * log(p) - (1 - t) * log(1 - p))(x, y), weight, reduction)


def _binary_cross_entropy_with_logits(
    x: Array, y: Array, weight: Array | None = None, pos_weight: Array | None = None, reduction: int = _MEAN
) -> Array:
    def one(logit: Expr, target: Expr, positive: Expr) -> Expr:
        return -target * positive * elementary.log_sigmoid(logit) - (1 - target) * elementary.log_sigmoid(-logit)

    losses = _elementwise(one)(x, y, 1 if pos_weight is None else pos_weight)
    return _weighted(losses, weight, reduction)


def _soft_margin_loss(x: Array, y: Array, reduction: int = _MEAN) -> Array:
    return _reduced(_elementwise(lambda a, b: sympy.log(1 + sympy.exp(-a * b)))(x, y), reduction)


def _nll_loss(
    x: Array, target: Array, weight: Array | None = None, reduction: int = _MEAN, ignore_index: int = -100
) -> tuple[Array, Array]:
    if weight is not None or ignore_index in _known(target).tolist():
        raise NotImplementedError("class weights, or targets to ignore")
    losses = -np.take_along_axis(np.atleast_2d(x), np.atleast_1d(_known(target))[:, None], axis=1)[:, 0]
    return _reduced(losses.reshape(target.shape), reduction), np.asarray(sympy.Integer(target.size), dtype=object)


# shapes and places


def _known(index: Array) -> np.ndarray[Any, Any]:
    truth = {sympy.true: True, sympy.false: False}
    items: list[Any] = [truth.get(item, item) for item in index.ravel().tolist()]
    if not all(isinstance(item, bool | int) or item.is_Integer for item in items):
        raise NotImplementedError("an index that depends on the data")
    kind = np.bool_ if items and isinstance(items[0], bool) else np.int64
    return np.array(items, dtype=kind).reshape(index.shape)


def _place(indices: Sequence[Array | None]) -> tuple[Any, ...]:
    return tuple(slice(None) if index is None else _known(index) for index in indices)


def _index(x: Array, indices: Sequence[Array | None]) -> Array:
    """Return x[mask, ...]; the masks are known truth values or whole numbers."""
    return np.asarray(x[_place(indices)])


def _index_put(x: Array, indices: Sequence[Array | None], values: Array, accumulate: bool = False) -> Array:
    where, changed = _place(indices), x.copy()
    if accumulate:
        np.add.at(changed, where, values)
    else:
        changed[where] = values
    return changed


def _masked_scatter(x: Array, mask: Array, source: Array) -> Array:
    changed = x.copy()
    where = np.broadcast_to(_known(mask), x.shape)
    changed[where] = source.ravel()[: where.sum()]
    return changed


def _index_add(x: Array, dim: int, index: Array, source: Array, *, alpha: object = 1) -> Array:
    changed = x.copy()
    np.add.at(np.moveaxis(changed, dim, 0), _known(index), np.moveaxis(exact(alpha) * _numbers(source), dim, 0))
    return changed


def _scatter(x: Array, dim: int, index: Array, source: object) -> Array:
    changed, places, values = x.copy(), _known(index), _numbers(source)
    values = values if values.ndim else np.broadcast_to(values, places.shape)
    np.put_along_axis(changed, places, values[tuple(map(slice, places.shape))], axis=dim)
    return changed


def _slice(x: Array, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Array:
    where = [slice(None)] * x.ndim
    where[dim] = slice(start, end, step)
    return x[tuple(where)]


def _select(x: Array, dim: int, index: int) -> Array:
    where: list[Any] = [slice(None)] * x.ndim
    where[dim] = index
    return x[(*where, Ellipsis)]


def _unbind(x: Array, dim: int = 0) -> list[Array]:
    return [_select(x, dim, index) for index in range(x.shape[dim])]


def _split(x: Array, size: int | Sequence[int], dim: int = 0) -> list[Array]:
    sizes = [size] * -(-x.shape[dim] // size) if isinstance(size, int) else list(size)
    return np.split(x, np.cumsum(sizes)[:-1].tolist(), axis=dim)


def _squeeze(x: Array, dim: _Dim = None) -> Array:
    axes = axes_of(x.ndim, dim)
    return np.squeeze(x, axis=tuple(axis for axis in axes if x.shape[axis] == 1))


def _expand(x: Array, shape: Sequence[int], *, implicit: bool = False) -> Array:
    lead = len(shape) - x.ndim
    return np.broadcast_to(x, [x.shape[i - lead] if n == -1 else n for i, n in enumerate(shape)])


def _permute(x: Array, dims: Sequence[int]) -> Array:
    return np.transpose(x, dims)


def _copied(x: Array, source: Array, non_blocking: bool = False) -> Array:
    return np.broadcast_to(source, x.shape)


def _roll(x: Array, shifts: Sequence[int] | int, dims: _Dim = None) -> Array:
    return np.roll(x, shifts, axis=None if dims is None or dims == [] else dims)


def _gather(x: Array, dim: int, index: Array, *, sparse_grad: bool = False) -> Array:
    return np.take_along_axis(x, _known(index), axis=dim)


def _triangle(keep: Callable[..., Any]) -> Callable[..., Array]:
    def apply(x: Array, diagonal: int = 0) -> Array:
        mask = keep(np.ones(x.shape[-2:], dtype=bool), diagonal)
        return np.where(mask, x, sympy.S.Zero)

    return apply


def _same(x: Array, *args: object, **kwargs: object) -> Array:
    return x


def _copy(x: Array, *args: object, **kwargs: object) -> Array:
    return x.copy()


def _filled(value: int) -> Callable[..., Array]:
    return lambda x, *args, **kwargs: np.full(x.shape, sympy.Integer(value), dtype=object)


def _new_filled(value: int) -> Callable[..., Array]:
    return lambda x, shape, **kwargs: np.full(tuple(shape), sympy.Integer(value), dtype=object)


_STRUCTURE: dict[str, Callable[..., Any]] = {
    "_unsafe_view": lambda x, shape: x.reshape(shape),
    "alias": _same,
    "cat": lambda arrays, dim=0: np.concatenate([x for x in arrays if x.shape != (0,)] or arrays, axis=dim),
    "clone": _copy,
    "copy": _copied,
    "diagonal": lambda x, offset=0, dim1=0, dim2=1: np.diagonal(x, offset, dim1, dim2),
    "expand": _expand,
    "flip": lambda x, dims: np.flip(x, axis=tuple(dims)),
    "gather": _gather,
    "index": _index,
    "index_put": _index_put,
    "index_select": lambda x, dim, index: np.take(x, _known(index), axis=dim),
    "lift_fresh": _same,
    "masked_scatter": _masked_scatter,
    "masked_select": lambda x, mask: x[np.broadcast_to(_known(mask), x.shape)],
    "permute": _permute,
    "repeat": np.tile,
    "roll": _roll,
    "select": _select,
    "slice": _slice,
    "split": _split,
    "split_with_sizes": _split,
    "squeeze": _squeeze,
    "stack": lambda arrays, dim=0: np.stack(arrays, axis=dim),
    "t": lambda x: x.T,
    "transpose": np.swapaxes,
    "unbind": _unbind,
    "unsqueeze": np.expand_dims,
    "view": lambda x, shape: x.reshape(shape),
}

STRUCTURAL = frozenset(_STRUCTURE)
"""Operations that only move entries, whatever these are."""

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: _elementwise(function) for name, function in (UNARY | BINARY).items()},
    **{name: _logical(function) for name, function in LOGICAL.items()},
    "_to_copy": _cast,
    "add": _add,
    "addcdiv": _addcdiv,
    "addcmul": _addcmul,
    "celu": _celu,
    "clamp": _clamp,
    "clamp_max": lambda x, high: _clamp(x, None, high),
    "clamp_min": lambda x, low: _clamp(x, low),
    "detach": _logical(detach),
    "elu": _elu,
    "gelu": _gelu,
    "hardtanh": lambda x, low=-1, high=1: _clamp(x, low, high),
    "leaky_relu": _leaky_relu,
    "lerp": _lerp,
    "logit": _logit,
    "masked_fill": lambda x, mask, value: OPERATIONS["where"](mask, value, x),
    "nan_to_num": _nan_to_num,
    "rsub": lambda a, b, alpha=1: _sub(b, a) if exact(alpha) == 1 else _numbers(b) - exact(alpha) * _numbers(a),
    "softplus": _softplus,
    "sub": _sub,
    "threshold": _threshold,
    "where": _logical(piecewise),
}

ELEMENTWISE = frozenset(_FUNCTIONS)
"""Operations whose entries depend on the entries at the same place only."""

OPERATIONS: dict[str, Callable[..., Any]] = {
    **_STRUCTURE,
    **_FUNCTIONS,
    "_log_softmax": _each(elementary.log_softmax),
    "_softmax": _each(elementary.softmax),
    "addbmm": _added_product,
    "addmm": _added_product,
    "addmv": _added_product,
    "all": _along(lambda values: sympy.And(*values), _truth),
    "amax": _along(lambda values: elementary.extreme(values, 1)),
    "amin": _along(lambda values: elementary.extreme(values, -1)),
    "any": _along(lambda values: sympy.Or(*values), _truth),
    "binary_cross_entropy": _binary_cross_entropy,
    "binary_cross_entropy_with_logits": _binary_cross_entropy_with_logits,
    "bmm": _product,
    "cumprod": _cumprod,
    "cumsum": _cumsum,
    "dot": _product,
    "empty_like": lambda x, **kwargs: unknown(x.shape, "what torch.empty left unset"),
    "fill": lambda x, value: np.full(x.shape, _numbers(value)[()], dtype=object),
    "full_like": lambda x, value, **kwargs: np.full(x.shape, exact(value), dtype=object),
    "huber_loss": _huber_loss,
    "index_add": _index_add,
    "linalg_vector_norm": _norm,
    "log_sigmoid_forward": lambda x: (OPERATIONS["log_sigmoid"](x), x),  # (and a buffer for its backward)
    "logcumsumexp": _each(lambda values, at: elementary.log_sum_exp(values[: at + 1])),
    "logsumexp": _along(elementary.log_sum_exp),
    "max": _all_entries(1),
    "mean": _mean,
    "min": _all_entries(-1),
    "mm": _product,
    "mse_loss": _mse_loss,
    "mv": _product,
    "nansum": _nansum,
    "new_empty": lambda x, shape, **kwargs: unknown(shape, "what torch.empty left unset"),
    "new_full": lambda x, shape, value, **kwargs: np.full(tuple(shape), exact(value), dtype=object),
    "new_ones": _new_filled(1),
    "new_zeros": _new_filled(0),
    "nll_loss_forward": _nll_loss,
    "ones_like": _filled(1),
    "prod": _prod,
    "scatter": _scatter,
    "smooth_l1_loss": _smooth_l1_loss,
    "soft_margin_loss": _soft_margin_loss,
    "std": _deviation,
    "sum": _sum,
    "tril": _triangle(np.tril),
    "triu": _triangle(np.triu),
    "var": _variance,
    "vdot": _product,
    "zero": _filled(0),
    "zeros_like": _filled(0),
}
"""ATen operation (without its overload) to its meaning on arrays of expressions."""
