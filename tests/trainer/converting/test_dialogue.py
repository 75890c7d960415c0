"""Chat to text and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.converting.rows import assistant, user
from trainer.converting.dialogue import (
    answer_as_chat,
    answer_as_text,
    opening,
    prompt_as_chat,
    prompt_as_text,
    turns,
)
from trainer.converting.steps import UnusableRowError

WORDS = st.text("abc äß\n", max_size=8).map(str.strip)
CHATS = st.integers(0, 2).flatmap(
    lambda more: st.tuples(*[WORDS.filter(bool)] * (2 * more + 1)).map(
        lambda texts: [(user, assistant)[at % 2](text) for at, text in enumerate(texts)]
    )
)


@given(CHATS, WORDS)
def test_chat_to_text_to_chat_is_the_same(prompt: list[dict[str, str]], answer: str) -> None:
    text = prompt_as_text(prompt)
    assert prompt_as_chat(text) == prompt
    assert answer_as_chat(answer_as_text([assistant(answer)]), text) == [assistant(answer)]


@given(CHATS)
def test_the_opening_is_the_first_question_in_both_forms(prompt: list[dict[str, str]]) -> None:
    assert opening(prompt) == opening(prompt_as_text(prompt)) == prompt[0]["content"].strip()


def test_text_that_is_no_transcript() -> None:
    assert prompt_as_chat("2+2 =") == [user("2+2 =")]
    assert answer_as_chat(" 4 ", "2+2 =") == [assistant("4 ")]
    assert opening("2+2 =") == "2+2 ="


def test_the_opening_skips_the_system() -> None:
    assert opening([{"role": "system", "content": "Be brief."}, user("Hi")]) == "Hi"


def test_a_transcript_as_text() -> None:
    assert prompt_as_text([user("Hi"), assistant("Yes"), user("So")]) == (
        "\n\nHuman: Hi\n\nAssistant: Yes\n\nHuman: So\n\nAssistant:"
    )
    assert answer_as_text([assistant("ok")]) == " ok"


@pytest.mark.parametrize(
    ("transcript", "reason"),
    [
        ("Hello\n\nHuman: Hi", "text before the first"),
        ("no turns", "text before the first"),
        ("\n\nHuman: a\n\nHuman: b", "one role speaks twice running"),
    ],
)
def test_transcripts_that_are_none(transcript: str, reason: str) -> None:
    with pytest.raises(UnusableRowError, match=reason):
        turns(transcript)


def test_what_has_no_form_as_text() -> None:
    with pytest.raises(UnusableRowError, match="role system has no form as text"):
        prompt_as_text([{"role": "system", "content": "s"}, user("Hi")])
    with pytest.raises(UnusableRowError, match="not one message of the assistant"):
        answer_as_text([assistant("a"), user("b")])


def test_a_prompt_that_begins_the_answer_has_no_form_as_chat() -> None:
    with pytest.raises(UnusableRowError, match="a prompt that begins the answer has no form as chat"):
        prompt_as_chat("\n\nHuman: Name a fruit\n\nAssistant: Sure, here is")
