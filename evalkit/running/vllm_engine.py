"""A model run by vLLM, through lm-eval's `vllm`: large batches, a seed for every sampled request."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.running.recorder import Batch, Known, Request
from evalkit.running.sampling import is_sampled

REQUESTS_AT_A_TIME = 512  # vLLM fills its own batches from these; what a kill may cost


@dataclass(frozen=True, kw_only=True)
class VllmEngine:
    """Asks lm-eval's VLLM so many requests at a time, the longest prompts first.

    A sampled request carries its own seed, by which vLLM seeds that request's generator alone.
    """

    model: Any
    size: int = REQUESTS_AT_A_TIME

    @property
    def max_length(self) -> int:
        """Tokens that prompt and answer may have together."""
        return int(self.model.max_length)

    def answers(self, kind: str, requests: Sequence[Request], known: Known) -> Iterator[Batch]:
        """Yield the answers to each batch with a request that is not known."""
        ordered = sorted(requests, key=lambda request: -len("".join(map(str, request.instance.args[:2]))))
        ask = getattr(self.model, kind)
        for start in range(0, len(ordered), self.size):
            batch = ordered[start : start + self.size]
            if not all(map(known, batch)):
                answers = ask([_seeded(request) for request in batch], disable_tqdm=True)
                yield list(zip(batch, answers, strict=True))


def _seeded(request: Request) -> Any:
    """Return lm-eval's request with a seed among its settings, if it is sampled."""
    settings = request.instance.args[1] if len(request.instance.args) > 1 else None
    if not isinstance(settings, dict) or not is_sampled(settings):
        return request.instance
    seeded = copy.copy(request.instance)
    seeded.arguments = (request.instance.args[0], settings | {"seed": request.seed})
    return seeded
