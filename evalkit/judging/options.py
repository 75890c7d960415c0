"""How a judged run is asked for: what decides its verdicts, and what it may spend."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evalkit.errors import EvalkitError
from evalkit.judging.client import OPENAI
from evalkit.judging.preflight import Settings

ORDERS = ("both", "random", "one")
CHEAP = 1.0
"""US dollars that are spent without asking."""

EXPLAINED_TOKENS, VERDICT_TOKENS = 400, 32
MOST_AT_ONCE = 500
"""Calls in flight: openai's client has no more than a thousand connections."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is judged, and how.

    Attributes:
        judge_model: its name at the server.
        base_url: of the server; OpenAI's by default.
        criteria: names or files, see `evalkit.judging.criteria.find_criteria`.
        orders: `both`; `random`: one, drawn by a hash of prompt and seed; `one`: the judged output first.
        limit: only the first so many pairs.
        seed: of the order drawn, of the tags, and sent with each request.
        explain: have the judge compare in words before its verdict.
        max_tokens: of a reply; by default what the form needs.
        temperature: None leaves it to the server.
        logprobs: whether to ask for log-probabilities.
        allow_partial: judge what both files have, and count the rest.
    """

    judge_model: str
    base_url: str = OPENAI
    criteria: tuple[str, ...] = ("paper",)
    orders: str = "both"
    limit: int | None = None
    seed: int = 0
    explain: bool = False
    max_tokens: int | None = None
    temperature: float | None = 0.0
    logprobs: bool = True
    allow_partial: bool = False

    def __post_init__(self) -> None:
        if not self.judge_model.strip():
            raise EvalkitError("--judge-model is empty; name a model of the server")
        if self.orders not in ORDERS:
            raise EvalkitError(f"--orders {self.orders}: choose of {', '.join(ORDERS)}")
        if self.limit is not None and self.limit < 1:
            raise EvalkitError(f"--limit {self.limit}: must be at least 1")
        if self.seed < 0:
            raise EvalkitError(f"--seed {self.seed}: must be at least 0")
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise EvalkitError(f"--temperature {self.temperature}: must lie between 0 and 2")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise EvalkitError(f"--max-tokens {self.max_tokens}: must be at least 1")

    @property
    def settings(self) -> Settings:
        """The request that is wanted; the preflight may take from it."""
        default = EXPLAINED_TOKENS if self.explain else VERDICT_TOKENS
        return Settings(
            max_tokens=self.max_tokens or default,
            temperature=self.temperature,
            seed=self.seed,
            top_logprobs=20 if self.logprobs else None,
        )


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What may be spent, and how calls are made: nothing here decides a verdict.

    Attributes:
        max_cost: US dollars; None for no limit.
        price_in: US dollars per million tokens of prompts; None takes the listed price.
        price_out: the same of replies.
        concurrency: calls in flight.
        timeout: seconds for one try.
        give_up_after: seconds after which a call is not tried again.
        key_name: the environment's variable with the API key.
        journal: where replies are kept; in the run folder by default.
        confirm: asked with the estimate when judging costs more than `CHEAP` or an unknown price at OpenAI; None
            goes on.
    """

    max_cost: float | None = None
    price_in: float | None = None
    price_out: float | None = None
    concurrency: int = 32
    timeout: float = 120.0
    give_up_after: float = 600.0
    key_name: str = "OPENAI_API_KEY"
    journal: Path | None = None
    confirm: Callable[[str], bool] | None = None

    def __post_init__(self) -> None:
        if self.max_cost is not None and not self.max_cost > 0:
            raise EvalkitError(f"--max-cost {self.max_cost}: must be more than 0 US dollars")
        if not 1 <= self.concurrency <= MOST_AT_ONCE:
            raise EvalkitError(f"--concurrency {self.concurrency}: must lie between 1 and {MOST_AT_ONCE}")
        for name, seconds in (("--timeout", self.timeout), ("--give-up-after", self.give_up_after)):
            if not 0 < seconds < math.inf:
                raise EvalkitError(f"{name} {seconds}: must be more than 0 seconds")
