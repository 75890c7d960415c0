"""A model behind an OpenAI-compatible server: lm-eval's payloads and parsing, our retries, failures and concurrency."""

import contextlib
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.running.journal import Answer
from evalkit.running.recorder import Batch, Failure, Known, Request
from evalkit.running.sampling import is_sampled
from evalkit.running.threads import in_threads

KEY_VARIABLE = "OPENAI_API_KEY"
_RETRIED = {408, 409, 425, 429}
_REFUSED = {401: "the key is refused", 402: "the account cannot pay", 403: "the key may not do this"}
# of keys that services give; shorter ones, as "EMPTY" for a local server, may be words of an answer
_SHORTEST_KEY = 12
_LONGEST_WAIT = 60.0
_HOPELESS_AFTER = 20  # items that failed one after another, with none answered between


class _HopelessError(Exception):
    """The server will answer nothing: the message says why."""


class _UnansweredError(Exception):
    """One request got no answer.

    Attributes:
        again: whether asking again may help.
        wait: seconds that the server wants to be left alone; None where it does not say.
    """

    def __init__(self, message: str, *, again: bool, wait: float | None = None) -> None:
        super().__init__(message)
        self.again, self.wait = again, wait


@dataclass(frozen=True, kw_only=True)
class Server:
    """Asks one request at a time in each of several threads; an item that gets no answer is a failure of its own.

    Attributes:
        model: lm-eval's LocalCompletionsAPI or LocalChatCompletion, which knows the endpoint, the payload and the key.
        concurrency: requests at a time.
        timeout: seconds to wait for a reply.
        max_retries: times that a request is sent again after 408, 409, 425, 429, 5xx, a broken reply or none.
        first_wait: seconds before the first of them; each later wait is twice as long, Retry-After is honoured, and
            none is longer than a minute.
    """

    model: Any
    concurrency: int = 8
    timeout: float = 300.0
    max_retries: int = 5
    first_wait: float = 1.0
    session: Any = field(default_factory=lambda: _session())

    @property
    def max_length(self) -> None:
        """Nothing: a prompt that is too long the server refuses, and the item is a failure."""
        return None

    def answers(self, kind: str, requests: Sequence[Request], known: Known) -> Iterator[Batch]:
        """Yield each answer, or failure, as it comes.

        Raises:
            EvalkitError: the server refuses the key, or has failed so often that it is down.
        """
        asked = [request for request in requests if not known(request)]
        failed_in_a_row = 0
        with contextlib.closing(
            in_threads(lambda request: self._answer(kind, request), asked, self.concurrency)
        ) as found:
            for request, answer in found:
                if isinstance(answer, Exception):
                    raise EvalkitError(f"{self.model.base_url}: {answer}; what is answered is kept") from answer
                yield [(request, answer)]
                failed_in_a_row = failed_in_a_row + 1 if isinstance(answer, Failure) else 0
                if failed_in_a_row >= _HOPELESS_AFTER and isinstance(answer, Failure):
                    raise EvalkitError(
                        f"{self.model.base_url}: {failed_in_a_row} requests failed one after another, the last with: "
                        f"{answer.error}; what is answered is kept: start the same command again when the server works"
                    )

    def preflight(self, *, log_likelihoods: bool) -> None:
        """Ask one short question, so that a server that cannot do the run says so before anything is paid.

        Args:
            log_likelihoods: whether the run needs those of a prompt's tokens, as MMLU does.

        Raises:
            EvalkitError: no server, a refused key, an unknown model, or no log-probabilities.
        """
        try:
            if log_likelihoods:
                self._log_likelihood((("1 + 1 =", " 2"), [], []), probe=True)
            else:
                self._generation("1 + 1 =", {"max_gen_toks": 1}, seed=0, probe=True)
        except (_UnansweredError, _HopelessError) as error:
            what = " for log-probabilities" if log_likelihoods else ""
            raise EvalkitError(
                f"{self.model.base_url}: the server does not answer a first question{what}: {error}"
            ) from (error)

    def _answer(self, kind: str, request: Request) -> Answer | Failure | _HopelessError:
        arguments = request.instance.args
        tokens = None if kind == "generate_until" else self._tokens(*arguments)
        try:
            if tokens is None:
                seed = request.seed % 2**31 if is_sampled(arguments[1]) else int(self.model._seed)
                return self._generation(arguments[0], arguments[1], seed=seed)
            return self._log_likelihood(tokens)
        except _UnansweredError as error:
            return Failure(error=_kept(str(error)))
        except _HopelessError as error:
            return error

    def _tokens(self, context: str, continuation: str = "") -> tuple[tuple[str, str], list[int], list[int]]:
        """Return a request's text and tokens as `TemplateLM.loglikelihood` makes them."""
        if not context:
            prefix, tokens = self.model.prefix_token_id, self.model.tok_encode(continuation)
            split = ([prefix], tokens) if prefix != tokens[0] else (tokens[:1], tokens[1:])
        else:
            split = self.model._encode_pair(context, continuation)
        return (context, continuation), split[0], split[1]

    def _generation(self, prompt: Any, settings: dict[str, Any], *, seed: int, probe: bool = False) -> str:
        message = self.model.create_message([prompt]) if not probe or not self._chats else _turn(prompt)
        payload = self.model._create_payload(
            message, generate=True, gen_kwargs=dict(settings), seed=seed, eos=self.model.eos_string
        )
        reply = self._reply(payload)
        choice = _first_choice(reply)
        if choice.get("finish_reason") == "content_filter":
            raise _UnansweredError("the server's content filter withheld the answer", again=False)
        with _readable():
            text = self.model.parse_generations(reply)[0]
            content = (choice.get("message") or {}).get("content") if self._chats else choice.get("text")
        if not isinstance(content, str) or not isinstance(text, str):
            if probe:
                return ""
            refusal = (choice.get("message") or {}).get("refusal") if self._chats else None
            raise _UnansweredError(f"the reply has no text{f': refused: {refusal}' if refusal else ''}", again=False)
        return _without_key(text, shortest=_SHORTEST_KEY)

    def _log_likelihood(self, tokens: Any, *, probe: bool = False) -> tuple[float, bool]:
        _, context, continuation = tokens if not probe else self._tokens(*tokens[0])
        prompt = (context + continuation)[-self.model.max_length :]
        length = len(context) - max(0, len(context) + len(continuation) - self.model.max_length)
        reply = self._reply(self.model._create_payload([prompt], generate=False, seed=int(self.model._seed)))
        with _readable():
            found = (_first_choice(reply).get("logprobs") or {}).get("token_logprobs")
        if not isinstance(found, list) or len(found) < len(prompt):
            raise _UnansweredError(
                "it returns no log-probabilities of the prompt's tokens (echo with logprobs), which tasks of choosing "
                "among answers, such as mmlu, need; use a server that has them, or --backend hf",
                again=False,
            )
        with _readable():
            value, greedy = self.model.parse_logprobs([reply], ctxlens=[length])[0]
            value = float(value)
        if not math.isfinite(value):
            raise _UnansweredError("the log-probability is not finite", again=False)
        return value, bool(greedy)

    @property
    def _chats(self) -> bool:
        return str(self.model.base_url).endswith("/chat/completions")

    def _reply(self, payload: Any) -> dict[str, Any]:
        """Return the server's reply to a payload, asking again where that may help.

        Raises:
            _UnansweredError: no usable reply in so many tries, or an error that asking again does not change.
            _HopelessError: an error that every request will meet.
        """
        wait = self.first_wait
        for attempt in range(self.max_retries + 1):
            try:
                return self._post(payload)
            except _UnansweredError as error:
                if not error.again or attempt == self.max_retries:
                    tries = f" ({attempt + 1} tries)" if attempt else ""
                    raise _UnansweredError(f"{error}{tries}", again=False) from error
                time.sleep(min(_LONGEST_WAIT, wait if error.wait is None else max(error.wait, 0.0)))
                wait *= 2
        raise AssertionError("the loop ends by returning or raising")

    def _post(self, payload: Any) -> dict[str, Any]:
        import requests

        headers = {"Authorization": f"Bearer {key}"} if (key := os.environ.get(KEY_VARIABLE)) else {}
        try:
            response = self.session.post(self.model.base_url, json=payload, headers=headers, timeout=self.timeout)
        except requests.Timeout as error:
            raise _UnansweredError(f"no reply within {self.timeout:g} s", again=True) from error
        except requests.RequestException as error:
            raise _UnansweredError(f"no reply: {type(error).__name__}", again=True) from error
        if response.status_code != 200:
            raise _refusal(response)
        try:
            reply = response.json()
            _first_choice(reply)
        except (ValueError, RecursionError) as error:
            raise _UnansweredError("the reply is not JSON", again=True) from error
        return reply


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Take what lacks the fields of a completion, or has others in their place, for no answer.

    Raises:
        _UnansweredError: that is so.
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise _UnansweredError(f"the reply is no completion: {type(error).__name__}", again=False) from error


def _session() -> Any:
    import requests
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=256))
    return session


def _turn(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def _first_choice(reply: Any) -> dict[str, Any]:
    """Return the one choice of a reply.

    Raises:
        _UnansweredError: a reply without it.
    """
    choices = reply.get("choices") if isinstance(reply, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise _UnansweredError("the reply has no choices", again=True)
    return choices[0]


def _refusal(response: Any) -> Exception:
    status, said = response.status_code, _said(response)
    if status in _REFUSED:
        return _HopelessError(f"{status}: {_REFUSED[status]}; set {KEY_VARIABLE} to a key that is valid there")
    if status == 404:
        return _HopelessError(f"404: no such model or address: {said}")
    if status == 429 and "insufficient_quota" in said:
        return _HopelessError("429: the account's quota is used up")
    again = status in _RETRIED or status >= 500
    return _UnansweredError(f"status {status}: {said}", again=again, wait=_retry_after(response) if again else None)


def _said(response: Any) -> str:
    """Return the beginning of an error's text, without the key, which some servers repeat."""
    try:
        text = json.dumps(response.json().get("error"), ensure_ascii=False)
    except (ValueError, AttributeError, RecursionError):
        text = response.text
    return _kept(" ".join(text.split()))[:200]


def _kept(text: str) -> str:
    """Return what a server said as it may be written down: without the key, and without what UTF-8 cannot hold."""
    return _without_key(text).encode("utf-8", "replace").decode()


def _without_key(text: str, *, shortest: int = 1) -> str:
    """Return a text without the key, if it has so many characters."""
    key = os.environ.get(KEY_VARIABLE, "")
    return text.replace(key, "***") if len(key) >= shortest else text


def _retry_after(response: Any) -> float | None:
    """Return the seconds of a Retry-After header, which may be a number or a date; None without one."""
    value = response.headers.get("Retry-After")
    if value is None:
        return None
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return None
