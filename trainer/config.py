"""What a training run is told: one frozen record, from Python, a YAML recipe or the command line."""

import difflib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from trainer.errors import TrainerError
from trainer.options import check_alone, check_split

_SEED = "in [0, 2**32)"
"""What NumPy's and PyTorch's generators take."""

_PATH = "a path: names of at most 255 bytes, 4000 in all"
_OUTPUT = "a path: names of at most 200 bytes, 4000 in all"
"""Of what is written: the files beside it, unfinished ones too, have longer names."""

_CHECKS: dict[str, Callable[[Any], bool]] = {
    "> 0": lambda value: value > 0,
    ">= 0": lambda value: value >= 0,
    ">= 1": lambda value: value >= 1,
    ">= 8": lambda value: value >= 8,
    "in [0, 1]": lambda value: 0 <= value <= 1,
    "in (0, 1)": lambda value: 0 < value < 1,
    "in [0, 1)": lambda value: 0 <= value < 1,
    "in (0, 1]": lambda value: 0 < value <= 1,
    _SEED: lambda value: 0 <= value < 2**32,
    _PATH: lambda value: _is_path(value, 255),
    _OUTPUT: lambda value: _is_path(value, 200),
}


def _is_path(text: str, longest: int) -> bool:
    """Whether a file system can be asked for it."""
    name = text.encode("utf-8", "surrogatepass")
    return b"\0" not in name and len(name) <= 4000 and all(len(part) <= longest for part in name.split(b"/"))


def option(
    text: str, default: Any = MISSING, *, check: str | None = None, shown: str | None = None, also: tuple[str, ...] = ()
) -> Any:
    """Return a field that is also a command-line option.

    Args:
        text: the option's help.
        default: its value when not given; none means that it must be given.
        check: a key of `_CHECKS`, which a value must satisfy.
        shown: the default as help prints it, where the value itself says too little.
        also: further names that the option goes by.
    """
    if default is not MISSING and shown is None and default is not None and not isinstance(default, bool):
        shown = str(default)
    return field(default=default, metadata={"help": text, "check": check, "shown": shown, "also": also})


Optimizer = Literal[
    "adamw",
    "rmsprop",
    "adafactor",
    "sgd",
    "adagrad",
    "adamw_8bit",
    "paged_adamw_8bit",
    "paged_adamw_32bit",
    "lion_8bit",
    "lion_32bit",
    "paged_lion_8bit",
    "paged_lion_32bit",
    "ademamix",
    "ademamix_8bit",
    "rmsprop_bnb_8bit",
    "adamw_torch_8bit",
    "adamw_torch_4bit",
    "stable_adamw",
    "grokadamw",
]
"""adamw and rmsprop are PyTorch's; the others are made by transformers, by their names there."""


@dataclass(frozen=True, kw_only=True)
class AlignConfig:
    """Everything that decides the weights at the end of a run; `config.yaml` holds it.

    Raises:
        TrainerError: a value of the wrong type or outside its range.
    """

    model: str = option("Model to start from: a folder or a hub name.", check=_PATH)
    data: str = option(
        "Feedback: a .jsonl, .json or .parquet file (or .gz of one), or a hub data set NAME[:CONFIG].", check=_PATH
    )
    output: str = option("Folder of the run; the same command continues an interrupted one.", check=_OUTPUT)
    loss: str = option("A built-in (kto, dpo, simpo, ...), my_loss.py, or my_loss.py:name.", "kto", check=_PATH)
    hyperparameters: Mapping[str, float] = field(default_factory=dict)
    reference_point: Literal["mismatched", "zero", "batch-mean", "running-mean", "sampled"] = option(
        "What z0 (kl) is a mean of: mismatched (KTO's own), zero, batch-mean, running-mean, sampled.",
        "mismatched",
    )
    reference_point_over: Literal["microbatch", "step"] = option(
        "Over which examples that mean goes: a microbatch, or all of a step, which costs one more forward pass.",
        "microbatch",
    )
    balance: bool = option("Set the class weights so that eq. 7 of the KTO paper holds, with ratio 4:3.", False)
    reference_model: str | None = option("Frozen reference model.", None, check=_PATH, shown="the starting model")
    reference_cache: str | None = option(
        "Folder where log-probabilities under the reference model are kept for later runs; none: keep none.",
        None,
        check=_OUTPUT,
        shown="~/.cache/halotheory/reference",
    )
    split: str = option("Split of a hub data set.", "train")
    eval_data: str | None = option(
        "Feedback that is only evaluated on: a file or a hub data set, as --data.", None, check=_PATH
    )
    eval_split: str = option("Split of a hub data set for evaluation.", "test")
    eval_share: float | None = option(
        "Share of the prompts of --data that is only evaluated on.", None, check="in (0, 1)"
    )
    eval_steps: int | None = option(
        "Steps between evaluations, the first before training.", None, check=">= 1", shown="only after the last step"
    )
    chat_template: str | None = option("Jinja file for conversations.", None, check=_PATH, shown="the tokenizer's")
    learning_rate: float | None = option(
        "Peak learning rate.", None, check="> 0", shown="5e-7 pairs, 5e-6 thumbs, 2e-5 sft"
    )
    epochs: float = option("Passes over the data.", 1.0, check="> 0")
    max_steps: int | None = option("Optimizer steps, instead of --epochs.", None, check=">= 1")
    batch_size: int = option("Examples per optimizer step, over all processes; a pair is one.", 32, check=">= 1")
    micro_batch_size: int = option("Examples at a time per process.", 8, check=">= 1")
    scatter_prompts: bool = option(
        "Shuffle examples one by one, instead of keeping those of one prompt together to compute it once.", False
    )
    max_length: int | None = option(
        "Tokens of prompt and completion together.", None, check=">= 8", shown="2048, or the model's context"
    )
    max_prompt_length: int | None = option("Tokens of a prompt.", None, check=">= 1", shown="what --max-length leaves")
    optimizer: Optimizer = option(  # noqa: RUF009
        "adamw, rmsprop or adafactor; adamw_8bit, paged_adamw_8bit, lion_8bit and others through bitsandbytes.", "adamw"
    )
    schedule: Literal["constant", "linear", "cosine"] = option(
        "Learning rate after warmup: constant, linear or cosine decay to 0, or to --final-rate-ratio.", "linear"
    )
    final_rate_ratio: float = option("Share of the peak rate that linear and cosine decay to.", 0.0, check="in [0, 1]")
    warmup_ratio: float = option("Share of the steps with a rising learning rate.", 0.1, check="in [0, 1]")
    weight_decay: float = option("Decoupled decay of the matrices (adamw), L2 (rmsprop).", 0.0, check=">= 0")
    max_grad_norm: float = option("Clip the gradient to this norm; 0: never.", 1.0, check=">= 0")
    dropout: bool = option("Keep the model's dropout on.", False)
    dtype: Literal["float32", "bfloat16", "float16"] = option(
        "Arithmetic of the forward pass: float32, bfloat16 or float16; trained weights and log-probabilities stay "
        "float32.",
        "float32",
    )
    lora_rank: int | None = option(
        "Train an adapter of this rank (LoRA) beside the frozen weights.", None, check=">= 1", shown="no adapter"
    )
    lora_alpha: int | None = option("Scale of the adapter times its rank.", None, check=">= 1", shown="twice the rank")
    lora_dropout: float = option("Dropout before the adapter, in training.", 0.0, check="in [0, 1)")
    lora_targets: str = option("Matrices to adapt: all-linear, or names with commas: q_proj,v_proj.", "all-linear")
    merge: bool = option("Write the model with the adapter merged into it, instead of the adapter alone.", False)
    base_dtype: Literal["auto", "float32", "bfloat16", "float16"] = option(
        "Frozen weights beside an adapter: float32, bfloat16 or float16.", "auto", shown="as --dtype"
    )
    quantize: Literal["none", "4bit"] = option(
        "Frozen weights beside an adapter: none, or 4bit (QLoRA) on CUDA with bitsandbytes.", "none"
    )
    gradient_checkpointing: bool = option(
        "Compute activations again in the backward pass instead of keeping them: less memory, a third more time.", False
    )
    seed: int = option("Seed of the order of the data, of dropout and of new adapters.", 0, check=_SEED)
    save_steps: int = option("Steps between checkpoints.", 500, check=">= 1")
    keep: int = option("How many checkpoints to keep, the newest.", 2, check=">= 1")
    log_steps: int = option("Steps between lines of metrics.jsonl.", 1, check=">= 1")
    tracker: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = option(
        "Where to send the numbers of metrics.jsonl, too: tensorboard, wandb or trackio; several with commas.",
        (),
        shown="nowhere",
    )

    def __post_init__(self) -> None:
        given = [self.tracker] if isinstance(self.tracker, str) else self.tracker
        if isinstance(given, list | tuple):
            names = [name.strip() for words in given for name in str(words).split(",")]
            object.__setattr__(self, "tracker", tuple(dict.fromkeys(names)))
        _check_fields(self)
        if self.eval_data is not None and self.eval_share is not None:
            raise TrainerError(f"--eval-share {self.eval_share}: --eval-data {self.eval_data} is used; leave one out")
        if self.eval_steps is not None and self.eval_data is None and self.eval_share is None:
            raise TrainerError(
                f"--eval-steps {self.eval_steps}: nothing to evaluate on; give --eval-data FILE or --eval-share"
            )
        check_alone(self)

    def as_dict(self) -> dict[str, Any]:
        """Return the values by name, plain enough for YAML."""
        return {**asdict(self), "hyperparameters": dict(self.hyperparameters)}


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """Everything that decides the samples.

    Raises:
        TrainerError: a value of the wrong type or outside its range.
    """

    model: str = option("Model to sample from: a folder or a hub name.", check=_PATH)
    data: str = option(
        "Prompts: rows with a column `prompt`, text or conversations; other columns are kept.", check=_PATH
    )
    output: str = option("JSONL file to write; the same command continues an interrupted one.", check=_OUTPUT)
    suffix: str = option("Text at the end of every prompt: <|good|> for a model trained with csft.", "", shown="none")
    samples: int = option("Completions per prompt.", 1, check=">= 1")
    temperature: float = option("Sampling temperature; 0: greedy.", 1.0, check=">= 0")
    top_p: float = option("Sample from the smallest set of tokens with this probability.", 1.0, check="in (0, 1]")
    max_new_tokens: int = option("Tokens of a completion.", 256, check=">= 1")
    seed: int = option("Seed of the sampling.", 0, check=_SEED)
    batch_size: int = option("Completions at a time.", 64, check=">= 1")
    engine: Literal["transformers", "vllm"] = option(
        "transformers, or vllm where it is installed (batches of thousands pay there).", "transformers"
    )
    split: str = option("Split of a hub data set.", "train")
    chat_template: str | None = option("Jinja file for conversations.", None, check=_PATH, shown="the tokenizer's")
    dtype: Literal["float32", "bfloat16"] = option("Weights and arithmetic: float32 or bfloat16.", "float32")

    def __post_init__(self) -> None:
        _check_fields(self)
        check_split(self)
        if self.temperature == 0 and self.samples > 1:
            raise TrainerError(
                f"--temperature 0 --samples {self.samples}: greedy samples are all alike; "
                "use --samples 1, or a temperature above 0"
            )


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Everything that decides the rows that `trainer data` writes.

    Raises:
        TrainerError: a value of the wrong type or outside its range.
    """

    data: tuple[str, ...] = option(
        "A file, a folder, a named data set (hh, shp, oasst1, ...) or a hub data set OWNER/NAME[:CONFIG]; "
        "give it again to mix several.",
        check=_PATH,
        also=("from",),
    )
    output: str = option("File to write: .jsonl, .jsonl.gz or .parquet.", check=_OUTPUT)
    format: tuple[str, ...] = option(
        "Columns of the data: hh, shp, oasst, ultrafeedback, paired, unpaired or scored; one for all, or one for each "
        "--data.",
        (),
        shown="by the columns",
    )
    split: str | None = option("Split of a hub data set, or of a folder's files.", None, shown="train")
    to: Literal["auto", "paired", "unpaired"] = option("Rows to write: paired or unpaired.", "auto", shown="as read")
    style: Literal["auto", "chat", "text"] = option(
        "Write conversations as chat (messages) or as text (Human: / Assistant:).",
        "auto",
        shown="as read; chat for public data sets",
    )
    signal: Literal["auto", "ranks", "thumbs", "quality", "fine-grained", "overall"] = option(
        "Which feedback to read: ranks, thumbs or quality (oasst), fine-grained or overall (ultrafeedback).",
        "auto",
        shown="thumbs for --to unpaired, else ranks; fine-grained",
    )
    lang: str | None = option("Only answers in these languages (oasst), with commas: en,de.", None, shown="all")
    min_score_ratio: float | None = option(
        "Only pairs whose scores differ by this factor (shp).", None, check=">= 1", shown="any"
    )
    max_pairs_per_prompt: int | None = option("At most so many pairs of a prompt, drawn.", None, check=">= 1")
    pairs: Literal["all", "best-worst"] = option(
        "Pairs to make of a prompt's scored or labelled answers: all whose scores differ, or the best with the worst.",
        "all",
    )
    threshold: float | None = option("Scores above it are desirable, below it undesirable.", None)
    weights: str | None = option("Shares of the mixture, one for each --data, with commas: 0.7,0.3.", None)
    size: int | None = option(
        "Rows to draw, without replacement.", None, check=">= 1", shown="as many as --weights allow"
    )
    dedupe: bool = option("Drop rows that are equal to an earlier one.", False)
    one_per_prompt: bool = option("Keep one row of each prompt, drawn.", False)
    keep_desirable: float | None = option("Keep this share of the desirable rows, drawn.", None, check="in [0, 1]")
    keep_undesirable: float | None = option("Keep this share of the undesirable rows, drawn.", None, check="in [0, 1]")
    shuffle: bool = option("Write the rows in random order.", False)
    limit: int | None = option("Write only the first so many rows.", None, check=">= 1")
    held_out: float | None = option(
        "Share of the prompts whose rows go to NAME.held-out.SUFFIX instead.", None, check="in (0, 1)"
    )
    seed: int = option("Seed of all that is drawn.", 0, check=_SEED)

    def __post_init__(self) -> None:
        _check_fields(self)

    def as_dict(self) -> dict[str, Any]:
        """Return the values by name, plain enough for JSON."""
        return {**asdict(self), "data": list(self.data), "format": list(self.format)}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a run is planned for.

    Raises:
        TrainerError: a value of the wrong type or outside its range, or options that contradict each other.
    """

    gpus: int = option("GPUs that share the run.", 1, check=">= 1")
    sharding: Literal["none", "ddp", "fsdp"] = option(
        "none, ddp (everything on every GPU) or fsdp (weights, gradients and optimizer in parts).", "none"
    )
    gpu_memory: float | None = option(
        "GB (10^9 bytes) of a GPU; exit status 1 where the run does not fit.", None, check="> 0", shown="not asked"
    )
    gpu: Literal["a10", "a100", "h100", "h200", "l40s", "mi300x", "rtx4090"] = option(
        "Whose peak of TFLOP/s to take: a10, a100, h100, h200, l40s, mi300x or rtx4090.", "h100"
    )
    tflops: float | None = option(
        "TFLOP/s of a device at best, in the dtype of the forward pass.", None, check="> 0", shown="that of --gpu"
    )
    mfu: float = option("Share of that peak which the run reaches.", 0.4, check="in (0, 1]")
    prompt_tokens: int | None = option(
        "Tokens of every prompt, without --data.", None, check=">= 1", shown="half of --max-length"
    )
    completion_tokens: int | None = option(
        "Tokens of every completion, without --data.", None, check=">= 1", shown="half of --max-length"
    )
    examples: int | None = option("Examples of an epoch, without --data.", None, check=">= 1", shown="10000")

    def __post_init__(self) -> None:
        _check_fields(self)
        if self.sharding == "none" and self.gpus > 1:
            raise TrainerError(f"--gpus {self.gpus}: how they share the run is not said; add --sharding ddp or fsdp")


_IN_PLACE_OF = {
    "epochs": ("max_steps",),
    "max_steps": ("epochs",),
    "data": ("split",),
    "eval_data": ("eval_split",),
    "schedule": ("final_rate_ratio",),
}
"""Options of which the one given on the command line replaces the recipe's other."""


def make_config(config_class: type, given: Mapping[str, object], recipe: str | None = None) -> Any:
    """Return the record of a recipe's values, overridden by those `given`.

    Args:
        config_class: AlignConfig or SampleConfig.
        given: values by field name.
        recipe: a YAML file, or none.

    Raises:
        TrainerError: a recipe that cannot be read, an unknown key, a missing or wrong value.
    """
    values = dict(read_recipe(recipe, config_class)) if recipe else {}
    merged = {**dict(values.pop("hyperparameters", None) or {}), **dict(given.get("hyperparameters") or {})}  # type: ignore[call-overload]
    for name in given.keys() & _IN_PLACE_OF:
        for other in _IN_PLACE_OF[name]:
            values.pop(other, None)
    values.update(given)
    if merged:
        values["hyperparameters"] = merged
    for one in fields(config_class):
        if one.name not in values and one.default is MISSING and one.default_factory is MISSING:
            raise TrainerError(f"{_flag(one.name)} is missing; give it on the command line or in the recipe")
    return config_class(**values)


def read_recipe(path: str, config_class: type = AlignConfig) -> dict[str, Any]:
    """Return the values of a YAML file, and of those that it extends, by field name; `1e-6` is a number.

    Raises:
        TrainerError: no such file, malformed YAML, a key that is unknown or repeated, a wrong value: with its line.
    """
    from trainer import recipe

    kinds, known = get_type_hints(config_class), {one.name: one for one in fields(config_class)}
    given = recipe.read(path)
    for name, one in given.items():
        if name not in known:
            near = "; a recipe calls it 'hyperparameters'" if name == "set" else did_you_mean(name, list(known))
            raise TrainerError(f"{one.place}: unknown key '{name}'{near}")
        entries = one.value.items() if kinds[name] == Mapping[str, float] and isinstance(one.value, dict) else ()
        for inner, entry in entries:
            for problem in _problems(entry.plain(), float, None):
                raise TrainerError(f"{entry.place}: {name}: {inner} {entry.plain()}: {problem}")
        for problem in _problems(one.plain(), kinds[name], known[name].metadata.get("check")):
            raise TrainerError(f"{one.place}: {name} {one.plain()}: {problem}")
    return {name: one.plain() for name, one in given.items()}


def as_yaml(config: AlignConfig) -> str:
    """Return the text of `config.yaml`: a recipe that makes the same run again."""
    from trainer import recipe

    return recipe.as_text(config.as_dict())


def differing_keys(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    """Return the names, in order, whose values differ."""
    names = list(dict.fromkeys([*old, *new]))
    return [name for name in names if old.get(name) != new.get(name)]


def did_you_mean(name: str, known: "list[str] | tuple[str, ...]") -> str:
    """Return a suggestion to append to an error, or nothing."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{near[0]}'?" if near else f"; known are: {', '.join(known)}"


def _check_fields(config: Any) -> None:
    hints = get_type_hints(type(config))
    for one in fields(config):
        value = getattr(config, one.name)
        if isinstance(value, Mapping):
            _check_numbers(value, one.name)
        for problem in _problems(value, hints[one.name], one.metadata.get("check")):
            shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
            raise TrainerError(f"{_flag(one.name)} {shown}: {problem}")


def _check_numbers(settings: Mapping[str, object], name: str) -> None:
    for inner, number in settings.items():
        if not _is_number(number):
            raise TrainerError(f"{_flag(name)} {inner}={number}: expected a finite number")


def _problems(value: object, hint: Any, check: str | None) -> Iterator[str]:
    """Yield what is wrong with one value."""
    if hint == Mapping[str, float]:
        if not isinstance(value, Mapping):  # its numbers are checked one by one, each under its name
            yield "expected name: number"
        return
    if get_origin(hint) is tuple:
        yield from _problems_of_items(value, get_args(hint)[0], check)
        return
    choices = get_args(hint) if get_args(hint) and isinstance(get_args(hint)[0], str) else None
    if choices:
        if value not in choices:
            yield f"expected {', '.join(choices)}"
        return
    allowed = get_args(hint) or (hint,)
    if value is None and type(None) in allowed:
        return
    wanted = next(kind for kind in allowed if kind is not type(None))
    if not _is_a(value, wanted):
        yield f"expected {_KIND_NAMES[wanted]}"
    elif check is not None and not _CHECKS[check](value):  # type: ignore[arg-type]
        yield f"must be {check}"


def _problems_of_items(value: object, hint: Any, check: str | None) -> Iterator[str]:
    """Yield what is wrong with a list."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _problems(item, hint, check)
        return
    alone = isinstance(value, str) and not any(_problems(value, hint, check))
    yield f"expected a list: [{value if alone else next(iter(get_args(hint)), '')}]"


_KIND_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _is_a(value: object, kind: type) -> bool:
    if kind is float:
        return _is_number(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _flag(name: str) -> str:
    return "--set" if name == "hyperparameters" else "--" + name.replace("_", "-")
