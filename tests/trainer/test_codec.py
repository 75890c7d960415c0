"""The boundary between prompt and completion, the end of a completion, and truncation."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.tiny import CHARACTERS, make_tokenizer
from trainer.codec import Codec, Limits, turn_end
from trainer.data import Row
from trainer.errors import TrainerError

BOS, EOS = 1, 2
TEXT = st.text(alphabet=CHARACTERS, min_size=1, max_size=12)


def codec(*, bos: bool = True, chat: bool = False, stops: tuple[int, ...] = (EOS,)) -> Codec:
    return Codec(tokenizer=make_tokenizer(bos=bos, chat=chat), bos=(BOS,) if bos else (), stops=stops)


def row(prompt: Any, completion: Any) -> Row:
    return Row(place="d:1", values={"prompt": prompt, "completion": completion})


PLAIN, WITHOUT_BOS, CHAT = codec(), codec(bos=False), codec(chat=True)


@given(prompt=TEXT, completion=TEXT)
def test_prompt_and_completion_are_the_tokens_of_each_with_one_bos_and_one_eos(prompt: str, completion: str) -> None:
    here = row(prompt, completion)
    ids, answer = PLAIN.prompts([here])[0], PLAIN.completions([here], "completion")[0]
    assert ids == PLAIN.tokenizer(prompt)["input_ids"]
    assert (ids.count(BOS), ids.count(EOS)) == (1, 0)
    assert (answer.count(BOS), answer.count(EOS), answer[-1]) == (0, 1, EOS)
    assert PLAIN.tokenizer.decode(answer[:-1]) == completion


def test_a_prompt_that_begins_with_bos_gets_no_second_one() -> None:
    assert PLAIN.prompts([row("<bos>hi", "")]) == PLAIN.prompts([row("hi", "")])


def test_a_tokenizer_without_bos_gets_none() -> None:
    assert WITHOUT_BOS.prompts([row("hi", "")])[0] == PLAIN.prompts([row("hi", "")])[0][1:]


@pytest.mark.parametrize("end", ["", "<eos>", "<eos>\n", "<eos><eos>"])
def test_a_completion_ends_with_one_eos_whatever_the_text_ends_with(end: str) -> None:
    answer = PLAIN.completions([row("hi", "yes" + end)], "completion")[0]
    assert answer == [*PLAIN.encode(["yes"])[0], EOS]


def test_another_stop_token_of_the_model_ends_a_completion_too() -> None:
    (bar,) = PLAIN.encode(["|"])[0]
    answer = codec(stops=(EOS, bar)).completions([row("hi", "yes|\n")], "completion")[0]
    assert answer == PLAIN.encode(["yes|"])[0]


def chatml(template: str) -> Codec:
    """Return the codec of a base model whose EOS, `<eos>`, is not what its template ends a turn with, `<end>`."""
    tokenizer = make_tokenizer(chat=True)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<end>"]})
    tokenizer.chat_template = template
    end = turn_end(tokenizer)
    return Codec(tokenizer=tokenizer, bos=(BOS,), stops=(EOS,) if end is None else (EOS, end))


TURNS = "{% for message in messages %}<|{{ message.role }}>{{ message.content }}<end>\n{% endfor %}"


@pytest.mark.parametrize("after", ["", "<eos>", "\n<eos>\n"])
def test_the_token_that_ends_a_turn_ends_a_completion_whatever_follows_it(after: str) -> None:
    of_turns = chatml(TURNS + "{% if add_generation_prompt %}<|assistant>{% else %}" + after + "{% endif %}")
    answer = of_turns.completions([row(messages("hi"), "fine")], "completion")[0]
    assert of_turns.tokenizer.decode(answer) == "fine<end>"


@pytest.mark.parametrize("template", ["{{ messages[-1].content }}\n", "{{ messages[7].content }}", "{{ nothing( }}"])
def test_a_template_need_not_end_a_turn_with_a_token(template: str) -> None:
    assert chatml(template).stops == (EOS,)


ALWAYS_ASKS = "{% for message in messages %}<end>{{ message.role }}{{ message.content }}\n{% endfor %}<end>assistant"
PARTS = "<end>{% for message in messages %}{% for part in message.content %}{{ part.text }}{% endfor %}{% endfor %}"
TITLED = "{{ bos_token }}{% for message in messages %}{{ message.content | title }}<end>\n{% endfor %}"


@pytest.mark.parametrize("template", [ALWAYS_ASKS, PARTS, TITLED])
def test_a_token_that_begins_a_conversation_or_a_turn_is_no_end(template: str) -> None:
    assert chatml(template).stops == (EOS,)


def test_no_token_straddles_the_boundary() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<eos>": 0, "a": 1, "b": 2, "ab": 3}
    merging = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE(vocab=vocabulary, merges=[("a", "b")])), eos_token="<eos>"
    )
    here = row("a", "b")
    assert merging("ab")["input_ids"] == [3]
    split = Codec(tokenizer=merging, bos=(), stops=(0,))
    assert (split.prompts([here]), split.completions([here], "completion")) == ([[1]], [[2, 0]])


def messages(*contents: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[at % 2], "content": content} for at, content in enumerate(contents)]


def test_a_conversation_is_what_generation_sees_and_what_the_template_adds() -> None:
    here = row(messages("hi", "yo", "how?"), [{"role": "assistant", "content": "fine"}])
    generated = CHAT.tokenizer.apply_chat_template(
        here.values["prompt"], add_generation_prompt=True, tokenize=True, return_dict=False
    )
    assert CHAT.prompts([here])[0] == generated
    assert CHAT.tokenizer.decode(generated) == "<|user>hi\n<|assistant>yo<eos>\n<|user>how?\n<|assistant>"
    assert CHAT.tokenizer.decode(CHAT.completions([here], "completion")[0]) == "fine<eos>"


def test_a_text_completion_of_a_conversation_is_the_assistants_message() -> None:
    one, other = row(messages("hi"), "fine"), row(messages("hi"), [{"role": "assistant", "content": "fine"}])
    assert CHAT.completions([one], "completion") == CHAT.completions([other], "completion")


def test_a_conversation_without_a_template_names_the_remedy() -> None:
    with pytest.raises(TrainerError, match=r"d:1: .* no chat template; give one with --chat-template FILE.jinja"):
        PLAIN.prompts([row(messages("hi"), "yes")])


def test_a_template_that_rewrites_the_prompt_is_refused() -> None:
    fickle = codec(chat=True)
    fickle.tokenizer.chat_template = "{{ messages | length }}{{ messages[-1].content }}"
    with pytest.raises(
        TrainerError, match=r"d:1: the chat template writes the prompt differently .* '2yes' in .* '1hi'"
    ):
        fickle.completions([row(messages("hi"), "yes")], "completion")


def test_a_template_that_refuses_names_the_row() -> None:
    strict = codec(chat=True)
    strict.tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(TrainerError, match=r"d:1: the chat template refuses the conversation: roles must alternate"):
        strict.prompts([row(messages("hi"), "yes")])


def test_a_template_that_breaks_names_the_row() -> None:
    broken = codec(chat=True)
    broken.tokenizer.chat_template = "{{ messages[0].content + 3 }}"
    with pytest.raises(TrainerError, match=r"d:1: the chat template refuses the conversation: can only concatenate"):
        broken.prompts([row(messages("hi"), "yes")])


def test_a_template_that_does_not_compile_is_named_with_its_line_and_no_row() -> None:
    broken = replace(codec(chat=True), template_from="--chat-template mine.jinja")
    broken.tokenizer.chat_template = "{% for message in messages %}\n{{ message.content }\n{% endfor %}"
    message = (
        r"^--chat-template mine.jinja: the chat template does not compile: line 2: unexpected '}'; mend it, or give"
    )
    with pytest.raises(TrainerError, match=message):
        broken.prompts([row(messages("hi"), "yes")])


LENGTHS = st.integers(1, 40)


@given(prompt=LENGTHS, completion=LENGTHS, total=st.integers(8, 40), limit=st.none() | LENGTHS, bos=st.booleans())
def test_truncation_keeps_the_end_of_the_prompt_and_the_beginning_of_the_completion(
    prompt: int, completion: int, total: int, limit: int | None, bos: bool
) -> None:
    limits, ids = Limits(total=total, prompt=limit), list(range(100, 100 + prompt))
    room = limits.completion_room(prompt)
    kept = min(completion, room)
    cut = limits.cut_prompt(ids, kept, (100,) if bos else ())
    assert 1 <= len(cut) <= min(prompt, limit or prompt)
    assert len(cut) + kept <= total
    assert room >= total - total // 4
    body = cut[1:] if bos and len(cut) < prompt and cut[0] == 100 else cut
    assert body == ids[len(ids) - len(body) :]
    assert len(cut) == min(prompt, limit or prompt, total - kept)
    if bos and len(cut) > 1:
        assert cut[0] == 100


def test_the_whole_completion_is_kept_before_the_whole_prompt() -> None:
    limits = Limits(total=16)
    assert limits.completion_room(100) == 12
    assert limits.cut_prompt([1, *range(50, 70)], 12, (1,)) == [1, 67, 68, 69]
