"""A model run by transformers, through lm-eval's `hf`: batches whose make-up never depends on what is known."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.running.recorder import Batch, Known, Request
from evalkit.running.sampling import sampled_rows


@dataclass(frozen=True, kw_only=True)
class HuggingFace:
    """Asks lm-eval's HFLM one of its own batches at a time.

    The batches are those that HFLM would make of all requests, so a run gives the same numbers to the last bit
    whether it was interrupted or not, and those of a bare lm-eval run of the benchmark at the same batch size.
    """

    model: Any

    @property
    def max_length(self) -> int:
        """Tokens that prompt and answer may have together."""
        return int(self.model.max_length)

    def answers(self, kind: str, requests: Sequence[Request], known: Known) -> Iterator[Batch]:
        """Yield the answers to each batch with a request that is not known."""
        ask = {"generate_until": self._generations, "loglikelihood": self._log_likelihoods}
        yield from ask.get(kind, self._rolling)(requests, known)

    def _generations(self, requests: Sequence[Request], known: Known) -> Iterator[Batch]:
        """Yield texts, from batches as `HFLM.generate_until` makes them: by settings, then the longest first."""
        from lm_eval.models.utils import Collator

        with _remembered(self.model, "tok_encode"):  # lm-eval sorts each batch again by its number of tokens
            ordered = Collator(
                [(request.instance.args[0], request.instance.args[1], request) for request in requests],
                sort_fn=lambda asked: (-len(self.model.tok_encode(asked[0])), asked[0]),
                group_by="gen_kwargs",
                group_fn=lambda asked: asked[1],
            )
            for chunk in ordered.get_batched(n=self.model.batch_size):
                batch: list[Request] = [asked[2] for asked in chunk]
                if all(map(known, batch)):
                    continue
                with sampled_rows(self.model, [request.seed for request in batch]):
                    texts = self.model.generate_until([request.instance for request in batch], disable_tqdm=True)
                yield list(zip(batch, texts, strict=True))

    def _log_likelihoods(self, requests: Sequence[Request], known: Known) -> Iterator[Batch]:
        """Yield log-likelihoods, from batches as HFLM makes them.

        Continuations of one token after the same context share a forward pass, so they stay together.
        """
        tokens = self._tokenized(requests)
        groups: dict[Any, list[int]] = {}
        for i, (_, context, continuation) in enumerate(tokens):
            shared = self.model.logits_cache and self.model.backend == "causal"
            groups.setdefault(tuple(context + continuation[:-1]) if shared else i, []).append(i)

        def length_first(group: list[int]) -> Any:
            longest = max(group, key=lambda i: len(tokens[i][2]))
            text = tokens[longest][1] + tokens[longest][2]
            return -len(text), tuple(text)

        ordered = sorted(groups.values(), key=length_first)
        size = self.model.batch_size
        for start in range(0, len(ordered), size):
            batch = [i for group in ordered[start : start + size] for i in group]
            if all(known(requests[i]) for i in batch):
                continue
            answers = self.model._loglikelihood_tokens([tokens[i] for i in batch], disable_tqdm=True)
            yield [(requests[i], answer) for i, answer in zip(batch, answers, strict=True)]

    def _tokenized(self, requests: Sequence[Request]) -> list[tuple[Any, list[int], list[int]]]:
        """Return ((context, continuation), context tokens, continuation tokens) per request, split by lm-eval."""
        tokens: list[Any] = []

        def keep(tokenized: Sequence[Any], **settings: Any) -> list[Any]:
            tokens.extend(tokenized)
            return []

        with _remembered(self.model, "tok_encode"), _replaced(self.model, "_loglikelihood_tokens", keep):
            self.model.loglikelihood([request.instance for request in requests], disable_tqdm=True)
        return tokens

    def _rolling(self, requests: Sequence[Request], known: Known) -> Iterator[Batch]:
        size = self.model.batch_size
        for start in range(0, len(requests), size):
            batch = requests[start : start + size]
            if not all(map(known, batch)):
                answers = self.model.loglikelihood_rolling([request.instance for request in batch], disable_tqdm=True)
                yield list(zip(batch, answers, strict=True))


@contextlib.contextmanager
def _replaced(model: Any, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """Let one object call another function in place of its method."""
    before = vars(model).get(name)
    setattr(model, name, function)
    try:
        yield
    finally:
        delattr(model, name) if before is None else setattr(model, name, before)


def _remembered(model: Any, name: str) -> contextlib.AbstractContextManager[None]:
    """Let a method keep what it returned for the same arguments."""
    return _replaced(model, name, functools.cache(getattr(model, name)))
