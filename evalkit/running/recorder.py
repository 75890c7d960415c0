"""A model for lm-eval that answers from the journal, and asks the real one only for what is not there."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from evalkit.running.journal import Answer, Journal

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

_EMPTY: Mapping[str, Answer] = {"generate_until": "", "loglikelihood": (0.0, False), "loglikelihood_rolling": 0.0}


@dataclass(frozen=True, kw_only=True)
class Request:
    """One question to a model.

    Attributes:
        instance: lm-eval's own.
        key: of its answer: a hash of the model, the task, the prompt, the sampling settings and the sample's number.
        seed: of its sampling, in [0, 2^63), made from the key; so it depends on the seed of the run, the item and the
            sample's number, and not on what was asked before or beside it.
    """

    instance: "Instance"
    key: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What stands in place of an answer that could not be had."""

    error: str


Known = Callable[[Request], bool]
"""Whether a request's answer is in the journal."""

Batch = Sequence[tuple[Request, Answer | Failure]]


class Backend(Protocol):
    """What runs a model: lm-eval's interface to it, and a way of asking that hands answers over as they come."""

    @property
    def model(self) -> Any:
        """lm-eval's LM; it builds and measures prompts."""
        ...

    @property
    def max_length(self) -> int | None:
        """Tokens that prompt and answer may have together; None where a server keeps that to itself."""
        ...

    def answers(self, kind: str, requests: Sequence[Request], known: Known) -> Iterator[Batch]:
        """Yield answers as they come, at least to every request that is not known.

        A batch of requests that is all known may be left out; its make-up must not depend on what is known.

        Args:
            kind: `generate_until`, `loglikelihood` or `loglikelihood_rolling`.
            requests: all of lm-eval's requests of this kind.
            known: whether a request's answer is in the journal.
        """
        ...


class Recorder:
    """An lm-eval model between `lm_eval.evaluate` and a backend: every answer is in the journal before it is used.

    Args:
        backend: asked for what the journal lacks.
        journal: keeps the answers.
        context: by lm-eval's name of a task, all that decides an answer beside the request: the model's fingerprint,
            the task's digest and version, the chat template, the backend and its precision.
        seed: of sampling.
        on_answers: called with the numbers of requests known from the journal, answered since, and all, of one call.
    """

    def __init__(
        self,
        backend: Backend,
        journal: Journal,
        context: Mapping[str, Any],
        *,
        seed: int,
        on_answers: Callable[[int, int, int], None] = lambda known, fresh, total: None,
    ) -> None:
        self.sample = 0
        self.failures: dict[tuple[str, int], str] = {}
        self.backend, self._journal, self._on_answers = backend, journal, on_answers
        self._context = {task: _sha256([seed, what]) for task, what in context.items()}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend.model, name)

    def start_pass(self, sample: int) -> None:
        """Begin to answer with the sample of this number, from 0, of every sampled generation."""
        self.sample = sample
        self.failures = {}

    def generate_until(self, requests: Sequence["Instance"], disable_tqdm: bool = False) -> list[str]:
        """Return a text per request."""
        return self._answered("generate_until", requests)

    def loglikelihood(self, requests: Sequence["Instance"], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Return the log-likelihood (nats) of a continuation per request, and whether greedy decoding finds it."""
        return self._answered("loglikelihood", requests)

    def loglikelihood_rolling(self, requests: Sequence["Instance"], disable_tqdm: bool = False) -> list[float]:
        """Return the log-likelihood (nats) of a text per request."""
        return self._answered("loglikelihood_rolling", requests)

    def _answered(self, kind: str, instances: Sequence["Instance"]) -> list[Any]:
        requests = self._requests(kind, instances)
        known = self._journal.answers
        before, new = sum(request.key in known for request in requests), 0
        self._on_answers(before, new, len(requests))
        failures: dict[str, str] = {}
        for batch in self.backend.answers(kind, requests, lambda request: request.key in known):
            fresh = {request.key: answer for request, answer in batch if request.key not in known}
            failures |= {key: answer.error for key, answer in fresh.items() if isinstance(answer, Failure)}
            self._journal.append({key: answer for key, answer in fresh.items() if key not in failures})
            new += len(fresh)
            self._on_answers(before, new, len(requests))
        return [self._answer(kind, request, failures) for request in requests]

    def _answer(self, kind: str, request: Request, failures: Mapping[str, str]) -> Answer:
        """Return what lm-eval gets: a failed item gets a placeholder, and its score is dropped afterwards."""
        if request.key in failures:
            instance = request.instance
            self.failures[str(instance.task_name), int(instance.doc_id or 0)] = failures[request.key]
            return _EMPTY[kind]
        answer = self._journal.answers[request.key]
        return tuple(answer) if kind == "loglikelihood" else answer

    def _requests(self, kind: str, instances: Sequence["Instance"]) -> list[Request]:
        """Return the requests with their keys; the same question asked again is another sample of its answer."""
        asked: Counter[str] = Counter()
        requests = []
        for instance in instances:
            question = _sha256([self._context[str(instance.task_name)], kind, *instance.args])
            key = _sha256([question, self.sample, asked[question]])
            asked[question] += 1
            requests.append(Request(instance=instance, key=key[:32], seed=int(key[32:47], 16)))
        return requests


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
