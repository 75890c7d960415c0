"""One measured process: a training of ours, or of TRL on the same steps.

python -m tests.benchmarks.trainer_peer SIDE SETTING.json MEASURED.json
"""

import functools
import resource
import sys
import time
import types
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of PyTorch knows
from transformers.models.llama import modeling_llama  # noqa: F401 - before memory is first read, not after

from tests.benchmarks.trainer_setting import (
    BETA,
    LEARNING_RATE,
    MAX_GRAD_NORM,
    SEED,
    Example,
    Measured,
    Setting,
    Step,
    load_setting,
    load_steps,
    save_steps,
)

KIBIBYTE = 1024


def main() -> None:
    """Measure one side."""
    side, setting = sys.argv[1], load_setting(sys.argv[2])
    measure = _ours if side == "ours" else functools.partial(_trl, side)
    measure(setting).save(sys.argv[3])


@dataclass(kw_only=True)
class Meter:
    """The time between two moments, and the peak of memory since the meter was made, just after the imports.

    On a CPU memory is the largest resident set of the process so far (getrusage), less what it was after the imports.
    """

    device: str
    idle: int = 0
    began: tuple[float, float] = (0.0, 0.0)
    took: tuple[float, float] = (0.0, 0.0)
    losses: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.idle = self._peak()

    def start(self) -> None:
        """Start the clocks."""
        self.began = self._now()

    def stop(self) -> None:
        """Stop the clocks."""
        processor, wall = self._now()
        self.took = (processor - self.began[0], wall - self.began[1])

    def measured(self, side: str, steps: list[Step], setting: Setting) -> Measured:
        """Return what was found."""
        timed = steps[setting.warmup :]
        return Measured(
            side=side,
            processor=self.took[0],
            wall=self.took[1],
            tokens=sum(example.tokens for step in timed for example in step),
            peak=self._peak() - self.idle,
            losses=[float(loss) for loss in self.losses],
        )

    def _now(self) -> tuple[float, float]:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.process_time(), time.perf_counter()

    def _peak(self) -> int:
        if self.device == "cuda":
            return torch.cuda.max_memory_allocated()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBIBYTE


# Our side


def _ours(setting: Setting) -> Measured:
    """Train; only the steps after the warm-up are timed, `prepare` is not."""
    from halotheory.contract import load_loss
    from trainer import metrics
    from trainer.checkpoint import Position
    from trainer.config import AlignConfig
    from trainer.engine import make_accelerator
    from trainer.loop import train
    from trainer.models import quiet
    from trainer.prepare import prepare

    quiet()
    meter = Meter(device=setting.device)
    output = Path(setting.folder) / "ours"
    output.mkdir(exist_ok=True)
    (output / "metrics.jsonl").unlink(missing_ok=True)
    total = setting.warmup + setting.steps
    config = AlignConfig(
        model=setting.model,
        data=str(Path(setting.folder) / "pairs.jsonl"),
        output=str(output),
        loss=setting.loss,
        hyperparameters={"beta": BETA},
        learning_rate=LEARNING_RATE,
        schedule="constant",
        warmup_ratio=0.0,
        max_grad_norm=MAX_GRAD_NORM,
        max_steps=total,
        batch_size=setting.batch,
        micro_batch_size=setting.batch,
        dtype="bfloat16" if setting.dtype == "bfloat16" else "float32",
        lora_rank=setting.lora_rank,
        save_steps=total + 1,
        seed=SEED,
        log_steps=1,
    )
    training, _ = prepare(config, load_loss(setting.loss, {"beta": BETA}), make_accelerator())

    def position(step: int) -> Position:
        return Position(step=step, window=metrics.Window(), fingerprint=training.fingerprint, processes=1)

    train(replace(training, steps=setting.warmup), position(0))
    meter.start()
    train(training, position(setting.warmup))
    meter.stop()
    lines = metrics.read(output / "metrics.jsonl")
    meter.losses = [line["loss"] for line in lines]
    steps = _steps(training, total)
    save_steps(steps, setting.our_steps)
    largest = max(line.get("kl", 0.0) for line in lines)
    return replace(meter.measured("ours", steps, setting), reference_point=largest)


def _steps(training: Any, total: int) -> list[Step]:
    """Return the examples of every step, in our order."""
    table, steps = training.table, []

    def example(at: int) -> Example:
        spans = zip(table.completion_start[at], table.completion_length[at], strict=True)
        start, length = table.prompt_start[at], table.prompt_length[at]
        return Example(
            prompt=table.tokens[start : start + length].tolist(),
            completions=[table.tokens[first : first + count].tolist() for first, count in spans],
            desirable=bool(table.desirable[at]),
        )

    for step in range(total):
        microbatches = training.order.step(*divmod(step, training.order.steps_per_epoch))
        assert len(microbatches) == 1, f"step {step} has {len(microbatches)} microbatches; z0 would be another"
        steps.append([example(at) for at in microbatches[0]])
    return steps


# TRL


def _trl(side: str, setting: Setting) -> Measured:
    """Train TRL's trainer on our steps, or on batches of like length, as a user who sorts the data by hand has them."""
    import datasets
    from transformers import AutoTokenizer
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer
    from trl.trainer.kto_config import KTOConfig
    from trl.trainer.kto_trainer import KTOTrainer

    from trainer.models import load_model, quiet

    quiet()
    datasets.disable_progress_bars()
    meter = Meter(device=setting.device)
    if side != "trl as shipped" and setting.device == "cpu":
        _score_completions_only()
    steps = load_steps(setting.sorted_steps if side == "trl sorted" else setting.our_steps)
    base, config = (KTOTrainer, KTOConfig) if setting.loss == "kto" else (DPOTrainer, DPOConfig)
    arguments = config(
        output_dir=str(Path(setting.folder) / "trl"),
        beta=BETA,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        optim="adamw_torch_fused",
        weight_decay=0.0,
        max_grad_norm=MAX_GRAD_NORM,
        per_device_train_batch_size=setting.batch,
        seed=SEED,
        num_train_epochs=1,
        max_length=None,
        precompute_ref_log_probs=True,
        train_sampling_strategy="sequential",
        gradient_checkpointing=False,
        bf16=setting.dtype == "bfloat16",
        use_cpu=setting.device == "cpu",
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    rows = _thumbs(steps) if setting.loss == "kto" else _pairs(steps)
    frozen = torch.bfloat16 if setting.lora_rank and setting.dtype == "bfloat16" else torch.float32
    model, adapter = load_model(setting.model, dtype=frozen), _adapter(setting)
    torch.manual_seed(arguments.seed)  # of the adapter, which then begins as ours does
    trainer = _watched(base, meter)(
        model=model,
        peft_config=adapter,
        args=arguments,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(setting.model),
        callbacks=[_clock(meter, setting)],
    )
    trainer.train()
    return meter.measured(side, steps, setting)


def _adapter(setting: Setting) -> Any:
    """Return the adapter that ours trains, as its defaults have it; None for all weights."""
    from peft import LoraConfig

    rank = setting.lora_rank
    if rank is None:
        return None
    return LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")


def _watched(base: Any, meter: Meter) -> Any:
    """Return TRL's trainer, given tokens in place of texts, with the loss of every step kept."""

    class Watched(base):
        def _prepare_dataset(self, dataset: Any, *rest: Any) -> Any:
            return dataset

        def compute_loss(self, *arguments: Any, **options: Any) -> Any:
            loss = super().compute_loss(*arguments, **options)
            meter.losses.append(loss.detach())
            return loss

    return Watched


def _clock(meter: Meter, setting: Setting) -> Any:
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            if state.global_step == setting.warmup:
                meter.start()
            if state.global_step == setting.warmup + setting.steps:
                meter.stop()

    return Clock()


def _thumbs(steps: list[Step]) -> list[dict[str, Any]]:
    """Return KTO's rows as TRL makes them.

    TRL puts x_i with y_(i-1) of its batch, and we with y_(i+1): each batch is read backwards.
    """
    rows = []
    for step in steps:
        batch = step[::-1]
        for example, before in zip(batch, [batch[-1], *batch[:-1]], strict=True):
            rows.append(
                {
                    "prompt_ids": example.prompt,
                    "completion_ids": example.completions[0],
                    "KL_completion_ids": before.completions[0],
                    "label": example.desirable,
                }
            )
    return rows


def _pairs(steps: list[Step]) -> list[dict[str, Any]]:
    return [
        {"prompt_ids": one.prompt, "chosen_ids": one.completions[0], "rejected_ids": one.completions[1]}
        for step in steps
        for one in step
    ]


def _score_completions_only() -> None:
    """Let TRL project completions only, as it does on a GPU: on a CPU it projects every position, padding included.

    In place of its tiles one product and one cross-entropy, which is faster on a CPU; its logged entropy, mean logits
    and accuracy, which the loss does not need, are 0.
    """
    from trl.trainer import dpo_trainer, kto_trainer

    dpo_trainer.add_fused_lm_head = kto_trainer.add_fused_lm_head = _add_completion_head  # type: ignore[assignment]


def _add_completion_head(model: Any, **_: Any) -> None:
    from trl.trainer.utils import FusedCausalLMOutput

    @functools.wraps(type(model).forward)  # TRL reads the signature
    def forward(self: Any, *arguments: Any, fused_lm_head: bool = False, labels: Any = None, **options: Any) -> Any:
        assert fused_lm_head, "TRL's trainers ask for the fused head in every pass"
        hidden_BTH = self.base_model(*arguments, **options).last_hidden_state[:, :-1]
        targets_BT = labels[:, 1:]
        mask_BT = targets_BT != -100
        logits_NV = self.lm_head(hidden_BTH[mask_BT]).float()
        logps_N = -F.cross_entropy(logits_NV, targets_BT[mask_BT], reduction="none")
        zeros_BT = logps_N.new_zeros(mask_BT.shape)
        return FusedCausalLMOutput(
            log_probs=zeros_BT.masked_scatter(mask_BT, logps_N),
            entropy=zeros_BT,
            mean_logits=zeros_BT,
            is_top1=zeros_BT.bool(),
            label_mask=mask_BT,
        )

    model.forward = types.MethodType(forward, model)


if __name__ == "__main__":
    main()
