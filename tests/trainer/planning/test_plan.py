"""`trainer plan`: what it counts is what a run does, and what it says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from halotheory.contract import load_loss
from tests.trainer.conftest import Ended
from tests.trainer.tiny import CHARACTERS, make_model, write_jsonl
from trainer import attention
from trainer.attention import Memory
from trainer.batch import Sequences
from trainer.config import AlignConfig, Machine
from trainer.lean import make_lean
from trainer.models import DTYPES
from trainer.planning import plan
from trainer.planning.ledger import Ledger
from trainer.planning.simulation import Microbatch, simulate
from trainer.planning.work import Counts, assumed, count, lay_out, work_of
from trainer.policy import Policy

HIDDEN, INNER, LAYERS, WORDS = 32, 64, 2, 4 + len(CHARACTERS)
"""Of the model in tests/trainer/tiny.py."""

IN_LAYERS = LAYERS * (4 * HIDDEN**2 + 3 * HIDDEN * INNER)
"""Weights of its layers' matrices."""


def config(**values: Any) -> AlignConfig:
    return AlignConfig(**{"model": "model", "data": "", "output": "", "learning_rate": 1e-5, **values})


def sequences(*lengths: tuple[int, int]) -> Sequences:
    """Return prompts and completions of these lengths, no two prompts alike."""
    return Sequences(
        prompts=tuple(np.full(prompt, at + 1, np.int32) for at, (prompt, _) in enumerate(lengths)),
        completions=tuple(np.full(completion, 9, np.int32) for _, completion in lengths),
    )


OWN = sequences((5, 3), (7, 2), (4, 6))
CROSSED = Sequences(prompts=OWN.prompts, completions=(*OWN.completions[1:], OWN.completions[0]))
PASS = Counts(row=24, scored=11, attended=7**2 + 8**2 + 9**2)
"""What a pass over OWN computes: 16 prompt tokens and 8 of completions that predict, in trees of 7, 8 and 9."""


def counted(values: AlignConfig, microbatch: Microbatch) -> dict[str, int]:
    """Return the largest sum of bytes by part in a backward pass with values, weights and optimizer left out."""
    model = make_model()
    model.set_attn_implementation(attention.register())
    make_lean(model)
    policy = Policy(model, DTYPES[values.dtype])
    with Ledger() as ledger:
        for weight in policy.parameters():
            ledger.mark(weight, "weights")
        ledger.begin()
        layout, memory = policy.layout(microbatch.own), None if microbatch.other is None else Memory()
        logps = policy(layout, memory)
        if memory is not None and microbatch.other is not None:
            memory.open = False
            with torch.no_grad():
                policy(policy.layout(microbatch.other, layout), memory)
            memory.clear()
        logps.sum().backward()
    return dict(max(ledger.moments, key=lambda parts: sum(parts.values())))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("other", [None, CROSSED], ids=["pairs", "mismatched"])
def test_as_many_bytes_are_counted_without_values_as_with_them(dtype: str, other: Sequences | None) -> None:
    microbatch = Microbatch(own=OWN, other=other)
    values = config(dtype=dtype)
    found = simulate(values, make_model().config, microbatch, None, longest=16, accumulates=False)
    peak = max(found.moments, key=lambda parts: sum(parts.values()) - parts["optimizer"])
    real = counted(values, microbatch)
    assert sum(peak.values()) - peak["optimizer"] == pytest.approx(sum(real.values()), rel=0.02)


def test_weights_optimizer_and_operations_are_those_of_the_model() -> None:
    found = simulate(
        config(), make_model().config, Microbatch(own=OWN, other=CROSSED), OWN, longest=16, accumulates=True
    )
    weights = sum(weight.numel() for weight in make_model().parameters())
    assert (found.sizes.weights, found.sizes.trained) == (weights, weights)
    assert found.sizes.layer * LAYERS + found.sizes.outside == weights
    assert found.moments[0]["weights"] == found.moments[0]["gradients"] == 4 * weights
    assert found.optimizer == pytest.approx(8 * weights, rel=0.01)  # and one number of steps for each
    assert found.packed is None
    assert found.operations["forward", "linear"] == 2 * PASS.row * IN_LAYERS
    assert found.operations["backward", "linear"] == 4 * PASS.row * IN_LAYERS
    assert found.operations["mismatched", "linear"] == 2 * (PASS.scored - len(OWN)) * IN_LAYERS
    assert found.operations["forward", "head"] == 2 * PASS.scored * HIDDEN * WORDS
    assert found.operations["backward", "head"] == 4 * PASS.scored * HIDDEN * WORDS
    assert found.operations["forward", "attention"] == 4 * LAYERS * PASS.attended * HIDDEN


def test_a_pass_is_counted_by_hand() -> None:
    layout = lay_out(OWN, True)
    assert count(layout) == PASS
    assert count(lay_out(CROSSED, True, layout)) == Counts(row=8, scored=11, attended=1 * 6 + 5 * 12 + 2 * 6)
    assert count(lay_out(OWN, False)) == Counts(row=30, scored=18, attended=300)


def test_a_prompt_that_is_attended_to_apart_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.forest.APART", 8)
    microbatch = Microbatch(own=sequences((9, 3)), other=None)
    found = simulate(config(), make_model().config, microbatch, None, longest=16, accumulates=False)
    assert found.operations["forward", "attention"] == 4 * LAYERS * 11**2 * HIDDEN


def test_a_run_is_counted_by_hand() -> None:
    table = assumed(12, 1, 5, 3)
    work = work_of(
        table,
        load_loss("kto"),
        config(batch_size=6, micro_batch_size=3, epochs=2),
        1,
        make_model().config,
        packed=True,
        alike=False,
    )
    assert (work.steps, work.accumulates, len(work.heaviest.own)) == (4, True, 3)
    assert work.own == Counts(row=24 * 7, scored=24 * 3, attended=24 * 7**2)
    assert work.other == Counts(row=24 * 2, scored=24 * 3, attended=24 * 2 * 7)
    entries, tokens = work.reference_entries
    assert 12 < entries <= 12 + 24
    assert tokens == 3 * entries
    assert work.asked is not None
    assert len(work.asked) == entries  # one pass holds all


def test_assumed_examples_have_unlike_prompts_and_completions() -> None:
    table = assumed(300, 2, 4, 3)
    prompts = {table.tokens[start : start + 4].tobytes() for start in table.prompt_start}
    assert len(prompts) == 300
    assert table.completion_length.shape == (300, 2)
    assert (table.completion_start[:, 1] == table.prompt_start + 7).all()


@pytest.mark.usefixtures("workplace")
def test_what_saves_memory_is_seen_to() -> None:
    def peak(**values: Any) -> dict[str, int]:
        return dict(plan(config(loss="dpo", max_length=64, batch_size=8, **values), Machine()).memory)

    plain = peak()
    assert peak(gradient_checkpointing=True)["activations"] < 0.8 * plain["activations"]
    assert peak(micro_batch_size=2)["activations"] < 0.4 * plain["activations"]
    adapted = peak(lora_rank=2)
    assert adapted["optimizer"] < 0.2 * plain["optimizer"]
    assert peak(optimizer="rmsprop")["optimizer"] == pytest.approx(plain["optimizer"] / 2, rel=0.01)


@pytest.mark.usefixtures("workplace")
def test_gpus_share_what_they_are_told_to() -> None:
    def memory(sharding: str, gpus: int) -> dict[str, int]:
        values = config(loss="dpo", max_length=64, batch_size=8 * gpus, micro_batch_size=8)
        return dict(plan(values, Machine(sharding=sharding, gpus=gpus)).memory)  # type: ignore[arg-type]

    alone, ddp, fsdp = memory("none", 1), memory("ddp", 4), memory("fsdp", 4)
    assert ddp == alone
    assert fsdp["weights"] == pytest.approx(alone["weights"] / 4, abs=1)
    assert fsdp["optimizer"] == pytest.approx(alone["optimizer"] / 4, abs=1)
    assert fsdp["activations"] == alone["activations"]
    assert fsdp["gathered"] > 0


def test_a_model_whose_window_is_shorter_than_the_data_is_padded(workplace: Path) -> None:
    from transformers import MistralConfig

    MistralConfig(
        vocab_size=WORDS,
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        sliding_window=16,
    ).save_pretrained(workplace / "mistral")
    made = plan(config(model="mistral", loss="dpo"), Machine(prompt_tokens=20, completion_tokens=10))
    assert made.rows == "rows are padded: its sliding_window of 16 is shorter than the longest sequence of 30 tokens"
    assert made.microbatch["row"] == 2 * 8 * 30
    assert plan(config(model="mistral", loss="dpo"), Machine(prompt_tokens=8, completion_tokens=4)).microbatch == {
        "row": 8 * (8 + 2 * 3),
        "scored": 8 * 2 * 4,
    }


@pytest.mark.parametrize(
    ("architecture", "special", "reason"),
    [
        ("Granite", {"logits_scaling": 8.0}, "its logits_scaling of 8.0 belongs to a head of its own"),
        ("Bloom", {}, "it cannot be told the positions of tokens"),
        ("Lfm2", {"layer_types": ["conv", "full_attention"]}, "its convolutions run on from one sequence to the next"),
    ],
)
def test_a_model_that_cannot_share_a_row_is_padded(
    workplace: Path, architecture: str, special: dict[str, Any], reason: str
) -> None:
    import transformers

    settings = {
        "vocab_size": WORDS,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        **special,
    }
    getattr(transformers, f"{architecture}Config")(**settings).save_pretrained(workplace / "model")
    made = plan(config(model="model", loss="dpo"), Machine(prompt_tokens=20, completion_tokens=10))
    assert made.rows == f"rows are padded: {reason}"


@pytest.mark.usefixtures("workplace")
def test_time_is_operations_over_the_rate_and_the_cache_is_what_align_writes(
    trainer: Callable[..., Ended], tmp_path: Path
) -> None:
    words = ("--model", "model", "--data", "thumbs.jsonl", "--loss", "kto", "--batch-size", "8")
    ended = trainer("plan", *words, "--tflops", "2", "--mfu", "0.5", "--json")
    made = json.loads(ended.stdout)
    assert made["seconds"]["training"] == pytest.approx(made["operations"]["training"] / 1e12)
    assert (made["steps"], made["fits"]) == (3, None)
    assert made["data"].startswith("thumbs.jsonl, 24 examples")
    trainer("align", *words, "--output", "out", "--reference-cache", "cache", "--save-steps", "2")
    cached = [np.load(part)["keys"] for part in (tmp_path / "cache").rglob("*.npz")]
    assert made["disk"]["reference"] == 28 * sum(map(len, cached))
    saved = (tmp_path / "out" / "model" / "model.safetensors").stat().st_size
    assert made["disk"]["model"] == pytest.approx(saved, rel=0.1)


def test_a_recipe_is_planned_with_its_data_or_without(workplace: Path, trainer: Callable[..., Ended]) -> None:
    (workplace / "recipe.yaml").write_text("model: model\ndata: later.jsonl\noutput: out\nloss: dpo\n")
    words = ("plan", "--config", "recipe.yaml", "--max-length", "32")
    assert "assumed: 10000 pairs, prompts of 16 tokens" in trainer(*words).stdout
    write_jsonl(workplace / "later.jsonl", [{"prompt": "a", "chosen": "b", "rejected": "c"}] * 2)
    assert "data: later.jsonl, 2 examples" in trainer(*words).stdout


@pytest.mark.usefixtures("workplace")
def test_whether_it_fits_is_the_exit_status(trainer: Callable[..., Ended]) -> None:
    words = ("plan", "--model", "model", "--loss", "dpo", "--gpu-memory")
    assert trainer(*words, "1").status == 0
    ended = trainer(*words, "0.002")
    assert ended.status == 1
    assert "does not fit into 0.002 GB: try --micro-batch-size" in ended.stdout


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"model_type": "t5"}, "Unrecognized configuration class"), ({"hidden_size": -32}, "negative dimension -32")],
)
def test_a_model_that_cannot_be_made_is_one_line(
    workplace: Path, trainer: Callable[..., Ended], settings: dict[str, Any], reason: str
) -> None:
    written = workplace / "model" / "config.json"
    written.write_text(json.dumps({**json.loads(written.read_text()), **settings}))
    ended = trainer("plan", "--model", "model", "--loss", "dpo", "--max-length", "32")
    assert ended.status == 2
    assert ended.stderr.startswith("error: --model model: cannot be loaded: ")
    assert reason in ended.stderr


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--gpus", "2"), "--gpus 2: how they share the run is not said; add --sharding ddp or fsdp"),
        (("--mfu", "1.5"), "--mfu 1.5: must be in (0, 1]"),
        (("--sharding", "zero"), "--sharding zero: expected none, ddp, fsdp"),
        (("--gpu", "h10"), "--gpu h10: expected a10, a100"),
        (("--prompt-tokens", "60", "--completion-tokens", "9"), "exceed --max-length 64"),
        (("--prompt-tokens", "1000000"), "prompts of 1000000 and completions of 1 tokens exceed --max-length 64; give"),
        (("--lora-rank", "2", "--lora-targets", "nosuch"), "--lora-targets nosuch: model has no such matrix"),
        (("--data", "pairs.jsonl", "--examples", "3"), "--examples: the data says so; leave it or --data out"),
        (("--quantize", "4bit", "--lora-rank", "2"), "--quantize 4bit: not covered by plan"),
        (("--model", "nowhere/at/all"), "--model nowhere/at/all: no such folder"),
        (("--max-length", "128"), "--max-length 128: model knows 64 positions; give at most these"),
        (("--loss", "kto", "--micro-batch-size", "1"), "--micro-batch-size 1: kto estimates its reference point from"),
    ],
)
def test_bad_options(trainer: Callable[..., Ended], words: tuple[str, ...], message: str) -> None:
    ended = trainer("plan", "--model", "model", "--loss", "dpo", *words)
    assert ended.status == 2
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
