"""Sampling with a random state per row: a sample does not depend on what is beside it in the batch."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_WARPERS = (
    ("top_k", "TopKLogitsWarper"),
    ("top_p", "TopPLogitsWarper"),
    ("min_p", "MinPLogitsWarper"),
    ("typical_p", "TypicalLogitsWarper"),
)


def is_sampled(settings: Mapping[str, Any]) -> bool:
    """Return whether lm-eval draws at random with these settings of generation."""
    return settings.get("do_sample") is not False and float(settings.get("temperature") or 0.0) > 0


@contextlib.contextmanager
def sampled_rows(model: Any, seeds: Sequence[int]) -> Iterator[None]:
    """Let lm-eval's HFLM sample each row of its next batch from a generator of the row's own.

    Greedy requests are passed on as they are. Temperature, top-k, top-p, min-p and typical-p are those of the
    request, none of them from the model's generation_config.json; other settings go to transformers.

    Args:
        model: the HFLM.
        seeds: one per row of the batch, in its order.
    """
    original = model._model_generate

    def generate(context: "Tensor", max_length: int, stop: list[str], **settings: Any) -> "Tensor":
        temperature = settings.get("temperature", 0.0)
        if not settings.get("do_sample") or not temperature:
            return original(context=context, max_length=max_length, stop=stop, **settings)
        settings = settings | {"temperature": 0.0, "do_sample": False}
        steps = _processors(settings, temperature, seeds)
        return original(context=context, max_length=max_length, stop=stop, logits_processor=steps, **settings)

    model._model_generate = generate
    try:
        yield
    finally:
        del model._model_generate


def _processors(settings: dict[str, Any], temperature: float, seeds: Sequence[int]) -> Any:
    """Return what turns logits so that the largest is a sample; the settings that it serves are taken out."""
    import transformers

    generation: Any = transformers

    steps: list[Any] = [generation.TemperatureLogitsWarper(float(temperature))]
    for name, warper in _WARPERS:
        value = settings.pop(name, None)
        if value:
            steps.append(getattr(generation, warper)(value))
    return generation.LogitsProcessorList([*steps, GumbelNoise(seeds)])


class GumbelNoise:
    """Adds Gumbel noise to logits, so that the largest is a draw from their softmax.

    argmax_i (l_i - log E_i) with independent E_i ~ Exp(1) has probability exp(l_i) / sum_j exp(l_j).

    Source: Gumbel 1954; Maddison, Tarlow, Minka 2014, arXiv 1411.0030, section 2.

    Args:
        seeds: one per row; the noise of a row's n-th token is the n-th draw of its own generator.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._seeds = list(seeds)
        self._generators: list[Any] = []

    def __call__(self, input_ids: "Tensor", scores: "Tensor") -> "Tensor":
        """Return logits with noise, (rows, vocabulary)."""
        import torch

        if len(scores) != len(self._seeds):
            raise ValueError(f"{len(scores)} rows and {len(self._seeds)} seeds: one sequence per prompt is sampled")
        if not self._generators:
            self._generators = [torch.Generator(scores.device).manual_seed(seed) for seed in self._seeds]
        waits = torch.empty_like(scores, dtype=torch.float32)
        for row, generator in zip(waits, self._generators, strict=True):
            row.exponential_(generator=generator)
        return scores.float() - waits.clamp_min(torch.finfo(torch.float32).tiny).log()
