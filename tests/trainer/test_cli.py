"""The command line: what it says, and one clear line for each thing that a user can get wrong."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trainer.conftest import Ended
from tests.trainer.tiny import make_model, make_tokenizer, read_metrics, write_jsonl

ALIGN = ("align", "--model", "model", "--data", "thumbs.jsonl", "--output", "out")


@pytest.mark.parametrize("command", ["align", "sft", "sample"])
def test_help_has_an_example_and_the_defaults(trainer: Callable[..., Ended], command: str) -> None:
    ended = trainer(command, "--help")
    assert ended.status == 0
    assert f"Example: trainer {command} --" in ended.stdout
    assert "--seed" in ended.stdout


def test_help_imports_nothing_heavy_and_is_fast() -> None:
    program = (
        "import sys, time; from trainer.cli import main; sys.argv = ['trainer', '--help']; assert main() == 0; "
        "heavy = {'torch', 'transformers', 'accelerate', 'datasets', 'numpy'}; "
        "print(sorted(heavy & set(sys.modules))); print(time.process_time())"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules, seconds = told.stdout.splitlines()[-2:]
    assert modules == "[]"
    assert float(seconds) < 0.5


def test_a_run_leaves_the_folder_of_the_design(workplace: Path, trainer: Callable[..., Ended]) -> None:
    ended = trainer(*ALIGN, "--loss", "kto", "--set", "beta=0.5", "--max-steps", "2", "--batch-size", "8")
    assert (ended.status, ended.stdout) == (0, "out/model\n")
    out = workplace / "out"
    assert {"config.yaml", "metrics.jsonl", "data_report.json", "model"} <= {path.name for path in out.iterdir()}
    files = {path.name for path in (out / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= files
    assert not [name for name in files if name.endswith((".bin", ".pt", ".pkl"))]
    card = (out / "model" / "README.md").read_text()
    assert "# model, trained with kto" in card
    assert "| `beta` | 0.5 |" in card
    assert "| `learning_rate` | 5e-06 |" in card
    assert "24 of 24 rows used" in card
    report = json.loads((out / "data_report.json").read_text())
    assert (report["rows"], report["desirable"], report["undesirable"]) == (24, 12, 12)
    assert report["hyperparameters"] == {"beta": 0.5, "desirable_weight": 1.0, "undesirable_weight": 1.0}
    assert [line["step"] for line in read_metrics(out)] == [1, 2]


def test_the_trained_model_loads_generates_and_trains_on(workplace: Path, trainer: Callable[..., Ended]) -> None:
    sft = ("sft", "--data", "pairs.jsonl", "--epochs", "1")
    assert trainer(*sft, "--model", "model", "--output", "a").status == 0
    assert "pairs made into 24 completions: the chosen" in trainer(*sft, "--model", "a/model", "--output", "b").stderr
    words = ("--data", "thumbs.jsonl", "--output", "s.jsonl", "--max-new-tokens", "4")
    assert trainer("sample", "--model", "b/model", *words).status == 0
    assert len((workplace / "s.jsonl").read_text().splitlines()) == 24


def test_sft_is_align_with_the_loss_sft(workplace: Path, trainer: Callable[..., Ended]) -> None:
    from tests.trainer.tiny import same_weights

    rest = ("--model", "model", "--data", "thumbs.jsonl", "--max-steps", "2")
    assert trainer("sft", *rest, "--output", "a").status == 0
    assert trainer("align", "--loss", "sft", *rest, "--output", "b").status == 0
    assert same_weights(workplace / "a" / "model", workplace / "b" / "model")


def test_a_recipe_gives_what_the_command_line_does_not(workplace: Path, trainer: Callable[..., Ended]) -> None:
    (workplace / "recipe.yaml").write_text(
        "loss: kto\nmodel: model\ndata: thumbs.jsonl\nlearning_rate: 1e-4\nmax_steps: 1\nhyperparameters: {beta: 0.7}\n"
    )
    assert trainer("align", "--config", "recipe.yaml", "--output", "out", "--max-steps", "2").status == 0
    lines = read_metrics(workplace / "out")
    assert (len(lines), max(line["learning_rate"] for line in lines)) == (2, 1e-4)
    assert "beta: 0.7" in (workplace / "out" / "config.yaml").read_text()


def test_sft_takes_no_recipe_of_another_loss(workplace: Path, trainer: Callable[..., Ended]) -> None:
    (workplace / "base.yaml").write_text("model: model\nloss: dpo\n")
    (workplace / "recipe.yaml").write_text("extends: base.yaml\ndata: thumbs.jsonl\nmax_steps: 1\n")
    words = ("sft", "--config", "recipe.yaml", "--output", "out")
    ended = trainer(*words)
    assert (ended.status, ended.stderr) == (
        2,
        "error: base.yaml:2: loss dpo: trainer sft has the loss sft; "
        "give trainer align --config recipe.yaml, or take the line out\n",
    )
    (workplace / "base.yaml").write_text("model: model\nloss: sft\n")
    assert trainer(*words).status == 0
    again = trainer("sft", "--config", "out/config.yaml", "--output", "again")
    assert (again.status, again.stdout) == (0, "again/model\n")
    assert "this run is finished" in trainer("sft", "--config", "out/config.yaml").stderr


@pytest.mark.parametrize(("words", "rate"), [(("--loss", "dpo", "--data", "pairs.jsonl"), 5e-7), ((), 5e-6)])
def test_the_default_learning_rate_is_the_papers(
    workplace: Path, trainer: Callable[..., Ended], words: tuple[str, ...], rate: float
) -> None:
    assert trainer(*ALIGN, *words, "--max-steps", "1").status == 0
    assert read_metrics(workplace / "out")[0]["learning_rate"] == rate


def test_imbalance_is_told_and_balance_sets_the_weights(workplace: Path, trainer: Callable[..., Ended]) -> None:
    """Four desirable and sixteen undesirable: 4:3 asks for lambda_D = 16/4 * 4/3."""
    rows = [{"prompt": f"{n}=", "completion": f"{n}", "label": n % 5 == 0} for n in range(20)]
    write_jsonl(workplace / "thumbs.jsonl", rows)
    told = trainer(*ALIGN, "--max-steps", "1")
    assert "4 desirable, 16 undesirable" in told.stderr
    assert "consider --set desirable_weight=5.333" in told.stderr
    assert read_metrics(workplace / "out")[0]["loss"] == 0.5
    assert trainer(*ALIGN, "--max-steps", "1", "--balance", "--output", "balanced").status == 0
    loss = read_metrics(workplace / "balanced")[0]["loss"]
    assert loss == pytest.approx((4 * 5.333 + 16) / 20 / 2, rel=1e-4)
    given = trainer(*ALIGN, "--max-steps", "1", "--set", "desirable_weight=1.0", "--output", "given")
    assert "imbalanced" not in given.stderr


def test_no_microbatch_of_one_is_formed_for_the_last_row(workplace: Path, trainer: Callable[..., Ended]) -> None:
    """Nine rows in steps of four: the ninth joins the second step."""
    write_jsonl(
        workplace / "thumbs.jsonl", [{"prompt": f"{n}=", "completion": "a", "label": n % 2 == 0} for n in range(9)]
    )
    assert trainer(*ALIGN, "--batch-size", "4", "--micro-batch-size", "2").status == 0
    assert [line["examples"] for line in read_metrics(workplace / "out")] == [4, 9]


GOOD = '{"prompt": "a", "completion": "b", "label": true}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD * 6 + '{"prompt": "a", \n', "bad.jsonl:7: malformed JSON"),
        (GOOD + '{"prompt": "a", "completion": "b"}\n', "bad.jsonl:2: no column 'label'"),
        ('{"prompt": "a", "output": "b", "label": true}\n', "bad.jsonl:1: no column 'completion'"),
        (GOOD + GOOD.replace("true", "1"), "bad.jsonl:2: label is 1 (int); write true or false"),
        (GOOD + GOOD.replace('"b"', "NaN"), "bad.jsonl:2: completion is NaN; expected text"),
        (GOOD.replace('"b"', '" "'), "bad.jsonl:1: none of the 1 rows can be used: 1 dropped: empty completion"),
        (GOOD, "bad.jsonl:1: the only example, and kto estimates its reference point"),
        ("\n", "bad.jsonl: holds no rows"),
        (
            '{"prompt": [{"role": "user", "content": "a"}], "completion": "b", "label": true}\n',
            "bad.jsonl:1: the prompt is a conversation and the tokenizer has no chat template; give one with --chat-t",
        ),
    ],
)
def test_bad_data_is_one_line_and_leaves_nothing_behind(
    workplace: Path, trainer: Callable[..., Ended], content: str, message: str
) -> None:
    (workplace / "bad.jsonl").write_text(content)
    ended = trainer(*ALIGN, "--data", "bad.jsonl")
    assert ended.status == 2
    assert ended.stderr.startswith(f"error: {message}")
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stdout == ""
    assert not (workplace / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--data", "none.jsonl"), "none.jsonl: no such file"),
        (("--model", "./none"), "--model ./none: no such folder"),
        (("--model", "nobody/none"), "--model nobody/none: no such folder, and not loaded from the hub: We couldn't"),
        (("--model", "."), "--model .: the folder holds no config.json"),
        (("--reference-model", "./none"), "--reference-model ./none: no such folder"),
        (("--loss", "kot"), "unknown loss 'kot'; did you mean 'kto'?"),
        (("--loss", "broken.py"), "broken.py:2: syntax error"),
        (("--loss", "words.py"), "words.py:1: unknown argument 'policy_logp'; did you mean 'policy_logps'?"),
        (("--loss", "dpo"), "thumbs.jsonl:1: dpo learns from pairs {prompt, chosen, rejected}"),
        (("--set", "beta"), "--set beta: expected name=number"),
        (("--set", "beta=0.1", "--set", "beta=0.5"), "--set beta=0.5: beta is set to 0.1 too; keep one of the two"),
        (("--set", "gamma=1"), "no hyperparameter 'gamma'"),
        (("--micro-batch-size", "1"), "--micro-batch-size 1: kto estimates its reference point from the other"),
        (("--batch-size", "1"), "--batch-size 1: kto estimates its reference point"),
        (("--max-length", "65"), "--max-length 65: model knows 64 positions"),
        (("--learning-rate", "-1"), "--learning-rate -1.0: must be > 0"),
        (("--schedule", "none"), "--schedule none: expected constant, linear, cosine"),
        (("--chat-template", "none.jinja"), "--chat-template none.jinja: cannot be read: No such file or directory"),
        (("--set", "beta=nan"), "--set beta=nan: expected a finite number"),
        (("--config", "none.yaml"), "none.yaml: cannot be read"),
        (("--config", "recipe.yaml"), "recipe.yaml:1: unknown key 'batchsize'; did you mean 'batch_size'?"),
        (("--loss", "sft", "--balance"), "--balance: sft has no hyperparameters"),
        (("--balance", "--set", "desirable_weight=2"), "--balance: sets desirable_weight and undesirable_weight"),
        (("--output", "thumbs.jsonl"), "thumbs.jsonl"),
        (("--output", "o" * 300), "must be a path: names of at most 200 bytes, 4000 in all"),
        (("--seed", "5000000000"), "--seed 5000000000: must be in [0, 2**32)"),
        (("--no-such-option",), "No such option"),
    ],
)
def test_bad_usage_is_one_line_and_leaves_nothing_behind(
    workplace: Path, trainer: Callable[..., Ended], words: tuple[str, ...], message: str
) -> None:
    (workplace / "broken.py").write_text("def loss(policy_logps):\n    return (\n")
    (workplace / "words.py").write_text("def loss(policy_logp):\n    return policy_logp\n")
    (workplace / "recipe.yaml").write_text("batchsize: 3\n")
    before = {path for path in workplace.rglob("*") if "__pycache__" not in path.parts}
    ended = trainer(*ALIGN, *words)
    assert ended.status == 2
    assert message in ended.stderr.splitlines()[-1]
    assert ended.stderr.splitlines()[-1].startswith("error: ")
    assert {path for path in workplace.rglob("*") if "__pycache__" not in path.parts} == before


def test_positions_that_change_with_the_batch_are_refused(workplace: Path, trainer: Callable[..., Ended]) -> None:
    factors = {"short_factor": [1.0] * 8, "long_factor": [4.0] * 8, "factor": 4.0, "rope_theta": 1e4}
    longrope = {"rope_type": "longrope", "original_max_position_embeddings": 4, **factors}
    make_model(rope_parameters=longrope).save_pretrained("model")
    ended = trainer(*ALIGN)
    assert ended.status == 2
    assert "model: beyond 4 tokens its rotary positions (longrope) change" in ended.stderr
    assert "give --max-length 4" in ended.stderr


def test_a_tokenizer_of_another_model_is_noticed(workplace: Path, trainer: Callable[..., Ended]) -> None:
    make_model(vocabulary=10).save_pretrained("model")
    ended = trainer(*ALIGN)
    assert ended.status == 2
    assert "the tokenizer gives token" in ended.stderr
    assert "the model has 10 tokens" in ended.stderr


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("command", [("align", "--output", "out"), ("sample", "--output", "s.jsonl")])
def test_a_model_without_a_tokenizer_is_told_what_to_do(
    workplace: Path, trainer: Callable[..., Ended], command: tuple[str, ...], kind: str
) -> None:
    """For Qwen2's kind transformers makes an empty tokenizer of nothing."""
    for path in (workplace / "model").glob("tokenizer*"):
        path.unlink()
    written = workplace / "model" / "config.json"
    written.write_text(json.dumps({**json.loads(written.read_text()), "model_type": kind}))
    ended = trainer(*command, "--model", "model", "--data", "thumbs.jsonl")
    told = "error: --model model: has no tokenizer (tokenizer.json); copy the starting model's\n"
    assert (ended.status, ended.stderr) == (2, told)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"hidden_size": "big"}, "Field 'hidden_size' expected int, got str"),
        ({"num_attention_heads": 7}, "The hidden size (32) is not a multiple of the number of attention heads (7)"),
        ({"max_position_embeddings": None}, "Field 'max_position_embeddings' expected int, got NoneType"),
    ],
)
@pytest.mark.parametrize("command", [("align", "--output", "out"), ("plan",), ("sample", "--output", "s.jsonl")])
def test_a_model_whose_settings_make_no_sense_is_one_line(
    workplace: Path, trainer: Callable[..., Ended], command: tuple[str, ...], settings: dict[str, object], reason: str
) -> None:
    written = workplace / "model" / "config.json"
    written.write_text(json.dumps({**json.loads(written.read_text()), **settings}))
    ended = trainer(*command, "--model", "model", "--data", "thumbs.jsonl")
    assert ended.status == 2
    assert ended.stderr.startswith("error: --model model: cannot be loaded: ")
    assert reason in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_weights_of_other_sizes_than_the_settings_are_one_line(workplace: Path, trainer: Callable[..., Ended]) -> None:
    written = workplace / "model" / "config.json"
    written.write_text(json.dumps({**json.loads(written.read_text()), "intermediate_size": 48}))
    ended = trainer(*ALIGN)
    assert ended.status == 2
    assert ended.stderr.startswith("error: --model model: cannot be loaded: ")


def test_pickled_weights_are_refused(workplace: Path, trainer: Callable[..., Ended]) -> None:
    import torch

    torch.save(make_model().state_dict(), workplace / "model" / "pytorch_model.bin")
    (workplace / "model" / "model.safetensors").unlink()
    ended = trainer(*ALIGN)
    assert ended.status == 2
    assert "--model model: cannot be loaded" in ended.stderr
    assert len([line for line in ended.stderr.splitlines() if line.startswith("error")]) == 1


def test_generation_settings_that_contradict_themselves_do_not_cost_the_run(
    workplace: Path, trainer: Callable[..., Ended]
) -> None:
    """Published models have a temperature with do_sample false; the end of a run is no time to refuse them."""
    settings = {"do_sample": False, "temperature": 0.5, "top_p": 0.9, "eos_token_id": 2}
    (workplace / "model" / "generation_config.json").write_text(json.dumps(settings))
    assert trainer(*ALIGN, "--max-steps", "1").status == 0
    assert (workplace / "out" / "model" / "model.safetensors").is_file()


def test_a_template_that_ends_turns_with_another_token_than_eos_teaches_that_token_and_stops_at_it(
    workplace: Path, trainer: Callable[..., Ended]
) -> None:
    """As base models of Qwen2.5 come: their EOS is `<|endoftext|>`, and a turn ends with `<|im_end|>`."""
    tokenizer = make_tokenizer(chat=True)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<end>"]})
    tokenizer.chat_template = tokenizer.chat_template.replace("eos_token", "'<end>'")
    tokenizer.save_pretrained(workplace / "model")
    make_model(vocabulary=len(tokenizer)).save_pretrained(workplace / "model")
    row = {"prompt": [{"role": "user", "content": "hi"}], "completion": "yes"}
    write_jsonl(workplace / "chat.jsonl", [row] * 8)
    learn = ["--data", "chat.jsonl", "--epochs", "20", "--batch-size", "8", "--learning-rate", "1e-2"]
    assert trainer("sft", "--model", "model", *learn, "--output", "out").status == 0
    settings = json.loads((workplace / "out" / "model" / "generation_config.json").read_text())
    assert settings["eos_token_id"] == [2, len(tokenizer) - 1]
    greedy = ["--data", "chat.jsonl", "--temperature", "0", "--max-new-tokens", "8"]
    assert trainer("sample", "--model", "out/model", *greedy, "--output", "said.jsonl").status == 0
    said = json.loads((workplace / "said.jsonl").read_text().splitlines()[0])
    assert (said["completion"], said["finished"]) == ("yes", True)
