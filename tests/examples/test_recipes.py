"""The recipes in examples/recipes: their data commands as written, and one step of each on a tiny model of its kind."""

import json
import math
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halotheory.command import run
from halotheory.contract import load_loss
from tests.trainer.converting.rows import BINARIZED, HH, SHP, assistant, tree, user
from tests.trainer.tiny import make_tokenizer, read_metrics
from trainer.align import align
from trainer.cli import app
from trainer.config import AlignConfig, make_config
from trainer.errors import HaloTheoryError

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "examples" / "recipes"
EVERY = sorted(path for path in RECIPES.rglob("*.yaml") if not path.name.startswith("_"))

KINDS = {"pythia": "GPTNeoX", "llama": "Llama", "zephyr": "Mistral", "mistral": "Mistral", "qwen2.5": "Qwen2"}
"""The architecture, by the beginning of the name in `output`."""

AT_THE_START = {
    "dpo": lambda up, down: math.log(2),
    "kto": lambda up, down: (up + down) / 2,
    "kto_without_reference_point": lambda up, down: (up + down) / 2,
    "kto_concave": lambda up, down: (up + down) * math.log(2),
    "kto_risk_neutral": lambda up, down: up + down,
    "ppo_clip": lambda up, down: down - up,
}
"""The mean loss where policy and reference agree, from the shares of the labels, each times its weight."""


def name_of(path: Path) -> str:
    return str(path.relative_to(RECIPES))


def config_of(path: Path) -> AlignConfig:
    return make_config(AlignConfig, {}, str(path))


def rows_of_the_hub(name: str) -> list[dict[str, Any]]:
    """Return a few rows in the columns of a public data set."""
    if name == "Anthropic/hh-rlhf":
        return [{key: text.replace("How?", f"How {n}?") for key, text in HH.items()} for n in range(12)]
    if name == "stanfordnlp/SHP":
        return [{**SHP, "history": f"Why {n}?"} for n in range(12)]
    if name == "OpenAssistant/oasst1":
        return [message for n in range(8) for message in named(tree(f"t{n}"), n)]
    assert name == "HuggingFaceH4/ultrafeedback_binarized"
    asked = [f"Add {n} and 3." for n in range(12)]
    ends = (("chosen", "5"), ("rejected", "6"))
    return [{**BINARIZED, **{key: [user(one), assistant(end)] for key, end in ends}} for one in asked]


def named(messages: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    return [{**one, "text": f"{one['text']} {number}"} for one in messages]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a user's working folder, with the hub replaced by a few rows of each data set."""
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / "data").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setattr("datasets.load_dataset", lambda name, *_, **__: rows_of_the_hub(name))
        yield folder


@pytest.fixture(scope="module")
def data(place: Path) -> Callable[[Path], None]:
    """Return a function that runs the commands in a recipe's comments, and in those of what it builds on."""
    done = set[str]()

    def make(recipe: Path) -> None:
        text = recipe.read_text(encoding="utf-8")
        if base := re.search(r"^extends: (\S+)", text, re.MULTILINE):
            make((recipe.parent / base[1]).resolve())
        for command in re.findall(r"^# +trainer (data .*)$", text, re.MULTILINE):
            if command not in done:
                assert run(app, HaloTheoryError, shlex.split(command)) == 0
                done.add(command)

    return make


@pytest.fixture(scope="module")
def models(place: Path) -> Callable[[str], str]:
    """Return a function from an architecture to the folder of a tiny model of it."""
    import torch
    import transformers

    def make(kind: str) -> str:
        folder = place / "models" / kind
        if not folder.exists():
            tokenizer = make_tokenizer(chat=True)
            settings = {
                "vocab_size": len(tokenizer),
                "hidden_size": 16,
                "intermediate_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 1,
                "max_position_embeddings": 2048,
                "bos_token_id": 1,
                "eos_token_id": 2,
            }
            torch.manual_seed(0)
            config = getattr(transformers, f"{kind}Config")(**settings)
            transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        return str(folder)

    return make


def test_the_recipes_are_those_of_the_paper() -> None:
    names = [name_of(path) for path in EVERY]
    assert sum(name.startswith("section-3.3/") for name in names) == 7 * 6
    assert len({config_of(path).output for path in EVERY}) == len(EVERY)


@pytest.mark.parametrize("path", EVERY, ids=name_of)
def test_a_recipe_names_a_loss_its_hyperparameters_and_where_each_number_is_from(path: Path) -> None:
    config = config_of(path)
    loss = load_loss(config.loss, config.hyperparameters)
    assert dict(config.hyperparameters).items() <= dict(loss.hyperparameters).items()
    assert (config.batch_size, config.epochs) == (32, 1)
    assert {config.optimizer, config.learning_rate} in ({"rmsprop", 5e-7}, {"adamw", 5e-6}, {"adamw", 5e-7})
    text = path.read_text(encoding="utf-8")
    unsourced = [line for line in text.splitlines() if re.search(r": [\d.e-]+\s*$", line)]
    assert not unsourced
    if path.parent.parent.name == "section-3.3":
        model, method = path.parent.name, path.stem
        assert config.output == f"runs/{model}/{method}"
        from_the_hub = method in {"sft", "csft"}
        assert config.model.endswith("/" + model) if from_the_hub else config.model == f"runs/{model}/sft/model"


def kinds() -> Iterator[Any]:
    """Yield one recipe of each kind of step; sizes of models and numbers alone make no other kind."""
    seen = set[Any]()
    for path in EVERY:
        config = config_of(path)
        kind = KINDS[re.sub(r"-(?!beta).*|/.*", "", config.output.removeprefix("runs/").replace("figure-5", "llama"))]
        what = (kind, config.loss, config.data, config.optimizer)
        if what not in seen:
            seen.add(what)
            yield pytest.param(path, kind, id=name_of(path))


@pytest.mark.parametrize(("path", "kind"), list(kinds()))
def test_a_recipe_takes_a_step(
    path: Path, kind: str, place: Path, data: Callable[[Path], None], models: Callable[[str], str]
) -> None:
    data(path)
    config = config_of(path)
    output = place / config.output
    own = {"model": models(kind), "output": str(output), "max_steps": 1, "reference_cache": "none"}
    align(replace(config, **own))
    (line,) = read_metrics(output)
    report = json.loads((output / "data_report.json").read_text(encoding="utf-8"))
    assert report["conversational"]
    assert config.hyperparameters.items() <= report["hyperparameters"].items()
    assert line["learning_rate"] == config.learning_rate
    assert line["grad_norm"] > 0
    if config.loss in AT_THE_START:
        weights = {"desirable_weight": 1.0, "undesirable_weight": 1.0, **config.hyperparameters}
        share = line.get("desirable_share", 0.5)
        up, down = share * weights["desirable_weight"], (1 - share) * weights["undesirable_weight"]
        assert line["loss"] == pytest.approx(AT_THE_START[config.loss](up, down), abs=0.02 * max(1, up))
