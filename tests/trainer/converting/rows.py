"""Rows in the columns of the public data sets, and strategies for rows of the standard formats."""

from typing import Any

from hypothesis import strategies as st

from trainer.data import Row


def row(values: dict[str, Any], place: str = "d:1") -> Row:
    return Row(place=place, values=values)


def rows(values: list[dict[str, Any]]) -> list[Row]:
    return [row(one, f"d:{at}") for at, one in enumerate(values, start=1)]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


HH = {
    "chosen": "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: How?\n\nAssistant:  Like this. ",
    "rejected": "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: How?\n\nAssistant: No.",
}

SHP = {
    "post_id": "p1",
    "domain": "askdocs_train",
    "history": "Why?",
    "human_ref_A": "Because.",
    "human_ref_B": "Dunno.",
    "score_A": 12,
    "score_B": 5,
    "labels": 1,
    "score_ratio": 2.4,
}

ULTRAFEEDBACK = {
    "source": "sharegpt",
    "instruction": "Add 2 and 3.",
    "models": ["a", "b", "c"],
    "completions": [
        {"model": "a", "response": "5", "overall_score": 8.0, "fine-grained_score": 4.5},
        {"model": "b", "response": "6", "overall_score": 9.0, "fine-grained_score": 1.5},
        {"model": "c", "response": "five", "overall_score": 8.0, "fine-grained_score": 3.0},
    ],
}

BINARIZED = {
    "prompt": "Add 2 and 3.",
    "prompt_id": "x",
    "chosen": [user("Add 2 and 3."), assistant("5")],
    "rejected": [user("Add 2 and 3."), assistant("6")],
    "messages": [user("Add 2 and 3."), assistant("5")],
    "score_chosen": 8.5,
    "score_rejected": 4.0,
}


def message(identity: str, parent: str | None, role: str, text: str, **more: Any) -> dict[str, Any]:
    """Return a row as the hub has Open Assistant's."""
    return {
        "message_id": identity,
        "parent_id": parent,
        "message_tree_id": identity.split("-")[0],
        "role": role,
        "text": text,
        "lang": "en",
        "rank": None,
        "deleted": False,
        "emojis": None,
        "labels": None,
        **more,
    }


def tree(name: str = "t") -> list[dict[str, Any]]:
    """Return a question with three ranked answers, one of which is followed by a question with two answers."""

    def emojis(up: int, down: int) -> dict[str, list[Any]]:
        return {"name": ["+1", "_skip_reply", "-1"], "count": [up, 1, down]}

    def quality(value: float) -> dict[str, list[Any]]:
        return {"name": ["spam", "quality"], "value": [0.0, value], "count": [3, 3]}

    return [
        message(f"{name}", None, "prompter", "Q"),
        message(f"{name}-1", name, "assistant", "best", rank=0, emojis=emojis(3, 0), labels=quality(0.9)),
        message(f"{name}-2", name, "assistant", "worst", rank=2, emojis=emojis(0, 2), labels=quality(0.1)),
        message(f"{name}-3", name, "assistant", "middle", rank=1, emojis=emojis(1, 1), lang="de"),
        message(f"{name}-4", f"{name}-1", "prompter", "And?"),
        message(f"{name}-5", f"{name}-4", "assistant", "So.", rank=0),
        message(f"{name}-6", f"{name}-4", "assistant", "Thus.", rank=1, deleted=True),
    ]


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6).filter(str.strip)
FEW = st.sampled_from(["a", "b", "c", "d"])

PAIRS = st.lists(st.fixed_dictionaries({"prompt": FEW, "chosen": TEXT, "rejected": TEXT}), min_size=1, max_size=12)
THUMBS = st.lists(
    st.fixed_dictionaries({"prompt": FEW, "completion": TEXT, "label": st.booleans()}), min_size=1, max_size=12
)
SCORED = st.lists(
    st.fixed_dictionaries({"prompt": FEW, "completion": TEXT, "score": st.integers(0, 5).map(float)}),
    min_size=1,
    max_size=12,
)
