"""Configurations: from Python, a recipe, the command line."""

import math
from pathlib import Path
from typing import Any

import pytest

from trainer.config import AlignConfig, DataConfig, SampleConfig, as_yaml, differing_keys, make_config, read_recipe
from trainer.errors import TrainerError

REQUIRED: dict[str, Any] = {"model": "m", "data": "d.jsonl", "output": "o"}


def recipe(folder: Path, text: str) -> str:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("number", ["1e-6", "1E-6", "1.0e-6", "0.000001", ".1e-5", "+1e-6"])
def test_every_way_to_write_a_millionth_is_a_number(tmp_path: Path, number: str) -> None:
    assert read_recipe(recipe(tmp_path, f"learning_rate: {number}\n"))["learning_rate"] == 1e-6


def test_a_word_with_an_e_stays_a_word(tmp_path: Path) -> None:
    assert read_recipe(recipe(tmp_path, "model: 1e6model\ndata: e5\n")) == {"model": "1e6model", "data": "e5"}


def test_whole_numbers_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    """In YAML 1.1 the first two are 8 and 4096."""
    for text, number in (("010", 10), ("010000", 10_000), ("1_000", 1000), ("0x1F", 31), ("0o17", 15), ("-3", -3)):
        given = recipe(tmp_path, f"hyperparameters: {{beta: {text}}}\n")
        assert read_recipe(given)["hyperparameters"] == {"beta": number}


@pytest.mark.parametrize("name", ["2024-13-45", "2024-01-01", "12:30", "0b1"])
def test_what_looks_like_a_date_or_a_time_is_text(tmp_path: Path, name: str) -> None:
    assert read_recipe(recipe(tmp_path, f"model: {name}\n"))["model"] == name


def test_epochs_and_steps_on_the_command_line_replace_each_other_in_the_recipe(tmp_path: Path) -> None:
    by_epochs, by_steps = recipe(tmp_path, "epochs: 3\n"), tmp_path / "steps.yaml"
    by_steps.write_text("max_steps: 60\n")
    shorter = make_config(AlignConfig, {**REQUIRED, "max_steps": 2}, by_epochs)
    assert (shorter.max_steps, shorter.epochs) == (2, 1.0)
    longer = make_config(AlignConfig, {**REQUIRED, "epochs": 2.0}, str(by_steps))
    assert (longer.max_steps, longer.epochs) == (None, 2.0)


def test_the_command_line_overrides_the_recipe_name_by_name(tmp_path: Path) -> None:
    path = recipe(tmp_path, "learning_rate: 1e-6\nbatch_size: 4\nhyperparameters: {beta: 0.5, desirable_weight: 2}\n")
    config = make_config(AlignConfig, {**REQUIRED, "batch_size": 8, "hyperparameters": {"beta": 0.1}}, path)
    assert (config.learning_rate, config.batch_size) == (1e-6, 8)
    assert config.hyperparameters == {"beta": 0.1, "desirable_weight": 2}


def test_a_written_config_is_a_recipe_that_makes_the_same_config(tmp_path: Path) -> None:
    config = AlignConfig(**REQUIRED, learning_rate=5e-7, hyperparameters={"beta": 0.3}, dropout=True, max_steps=7)
    again = make_config(AlignConfig, {}, recipe(tmp_path, as_yaml(config)))
    assert again == config


@pytest.mark.parametrize("name", ["010", "1:30", "1e6", "0o17", "2024-01-01", "null", "yes", "a: b # c", "1_0"])
def test_text_that_looks_like_something_else_is_text_again(tmp_path: Path, name: str) -> None:
    config = AlignConfig(**{**REQUIRED, "model": name})
    assert make_config(AlignConfig, {}, recipe(tmp_path, as_yaml(config))) == config


def test_differing_keys_names_what_changed_in_order() -> None:
    assert differing_keys({"a": 1, "b": 2, "c": 3}, {"a": 1, "c": 4, "d": None, "b": 5}) == ["b", "c"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tracker: null\n", "recipe.yaml:1: tracker None: expected a list: [tensorboard]"),
        ("tracker: 3\n", "recipe.yaml:1: tracker 3: expected a list: [tensorboard]"),
        ("tracker: wandb\n", "recipe.yaml:1: tracker wandb: expected a list: [wandb]"),
        ("seed: 1\nmodel: a\0\n", "recipe.yaml:2: the character U+0000: remove it"),
        ("# \x1b[0m\n", "recipe.yaml:1: the character U+001B: remove it"),
        ("seed: !!int abc\n", "recipe.yaml:1: seed abc: cannot be read as int; write a plain value"),
        ("dropout: !!bool abc\n", "recipe.yaml:1: dropout abc: cannot be read as bool; write a plain value"),
        ("data: !!timestamp abc\n", "recipe.yaml:1: malformed YAML: could not determine a constructor"),
        ("hyperparameters: &a\n  beta: *a\n", "recipe.yaml:2: beta: expected one value, not `name: value`"),
        ("model: &a [*a]\n", "recipe.yaml:1: malformed YAML: found unconstructable recursive node"),
        ("seed: 1\nmodel: " + "[" * 5000, "recipe.yaml:2: nested too deep; a recipe needs two levels at most"),
        ("hyperparameters:\n  <<: {beta: 1}\n", "recipe.yaml:2: '<<' is not read; write the values out, or use ext"),
        ("batch_size: 1:30\n", "recipe.yaml:1: batch_size 1:30: expected a whole number"),
        ("batch_size: 1٣\n", "recipe.yaml:1: batch_size 1٣: expected a whole number"),
        ("epochs: 1:30.5\n", "recipe.yaml:1: epochs 1:30.5: expected a number"),
        ("learning_rat: 1\n", "recipe.yaml:1: unknown key 'learning_rat'; did you mean 'learning_rate'?"),
        ("set: {beta: 1}\n", "recipe.yaml:1: unknown key 'set'; a recipe calls it 'hyperparameters'"),
        ("\nmodel: a\nmodel: b\n", "recipe.yaml:3: 'model' is given twice; keep one"),
        ("model: [a\n", "recipe.yaml:2: malformed YAML"),
        ("- model\n", "recipe.yaml:1: expected lines of `name: value`"),
        ("batch_size: many\n", "recipe.yaml:1: batch_size many: expected a whole number"),
        ("\nbatch_size: 2.5\n", "recipe.yaml:2: batch_size 2.5: expected a whole number"),
        ("dropout: 1\n", "recipe.yaml:1: dropout 1: expected true or false"),
        ("epochs: 0\n", "recipe.yaml:1: epochs 0: must be > 0"),
        ("schedule: quick\n", "recipe.yaml:1: schedule quick: expected constant, linear, cosine"),
        ("hyperparameters: {beta: high}\n", "recipe.yaml:1: hyperparameters: beta high: expected a number"),
        ("hyperparameters:\n  a: 1\n  a: 2\n", "recipe.yaml:3: 'a' is given twice; keep one"),
        ("hyperparameters: 3\n", "recipe.yaml:1: hyperparameters 3: expected name: number"),
        ("learning_rate: .nan\n", "recipe.yaml:1: learning_rate nan: expected a number"),
        ("extends: none.yaml\n", "recipe.yaml:1: extends none.yaml: no such file: "),
        (f"extends: {'a' * 300}\n", "no such file: "),
        ("extends: [a.yaml]\n", "recipe.yaml:1: extends ['a.yaml']: expected the path of one recipe"),
        ("extends: recipe.yaml\n", "recipe.yaml: a circle; remove one extends"),
    ],
)
def test_bad_recipes(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TrainerError) as error:
        make_config(AlignConfig, REQUIRED, recipe(tmp_path, text))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("config_class", "given", "message"),
    [
        (AlignConfig, {"model": "m"}, "--data is missing; give it on the command line or in the recipe"),
        (AlignConfig, {**REQUIRED, "learning_rate": 0}, "--learning-rate 0: must be > 0"),
        (AlignConfig, {**REQUIRED, "epochs": -1}, "--epochs -1: must be > 0"),
        (AlignConfig, {**REQUIRED, "batch_size": 0}, "--batch-size 0: must be >= 1"),
        (AlignConfig, {**REQUIRED, "warmup_ratio": 1.5}, "--warmup-ratio 1.5: must be in [0, 1]"),
        (AlignConfig, {**REQUIRED, "max_length": 2}, "--max-length 2: must be >= 8"),
        (AlignConfig, {**REQUIRED, "optimizer": "adam"}, "--optimizer adam: expected adamw, rmsprop"),
        (AlignConfig, {**REQUIRED, "seed": -1}, "--seed -1: must be in [0, 2**32)"),
        (AlignConfig, {**REQUIRED, "seed": 5_000_000_000}, "--seed 5000000000: must be in [0, 2**32)"),
        (SampleConfig, {**REQUIRED, "seed": 2**32}, "--seed 4294967296: must be in [0, 2**32)"),
        (DataConfig, {"data": ("d",), "output": "o.jsonl", "seed": 2**32}, "--seed 4294967296: must be in [0, 2**32)"),
        (DataConfig, {"data": "d.jsonl", "output": "o.jsonl"}, "--data d.jsonl: expected a list: [d.jsonl]"),
        (AlignConfig, {**REQUIRED, "hyperparameters": {"beta": math.nan}}, "--set beta=nan: expected a finite number"),
        (AlignConfig, {**REQUIRED, "hyperparameters": {"a": 1, "b": "x"}}, "--set b=x: expected a finite number"),
        (AlignConfig, {**REQUIRED, "tracker": None}, "--tracker None: expected a list: [tensorboard]"),
        (AlignConfig, {**REQUIRED, "output": "o" * 256}, "o: must be a path: names of at most 200 bytes, 4000 in all"),
        (SampleConfig, {**REQUIRED, "output": "a/" + "ö" * 101}, "must be a path: names of at most 200 bytes"),
        (AlignConfig, {**REQUIRED, "model": "m/" * 2001}, "must be a path: names of at most 255 bytes, 4000 in all"),
        (AlignConfig, {**REQUIRED, "loss": "l" * 256 + ".py"}, "l.py: must be a path: names of at most 255 bytes"),
        (AlignConfig, {**REQUIRED, "data": "a\0b"}, "must be a path"),
        (SampleConfig, {**REQUIRED, "top_p": 0}, "--top-p 0: must be in (0, 1]"),
        (AlignConfig, {**REQUIRED, "eval_steps": 1}, "--eval-steps 1: nothing to evaluate on; give --eval-data FILE"),
        (SampleConfig, {**REQUIRED, "temperature": 0, "samples": 2}, "greedy samples are all alike"),
    ],
)
def test_bad_values(config_class: type, given: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainerError) as error:
        make_config(config_class, given)
    assert message in str(error.value)


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"none.yaml: cannot be read: No such file"):
        read_recipe(str(tmp_path / "none.yaml"))


def test_a_recipe_extends_another_and_overrides_it_name_by_name(tmp_path: Path) -> None:
    (tmp_path / "bases").mkdir()
    (tmp_path / "bases" / "all.yaml").write_text("epochs: 2\nseed: 3\nhyperparameters: {beta: 0.5, margin: 1}\n")
    (tmp_path / "bases" / "kto.yaml").write_text("extends: all.yaml\nloss: kto\nseed: 4\n")
    path = recipe(tmp_path, "hyperparameters: {beta: 0.1}\nextends: bases/kto.yaml\n")
    assert read_recipe(path) == {
        "epochs": 2,
        "seed": 4,
        "loss": "kto",
        "hyperparameters": {"beta": 0.1, "margin": 1},
    }


def test_what_is_wrong_in_a_recipe_that_is_extended_is_blamed_on_it(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("seed: 1\nbatch_size: none\n")
    with pytest.raises(TrainerError, match=r"base.yaml:2: batch_size none: expected a whole number"):
        read_recipe(recipe(tmp_path, "extends: base.yaml\n"))


def test_recipes_that_extend_each_other_in_a_circle_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: recipe.yaml\n")
    with pytest.raises(TrainerError) as error:
        read_recipe(recipe(tmp_path, "seed: 1\nextends: a.yaml\n"))
    told = str(error.value).replace(str(tmp_path) + "/", "")
    assert told == "a.yaml:1: recipe.yaml extends a.yaml extends recipe.yaml: a circle; remove one extends"
