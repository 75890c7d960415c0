"""Backends by name: a model loaded, or a server found, and wrapped to be asked."""

import importlib.util
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from evalkit.errors import EvalkitError
from evalkit.running.model import tokenizer_folder
from evalkit.running.recorder import Backend
from evalkit.running.server import KEY_VARIABLE, Server

NAMES = ("hf", "vllm", "openai")
_ON_A_CPU = 8


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """The model that was asked for, and how it is to be run.

    Attributes:
        name: as the user gave it.
        backend: `hf`, `vllm` or `openai`.
        folder: of the model; None where a server has it.
        adapter: folder of a LoRA adapter, or None.
        device: such as `cuda:1`; "" where the backend decides.
        dtype: such as `bfloat16`; "" where a server has the model.
        batch_size: prompts at a time, or `auto`.
        chat_template: whether prompts are conversations.
        seed: of the run.
        base_url: of a server, up to `/v1`; "" for local models.
        tokenizer: a server's model's tokenizer, a folder or a name on the hub; "" for none.
        concurrency: requests at a time to a server.
        timeout: seconds to wait for a server's reply.
        max_retries: of a request to a server.
        arguments: further arguments of lm-eval's model class.
    """

    name: str
    backend: str
    folder: Path | None
    adapter: Path | None
    device: str
    dtype: str
    batch_size: int | str
    chat_template: bool
    seed: int
    base_url: str
    tokenizer: str
    concurrency: int
    timeout: float
    max_retries: int
    arguments: Mapping[str, Any]


def check_choice(choice: ModelChoice) -> None:
    """Check what can be known of a choice before anything is loaded.

    Raises:
        EvalkitError: an unknown backend, a library that is not installed, or options that do not go together.
    """
    if choice.backend not in NAMES:
        raise EvalkitError(f"--backend {choice.backend}: unknown; give {', '.join(NAMES)}")
    if choice.batch_size != "auto" and (not isinstance(choice.batch_size, int) or choice.batch_size < 1):
        raise EvalkitError(f"--batch-size {choice.batch_size}: must be a number of at least 1, or auto")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise EvalkitError(
            "several processes (accelerate launch, torchrun) are not supported; start one, and give a model over "
            "several GPUs by --model-arg parallelize=true, or --backend vllm --model-arg tensor_parallel_size=N"
        )
    if choice.backend == "vllm" and importlib.util.find_spec("vllm") is None:
        raise EvalkitError("--backend vllm: vLLM is not installed; install it with: pip install vllm")
    if choice.backend == "vllm" and choice.device:
        raise EvalkitError(f"--device {choice.device}: vLLM takes the GPUs in CUDA_VISIBLE_DEVICES")
    if choice.adapter is not None and importlib.util.find_spec("peft") is None:
        raise EvalkitError("--adapter needs peft; install it with: pip install peft")
    if (choice.backend == "openai") != bool(choice.base_url):
        wanted = (
            "needs --base-url, such as http://localhost:8000/v1"
            if choice.backend == "openai"
            else "takes no --base-url"
        )
        raise EvalkitError(f"--backend {choice.backend} {wanted}")
    _check_arguments(choice.arguments)


def _check_arguments(arguments: Mapping[str, Any]) -> None:
    ours = {
        "trust_remote_code": "code that comes with a model is never run",
        "pretrained": "use --model",
        "model": "use --model",
        "peft": "use --adapter",
        "lora_local_path": "use --adapter",
        "batch_size": "use --batch-size",
        "device": "use --device",
        "dtype": "use --dtype",
        "seed": "use --seed",
        "base_url": "use --base-url",
        "revision": "use --revision",
        **dict.fromkeys(("auth_token", "header", "api_key"), f"the key is read from {KEY_VARIABLE} alone"),
        **dict.fromkeys(("token", "use_auth_token"), "the hub's token is read from HF_TOKEN alone"),
    }
    for name in arguments:
        if name in ours:
            raise EvalkitError(f"--model-arg {name}: {ours[name]}")


def load(choice: ModelChoice) -> Backend:
    """Return the backend with its model loaded.

    Raises:
        EvalkitError: a model that cannot be loaded, or one without the chat template that was asked for.
    """
    return {"hf": _hugging_face, "vllm": _vllm, "openai": _server}[choice.backend](choice)


def _hugging_face(choice: ModelChoice) -> Backend:
    from lm_eval.models.huggingface import HFLM

    from evalkit.running.hugging_face import HuggingFace

    on_cpu = choice.device.startswith("cpu")
    size = _ON_A_CPU if on_cpu and choice.batch_size == "auto" else choice.batch_size  # there is no memory to fill
    settings: dict[str, Any] = {"device": choice.device, "dtype": choice.dtype, "batch_size": size}
    if choice.adapter is not None:
        settings["peft"] = str(choice.adapter)
    model = _built(HFLM, choice, settings)
    if size == "auto":  # once: lm-eval would look for it again in every batch that we hand over
        model.batch_size_per_gpu = model._detect_batch_size()
    return HuggingFace(model=model)


def _vllm(choice: ModelChoice) -> Backend:
    from lm_eval.models.vllm_causallms import VLLM

    from evalkit.running.vllm_engine import REQUESTS_AT_A_TIME, VllmEngine

    settings: dict[str, Any] = {"dtype": choice.dtype, "batch_size": "auto", "seed": choice.seed}
    if choice.adapter is not None:
        settings |= {"lora_local_path": str(choice.adapter)}
    size = choice.batch_size if isinstance(choice.batch_size, int) else REQUESTS_AT_A_TIME
    return VllmEngine(model=_built(VLLM, choice, settings), size=max(size, REQUESTS_AT_A_TIME))


def _built(model_class: Any, choice: ModelChoice, settings: dict[str, Any]) -> Any:
    """Return lm-eval's model of a folder; code that comes with a model is never run."""
    assert choice.folder is not None
    tokenizer = tokenizer_folder(choice.folder, choice.adapter)
    settings |= {"tokenizer": str(tokenizer), "trust_remote_code": False, **choice.arguments}
    try:
        with warnings.catch_warnings():  # of libraries about each other
            warnings.simplefilter("ignore", FutureWarning)
            model = model_class(pretrained=str(choice.folder), **settings)
    except Exception as error:  # whatever is wrong with somebody's files
        reason = " ".join(str(error).split())[:300]
        raise EvalkitError(f"{choice.folder}: the model cannot be loaded: {type(error).__name__}: {reason}") from error
    if choice.chat_template and not getattr(model.tokenizer, "chat_template", None):
        raise EvalkitError(f"{tokenizer}: its tokenizer has no chat template; use --no-chat-template")
    return model


def _server(choice: ModelChoice) -> Backend:
    from lm_eval.models.openai_completions import LocalChatCompletion, LocalCompletionsAPI

    settings: dict[str, Any] = {
        "model": choice.name,
        "seed": choice.seed,
        "batch_size": 1,
        "max_length": 10**9,  # what is too long the server refuses; nothing is cut in silence
        "tokenizer_backend": "huggingface" if choice.tokenizer else None,
        "tokenized_requests": False,
        **choice.arguments,
    }
    if choice.tokenizer:
        settings["tokenizer"] = choice.tokenizer
    path = "/chat/completions" if choice.chat_template else "/completions"
    model_class = cast("Any", LocalChatCompletion if choice.chat_template else LocalCompletionsAPI)
    try:
        model = model_class(base_url=choice.base_url.rstrip("/") + path, **settings)
    except Exception as error:  # lm-eval reads a tokenizer here
        reason = " ".join(str(error).split())[:300]
        raise EvalkitError(f"--tokenizer {choice.tokenizer}: cannot be used: {reason}") from error
    if not choice.tokenizer:
        model.eos_string = None  # the server ends an answer where its model does
    return Server(model=model, concurrency=choice.concurrency, timeout=choice.timeout, max_retries=choice.max_retries)


def checked_url(url: str) -> str:
    """Return a server's address as it may be recorded.

    Raises:
        EvalkitError: no http(s) address, or one that holds a password or key.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise EvalkitError("--base-url: not an http or https address; give one such as http://localhost:8000/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise EvalkitError(
            "--base-url: must hold no user, password or query; the key comes from the environment variable "
            "OPENAI_API_KEY alone"
        )
    return url.rstrip("/")
