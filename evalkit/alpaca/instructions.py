"""Which instruction is which: by its text, never by its row."""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

NUM_INSTRUCTIONS = 805
KEY_LENGTH = 16


def instruction_key(instruction: str) -> str:
    """Return what an instruction is matched by: 16 hexadecimal digits of the SHA-256 of its words.

    White space is read as one space between words, so that a file's line endings do not matter.
    """
    return hashlib.sha256(" ".join(instruction.split()).encode("utf-8", "replace")).hexdigest()[:KEY_LENGTH]


@cache
def leaderboard_order() -> tuple[str, ...]:
    """Return the keys of AlpacaEval's 805 instructions in the order in which its own files count them.

    Files that say "instruction 17" (the published difficulties) mean this order. The keys alone are kept here, no text.
    """
    return tuple((files("evalkit.alpaca") / "leaderboard_order.txt").read_text(encoding="ascii").split())


@cache
def leaderboard_positions() -> Mapping[str, int]:
    """Return the place of each of AlpacaEval's instructions in its own files, from 0, by key."""
    return {key: position for position, key in enumerate(leaderboard_order())}


def order_of(key: str) -> tuple[int, str]:
    """Return what to sort items by: AlpacaEval's own order, then other instructions by their key."""
    return leaderboard_positions().get(key, NUM_INSTRUCTIONS), key
