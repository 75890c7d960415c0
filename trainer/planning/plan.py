"""A run before it is begun: whether it fits, how long it takes, what it leaves on disk."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from halotheory.contract import Loss, load_loss
from trainer.config import AlignConfig, Machine, read_recipe
from trainer.data import read_rows
from trainer.errors import TrainerError
from trainer.examples import limits_of
from trainer.models import adapter_base, context_length, load_codec, quiet
from trainer.new_tokens import add_control_tokens
from trainer.options import check_options
from trainer.planning.hardware import PEAKS, WIDTHS, spread
from trainer.planning.simulation import Simulated, simulate
from trainer.planning.work import Counts, Work, assumed, count, lay_out, work_of
from trainer.tokens import TokenTable, tokenize

GIGA = 1e9
NAMES = {
    "weights": "weights",
    "casts": "weights, cast for the forward pass",
    "gathered": "weights and gradients, gathered by FSDP2",
    "gradients": "gradients",
    "optimizer": "optimizer state",
    "activations": "activations",
    "head": "head",
}

NOT_COUNTED = (
    "what operations need inside themselves, what the allocator cannot use again, CUDA's own 0.5 to 1 GB, imported "
    "libraries, communication between GPUs, evaluation, --reference-point sampled"
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run takes.

    Attributes:
        model: as it was named.
        loss: its name.
        data: where the lengths are from.
        rows: how sequences are laid out.
        weights: numbers of the model, and how many of them are trained.
        memory: bytes of one GPU by part, at the peak of a step.
        reference_memory: bytes of one GPU while the reference model is asked, before the first step.
        microbatch: tokens that go through the layers and positions that are scored in the heaviest microbatch.
        steps: optimizer steps.
        operations: floating-point operations of training and of the reference model, over all GPUs.
        seconds: of both, at `rate`.
        rate: operations per second and GPU that are reckoned with, and how they come about.
        disk: bytes of a checkpoint, the model and the reference cache.
        gpu_memory: bytes of a GPU, or None.
        smallest_fsdp: GPUs with which FSDP2 would fit, where this run does not; None where none would, or it does.
    """

    model: str
    loss: str
    data: str
    rows: str
    weights: Mapping[str, int]
    memory: Mapping[str, int]
    reference_memory: int
    microbatch: Mapping[str, int]
    steps: int
    operations: Mapping[str, float]
    seconds: Mapping[str, float]
    rate: Mapping[str, Any]
    disk: Mapping[str, int]
    gpu_memory: float | None = None
    smallest_fsdp: int | None = None
    not_counted: str = field(default=NOT_COUNTED)

    @property
    def peak(self) -> int:
        """Bytes of one GPU at the most."""
        return max(sum(self.memory.values()), self.reference_memory)

    @property
    def fits(self) -> bool | None:
        """Whether the run fits into a GPU, where one is given."""
        return None if self.gpu_memory is None else self.peak <= self.gpu_memory

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON has it."""
        return {**asdict(self), "peak": self.peak, "fits": self.fits}

    def lines(self) -> list[str]:
        """Return the plan as a person reads it."""
        width = max(len(NAMES[part]) for part in self.memory)
        parts = [f"  {NAMES[part]:{width}}  {size / GIGA:10.3f}" for part, size in self.memory.items()]
        hours = {name: seconds / 3600 for name, seconds in self.seconds.items()}
        row, scored = self.microbatch["row"], self.microbatch["scored"]
        return [
            f"model: {self.model}, {_large(self.weights['all'])} weights, {_large(self.weights['trained'])} trained; "
            f"loss: {self.loss}",
            f"data: {self.data}; {self.rows}",
            f"memory of one GPU at the peak of a step, GB; its heaviest microbatch: {row} tokens, {scored} scored",
            *parts,
            f"  {'in all':{width}}  {sum(self.memory.values()) / GIGA:10.3f}",
            *self._before(),
            *self._verdict(),
            f"time: {self.steps} steps, {self.operations['training']:.3g} floating-point operations, "
            f"{hours['training']:.3g} h; reference model {hours['reference']:.3g} h",
            f"  on {_gpus(self.rate['gpus'])}, at {self.rate['mfu']:.0%} of {self.rate['tflops']:g} TFLOP/s "
            f"({self.rate['source']})",
            f"disk: {self.disk['checkpoint'] / GIGA:.3f} GB a checkpoint, {self.disk['model'] / GIGA:.3f} GB the "
            f"model, {self.disk['reference'] / 1e6:.1f} MB of reference log-probabilities",
            f"not counted: {self.not_counted}",
        ]

    def _before(self) -> list[str]:
        size = self.reference_memory / GIGA
        return [f"reference model, before the first step: {size:.3f} GB"] if size else []

    def _verdict(self) -> list[str]:
        if self.gpu_memory is None or self.fits:
            return [] if self.gpu_memory is None else [f"fits into {self.gpu_memory / GIGA:g} GB"]
        ways = "--micro-batch-size, --max-length, --gradient-checkpointing, --lora-rank"
        more = f"; --sharding fsdp --gpus {self.smallest_fsdp} would fit" if self.smallest_fsdp else ""
        return [f"does not fit into {self.gpu_memory / GIGA:g} GB: try {ways}{more}"]


def plan(config: AlignConfig, machine: Machine) -> Plan:
    """Return what a run takes; no weights are loaded.

    Memory is counted by running a step of the trainer's own code on tensors without values. Operations are those of
    matrix products and attention, counted in the same run and scaled to the data.

    Args:
        config: the run; an empty `data` means assumed lengths.
        machine: what it is planned for.

    Raises:
        HaloTheoryError: a loss, a model or data that cannot be used; options that are not covered.
    """
    quiet()
    loss = load_loss(config.loss, config.hyperparameters)
    check_options(config, loss)
    architecture = _architecture(config.model)
    table, said = _examples(config, machine, loss)
    work, done = _simulated(config, machine, loss, architecture, table, packed=True)
    if done.packed is not None:  # rows turn out to be padded
        work, done = _simulated(config, machine, loss, architecture, table, packed=False)
    return _plan(config, machine, loss, work, done, said)


def _simulated(
    config: AlignConfig, machine: Machine, loss: Loss, architecture: Any, table: TokenTable, *, packed: bool
) -> tuple[Work, Simulated]:
    work = work_of(table, loss, config, machine.gpus, architecture, packed=packed, alike=not config.data)
    return work, simulate(
        config, architecture, work.heaviest, work.asked, longest=work.longest, accumulates=work.accumulates
    )


def data_at_hand(recipe: str | None) -> str:
    """Return the data of a recipe where it is a file that is there; else nothing.

    Raises:
        TrainerError: a recipe that cannot be read.
    """
    named = str(read_recipe(recipe).get("data", "")) if recipe else ""
    return named if named and Path(named).exists() else ""


def _architecture(name: str) -> Any:
    from transformers import AutoConfig

    context_length(name)  # says what is wrong with a name
    return AutoConfig.from_pretrained(adapter_base(name) or name, trust_remote_code=False)


def _examples(config: AlignConfig, machine: Machine, loss: Loss) -> tuple[TokenTable, str]:
    """Return the examples of a run, and where their lengths are from."""
    limits = limits_of(config)
    total = limits.total
    lengths = {"prompt_tokens": machine.prompt_tokens, "completion_tokens": machine.completion_tokens}
    given = [name for name, value in {**lengths, "examples": machine.examples}.items() if value is not None]
    if config.data:
        if given:
            raise TrainerError(f"--{given[0].replace('_', '-')}: the data says so; leave it or --data out")
        codec = load_codec(config.model, config.chat_template)
        add_control_tokens(config, loss, codec)
        table, report = tokenize(read_rows(config.data, config.split), loss, codec, limits, source=config.data)
        return table, f"{config.data}, {report.examples} examples, {report.tokens} tokens"
    prompt = machine.prompt_tokens or min(config.max_prompt_length or total, total // 2)
    completion = machine.completion_tokens or max(1, total - prompt)
    if prompt + completion > total:
        raise TrainerError(
            f"prompts of {prompt} and completions of {completion} tokens exceed --max-length {total}; give fewer"
        )
    examples, columns = machine.examples or 10_000, 2 if loss.kind == "paired" else 1
    kind = "pairs" if columns == 2 else "examples"
    said = f"assumed: {examples} {kind}, prompts of {prompt} tokens, no two alike, completions of {completion}"
    return assumed(examples, columns, prompt, completion), said


def _plan(config: AlignConfig, machine: Machine, loss: Loss, work: Work, done: Simulated, said: str) -> Plan:
    memory = spread(done, machine.sharding, machine.gpus, config.dtype)
    capacity = None if machine.gpu_memory is None else machine.gpu_memory * GIGA
    operations = _operations(work, done)
    tflops = machine.tflops or PEAKS[machine.gpu]["float32" if config.dtype == "float32" else "bfloat16"]
    rate = machine.gpus * machine.mfu * tflops * 1e12
    heaviest, sizes = count(lay_out(work.heaviest.own, done.packed is None)), done.sizes
    saved = sizes.trained if config.lora_rank and not config.merge else sizes.weights
    entries, tokens = work.reference_entries
    made = Plan(
        model=config.model,
        loss=loss.name,
        data=said,
        rows="sequences share a row" if done.packed is None else f"rows are padded: {done.packed}",
        weights={"all": sizes.weights, "trained": sizes.trained},
        memory=memory,
        reference_memory=_reference_memory(done, machine, memory),
        microbatch={"row": heaviest.row, "scored": heaviest.scored},
        steps=work.steps,
        operations=operations,
        seconds={name: number / rate for name, number in operations.items()},
        rate={
            "tflops": tflops,
            "mfu": machine.mfu,
            "gpus": machine.gpus,
            "source": "given" if machine.tflops else f"{machine.gpu}, {config.dtype}",
        },
        disk={
            "checkpoint": 4 * sizes.trained + done.optimizer,
            "model": WIDTHS[config.dtype] * saved,
            "reference": 24 * entries + 4 * (tokens if loss.kind == "token" else entries),
        },
        gpu_memory=capacity,
    )
    return made if made.fits is not False else _with_way_out(made, config, done)


def _operations(work: Work, done: Simulated) -> dict[str, float]:
    """Return the operations of the run, from those of its heaviest microbatch: each kind grows with its own count."""
    own = count(lay_out(work.heaviest.own, done.packed is None))

    def of(phase: str, counts: Counts) -> float:
        each = {"linear": (own.row, counts.row), "head": (own.scored, counts.scored)}
        each["attention"] = (own.attended, counts.attended)
        return sum(done.operations.get((phase, kind), 0) * all_ / one for kind, (one, all_) in each.items())

    training = of("forward", work.own) + of("backward", work.own) + of("forward", work.other)
    return {"training": training, "reference": of("forward", work.reference)}


def _reference_memory(done: Simulated, machine: Machine, memory: Mapping[str, int]) -> int:
    if not done.reference:
        return 0
    held = {**done.reference}
    if machine.sharding == "fsdp":
        held.pop("casts", None)
        held["weights"] = memory.get("weights", 0) + memory["gathered"]
    return sum(held.values())


def _gpus(number: int) -> str:
    return "1 GPU" if number == 1 else f"{number} GPUs"


def _large(number: int) -> str:
    for size, letter in ((10**9, "B"), (10**6, "M")):
        if number >= size:
            return f"{number / size:.2f}{letter}"
    return str(number)


def _with_way_out(made: Plan, config: AlignConfig, done: Simulated) -> Plan:
    """Return the plan with the smallest number of GPUs, a power of 2, with which FSDP2 would fit."""
    assert made.gpu_memory is not None
    for gpus in (2**power for power in range(1, 11)):
        if sum(spread(done, "fsdp", gpus, config.dtype).values()) <= made.gpu_memory:
            return replace(made, smallest_fsdp=gpus)
    return made
