"""Verdicts: only the exact last line counts, log-probabilities where they are, else missing."""

import contextlib
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.judging.replies import MalformedReplyError, Reply, parse_reply, reply_from_row
from evalkit.judging.verdicts import Verdict, read_verdict

TAG = "0123abcd"


def verdict(content: str, *, ties: bool = True, **fields: Any) -> Verdict:
    return read_verdict(Reply(content=content, **{"finish_reason": "stop", **fields}), TAG, ties=ties)


@pytest.mark.parametrize(
    ("content", "first"),
    [
        (f"Verdict {TAG}: A", 1.0),
        (f"Verdict {TAG}: B\n", 0.0),
        (f"  **Verdict {TAG}: C.**", 0.5),
        (f"Response A is better.\n\nVerdict {TAG}: B", 0.0),
        (f"Verdict {TAG}: A\nVerdict {TAG}: A", 1.0),
    ],
)
def test_the_last_line_is_the_verdict(content: str, first: float) -> None:
    found = verdict(content)
    assert (found.first, found.read_by, found.missing) == (first, "text", "")


@pytest.mark.parametrize(
    "content",
    [
        *("A", "Verdict: A", f"Verdict {TAG}: D", f"Verdict {TAG}: a", f"Verdict {TAG}: AB", f"verdict {TAG}: A"),
        *(f"Verdict {TAG}: A or B", f"Verdict {TAG}: X", f"Verdict {TAG.upper()}: A", f"Verdict {TAG}:"),
        *(f"Verdict {TAG}: A\nBut then again...", f"The line is Verdict {TAG}: A", f"Verdict {TAG}\n: A"),
        *("Verdict 99999999: A", f"Verdict {TAG}: A B", ""),
    ],
)
def test_anything_else_is_missing(content: str) -> None:
    found = verdict(content)
    assert found.first is None
    assert found.missing


def test_contradictory_lines_and_ties_that_were_not_offered_are_missing() -> None:
    assert verdict(f"Verdict {TAG}: A\nVerdict {TAG}: B").missing == "contradictory verdict lines"
    assert verdict(f"Verdict {TAG}: A\r\nVerdict {TAG}: B").missing == "contradictory verdict lines"
    assert verdict(f"Verdict {TAG}: C", ties=False).first is None


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_a_reply_that_did_not_end_by_itself_is_missing(reason: str) -> None:
    assert verdict(f"Verdict {TAG}: A", finish_reason=reason).first is None


def token(text: str, logprob: float, **top: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "top": [{"token": t, "logprob": p} for t, p in top.items()]}


def logged(*tokens: dict[str, Any]) -> Verdict:
    return verdict(f"Verdict {TAG}: A", tokens=tokens)


HEAD = (token("Verdict", -0.1), token(f" {TAG}", -0.2), token(":", 0.0))


def test_the_preference_is_the_share_of_the_first_letter_among_those_offered() -> None:
    top = {" A": math.log(0.5), " B": math.log(0.2), " C": math.log(0.1), " The": math.log(0.2)}
    found = logged(*HEAD, token(" A", math.log(0.5), **top))
    assert found.first == pytest.approx((0.5 + 0.05) / 0.8)
    assert found.read_by == "logprobs"
    found = verdict(f"Verdict {TAG}: A", ties=False, tokens=(*HEAD, token(" A", math.log(0.5), **top)))
    assert found.first == pytest.approx(0.5 / 0.7)


def test_letters_with_and_without_a_space_count_together_and_one_not_listed_counts_as_impossible() -> None:
    head = (token(f"Verdict {TAG}", -0.1), token(": ", -0.1))
    top = {"A": math.log(0.6), " A": math.log(0.1), "B": math.log(0.2)}
    assert logged(*head, token("A", math.log(0.6), **top)).first == pytest.approx(0.7 / 0.9)
    assert logged(*head, token("A", -0.01)).first == 1.0


def test_tokens_are_placed_from_the_end() -> None:
    odd = (token("\\xe2\\x82", -0.1), *HEAD)
    top = {" A": math.log(0.6), " B": math.log(0.4)}
    found = read_verdict(
        Reply(
            content=f"€\nVerdict {TAG}: A",
            finish_reason="stop",
            tokens=(*odd, token(" A", math.log(0.6), **top), token("<|im_end|>", 0.0)),
        ),
        TAG,
        ties=False,
    )
    assert found.first == pytest.approx(0.6)


@pytest.mark.parametrize(
    "tokens",
    [
        (),
        (token("something", -0.1), token(" else", -0.1)),
        (*HEAD, token(" A", -9999.0)),
    ],
)
def test_where_log_probabilities_do_not_tell_the_text_does(tokens: tuple[dict[str, Any], ...]) -> None:
    found = logged(*tokens)
    assert (found.first, found.read_by) == (1.0, "text")


def completion(**changes: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "hello"}
    return {"choices": [{"message": message, "finish_reason": "stop", **changes}], "model": "m"}


@pytest.mark.parametrize(
    "payload",
    [
        *(None, [], "hello", 3, {}, {"error": {"message": "no"}}),
        *({"choices": None}, {"choices": []}, {"choices": [3]}),
        *({"choices": [{"message": None}]}, {"choices": [{"message": {"content": 3}}]}),
    ],
)
def test_what_is_no_chat_completion_is_malformed(payload: Any) -> None:
    with pytest.raises(MalformedReplyError):
        parse_reply(payload)


@pytest.mark.parametrize(
    "logprobs",
    [
        *(None, [], 3, {"content": None}, {"content": [3]}, {"content": [{"token": "a"}]}),
        *({"content": [{"token": "a", "logprob": math.nan}]}, {"content": [{"token": 3, "logprob": -1}]}),
        {"content": [{"token": "a", "logprob": -1, "top_logprobs": [{"token": "b"}]}]},
    ],
)
def test_odd_log_probabilities_are_none(logprobs: Any) -> None:
    assert parse_reply(completion(logprobs=logprobs)).tokens == ()


def test_minus_infinity_can_be_written() -> None:
    content = [{"token": "a", "logprob": -math.inf, "top_logprobs": None}]
    assert parse_reply(completion(logprobs={"content": content})).tokens[0]["logprob"] == -9999.0


texts = st.text(max_size=20)
tokens = st.builds(lambda text, p: token(text, p, **{text: p}), texts, st.floats(-100, 0))


@given(
    st.builds(
        Reply,
        content=texts,
        finish_reason=texts,
        refusal=texts,
        tokens=st.lists(tokens).map(tuple),
        prompt_tokens=st.none() | st.integers(0),
        completion_tokens=st.none() | st.integers(0),
        model=texts,
        fingerprint=texts,
        rejected=texts,
    )
)
def test_a_reply_is_read_as_it_was_written(reply: Reply) -> None:
    assert reply_from_row(reply.as_row()) == reply


NAMES = st.sampled_from(["choices", "message", "content", "logprobs", "usage", "token", "logprob", "top_logprobs"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner),
)


@given(json_values)
def test_no_payload_brings_the_reader_down(payload: Any) -> None:
    with contextlib.suppress(MalformedReplyError):
        parse_reply(payload)
