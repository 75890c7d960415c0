"""Plain Python values as JSON, so that a value of one process can be compared in another and nothing else can.

Subclasses arrive as the plain type: a `list` whose `__eq__` says True is compared by its items. What is not plain
arrives as an `Opaque`, equal to nothing but itself. Reading runs no code of the sender's.
"""

import itertools
import json
import sys
from collections.abc import Iterator
from typing import Any

MAX_BYTES = 32 * 2**20
MAX_ITERATED = 1_000_000
_SMALL = 2**62


class CannotCrossError(Exception):
    """A value that is not plain, too deep or too large."""


class CameBackError(CannotCrossError):
    """A value that is not plain because it came from the other process."""


class Opaque:
    """Stands for an object of the other process that is not a plain value."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __bool__(self) -> bool:
        raise TypeError(f"a value of type {self.kind!r} cannot be judged outside of its process")

    def __repr__(self) -> str:
        return f"<object of type {self.kind!r}>"


def dumps(value: Any, *, strict: bool = False) -> bytes:
    """Return a value as one line.

    Args:
        value: plain values, nested.
        strict: refuse what is not plain.

    Raises:
        CannotCrossError: too deep, too large, or, with `strict`, not plain.
        CameBackError: it holds an `Opaque`.
    """
    try:
        line = json.dumps(_encoded(value, strict)).encode("ascii") + b"\n"
    except RecursionError:
        raise CannotCrossError("the value is nested too deeply, or holds itself") from None
    if len(line) > MAX_BYTES:
        raise CannotCrossError(f"the value takes more than {MAX_BYTES} bytes")
    return line


def loads(line: bytes) -> Any:
    """Return the value of a line.

    Raises:
        CannotCrossError: not such a line.
    """
    try:
        return _decoded(json.loads(line))
    except (ValueError, TypeError, ArithmeticError, KeyError, RecursionError) as error:
        raise CannotCrossError(f"not a value: {type(error).__name__}") from None


def _encoded(value: Any, strict: bool) -> Any:
    if value is None or value is True or value is False:
        return value
    for kind, encode in _SCALARS:
        if isinstance(value, kind):
            return encode(value)
    for kind, tag in _COLLECTIONS:
        if isinstance(value, kind):
            return {tag: [_encoded(item, strict) for item in kind.__iter__(value)]}
    if isinstance(value, dict):
        return {"dict": [[_encoded(key, strict), _encoded(item, strict)] for key, item in dict.items(value)]}
    return _encoded_other(value, strict)


def _encoded_other(value: Any, strict: bool) -> Any:
    for module, name, encode in _LATE_SCALARS:
        if module in sys.modules and isinstance(value, getattr(sys.modules[module], name)):
            return encode(value)
    if isinstance(value, Opaque):
        raise CameBackError(f"a value of type {value.kind!r} cannot go back to its process")
    if strict and not isinstance(value, Iterator):
        raise CannotCrossError(f"a {type(value).__name__} is not a plain value")
    if isinstance(value, Iterator):
        items = list(itertools.islice(value, MAX_ITERATED + 1))
        if len(items) > MAX_ITERATED:
            raise CannotCrossError(f"an iterator of more than {MAX_ITERATED} items")
        return {"iterator": [_encoded(item, strict) for item in items]}
    return {"opaque": type(value).__name__[:100]}


def _encoded_int(value: int) -> Any:
    plain = int(value)
    return plain if -_SMALL < plain < _SMALL else {"int": hex(plain)}  # decimal digits would be limited to 4300


_SCALARS: tuple[tuple[type, Any], ...] = (
    (int, _encoded_int),
    (str, lambda value: str.__str__(value)),
    (float, float),  # json writes and reads NaN and Infinity
    (complex, lambda value: {"complex": [value.real, value.imag]}),
    (bytes, lambda value: {"bytes": bytes(value).hex()}),
    (bytearray, lambda value: {"bytearray": bytes(value).hex()}),
    (range, lambda value: {"range": [_encoded_int(part) for part in (value.start, value.stop, value.step)]}),
)
# Of modules that take long to load, and that whoever holds such a number has loaded.
_LATE_SCALARS: tuple[tuple[str, str, Any], ...] = (
    ("decimal", "Decimal", lambda value: {"decimal": str(value)}),
    ("fractions", "Fraction", lambda value: {"fraction": [*map(_encoded_int, value.as_integer_ratio())]}),
)
_COLLECTIONS: tuple[tuple[Any, str], ...] = (
    (list, "list"),
    (tuple, "tuple"),
    (set, "set"),
    (frozenset, "frozenset"),
)


def _decimal(content: Any) -> Any:
    from decimal import Decimal

    return Decimal(content)


def _fraction(content: Any) -> Any:
    from fractions import Fraction

    return Fraction(*map(_decoded, content))


def _decoded(value: Any) -> Any:
    if not isinstance(value, dict):
        if isinstance(value, list):
            raise TypeError("a bare list")
        return value
    ((tag, content),) = value.items()
    return _DECODERS[tag](content)


_DECODERS: dict[str, Any] = {
    "int": lambda content: int(content, 16),
    "complex": lambda content: complex(*content),
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "range": lambda content: range(*map(_decoded, content)),
    "decimal": _decimal,
    "fraction": _fraction,
    "list": lambda content: [_decoded(item) for item in content],
    "tuple": lambda content: tuple(_decoded(item) for item in content),
    "set": lambda content: {_decoded(item) for item in content},
    "frozenset": lambda content: frozenset(_decoded(item) for item in content),
    "iterator": lambda content: iter([_decoded(item) for item in content]),
    "dict": lambda content: {_decoded(key): _decoded(item) for key, item in content},
    "opaque": lambda content: Opaque(str(content)),
}
