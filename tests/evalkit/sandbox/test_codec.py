"""Values cross from process to process as they are, and as nothing else."""

import contextlib
import math
from collections import Counter, OrderedDict, namedtuple
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.sandbox.inside import codec

Colour = IntEnum("Colour", "RED GREEN")
Point = namedtuple("Point", "x y")

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters()),
    st.binary(),
    st.complex_numbers(allow_nan=False),
    st.fractions(),
    st.decimals(allow_nan=False),
)
hashable = st.recursive(scalars, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(hashable, inner, max_size=3),
        st.sets(hashable, max_size=3),
    ),
    max_leaves=12,
)


def crossed(value: Any) -> Any:
    return codec.loads(codec.dumps(value))


@given(values)
def test_a_plain_value_arrives_as_it_was(value: Any) -> None:
    arrived = crossed(value)
    assert arrived == value
    assert repr(arrived) == repr(value) or isinstance(value, set | frozenset | dict | list | tuple)


@pytest.mark.parametrize(
    "value",
    [
        -(2**62),
        2**62,
        -0.0,
        math.inf,
        1e-320,
        "\ud800\0",
        bytearray(b"x"),
        range(3, 9, 2),
        range(10**30),
        [],
    ],
)
def test_edges_arrive_with_their_type(value: Any) -> None:
    arrived = crossed(value)
    assert arrived == value
    assert type(arrived) is type(value)


def test_a_number_too_long_to_print_arrives() -> None:
    assert crossed(-(10**10000)) == -(10**10000)


def test_nan_and_the_sign_of_zero_arrive() -> None:
    assert math.isnan(crossed(math.nan))
    assert math.copysign(1, crossed(-0.0)) == -1


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Colour.GREEN, 2),
        (Point(1, 2), (1, 2)),
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (True, True),
    ],
)
def test_a_subclass_arrives_as_the_plain_type(value: Any, plain: Any) -> None:
    arrived = crossed(value)
    assert arrived == plain
    assert type(arrived) is type(plain)


def test_an_iterator_arrives_as_an_iterator() -> None:
    arrived = crossed(x * x for x in range(4))
    assert next(arrived) == 0
    assert list(arrived) == [1, 4, 9]


class EqualToAll:
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


def test_what_is_not_plain_equals_nothing_and_is_neither_true_nor_false() -> None:
    arrived = crossed([EqualToAll()])[0]
    assert arrived != 1
    assert not arrived == EqualToAll  # noqa: SIM201 (the operator is what is tested)
    with pytest.raises(TypeError, match="EqualToAll"):
        bool(arrived)


def test_strictly_what_is_not_plain_is_refused() -> None:
    with pytest.raises(codec.CannotCrossError, match="function is not a plain value"):
        codec.dumps([lambda: 0], strict=True)


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(codec.CannotCrossError, match="holds itself"):
        codec.dumps(value)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_refused(line: bytes) -> None:
    with contextlib.suppress(codec.CannotCrossError):
        codec.loads(line)


@pytest.mark.parametrize(
    "line",
    [
        b"[1]",
        b'{"list": 3}',
        b'{"eval": "1"}',
        b"{}",
        b'{"set": [{"list": []}]}',
        b'{"fraction": [1, 0]}',
        b'{"decimal": "x"}',
        b'{"int": "zz"}',
        b'{"list": [], "tuple": []}',
        b'{"bytes": "0"}',
        b'{"range": [1, 2, 0]}',
        b"[" * 100_000,
        b"9" * 5000,
    ],
)
def test_what_is_not_a_value_is_refused(line: bytes) -> None:
    with pytest.raises(codec.CannotCrossError):
        codec.loads(line)


def test_numbers_of_other_kinds_cross() -> None:
    assert crossed([Decimal("1.50"), Fraction(1, 3), 1j]) == [Decimal("1.50"), Fraction(1, 3), 1j]
