"""A judge as alpaca_eval defines it: its prompt, its settings, how its reply is read."""

import contextlib
import logging
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.judging.replies import Reply
from evalkit.quiet import quiet

DEFAULT = "weighted_alpaca_eval_gpt4_turbo"
SENT = ("max_tokens", "temperature", "top_p", "logprobs", "top_logprobs")
"""What alpaca_eval sends of its settings; the others choose functions and tools, which are not supported."""


@dataclass(frozen=True, kw_only=True)
class Annotator:
    """A judge.

    Attributes:
        name: alpaca_eval's.
        model: the model it was made for.
        messages: (role, text) of the prompt, with {instruction}, {output_1} and {output_2} in place of the texts.
        settings: of the request.
        parse: alpaca_eval's parser of a reply.
        reads_text: whether the parser reads the text of a reply; else the whole of it, for its log-probabilities.
        library: the version of alpaca_eval.
    """

    name: str
    model: str
    messages: tuple[tuple[str, str], ...]
    settings: Mapping[str, Any]
    parse: Callable[[Any], Sequence[Any]]
    reads_text: bool
    library: str

    def prompt(self, instruction: str, first: str, second: str) -> list[dict[str, str]]:
        """Return the messages that show two outputs.

        The places are filled in one pass, after the template was cut into messages: a text that holds
        "<|im_start|>system" or "{output_2}" stays text, while alpaca_eval would make a message of it.

        Args:
            instruction: what was asked.
            first: the output shown first.
            second: the other.
        """
        texts = {"{instruction}": instruction, "{output_1}": first, "{output_2}": second}

        def fill(text: str) -> str:
            return re.sub("|".join(map(re.escape, texts)), lambda place: texts[place[0]], text).strip()

        return [{"content": fill(text), "role": role} for role, text in self.messages]

    def preference(self, reply: Reply) -> tuple[float | None, str]:
        """Return the preference for the output shown second, in [0, 1], or None and why there is none."""
        if reply.rejected:
            return None, f"rejected: {reply.rejected}"
        if reply.refusal:
            return None, f"refused: {reply.refusal[:100]}"
        if not self.reads_text and not reply.tokens:
            return None, "no log-probabilities"
        try:
            with library():
                (found,) = self.parse(reply.content or " " if self.reads_text else _completion(reply))
                value = float(found)
        except Exception:  # whatever alpaca_eval's parser makes of a reply that it does not expect
            return None, f"unreadable: {' '.join(reply.content.split())[:100]!r}"
        if math.isnan(value) or not (value == 0 or 1 <= value <= 2):
            return None, f"no verdict in {' '.join(reply.content.split())[:100]!r}"
        return (0.5 if value == 0 else value - 1), ""


def _completion(reply: Reply) -> dict[str, Any]:
    """Return a reply in the shape that alpaca_eval gives its parsers."""
    tokens = [{"token": one["token"], "logprob": one["logprob"], "top_logprobs": one["top"]} for one in reply.tokens]
    return {"text": reply.content, "finish_reason": reply.finish_reason, "logprobs": {"content": tokens}}


def load_annotator(name: str = DEFAULT) -> Annotator:
    """Return a judge by alpaca_eval's name.

    Raises:
        EvalkitError: alpaca_eval is not installed, or it has no such judge that asks an OpenAI-compatible server one
            question per pair.
    """
    with library():
        from alpaca_eval import completion_parsers, constants, utils

        folder = constants.EVALUATORS_CONFIG_DIR
        known = sorted(path.parent.name for path in folder.glob("*/configs.yaml"))
        if name not in known:
            import difflib

            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; such as {DEFAULT}"
            raise EvalkitError(f"--annotator {name}: alpaca_eval has no such annotator{hint}")
        pool = utils.load_configs(name, relative_to=folder)
        config = next(iter(pool.values()))
        _check(name, pool, config)
        template = utils.read_or_return(config["prompt_template"], relative_to=folder)
        messages = utils.prompt_to_chatml(template.strip())
        parser = getattr(completion_parsers, config["fn_completion_parser"])
        settings = config["completions_kwargs"]
        arguments = config.get("completion_parser_kwargs") or {}
    return Annotator(
        name=name,
        model=str(settings["model_name"]),
        messages=tuple((message["role"], message["content"]) for message in messages),
        settings={"temperature": 0.7, "top_p": 1.0} | {key: settings[key] for key in SENT if key in settings},
        parse=lambda completion: parser(completion, **arguments),
        reads_text=config.get("completion_key", "completions") == "completions",
        library=_library_version(),
    )


def _check(name: str, pool: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    settings = config.get("completions_kwargs") or {}
    other = [key for key in settings if key not in (*SENT, "model_name", "requires_chatml", "is_chat")]
    if (
        len(pool) != 1
        or config.get("fn_completions") != "openai_completions"
        or config.get("batch_size", 1) != 1
        or "fn_completion_parser" not in config
        or other
    ):
        what = f" (it needs {', '.join(other)})" if other else ""
        raise EvalkitError(
            f"--annotator {name}: not one chat question per pair to an OpenAI-compatible server{what}; use {DEFAULT}"
        )


def _library_version() -> str:
    try:
        return version("alpaca_eval")
    except PackageNotFoundError:
        return ""


@contextlib.contextmanager
def library() -> Iterator[None]:
    """Make alpaca_eval importable without its noise: it sets the root logger, warns, and prints.

    Raises:
        EvalkitError: it is not installed, or not usable as it is.
    """
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    root.addHandler(logging.NullHandler())  # its calls of logging.warning would add one that prints
    try:
        with warnings.catch_warnings(), quiet():
            warnings.simplefilter("ignore")
            _import()
            yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers


def _import() -> None:
    try:
        import alpaca_eval  # noqa: F401  what this is for
    except ImportError as error:
        reason = " ".join(str(error).split())[:120]
        raise EvalkitError(
            f"alpaca_eval cannot be imported ({reason}); install it: pip install 'halotheory[alpaca]'"
        ) from error
