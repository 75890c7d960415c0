"""Many requests asked at once: each kept as it is answered, none begun that the budget does not hold."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.judging.budget import Budget
from evalkit.judging.client import Client, UnansweredError
from evalkit.judging.journal import Journal
from evalkit.judging.replies import Reply

FAILURES_IN_A_ROW = 8
"""So many unanswered requests without an answer between them (or one per call in flight, if those are more) say
that the server is gone."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request.

    Attributes:
        key: its hash, see `evalkit.judging.journal.request_key`.
        body: what is sent.
        tokens_in: estimated, of the prompt.
        tokens_out: the most that the reply may have.
    """

    key: str
    body: Mapping[str, Any]
    tokens_in: int
    tokens_out: int


@dataclass(kw_only=True)
class Asked:
    """How it went; the replies are in the journal.

    Attributes:
        failed: by key, why a request got no answer.
        out_of_budget: whether requests were left out for their cost.
    """

    failed: dict[str, str] = field(default_factory=dict)
    out_of_budget: bool = False


async def ask_all(
    calls: Sequence[Call],
    client: Client,
    journal: Journal,
    budget: Budget,
    *,
    concurrency: int,
    reached: Callable[[int, Budget], None],
) -> Asked:
    """Ask what the journal does not hold, so many at a time, and return what could not be answered.

    Args:
        calls: each key once.
        client: the server.
        journal: where replies are kept; a call is finished when the disk has its reply.
        budget: of which each call reserves what it may cost.
        concurrency: calls in flight at most.
        reached: told how many calls have ended, after each.

    Raises:
        EvalkitError: the server answers nobody, or the disk is full.
    """
    waiting = deque(call for call in calls if journal.find(call.key) is None)
    asked, pool = Asked(), _Pool(client=client, journal=journal, budget=budget, patience=concurrency)
    ended = 0

    async def work() -> None:
        nonlocal ended
        while waiting:
            call = waiting.popleft()
            reserved = budget.reserve(call.tokens_in, call.tokens_out)
            if reserved is None:
                waiting.appendleft(call)  # what calls in flight give back may make room; the last of them tries again
                asked.out_of_budget = budget.idle
                return
            failure = await pool.answer(call, reserved)
            if failure:
                asked.failed[call.key] = failure
            ended += 1
            reached(ended, budget)

    failed = None
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(waiting))):
                group.create_task(work())
    except* EvalkitError as errors:
        failed = _first(errors)
    if failed is not None:  # raised up there, Python before 3.11.4 would put it into a group of its own
        raise failed
    return asked


def _first(errors: BaseExceptionGroup[EvalkitError]) -> EvalkitError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, EvalkitError)
    return error


@dataclass(kw_only=True)
class _Pool:
    """What the workers share, with the failures since the last answer."""

    client: Client
    journal: Journal
    budget: Budget
    patience: int
    in_a_row: int = 0

    async def answer(self, call: Call, reserved: float) -> str:
        """Ask and keep; return why there is no answer, or ""."""
        reply: Reply | None = None
        try:
            reply = await self.client.ask(call.body, on_malformed=lambda: self.budget.charge(reserved))
            await self.journal.add(call.key, reply)
        except UnansweredError as error:
            self.in_a_row += 1
            if self.in_a_row >= max(FAILURES_IN_A_ROW, self.patience):
                raise EvalkitError(
                    f"the server left {self.in_a_row} requests in a row unanswered, the last: {error}; all replies "
                    "are kept: start the same command again when it answers"
                ) from None
            return str(error)
        finally:
            self.budget.settle(reserved, reply)
        self.in_a_row = 0
        return ""
