"""The client: how long it waits, which keys and addresses it takes."""

import email.utils
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import EvalkitError
from evalkit.judging.client import OPENAI, checked_url, find_key, requested_wait

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": email.utils.formatdate(NOW + 30, usegmt=True)}, 30.0),
        ({"retry-after": email.utils.formatdate(NOW - 30, usegmt=True)}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": ""}, None),
    ],
)
def test_both_forms_of_retry_after(headers: dict[str, str], wait: float | None) -> None:
    assert requested_wait(headers, NOW) == (None if wait is None else pytest.approx(wait))


@given(st.text(max_size=30))
def test_no_header_brings_it_down(value: str) -> None:
    wait = requested_wait({"retry-after": value}, NOW)
    assert wait is None or wait >= 0


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:8000", "not an address"),
        ("ftp://host/v1", "not an address"),
        ("http://", "not an address"),
        ("http://host:99999/v1", "not an address"),
        ("http://me:secret@host/v1", "must not hold a user, a password or a query"),
        ("http://host/v1?api-key=secret", "must not hold"),
    ],
)
def test_an_address_that_cannot_be_used_or_holds_a_secret_is_refused(url: str, message: str) -> None:
    with pytest.raises(EvalkitError, match=message) as error:
        checked_url(url)
    assert "secret" not in str(error.value)


def test_an_address_loses_its_last_slash() -> None:
    assert checked_url("http://[::1]:8000/v1/") == "http://[::1]:8000/v1"


def test_a_key_comes_from_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER", " sk-one \n")
    assert find_key("OTHER", OPENAI) == "sk-one"
    monkeypatch.delenv("OPENAI_API_KEY")
    assert find_key("OPENAI_API_KEY", "http://localhost/v1") == "none"
    with pytest.raises(EvalkitError, match="the environment has no OPENAI_API_KEY"):
        find_key("OPENAI_API_KEY", OPENAI)
    for bad in ("sk-a b", "sk-\u00e9", "sk-a\nb"):
        monkeypatch.setenv("OTHER", bad)
        with pytest.raises(EvalkitError, match="holds signs that no key has") as error:
            find_key("OTHER", OPENAI)
        assert bad not in str(error.value)


def test_the_clients_library_logs_nothing_by_itself() -> None:
    assert logging.getLogger("openai").getEffectiveLevel() >= logging.WARNING
