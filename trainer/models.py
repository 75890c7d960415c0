"""Models and tokenizers from a folder or the hub: safetensors only, and never code from a repository."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from trainer import adapters
from trainer.codec import Codec, turn_end
from trainer.config import AlignConfig
from trainer.errors import TrainerError
from trainer.hub import check_name

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


_TOKENIZER = ("tokenizer*", "*vocab*", "merges.txt", "*.model", "*.tiktoken", "tekken.json")
"""Files of which a tokenizer has one at least."""


def quiet() -> None:
    """Keep the libraries' own progress bars and advice off standard error."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("accelerate.utils.other").setLevel(logging.ERROR)  # tied weights are saved once, as they should


def load_model(name: str, *, option: str = "--model", dtype: torch.dtype = torch.float32) -> Any:
    """Return a causal language model in evaluation mode; of an adapter's folder its model with the adapter merged.

    Args:
        name: a folder or a hub name.
        option: that named it, for errors.
        dtype: of the weights.

    Raises:
        TrainerError: no such model, no safetensors, an architecture that generates no text.
    """
    base = adapter_base(name, option)
    if base is None:
        return _load(name, option, dtype)
    return adapters.merged(_load(base, option, dtype), name).eval()


def start_model(config: AlignConfig) -> Any:
    """Return the model that a run starts from; an adapter's folder gives its model with the adapter, to be trained on.

    Raises:
        TrainerError: as `load_model`, or an adapter that does not fit.
    """
    base = adapter_base(config.model)
    adapters.check(config, continues=base is not None)
    frozen = base is not None or config.lora_rank is not None
    dtype = config.dtype if config.base_dtype == "auto" else config.base_dtype
    model = _load(base or config.model, "--model", DTYPES[dtype] if frozen else torch.float32, config.quantize)
    return model if base is None else adapters.resumed(model, config.model, config)


def adapter_base(name: str, option: str = "--model") -> str | None:
    """Return the model that an adapter's folder or hub name is of; None where the name is no adapter's.

    Raises:
        TrainerError: no such folder or name, an adapter that cannot be used.
    """
    _check_folder(name, option)
    return adapters.base_of(name, option)


@contextmanager
def loading(name: str, option: str = "--model") -> Iterator[None]:
    """Turn what a library raises at a model into an error that names it.

    Raises:
        TrainerError: no such model, or one whose files or settings make no sense.
    """
    try:
        yield
    except Exception as error:  # settings without sense break anywhere: at a type, a division, an assertion
        what = "cannot be loaded" if Path(name).exists() else "no such folder, and not loaded from the hub"
        raise TrainerError(f"{option} {name}: {what}: {_first_sentence(error)}") from error


def _load(name: str, option: str, dtype: torch.dtype, quantize: str = "none") -> Any:
    from transformers import AutoModelForCausalLM

    _check_folder(name, option)
    settings = {} if quantize == "none" else _quantization(quantize, dtype)
    with loading(name, option):
        return AutoModelForCausalLM.from_pretrained(
            name, dtype=dtype, use_safetensors=True, trust_remote_code=False, **settings
        ).eval()


def _quantization(bits: str, dtype: torch.dtype) -> dict[str, Any]:
    """Return how transformers loads weights as 4-bit normal floats.

    Source: Dettmers et al. 2023 (QLoRA), arXiv 2305.14314.
    """
    if not torch.cuda.is_available():
        raise TrainerError(
            f"--quantize {bits}: needs a CUDA GPU, and torch finds none; leave it out, or take --base-dtype bfloat16"
        )
    if find_spec("bitsandbytes") is None:
        raise TrainerError(f"--quantize {bits}: bitsandbytes is not installed; pip install bitsandbytes")
    from transformers import BitsAndBytesConfig

    how = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": how, "device_map": {"": torch.cuda.current_device()}}


def checkpoint_activations(model: Any) -> None:
    """Keep no activations inside layers: they are computed again in the backward pass.

    transformers' own switch works in training mode only, in which dropout is on and nothing can be generated.

    Raises:
        TrainerError: transformers does not say which modules of the model are its layers.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise TrainerError(f"--gradient-checkpointing: {type(model).__name__} has no layers to do so in; leave it out")
    for layer in layers:
        layer.forward = MethodType(_computed_again, layer)


def _computed_again(layer: Any, *inputs: Any, **named: Any) -> Any:
    forward = partial(type(layer).forward, layer)
    return (
        checkpoint(forward, *inputs, use_reentrant=False, **named)
        if torch.is_grad_enabled()
        else forward(*inputs, **named)
    )


def load_codec(name: str, chat_template: str | None) -> Codec:
    """Return how text becomes tokens for a model.

    A tokenizer adds BOS where it does so to plain text; completions end with its EOS, with another token that the
    model's generation settings stop at, or with the one that ends a turn in its chat template.

    Raises:
        TrainerError: no tokenizer, one that cannot be loaded, no EOS token, no such template.
    """
    from transformers import AutoTokenizer

    base = adapter_base(name)
    if base is not None and not (Path(name) / "tokenizer_config.json").is_file():
        name = base
    _check_tokenizer(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # as in `loading`
        raise TrainerError(f"--model {name}: its tokenizer cannot be loaded: {_first_sentence(error)}") from error
    if tokenizer.eos_token_id is None:
        raise TrainerError(
            f"--model {name}: its tokenizer has no EOS token, so a completion has no end; set eos_token in it"
        )
    if chat_template is not None:
        try:
            tokenizer.chat_template = Path(chat_template).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise TrainerError(f"--chat-template {chat_template}: cannot be read: {reason}") from error
    begins = tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    bos = (int(tokenizer.bos_token_id),) if tokenizer.bos_token_id is not None and begins else ()
    stops = dict.fromkeys([tokenizer.eos_token_id, *_generation_stops(base or name), turn_end(tokenizer)])
    return Codec(
        tokenizer=tokenizer,
        bos=bos,
        stops=tuple(stop for stop in stops if stop is not None),
        template_from=f"--model {name}" if chat_template is None else f"--chat-template {chat_template}",
    )


def context_length(name: str) -> int | None:
    """Return how many positions a model knows, if it says so.

    Raises:
        TrainerError: no such model.
    """
    from transformers import AutoConfig

    name = adapter_base(name) or name
    with loading(name):
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def _generation_stops(name: str) -> list[int]:
    from transformers import GenerationConfig

    try:
        stops = GenerationConfig.from_pretrained(name).eos_token_id
    except OSError:  # a model need not come with generation settings
        return []
    return [stops] if isinstance(stops, int) else list(stops or [])


def _check_folder(name: str, option: str) -> None:
    path = Path(name)
    if path.is_dir() and not any((path / file).is_file() for file in ("config.json", adapters.SETTINGS)):
        there = any((path / "model" / file).is_file() for file in ("config.json", adapters.SETTINGS))
        inside = " (its folder `model` has one)" if there else ""
        raise TrainerError(f"{option} {name}: the folder holds no config.json{inside}; give a model's folder")
    check_name(name, option)


def _check_tokenizer(name: str) -> None:
    """Check that a model's folder has a tokenizer; for some models transformers would make an empty one.

    Raises:
        TrainerError: it has none.
    """
    path = Path(name)
    if path.is_dir() and not any(file for pattern in _TOKENIZER for file in path.glob(pattern)):
        raise TrainerError(f"--model {name}: has no tokenizer (tokenizer.json); copy the starting model's")


def _first_sentence(error: Exception) -> str:
    text = " ".join(str(error).split()).split(". ")[0] or type(error).__name__
    return text if len(text) <= 240 else text[:237] + "..."
