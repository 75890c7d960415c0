"""The command: what it prints where, how it ends, and one clear line for every bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit.cli import app
from evalkit.command import run_command

RunMaker = Callable[..., Path]
Capture = pytest.CaptureFixture[str]


def evalkit(*words: object) -> int:
    return run_command(app, [str(word) for word in words])


def test_run_and_compare_print_results_on_standard_output_alone(
    model: Path, other_model: Path, task: Path, tmp_path: Path, capsys: Capture
) -> None:
    for name, folder in (("one", model), ("other", other_model)):
        assert evalkit("run", "--model", folder, "--benchmarks", task, "--output", tmp_path / name) == 0
    printed = capsys.readouterr()
    assert [line.split()[0] for line in printed.out.splitlines()] == ["benchmark", "arithmetic"] * 2
    assert printed.err.splitlines() == [
        f"{folder}: 30 items of arithmetic to {tmp_path / name}"
        for name, folder in (("one", model), ("other", other_model))
    ]
    assert evalkit("compare", tmp_path / "one", tmp_path / "other") == 0
    printed = capsys.readouterr()
    assert "other - one" in printed.out
    assert "note: The intervals" in printed.out
    assert printed.err == ""
    assert evalkit("compare", tmp_path / "one", tmp_path / "other", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    results = json.loads((tmp_path / "other" / "results.json").read_text())["benchmarks"]["arithmetic"]
    score = shown["scores"][1]
    assert (score["run"], score["benchmark"]) == ("other", "arithmetic")
    assert all(score[key] == results[key] for key in ("score", "n", "interval", "method"))


def test_a_finished_run_says_so_and_prints_the_same(model: Path, task: Path, tmp_path: Path, capsys: Capture) -> None:
    words = ("run", "--model", model, "--benchmarks", task, "--output", tmp_path / "run", "--limit", 3)
    evalkit(*words)
    first = capsys.readouterr()
    assert evalkit(*words) == 0
    again = capsys.readouterr()
    assert again.out == first.out
    assert "finished before" in again.err


BAD_TASKS = {
    "broken.yaml": ("task: [unclosed\n", "broken.yaml:2: not YAML"),
    "list.yaml": ("- a\n- b\n", "list.yaml: not a task of lm-eval"),
    "nameless.yaml": ("dataset_path: json\n", "nameless.yaml: not a task of lm-eval: it has no `task: name`"),
    "lost.yaml": (
        "task: x\ndataset_path: json\ndataset_kwargs: {data_files: {test: gone.jsonl}}\n",
        "gone.jsonl is not there",
    ),
    "orphan.yaml": ("include: nowhere.yaml\ntask: x\n", "nowhere.yaml is not there"),
    "loop.yaml": ("include: loop.yaml\ntask: x\n", "loop.yaml: includes itself"),
}


@pytest.mark.parametrize(("name", "text", "message"), [(k, *v) for k, v in BAD_TASKS.items()])
def test_a_bad_task_file_is_one_line(
    name: str, text: str, message: str, model: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / name).write_text(text)
    assert evalkit("run", "--model", model, "--benchmarks", tmp_path / name, "--output", tmp_path / "run") == 2
    check_one_line(capsys, message)
    assert not (tmp_path / "run").exists()


def check_one_line(capsys: Capture, *parts: str) -> None:
    printed = capsys.readouterr()
    assert printed.out == ""
    *progress, error = printed.err.splitlines()
    assert error.startswith("error: ")
    assert all(" items of " in line for line in progress)
    for part in parts:
        assert part in error


def test_a_malformed_line_of_the_users_data_is_named(model: Path, task: Path, tmp_path: Path, capsys: Capture) -> None:
    items = task.parent / "items.jsonl"
    lines = items.read_text().splitlines()
    lines[6] = '{"question": "unfinished'
    items.write_text("\n".join(lines))
    assert evalkit("run", "--model", model, "--benchmarks", task, "--output", tmp_path / "run") == 2
    check_one_line(capsys, "items.jsonl:7: not JSON")


def test_a_missing_column_of_the_users_data_is_named(model: Path, task: Path, tmp_path: Path, capsys: Capture) -> None:
    (task.parent / "items.jsonl").write_text('{"prompt": "1+1", "answer": "2"}\n')
    assert evalkit("run", "--model", model, "--benchmarks", task, "--output", tmp_path / "run") == 2
    check_one_line(capsys, "arithmetic.yaml: lm-eval cannot build the task", "'question'")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--model nowhere/at/all --benchmarks {task}", "nowhere/at/all: no such folder"),
        ("--model {empty} --benchmarks {task}", "not a model: it has no config.json"),
        ("--model {broken} --benchmarks {task}", "the model cannot be loaded"),
        ("--model {model} --benchmarks humaneval", "allow it with --allow-code-execution"),
        ("--model {model} --benchmarks gone.yaml", "gone.yaml: No such file"),
        ("--model {model} --benchmarks gsm9k --data-dir {data}", "no place in a data folder; did you mean 'gsm8k'?"),
        ("--model {model} --benchmarks gsm8k --data-dir {empty}", "gsm8k/test.jsonl: no such file"),
        ("--model {model} --benchmarks gsm8k --data-dir nowhere", "nowhere: no such folder"),
        ("--model {model} --benchmarks gsm8k,gsm8k --data-dir {data}", "'gsm8k' is named twice"),
        ("--model {model} --benchmarks , --data-dir {data}", "no benchmark; name some"),
        (
            "--model {model} --benchmarks {task} --backend vllm",
            "vLLM is not installed; install it with: pip install vllm",
        ),
        ("--model {model} --benchmarks {task} --backend openai", "--backend openai needs --base-url, such as"),
        ("--model {model} --benchmarks {task} --model-arg parallelize", "'parallelize' is not NAME=VALUE"),
        ("--model {model} --benchmarks {task} --model-arg trust_remote_code=true", "a model is never run"),
        ("--model {model} --benchmarks {task} --samples 2", "give a --temperature above 0"),
        ("--model {model} --benchmarks {task} --limit 0", "--limit"),
        ("--model {model} --benchmarks {task} --batch-size lots", "neither a number nor auto"),
        ("--model {model} --benchmarks {task} --bench x", "No such option: --bench"),
    ],
)
def test_a_bad_run_is_one_line(
    words: str, message: str, model: Path, task: Path, made_up_data: Path, tmp_path: Path, capsys: Capture
) -> None:
    empty, broken = tmp_path / "empty", tmp_path / "broken"
    empty.mkdir()
    broken.mkdir()
    for file in model.iterdir():
        (broken / file.name).write_bytes(
            file.read_bytes()[:1000] if file.suffix == ".safetensors" else file.read_bytes()
        )
    known = {"model": model, "task": task, "data": made_up_data, "empty": empty, "broken": broken}
    assert evalkit("run", *words.format(**known).split(), "--output", tmp_path / "run") == 2
    check_one_line(capsys, message)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("{a}", "a comparison needs two runs"),
        ("{a} {a}", "named twice"),
        ("{a} nowhere", "nowhere: no such folder"),
        ("{a} {plain}", "not a run: it has no results.json"),
        ("{a} {unfinished}", "the run is not finished; start the same evalkit run again"),
        ("{a} {empty}", "samples.jsonl: no items; nothing was scored"),
        ("{a} {nan}", "samples.jsonl:2: the score nan is not a finite number"),
        ("{a} {scoreless}", "samples.jsonl:1: no 'score'"),
        ("{a} {twice}", "samples.jsonl:2: item item0 of arithmetic occurs twice"),
        ("{a} {malformed}", "samples.jsonl:3: not JSON"),
        ("{a} {other}", "0 items in both, 3 only in the first, 3 only in the second"),
        ("{a} {b} --benchmarks history", "no run has the benchmark 'history'; they have arithmetic"),
        ("{a} {b} --level 95", "--level 95.0: must lie between 0 and 1"),
        ("{a} {b} --baseline nowhere", "nowhere: no such folder"),
    ],
)
def test_a_bad_comparison_is_one_line(
    words: str, message: str, make_run: RunMaker, tmp_path: Path, capsys: Capture
) -> None:
    good = [1, 0, 1]
    runs = {name: make_run(name, arithmetic=good) for name in ("a", "b", "malformed", "twice", "scoreless", "other")}
    runs |= {"empty": make_run("empty"), "nan": make_run("nan", arithmetic=[1, float("nan"), 1])}
    runs |= {"plain": tmp_path / "plain", "unfinished": make_run("unfinished", arithmetic=good)}
    runs["plain"].mkdir()
    (runs["unfinished"] / "results.json").unlink()
    for name, old, new in (
        ("malformed", '"id": "item2"', '"id": item2'),
        ("twice", "item1", "item0"),
        ("scoreless", '"score"', '"points"'),
        ("other", '"item', '"another'),
    ):
        file = runs[name] / "samples.jsonl"
        file.write_text(file.read_text().replace(old, new))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    assert evalkit("compare", *words.format(**runs).split()) == 2
    check_one_line(capsys, message)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}


def test_debug_shows_the_traceback(tmp_path: Path, capsys: Capture) -> None:
    assert evalkit("compare", tmp_path / "a", tmp_path / "b", "--debug") == 2
    printed = capsys.readouterr().err
    assert "Traceback" in printed
    assert printed.splitlines()[-1].startswith("error: ")


def test_help_comes_at_once_and_shows_an_example() -> None:
    started = time.perf_counter()
    shown = subprocess.run([sys.executable, "-m", "evalkit", "--help"], capture_output=True, text=True, check=True)
    assert time.perf_counter() - started < 1.5  # 0.2 s on an idle machine
    assert "compare" in shown.stdout
    imported = "import sys, evalkit.cli; print(sorted({'torch', 'scipy', 'lm_eval', 'numpy'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", imported], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"


@pytest.mark.parametrize("command", ["run", "compare", "report", "import"])
def test_every_command_shows_an_example(command: str, capsys: Capture) -> None:
    assert evalkit(command, "--help") == 0
    assert f"Example: evalkit {command}" in capsys.readouterr().out


@pytest.mark.slow
def test_an_interrupted_command_ends_with_130_and_keeps_what_is_finished(
    model: Path, made_up_data: Path, tmp_path: Path
) -> None:
    words = ["run", "--model", model, "--benchmarks", "mmlu", "--data-dir", made_up_data, "--output", tmp_path / "run"]
    process = subprocess.Popen(
        [sys.executable, "-m", "evalkit", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    answers, deadline = tmp_path / "run" / "parts" / "mmlu.answers.jsonl", time.monotonic() + 60
    while not (answers.is_file() and answers.read_bytes().count(b"\n") >= 64) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1].startswith("error: interrupted")
    assert answers.read_bytes().count(b"\n") >= 64
    assert not (tmp_path / "run" / "results.json").exists()


def test_an_error_cannot_steer_a_terminal(tmp_path: Path, capsys: Capture) -> None:
    assert evalkit("compare", tmp_path / "a\x1b[2Jb", tmp_path / "c") == 2
    assert "a\ufffd[2Jb" in capsys.readouterr().err
