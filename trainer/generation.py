"""Engines that sample completions: transformers, or vLLM where it is installed."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.codec import Codec
from trainer.config import SampleConfig
from trainer.errors import TrainerError
from trainer.models import DTYPES, adapter_base, load_model

Prompts = Sequence[Sequence[int]]
Sampled = tuple[list[int], bool]
"""Tokens before the stop token, and whether there was one."""

_COLDEST = 1e-30
"""Logits are float32 and are divided by the temperature: below this it makes infinities of them."""

Engine = Callable[[Prompts, int], list[Sampled]]
"""From prompts and the number of their batch to one completion of each: a function of (seed, batch, prompts)."""


def start_engine(config: SampleConfig, codec: Codec) -> Engine:
    """Return a loaded model as a function that samples.

    Args:
        config: model, engine and how to sample.
        codec: of the model; completions end at any of its stops.

    Raises:
        TrainerError: no such model, vLLM is asked for and not installed, or a temperature too small to divide by.
    """
    if 0 < config.temperature < _COLDEST:
        raise TrainerError(
            f"--temperature {config.temperature}: too small to divide by; "
            f"give 0, which is greedy, or at least {_COLDEST}"
        )
    if config.engine == "vllm":
        return _vllm(config, codec)
    model = load_model(config.model, dtype=DTYPES[config.dtype]).to(_device())
    return lambda prompts, batch: generate(model, codec, prompts, config, batch=batch)


def generate(model: Any, codec: Codec, prompts: Prompts, config: SampleConfig, *, batch: int) -> list[Sampled]:
    """Return one completion of each prompt, by transformers.

    Args:
        model: a causal model of transformers.
        codec: its tokens; completions end at any of its stops.
        prompts: tokens, not empty; padded on the left here.
        config: temperature, top_p, max_new_tokens, seed.
        batch: which batch this is; the samples are a function of (seed, batch).

    Raises:
        TrainerError: the model computes no probabilities.
    """
    from transformers import GenerationConfig, LogitsProcessorList

    device, width = model.device, max(map(len, prompts))
    pad = codec.stops[0]
    input_ids = torch.tensor([[pad] * (width - len(ids)) + list(ids) for ids in prompts], device=device)
    attention_mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts], device=device)
    greedy = config.temperature == 0
    how = (
        {"do_sample": False}
        if greedy
        else {"do_sample": True, "temperature": config.temperature, "top_p": config.top_p}
    )
    settings = GenerationConfig(
        max_new_tokens=config.max_new_tokens,
        eos_token_id=list(codec.stops),
        pad_token_id=pad,
        bos_token_id=codec.bos[0] if codec.bos else None,
        top_k=0 if not greedy else None,
        **how,
    )
    model.generation_config = settings
    torch.manual_seed(_seed(config, batch))
    with torch.inference_mode():
        output: Tensor = model.generate(
            input_ids=input_ids,
            attention_mask=attention_mask,
            generation_config=settings,
            logits_processor=LogitsProcessorList([partial(_finite, model, config)]),  # before the temperature
        )
    return [_before_stop(ids, codec.stops) for ids in output[:, width:].tolist()]


def _finite(model: Any, config: SampleConfig, input_ids: Tensor, logits: Tensor) -> Tensor:
    """Return the logits as they are; sampling from NaN ends in a crash, on a GPU in one that names nothing.

    Raises:
        TrainerError: a sequence has no greatest logit, as with NaN anywhere.
    """
    if logits.amax(dim=-1).isfinite().all():  # -inf for tokens that never come is well
        return logits
    broken = next((name for name, one in model.named_parameters() if not one.isfinite().all()), None)
    why = f"its weights are not finite ({broken})" if broken else f"its weights are finite, --dtype is {config.dtype}"
    remedy = "give a model that trained without NaN" if broken else "give --dtype float32, or another model"
    raise TrainerError(
        f"--model {config.model}: its logits are not finite, so there is nothing to sample from at --temperature "
        f"{config.temperature}: {why}; {remedy}"
    )


def _vllm(config: SampleConfig, codec: Codec) -> Engine:
    if adapter_base(config.model) is not None:
        raise TrainerError(f"--engine vllm: {config.model} is an adapter; train it with --merge, or leave --engine out")
    if find_spec("vllm") is None:
        raise TrainerError("--engine vllm: vLLM is not installed; pip install vllm (CUDA), or leave --engine out")
    from vllm import LLM, SamplingParams  # pyright: ignore[reportMissingImports]

    llm = LLM(model=config.model, dtype=config.dtype, seed=config.seed, trust_remote_code=False)

    def sampling(batch: int, place: int) -> Any:
        return SamplingParams(
            temperature=config.temperature,
            top_p=config.top_p,
            max_tokens=config.max_new_tokens,
            stop_token_ids=list(codec.stops),
            seed=_seed(config, batch, place),  # of each completion, so that scheduling does not matter
        )

    def sampled(prompts: Prompts, batch: int) -> list[Sampled]:
        asked = [{"prompt_token_ids": list(ids)} for ids in prompts]
        answers = llm.generate(asked, [sampling(batch, place) for place in range(len(asked))], use_tqdm=False)
        first = [answer.outputs[0] for answer in answers]
        cut = [_before_stop(list(one.token_ids), codec.stops) for one in first]
        return [(ids, finished or one.finish_reason == "stop") for (ids, finished), one in zip(cut, first, strict=True)]

    return sampled


def _seed(config: SampleConfig, *place: int) -> int:
    return int(np.random.SeedSequence([config.seed, *place]).generate_state(1)[0])


def _before_stop(ids: list[int], stops: tuple[int, ...]) -> Sampled:
    at = next((at for at, token in enumerate(ids) if token in stops), None)
    return (ids, False) if at is None else (ids[:at], True)


def _device() -> torch.device:
    from accelerate import PartialState

    device = PartialState().device
    assert device is not None
    return device
