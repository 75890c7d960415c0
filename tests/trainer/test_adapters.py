"""Adapters: the reference is the model without them, and only they are trained, saved, resumed and shared."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from halotheory.contract import load_loss
from tests.trainer.conftest import Ended
from tests.trainer.test_forest import CPU, SHARED, model
from tests.trainer.tiny import make_model, read_metrics, weights
from trainer.adapters import adapt, adapter_off
from trainer.attention import Memory
from trainer.config import AlignConfig
from trainer.forest import grow
from trainer.models import checkpoint_activations, load_model
from trainer.padded import pad
from trainer.policy import Policy, pack_if_exact
from trainer.prepare import prepare
from trainer.reference import fingerprint

LORA = ("align", "--loss", "kto", "--model", "model", "--data", "thumbs.jsonl", "--set", "beta=0.5", "--lora-rank", "4")
COMMON = (*LORA, "--batch-size", "8", "--learning-rate", "1e-2", "--save-steps", "2", "--output", "out")


def settings(**values: Any) -> AlignConfig:
    return AlignConfig(**{"model": "model", "data": "thumbs.jsonl", "output": "out", "lora_rank": 4, **values})


def moved(adapted: Any) -> Any:
    """Return an adapted model whose adapter does something."""
    generator = torch.Generator().manual_seed(1)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(std=0.1, generator=generator)
    return adapted


@pytest.mark.parametrize("name", ["Llama", "Gemma2", "GPTNeoX"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_adapters_read_forests_with_the_gradients_of_padded_rows(name: str, checkpointing: bool) -> None:
    policy = Policy(moved(adapt(model(name), settings())))
    trained = [weight for weight in policy.parameters() if weight.requires_grad]
    expected = torch.autograd.grad(policy(pad(SHARED, CPU)).sum(), trained)
    assert pack_if_exact(policy, policy, SHARED, longest=16) is None
    if checkpointing:
        checkpoint_activations(policy.model)
    found = torch.autograd.grad(policy(grow(SHARED, CPU), Memory()).sum(), trained)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_new_adapter_changes_nothing_and_any_can_be_switched_off() -> None:
    plain = Policy(model())(pad(SHARED, CPU)).detach()
    policy = Policy(adapt(model(), settings()))
    assert torch.equal(policy(pad(SHARED, CPU)), plain)
    moved(policy.model)
    assert not torch.equal(policy(pad(SHARED, CPU)), plain)
    with adapter_off(policy.model):
        assert torch.equal(policy(pad(SHARED, CPU)), plain)
    trained = {name for name, weight in policy.named_parameters() if weight.requires_grad}
    assert trained == {name for name, _ in policy.named_parameters() if "lora_" in name}


def test_dropout_of_the_adapter_is_on_where_gradients_are_computed_only() -> None:
    policy = Policy(moved(adapt(model(), settings(lora_dropout=0.5)))).eval()
    plain = Policy(moved(adapt(model(), settings()))).eval()
    with torch.no_grad():
        assert torch.equal(policy(pad(SHARED, CPU)), plain(pad(SHARED, CPU)))
    assert not torch.allclose(policy(pad(SHARED, CPU)), plain(pad(SHARED, CPU)))


def test_an_adapter_has_another_fingerprint_for_other_weights_and_another_scale() -> None:
    prints = [
        fingerprint(moved(adapt(make_model(), settings())), torch.float32),
        fingerprint(moved(adapt(make_model(), settings(lora_alpha=5))), torch.float32),
        fingerprint(adapt(make_model(), settings()), torch.float32),
        fingerprint(make_model(), torch.float32),
    ]
    assert len(set(prints)) == 4


@pytest.mark.usefixtures("workplace")
def test_the_reference_of_a_new_adapter_is_the_bare_model_and_so_is_its_cache(trainer: Callable[..., Ended]) -> None:
    plain = [*COMMON[: COMMON.index("--lora-rank")], *COMMON[COMMON.index("--lora-rank") + 2 :]]
    assert trainer(*plain, "--output", "plain", "--reference-cache", "cache").status == 0
    before = sorted(Path("cache").rglob("*.npz"))
    assert trainer(*COMMON, "--reference-cache", "cache").status == 0
    assert sorted(Path("cache").rglob("*.npz")) == before
    first = read_metrics(Path("out"))[0]
    assert (first["loss"], first["kl_raw"]) == pytest.approx((0.5, 0), abs=1e-6)
    assert read_metrics(Path("out"))[-1]["reward_margin"] != 0.0


@pytest.mark.usefixtures("workplace")
def test_checkpoints_and_the_final_folder_hold_the_adapter_alone(trainer: Callable[..., Ended]) -> None:
    assert trainer(*COMMON, "--save-steps", "1", "--keep", "1").status == 0
    assert [path.name for path in Path("out/checkpoints").iterdir()] == ["step-000002"]
    assert all("lora_" in name for name in load_file("out/checkpoints/step-000002/model.safetensors"))
    assert {"adapter_config.json", "adapter_model.safetensors", "README.md", "tokenizer.json"} <= {
        path.name for path in Path("out/model").iterdir()
    }
    assert not Path("out/model/model.safetensors").exists()
    assert Path("out/model/README.md").read_text().startswith("---\nlibrary_name: peft\n")
    told = json.loads(Path("out/model/adapter_config.json").read_text())
    assert (told["r"], told["lora_alpha"], told["base_model_name_or_path"]) == (4, 8, str(Path("model").resolve()))

    Path("out/model").rename("undisturbed")
    ended = trainer(*COMMON, "--save-steps", "1", "--keep", "1")
    assert "continues from step 2 of 3" in ended.stderr
    one, two = (load_file(Path(folder) / "adapter_model.safetensors") for folder in ("undisturbed", "out/model"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    again = trainer(*COMMON, "--save-steps", "1", "--keep", "3")
    assert again.stderr == "out: this run is finished; its model is out/model\n"


@pytest.mark.usefixtures("workplace")
def test_merged_weights_compute_what_model_and_adapter_do(trainer: Callable[..., Ended]) -> None:
    assert trainer(*COMMON).status == 0
    assert trainer(*COMMON, "--output", "merged", "--merge").status == 0
    assert not Path("merged/model/adapter_config.json").exists()
    from peft import AutoPeftModelForCausalLM

    with pytest.warns(FutureWarning, match="is_gradient_checkpointing"):
        apart = AutoPeftModelForCausalLM.from_pretrained("out/model", dtype=torch.float32)
    expected = Policy(apart)(pad(SHARED, CPU))
    for name in ("merged/model", "out/model"):
        found = Policy(load_model(name))(pad(SHARED, CPU))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    changed, start = weights(Path("merged/model")), weights(Path("model"))
    assert {name for name in start if not torch.equal(start[name], changed[name])} == {
        name for name in start if "_proj" in name
    }


@pytest.mark.usefixtures("workplace")
def test_an_adapter_is_trained_on_sampled_from_and_taken_as_reference(trainer: Callable[..., Ended]) -> None:
    """Trained on, it is its own reference as it was: the first rewards are 0. The base weights stay where they are."""
    sft = ("sft", "--model", "model", "--data", "pairs.jsonl", "--lora-rank", "2", "--lora-targets", "q_proj,up_proj")
    assert trainer(*sft, "--learning-rate", "1e-2", "--output", "sft").status == 0
    assert len(load_file("sft/model/adapter_model.safetensors")) == 2 * 2 * 2
    kto = ("align", "--loss", "kto", "--data", "thumbs.jsonl", "--learning-rate", "1e-2", "--batch-size", "8")
    assert trainer(*kto, "--model", "sft/model", "--output", "out").status == 0
    lines = read_metrics(Path("out"))
    assert (lines[0]["loss"], lines[0]["kl_raw"]) == pytest.approx((0.5, 0), abs=1e-6)
    assert lines[-1]["loss"] != 0.5
    told = json.loads(Path("out/model/adapter_config.json").read_text())
    assert (told["r"], told["base_model_name_or_path"]) == (2, str(Path("model").resolve()))
    words = ("--data", "thumbs.jsonl", "--output", "s.jsonl", "--max-new-tokens", "4")
    assert trainer("sample", "--model", "out/model", *words).status == 0
    assert trainer(*kto, "--model", "model", "--reference-model", "sft/model", "--output", "two").status == 0
    assert read_metrics(Path("two"))[0]["kl_raw"] != 0.0


@pytest.mark.usefixtures("workplace")
def test_frozen_weights_are_held_in_the_dtype_of_the_forward_pass_or_as_told() -> None:
    def held(**values: Any) -> set[torch.dtype]:
        training, _ = prepare(settings(learning_rate=1e-3, **values), load_loss("sft", {}), Accelerator())
        kinds = {weight.requires_grad: weight.dtype for weight in training.policy.parameters()}
        assert kinds[True] == torch.float32
        return {kinds[False]}

    assert held() == {torch.float32}
    assert held(dtype="bfloat16") == {torch.bfloat16}
    assert held(dtype="bfloat16", base_dtype="float32") == {torch.float32}


@pytest.mark.usefixtures("workplace")
def test_an_adapter_beside_bfloat16_weights_learns(trainer: Callable[..., Ended]) -> None:
    assert trainer(*COMMON, "--dtype", "bfloat16", "--epochs", "4", "--gradient-checkpointing").status == 0
    lines = read_metrics(Path("out"))
    assert lines[0]["loss"] == pytest.approx(0.5, abs=1e-3)
    assert lines[-1]["reward_margin"] > 1.0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--lora-targets", "q_proj,qproj"),
            "--lora-targets qproj: model has no such matrix; it has down_proj, gate_p",
        ),
        (("--lora-rank", "0"), "--lora-rank 0: must be >= 1"),
        (("--lora-dropout", "1"), "--lora-dropout 1.0: must be in [0, 1)"),
        (("--quantize", "4bit"), "--quantize 4bit: needs a CUDA GPU, and torch finds none"),
        (("--quantize", "8bit"), "--quantize 8bit: expected none, 4bit"),
        (("--base-dtype", "bfloat16"), "--base-dtype bfloat16: the forward pass is in the dtype of the weights then"),
        (
            ("--model", "adapter"),
            "--lora-rank 4: the adapter adapter, which is trained on, has 2; leave the option out",
        ),
        (("--model", "adapter", "--lora-rank", "2", "--lora-alpha", "3"), "--lora-alpha 3: the adapter adapter"),
        (("--model", "prefix"), "--model prefix: an adapter of type PREFIX_TUNING; LoRA alone is supported"),
        (("--model", "pickled"), "--model pickled: an adapter without adapter_model.safetensors"),
        (("--model", "orphan"), "--model orphan: its adapter_config.json does not say of which model it is an adapter"),
        (("--model", "lost"), "--model /nowhere/model: no such folder"),
    ],
)
@pytest.mark.usefixtures("workplace")
def test_what_cannot_be_adapted_is_told_in_one_line(
    trainer: Callable[..., Ended], words: tuple[str, ...], message: str
) -> None:
    adapt(make_model(), settings(lora_rank=2)).save_pretrained("adapter", save_embedding_layers=False)
    for name, change in (
        ("prefix", {"peft_type": "PREFIX_TUNING"}),
        ("pickled", {}),
        ("orphan", {"base_model_name_or_path": None}),
        ("lost", {"base_model_name_or_path": "/nowhere/model"}),
    ):
        shutil.copytree("adapter", name)
        file = Path(name, "adapter_config.json")
        file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    Path("pickled/adapter_model.safetensors").rename("pickled/adapter_model.bin")
    ended = trainer(*COMMON, *words)
    assert ended.status == 2
    assert message in ended.stderr.splitlines()[-1]
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "words", [("--merge",), ("--lora-alpha", "8"), ("--quantize", "4bit"), ("--base-dtype", "bfloat16")]
)
@pytest.mark.usefixtures("workplace")
def test_settings_of_an_adapter_without_one_are_refused(trainer: Callable[..., Ended], words: tuple[str, ...]) -> None:
    plain = [*COMMON[: COMMON.index("--lora-rank")], *COMMON[COMMON.index("--lora-rank") + 2 :]]
    ended = trainer(*plain, *words)
    assert ended.status == 2
    assert ended.stderr == f"error: {words[0]}: goes with an adapter; add --lora-rank 16, or leave it out\n"


def test_the_same_seed_gives_the_same_adapter_and_leaves_the_generator_alone() -> None:
    models = [model() for _ in range(3)]
    before = torch.get_rng_state()
    adapted = [adapt(one, settings(seed=seed)) for one, seed in zip(models, (0, 0, 1), strict=True)]
    assert torch.equal(torch.get_rng_state(), before)
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight"
    first, same, other = (dict(one.named_parameters())[name] for one in adapted)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
