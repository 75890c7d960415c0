"""One cheap question before many: whether the judge answers, and which settings it knows."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.judging.client import BadRequestError, Client, UnansweredError
from evalkit.judging.criteria import Criterion
from evalkit.judging.journal import Journal, request_key
from evalkit.judging.outputs import Pair
from evalkit.judging.prompts import Question, ask
from evalkit.judging.replies import Reply
from evalkit.judging.verdicts import Verdict, read_verdict

TEST = Pair(
    id="preflight",
    conversation=(("user", "What is the capital of France?"),),
    judged="Paris.",
    against="I do not know, and I do not want to help.",
)


GIVE_UP_AFTER = 60.0
"""Seconds after which a server that does not answer the test question is said not to."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a request is made.

    Attributes:
        max_tokens: of a reply.
        limit_name: what the server calls that.
        temperature: None leaves it to the server.
        seed: None leaves it out.
        top_logprobs: alternatives per token; None asks for no log-probabilities.
    """

    max_tokens: int
    limit_name: str = "max_tokens"
    temperature: float | None = 0.0
    seed: int | None = None
    top_logprobs: int | None = 20

    def body(self, model: str, question: Question) -> dict[str, Any]:
        """Return the request."""
        body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": question.text}]}
        body[self.limit_name] = self.max_tokens
        if self.temperature is not None:
            body["temperature"] = self.temperature
        if self.seed is not None:
            body["seed"] = self.seed
        if self.top_logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        return body

    def without(self, told: str) -> "Settings | None":
        """Return the settings without the one that a server's refusal names, None where it names none of them."""
        if "logprobs" in told and self.top_logprobs is not None:
            fewer = "top_logprobs" in told and self.top_logprobs > 5
            return replace(self, top_logprobs=5 if fewer else None)
        if "max_completion_tokens" in told and self.limit_name == "max_tokens":
            return replace(self, limit_name="max_completion_tokens")
        if "temperature" in told and self.temperature is not None:
            return replace(self, temperature=None)
        if "seed" in told and self.seed is not None:
            return replace(self, seed=None)
        return None

    def as_row(self) -> dict[str, Any]:
        """Return the fields for config.yaml."""
        return asdict(self)


def settings_from_row(row: Mapping[str, Any]) -> Settings:
    """Return settings as `Settings.as_row` gave them.

    Raises:
        EvalkitError: other fields.
    """
    try:
        return Settings(**row)
    except TypeError as error:
        raise EvalkitError(f"config.yaml: request: {error}; restore it, or use another --output") from error


async def preflight(
    client: Client,
    journal: Journal,
    base_url: str,
    model: str,
    criterion: Criterion,
    wanted: Settings,
    *,
    explain: bool,
) -> Settings:
    """Return the settings that the judge knows, of those wanted: it has answered a question with them.

    A setting that the server refuses by name is left out, log-probabilities that it ignores too. The reply is kept,
    so that the question is paid once.

    Raises:
        EvalkitError: no answer; a wrong key, model or address; or a judge that gives no verdict.
    """
    question = ask(TEST, criterion, judged_first=True, explain=explain)
    settings = wanted
    while True:
        body = settings.body(model, question)
        key = request_key(base_url, body)
        reply = journal.find(key)
        known = reply is not None
        try:
            reply = reply or await client.ask(body, give_up_after=GIVE_UP_AFTER)
        except BadRequestError as error:
            fewer = settings.without(error.told)
            if fewer is None:
                raise
            settings = fewer
            continue
        except UnansweredError as error:
            raise EvalkitError(f"{base_url}: does not answer: {error}; nothing was spent on judging") from None
        verdict = read_verdict(reply, question.tag, ties=criterion.ties)
        _check(reply, verdict, model)
        if not known:
            await journal.add(key, reply)
        return settings if verdict.read_by == "logprobs" else replace(settings, top_logprobs=None)


def _check(reply: Reply, verdict: Verdict, model: str) -> None:
    """Refuse a judge that does not answer an easy question in the form that is asked for."""
    if not verdict.missing:
        return
    shown = " ".join((reply.refusal or reply.content).split())[:120]
    remedy = (
        "give more --max-tokens"
        if reply.finish_reason == "length"
        else "use a judge that follows instructions, or try --explain"
    )
    raise EvalkitError(f"{model}: {verdict.missing} to a test question ('{shown}'); {remedy}")
