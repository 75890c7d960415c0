"""From rows to examples, and the report of what became of each row."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halotheory.contract import load_loss
from tests.trainer.tiny import make_tokenizer
from trainer.codec import Codec, Limits
from trainer.data import Row
from trainer.errors import TrainerError
from trainer.tokens import DataReport, Places, TokenTable, tokenize

CODEC = Codec(tokenizer=make_tokenizer(), bos=(1,), stops=(2,))


def tokenized(
    loss: str, *values: dict[str, Any], total: int = 64, codec: Codec = CODEC
) -> tuple[TokenTable, DataReport]:
    rows = [Row(place=f"d.jsonl:{line}", values=one) for line, one in enumerate(values, start=1)]
    return tokenize(rows, load_loss(loss), codec, Limits(total=total), source="d.jsonl")


def texts(table: TokenTable) -> list[tuple[str, ...]]:
    """Return each example's prompt and completions as text."""

    def text(start: Any, length: Any) -> str:
        return CODEC.tokenizer.decode(table.tokens[int(start) : int(start + length)])

    return [
        (
            text(table.prompt_start[at], table.prompt_length[at]),
            *map(text, table.completion_start[at], table.completion_length[at]),
        )
        for at in range(len(table))
    ]


PAIR = {"prompt": "a", "chosen": "yes", "rejected": "no"}
UP, DOWN = {"prompt": "a", "completion": "yes", "label": True}, {"prompt": "b", "completion": "no", "label": False}


def test_a_pair_is_one_example_with_two_completions() -> None:
    table, report = tokenized("dpo", PAIR)
    assert texts(table) == [("<bos>a", "yes<eos>", "no<eos>")]
    assert (report.format, report.examples, report.desirable, report.undesirable) == ("paired", 1, 1, 1)
    assert report.tokens == (2 + 4) + (2 + 3)
    assert report.conversion is None


def test_pairs_become_thumbs_for_kto_and_say_so() -> None:
    table, report = tokenized("kto", PAIR)
    assert texts(table) == [("<bos>a", "yes<eos>"), ("<bos>a", "no<eos>")]
    assert table.desirable.tolist() == [True, False]
    assert table.prompt_group[0] == table.prompt_group[1]
    assert report.conversion == "pairs made into 2 thumbs: chosen is desirable, rejected undesirable"


def test_pairs_give_their_chosen_completion_to_sft() -> None:
    table, report = tokenized("sft", PAIR)
    assert texts(table) == [("<bos>a", "yes<eos>")]
    assert report.conversion == "pairs made into 1 completions: the chosen"


def test_pairs_become_advantages_for_a_token_level_loss_and_say_so() -> None:
    table, report = tokenized("ppo_clip", PAIR)
    assert texts(table) == [("<bos>a", "yes<eos>"), ("<bos>a", "no<eos>")]
    assert table.desirable.tolist() == [True, False]
    assert report.lines()[-1] == (
        "data: pairs made into 2 thumbs: chosen is desirable, rejected undesirable; "
        "advantage +1 for every token of a desirable completion, -1 of an undesirable one"
    )


@pytest.mark.parametrize("rows", [(PAIR,), ({**UP, "prompt": "a"}, {**DOWN, "prompt": "a"})])
def test_csft_learns_every_completion_after_the_control_token_of_its_label(rows: tuple[dict[str, Any], ...]) -> None:
    table, report = tokenized("csft", *rows)
    assert texts(table) == [("<bos>a<|good|>", "yes<eos>"), ("<bos>a<|bad|>", "no<eos>")]
    assert table.prompt_group[0] == table.prompt_group[1]
    assert report.conversion is not None
    assert report.conversion.endswith("prompts end with <|good|> before a desirable completion, <|bad|> before another")


def test_a_control_token_stays_where_its_prompt_is_cut() -> None:
    table, report = tokenized("csft", {"prompt": "abcdefghij", "chosen": "yes", "rejected": "n"}, total=16)
    assert texts(table) == [("<bos>hij<|good|>", "yes<eos>"), ("<bos>ghij<|bad|>", "n<eos>")]
    assert report.prompts_truncated == 1


def test_thumbs_give_sft_the_desirable_ones_and_the_others_are_counted() -> None:
    table, report = tokenized("sft", UP, DOWN)
    assert texts(table) == [("<bos>a", "yes<eos>")]
    assert [(one.rows, one.first) for one in report.dropped] == [(1, "d.jsonl:2")]
    assert report.dropped[0].reason.startswith("not desirable")


def test_what_a_user_may_not_have_meant_is_used_and_told() -> None:
    same, amid = {"prompt": "a", "chosen": "yes", "rejected": "yes"}, {**PAIR, "chosen": "yes<eos>no"}
    table, report = tokenized("dpo", PAIR, same, amid)
    assert len(table) == 3
    assert report.lines()[1:] == [
        "data: 1 of those used: chosen and rejected are the same; the first is d.jsonl:2",
        "data: 1 of those used: a stop token amid the completion, which is learned as text is; the first is d.jsonl:3",
    ]


def test_groups_are_equal_for_equal_prompts_only() -> None:
    table, _ = tokenized("kto", UP, DOWN, {**UP, "completion": "other"})
    assert table.prompt_group.tolist() == [0, 1, 0]


def test_empty_completions_are_dropped_and_the_first_is_named() -> None:
    empty = {**UP, "completion": " \n"}
    table, report = tokenized("kto", UP, empty, DOWN, empty)
    assert (report.rows, report.used, len(table)) == (4, 2, 2)
    assert [(one.reason, one.rows, one.first) for one in report.dropped] == [("empty completion", 2, "d.jsonl:2")]
    assert report.lines() == [
        "data: 2 of 4 rows used, 0 prompts truncated, 0 completions truncated, 2 dropped",
        "data: 2 dropped: empty completion; the first is d.jsonl:2",
    ]


def test_an_empty_prompt_needs_a_bos() -> None:
    empty = {**UP, "prompt": ""}
    assert texts(tokenized("kto", empty)[0]) == [("<bos>", "yes<eos>")]
    bare = Codec(tokenizer=make_tokenizer(bos=False), bos=(), stops=(2,))
    with pytest.raises(TrainerError, match=r"d.jsonl:1: none of the 1 rows can be used: 1 dropped: empty prompt"):
        tokenized("kto", empty, codec=bare)


def test_truncation_is_counted_and_a_cut_completion_has_no_eos() -> None:
    long_prompt = {"prompt": "abcdefgh", "completion": "yes", "label": True}
    long_answer = {"prompt": "a", "completion": "abcdefghij", "label": False}
    table, report = tokenized("kto", long_prompt, long_answer, total=8)
    assert texts(table) == [("<bos>fgh", "yes<eos>"), ("<bos>a", "abcdef")]
    assert (report.prompts_truncated, report.completions_truncated) == (1, 1)


def test_the_two_completions_of_a_pair_follow_the_same_prompt() -> None:
    table, report = tokenized("dpo", {"prompt": "abcdef", "chosen": "yes", "rejected": "n"}, total=8)
    assert texts(table) == [("<bos>def", "yes<eos>", "n<eos>")]
    assert report.prompts_truncated == 1


def test_weights_of_0_alone_teach_nothing() -> None:
    assert tokenized("kto", {**UP, "weight": 0.0}, UP)[0].weights is not None
    with pytest.raises(TrainerError, match=r"d.jsonl: every row has the weight 0"):
        tokenized("kto", {**UP, "weight": 0.0}, {**UP, "weight": 0})


def test_no_rows_at_all() -> None:
    with pytest.raises(TrainerError, match=r"d.jsonl: holds no rows"):
        tokenized("kto")


def test_many_rows_keep_their_order_and_place() -> None:
    rows = [{"prompt": str(at), "completion": str(at), "label": at % 3 == 0} for at in range(2500)]
    table, _ = tokenized("kto", *rows)
    assert table.places[2499] == "d.jsonl:2500"
    assert texts(table)[2499] == ("<bos>2499", "2499<eos>")
    assert np.array_equal(table.desirable, [at % 3 == 0 for at in range(2500)])


@given(texts=st.lists(st.sampled_from(["d.jsonl:7", "d.jsonl:07", "e.jsonl:7", "hub: row 12", "here", "", "3", "d:0"])))
def test_places_come_back_as_they_were(texts: list[str]) -> None:
    places = Places(texts)
    assert list(places) == texts
    assert list(places.taken(np.arange(len(texts))[::2])) == texts[::2]
