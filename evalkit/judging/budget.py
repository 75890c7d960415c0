"""What judging costs: prices, an estimate before, a count during, and the most that may be spent."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from evalkit.errors import EvalkitError
from evalkit.judging.replies import Reply

PRICES_OF = "2025-04"
PRICES = {
    "gpt-3.5-turbo": (0.5, 1.5),
    "gpt-4": (30.0, 60.0),
    "gpt-4-0613": (30.0, 60.0),
    "gpt-4-turbo": (10.0, 30.0),
    "gpt-4-turbo-2024-04-09": (10.0, 30.0),
    "gpt-4-1106-preview": (10.0, 30.0),
    "gpt-4-0125-preview": (10.0, 30.0),
    "gpt-4o": (2.5, 10.0),
    "gpt-4o-2024-08-06": (2.5, 10.0),
    "gpt-4o-mini": (0.15, 0.6),
    "gpt-4.1": (2.0, 8.0),
    "gpt-4.1-mini": (0.4, 1.6),
    "gpt-4.1-nano": (0.1, 0.4),
}
"""US dollars per million tokens in and out, as OpenAI listed them in `PRICES_OF`; they change."""

MESSAGE_TOKENS = 8
"""What a chat message costs beyond its text."""


@dataclass(frozen=True, kw_only=True)
class Price:
    """US dollars per million tokens.

    Attributes:
        tokens_in: of the prompt.
        tokens_out: of the reply.
        source: where they are from.
    """

    tokens_in: float
    tokens_out: float
    source: str

    def cost(self, tokens_in: float, tokens_out: float) -> float:
        """Return the price of a call, US dollars."""
        return (self.tokens_in * tokens_in + self.tokens_out * tokens_out) / 1e6


def find_price(model: str, *, price_in: float | None, price_out: float | None, listed: bool) -> Price | None:
    """Return the price of a model: as given, else as listed, else None.

    Args:
        model: its name.
        price_in: US dollars per million tokens of prompts.
        price_out: US dollars per million tokens of replies.
        listed: whether the server is the one whose prices are listed here.

    Raises:
        EvalkitError: one price without the other, or a negative one.
    """
    if price_in is None and price_out is None:
        if not listed or model not in PRICES:
            return None
        tokens_in, tokens_out = PRICES[model]
        return Price(tokens_in=tokens_in, tokens_out=tokens_out, source=f"list prices of {PRICES_OF}")
    if price_in is None or price_out is None:
        raise EvalkitError("give both --price-in and --price-out, in US dollars per million tokens")
    if not (0 <= price_in < float("inf") and 0 <= price_out < float("inf")):
        raise EvalkitError(f"--price-in {price_in}, --price-out {price_out}: must be numbers of at least 0")
    return Price(tokens_in=price_in, tokens_out=price_out, source="--price-in, --price-out")


def token_counter(model: str) -> tuple[Callable[[str], int], str]:
    """Return a function that counts a text's tokens, and how it does: tiktoken where its tables are on this machine.

    Else a token is taken to have four bytes, as English has on average.
    """
    encoding = _stored_encoding(model)
    if encoding is not None:
        return lambda text: len(encoding.encode(text, disallowed_special=())), f"tiktoken, {encoding.name}"
    return lambda text: -(-len(text.encode()) // 4), "bytes / 4"


def _stored_encoding(model: str):
    """Return tiktoken's encoding of a model if its table is stored; nothing is asked of the network."""
    import hashlib
    import os
    import tempfile
    from pathlib import Path

    try:
        import tiktoken
        import tiktoken.model

        name = tiktoken.model.encoding_name_for_model(model)
    except (ImportError, KeyError):
        return None
    # where tiktoken keeps what it has downloaded, under a hash of the address
    folder = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    folder = Path(folder or Path(tempfile.gettempdir()) / "data-gym-cache")
    address = f"https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"
    if not (folder / hashlib.sha1(address.encode(), usedforsecurity=False).hexdigest()).is_file():
        return None
    return tiktoken.get_encoding(name)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What replies have cost.

    Attributes:
        calls: answered.
        tokens_in: of their prompts.
        tokens_out: of the replies.
        unreported: calls whose tokens the server did not report, and are estimated.
        cost: US dollars; None where the price is not known.
    """

    calls: int
    tokens_in: int
    tokens_out: int
    unreported: int
    cost: float | None


def usage_of(asked: Iterable[tuple[int, int, Reply]], price: Price | None) -> Usage:
    """Return what replies have cost.

    Args:
        asked: (estimated tokens of the prompt, most tokens of the reply, reply) of each call; the first two count
            where the server reports none.
        price: of a token; None where it is not known.
    """
    calls = tokens_in = tokens_out = unreported = 0
    for prompt, most, reply in asked:
        calls += 1
        if reply.rejected:
            continue  # what a server refuses it does not bill
        unreported += reply.prompt_tokens is None or reply.completion_tokens is None
        tokens_in += prompt if reply.prompt_tokens is None else reply.prompt_tokens
        tokens_out += most if reply.completion_tokens is None else reply.completion_tokens
    cost = None if price is None else price.cost(tokens_in, tokens_out)
    return Usage(calls=calls, tokens_in=tokens_in, tokens_out=tokens_out, unreported=unreported, cost=cost)


class Budget:
    """What has been spent, and what calls in flight may still cost at most.

    Args:
        most: US dollars that may be spent; None for no limit.
        price: None where it is not known, which allows no limit.
        spent: by earlier starts.
    """

    def __init__(self, *, most: float | None, price: Price | None, spent: float) -> None:
        self.most = most
        self.spent = spent
        self._price = price
        self._reserved = 0.0
        self._in_flight = 0

    def reserve(self, tokens_in: int, tokens_out: int) -> float | None:
        """Set aside what a call may cost, and return it; None where that would exceed the budget."""
        cost = 0.0 if self._price is None else self._price.cost(tokens_in, tokens_out)
        if self.most is not None and self.spent + self._reserved + cost > self.most:
            return None
        self._reserved += cost
        self._in_flight += 1
        return cost

    def settle(self, reserved: float, reply: Reply | None) -> None:
        """Count what a call did cost; None where it was not answered."""
        self._reserved -= reserved
        self._in_flight -= 1
        if reply is None or self._price is None or reply.rejected:
            return
        known = reply.prompt_tokens is not None and reply.completion_tokens is not None
        self.spent += self._price.cost(reply.prompt_tokens or 0, reply.completion_tokens or 0) if known else reserved

    def charge(self, cost: float) -> None:
        """Count what a call may have cost that brought nothing."""
        self.spent += cost

    @property
    def idle(self) -> bool:
        """Whether no call is in flight, so that nothing set aside can come back."""
        return not self._in_flight
