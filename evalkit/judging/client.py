"""Calls to an OpenAI-compatible server: one request, tried until it is answered or cannot be."""

import asyncio
import json
import math
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from evalkit.errors import EvalkitError
from evalkit.judging.outputs import clean
from evalkit.judging.replies import MalformedReplyError, Reply, parse_reply

OPENAI = "https://api.openai.com/v1"
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds between tries: doubled each time, up to the longest."""

LONGEST_REQUESTED_WAIT = 600.0
"""Seconds that a server may ask to wait; beyond them the run stops instead of idling."""

MALFORMED_TRIES = 3
"""A reply that is not one may have been billed all the same, so it is not asked for without end."""

RETRIED = {408, 409, 425, 429}
"""Statuses that may pass, as do all from 500 on."""

REFUSED_FOR_GOOD = re.compile(
    r"context.?length|maximum context|too (long|large)|content.?(filter|policy|management)", re.I
)
"""What a server says of a prompt that it will never answer, though it answers others."""


class UnansweredError(Exception):
    """A request that got no answer in time; the message is the last thing that went wrong."""


class BadRequestError(EvalkitError):
    """A server understood a request and will not answer requests of this form."""

    def __init__(self, message: str, *, told: str) -> None:
        super().__init__(message)
        self.told = told


def find_key(name: str, base_url: str) -> str:
    """Return the API key in the environment; a word in its place where a server of one's own may need none.

    Raises:
        EvalkitError: there is none where one is needed, or it cannot be sent; the key itself is never shown.
    """
    key = os.environ.get(name, "").strip()
    if not key:
        if name == "OPENAI_API_KEY" and base_url != OPENAI:
            return "none"
        raise EvalkitError(f"the environment has no {name}; set it to the API key: export {name}=...")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise EvalkitError(f"the API key in {name} holds signs that no key has; set it again, without quotes")
    return key


def checked_url(url: str) -> str:
    """Return a base URL without a slash at the end.

    Raises:
        EvalkitError: not an HTTP address, or one that holds a secret, which would be written down with it.
    """
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        raise EvalkitError("--base-url is not an address; give one such as http://localhost:8000/v1") from None
    if parts.username or parts.password or parts.query or parts.fragment:
        raise EvalkitError("--base-url must not hold a user, a password or a query; give the key in the environment")
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_ok:
        raise EvalkitError(f"--base-url {url}: not an address; give one such as http://localhost:8000/v1")
    return url.rstrip("/")


class Client:
    """A server that answers chat completions; used in an `async with` statement.

    Args:
        base_url: of the server, such as http://localhost:8000/v1.
        key: the API key; it is taken out of everything that the server says.
        timeout: seconds that one try may take.
        give_up_after: seconds after which a request is not tried again.
        random: of the jitter of waits.
    """

    def __init__(
        self, *, base_url: str, key: str, timeout: float, give_up_after: float, random: np.random.Generator
    ) -> None:
        from openai import AsyncOpenAI

        self.retries = 0
        self._base_url = base_url
        self._key = key
        self._timeout = timeout
        self._give_up_after = give_up_after
        self._random = random
        self._open_from = 0.0
        self._openai = AsyncOpenAI(api_key=key, base_url=base_url, max_retries=0, timeout=timeout)

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._openai.close()

    async def ask(
        self,
        body: Mapping[str, Any],
        *,
        give_up_after: float = math.inf,
        on_malformed: Callable[[], None] = lambda: None,
    ) -> Reply:
        """Return the reply to a request.

        Args:
            body: what is sent.
            give_up_after: seconds, where they are fewer than the client's.
            on_malformed: called for each reply that is none, and may have been billed all the same.

        Raises:
            UnansweredError: none came, though tried again and again.
            EvalkitError: the server will answer no request of ours: key, model, address or settings are wrong.
        """
        started, tries, malformed = time.monotonic(), 0, 0
        limit = min(give_up_after, self._give_up_after)
        while True:
            await self._until_open()
            try:
                return self._redacted(await self._try(body))
            except _PassingError as error:
                reason, asked = str(error), error.wait
            except MalformedReplyError as error:
                malformed += 1
                on_malformed()
                reason, asked = str(error), None
            wait = self._wait(tries, asked)
            if malformed == MALFORMED_TRIES or time.monotonic() + wait - started > limit:
                raise UnansweredError(self.line(reason))
            tries += 1
            self.retries += 1
            await asyncio.sleep(wait)

    async def _try(self, body: Mapping[str, Any]) -> Reply:
        """Return what one request brought."""
        import openai

        try:
            async with asyncio.timeout(self._timeout):
                response = await self._openai.chat.completions.with_raw_response.create(**body)
                text = response.text
        except openai.APIStatusError as error:
            return self._refused(error)
        except (openai.APITimeoutError, TimeoutError):
            raise _PassingError(f"no reply within {self._timeout:g} s") from None
        except openai.APIConnectionError as error:
            raise _PassingError(f"no connection: {error.__cause__ or error}") from None
        except openai.OpenAIError as error:
            raise MalformedReplyError(str(error)) from None
        except (ValueError, UnicodeDecodeError) as error:
            raise MalformedReplyError(f"not readable: {error}") from None
        try:
            payload = json.loads(text)
        except (ValueError, RecursionError):
            raise MalformedReplyError(f"not JSON: {text}" if text.strip() else "an empty reply") from None
        return parse_reply(payload)

    def _refused(self, error: Any) -> Reply:
        """Return a reply that says so where this one prompt is refused for good.

        Raises:
            _PassingError: the server may answer later.
            EvalkitError: it will not.
        """
        status, told = error.status_code, self.line(_told(error))
        if status == 429 and "insufficient_quota" in f"{error.code} {told}":
            raise EvalkitError(f"{self._base_url}: the account has no quota left ({told}); the same command goes on")
        if status in RETRIED or status >= 500:
            wait = self._requested_wait(error.response.headers)
            if status == 429 and wait is not None:
                self._open_from = max(self._open_from, time.monotonic() + wait)
            raise _PassingError(f"status {status}: {told}", wait)
        if status in {400, 413, 422} and REFUSED_FOR_GOOD.search(f"{error.code} {told}"):
            return Reply(rejected=told)
        raise BadRequestError(f"{self._base_url}: status {status}: {told}; {_remedy(status)}", told=told)

    def _requested_wait(self, headers: Mapping[str, str]) -> float | None:
        wait = requested_wait(headers, time.time())
        if wait is not None and wait > LONGEST_REQUESTED_WAIT:
            raise EvalkitError(
                f"{self._base_url}: asks to wait {wait:.0f} s before the next request; start the same command then"
            )
        return wait

    async def _until_open(self) -> None:
        """Wait as long as the server has asked every request to wait."""
        while (wait := self._open_from - time.monotonic()) > 0:
            await asyncio.sleep(wait + float(self._random.uniform(0, 0.1)))

    def _wait(self, tries: int, asked: float | None) -> float:
        """Return the seconds until the next try: as asked, or doubled each time, with jitter."""
        if asked is not None:  # and a little more each time, should it be asked for a moment again and again
            return asked + float(self._random.uniform(0, min(2.0, 0.1 * 2.0 ** min(tries, 10))))
        return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(tries, 30)) * float(self._random.uniform(0.5, 1))

    def _redacted(self, reply: Reply) -> Reply:
        content = self.redact(reply.content)
        return replace(
            reply,
            content=content,
            tokens=reply.tokens if content == reply.content and self._is_clean(reply.tokens) else (),
            refusal=self.redact(reply.refusal),
            finish_reason=self.redact(reply.finish_reason),
            model=self.redact(reply.model),
            fingerprint=self.redact(reply.fingerprint),
            rejected=self.redact(reply.rejected),
        )

    def _is_clean(self, tokens: Sequence[Mapping[str, Any]]) -> bool:
        """Whether neither tokens nor their alternatives hold what `redact` takes out."""
        texts = [one["token"] for token in tokens for one in (token, *token["top"])]
        return all(self.redact(text) == text for text in texts)

    def line(self, text: str) -> str:
        """Return the text without the API key as one line, cut where it is long: in this order, lest a part remains."""
        return _short(self.redact(text))

    def redact(self, text: str) -> str:
        """Return the text without the API key, or what servers show of it, and without what UTF-8 cannot hold."""
        text = clean(text)
        if self._key != "none":
            text = text.replace(self._key, "[key]")
        return re.sub(r"\bsk-[\w*.-]{4,}", "[key]", text)


class _PassingError(Exception):
    """Something that may be different at the next try."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


def requested_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that a server asks to wait: `retry-after-ms`, or `retry-after` in seconds or as a date.

    Source: RFC 9110, section 10.2.3; the first is OpenAI's.

    Args:
        headers: of the reply, by lower-case name.
        now: seconds since 1970.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name, "")
        if re.fullmatch(r"\s*\d+(\.\d+)?\s*", value):
            return float(value) / unit
    try:
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - now)
    except (TypeError, ValueError, OverflowError):
        return None


def _told(error: Any) -> str:
    """Return what a server says of a refusal."""
    body = error.body
    inner = body.get("error", body) if isinstance(body, dict) else body
    message = inner.get("message") if isinstance(inner, dict) else inner
    return str(message or error.message)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else line[:200] + "..."


def _remedy(status: int) -> str:
    return {
        401: "check the API key in the environment (--api-key-env)",
        403: "the key may not use this model; check --judge-model and the key",
        404: "check --judge-model and --base-url",
    }.get(status, "check --judge-model and --base-url")
