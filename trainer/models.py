"""Models and tokenizers from a folder or the hub: safetensors only, and never code from a repository."""

import logging
from pathlib import Path
from typing import Any

import torch

from trainer.codec import Codec
from trainer.errors import TrainerError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def quiet() -> None:
    """Keep the libraries' own progress bars and advice off standard error."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("accelerate.utils.other").setLevel(logging.ERROR)  # tied weights are saved once, as they should


def load_model(name: str, *, option: str = "--model", dtype: torch.dtype = torch.float32) -> Any:
    """Return a causal language model in evaluation mode.

    Raises:
        TrainerError: no such model, no safetensors, an architecture that generates no text.
    """
    from transformers import AutoModelForCausalLM

    _check_folder(name, option)
    try:
        model = AutoModelForCausalLM.from_pretrained(name, dtype=dtype, use_safetensors=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise _not_loaded(name, option, error) from error
    return model.eval()


def checkpoint_activations(model: Any) -> None:
    """Keep no activations inside layers: they are computed again in the backward pass."""
    name = "activation_checkpointing_enable"  # transformers 5.20 renamed it
    enable = getattr(model, name, None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def load_codec(name: str, chat_template: str | None) -> Codec:
    """Return how text becomes tokens for a model.

    A tokenizer adds BOS where it does so to plain text; completions end with its EOS, or with another token
    that the model's generation settings stop at.

    Raises:
        TrainerError: no tokenizer, no EOS token, no such template.
    """
    from transformers import AutoTokenizer

    _check_folder(name, "--model")
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise TrainerError(f"--model {name}: its tokenizer cannot be loaded: {_first_sentence(error)}") from error
    if tokenizer.eos_token_id is None:
        raise TrainerError(
            f"--model {name}: its tokenizer has no EOS token, so a completion has no end; set eos_token in it"
        )
    if chat_template is not None:
        try:
            tokenizer.chat_template = Path(chat_template).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TrainerError(f"--chat-template {chat_template}: cannot be read: {error}") from error
    begins = tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    bos = (int(tokenizer.bos_token_id),) if tokenizer.bos_token_id is not None and begins else ()
    stops = dict.fromkeys([tokenizer.eos_token_id, *_generation_stops(name)])
    return Codec(tokenizer=tokenizer, bos=bos, stops=tuple(stops))


def context_length(name: str) -> int | None:
    """Return how many positions a model knows, if it says so.

    Raises:
        TrainerError: no such model.
    """
    from transformers import AutoConfig

    _check_folder(name, "--model")
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise _not_loaded(name, "--model", error) from error
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
    if path.is_dir() and not (path / "config.json").is_file():
        inside = " (its folder `model` has one)" if (path / "model" / "config.json").is_file() else ""
        raise TrainerError(f"{option} {name}: the folder holds no config.json{inside}; give a model's folder")
    if not path.exists() and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise TrainerError(f"{option} {name}: no such folder")


def _not_loaded(name: str, option: str, error: Exception) -> TrainerError:
    what = "cannot be loaded" if Path(name).exists() else "no such folder, and not loaded from the hub"
    return TrainerError(f"{option} {name}: {what}: {_first_sentence(error)}")


def _first_sentence(error: Exception) -> str:
    text = " ".join(str(error).split()).split(". ")[0]
    return text if len(text) <= 240 else text[:237] + "..."
