"""The command: what it prints where, how it ends."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit.cli import app
from evalkit.command import run_command
from tests.evalkit.judging.conftest import write_outputs
from tests.evalkit.judging.server import JudgeServer, by_hash

Serve = Callable[..., JudgeServer]
Capture = pytest.CaptureFixture[str]


def evalkit(*words: object) -> int:
    return run_command(app, [str(word) for word in words])


def judge(folder: Path, server: JudgeServer, *more: object, output: str = "run") -> int:
    files = ("--outputs", folder / "judged.jsonl", "--against", folder / "against.jsonl")
    where = ("--judge-model", "judge-1", "--base-url", server.url, "--output", folder / output)
    return evalkit("judge", *files, *where, *more)


def test_results_are_printed_and_again_when_asked_again(tmp_path: Path, serve: Serve, capsys: Capture) -> None:
    write_outputs(tmp_path, 12)
    server = serve(rule=by_hash)
    assert judge(tmp_path, server, "--criteria", "paper,helpfulness") == 0
    first = capsys.readouterr()
    lines = first.out.splitlines()
    assert lines[0].split()[0] == "criterion"
    assert [line.split()[0] for line in lines[1:3]] == ["judge:paper", "judge:helpfulness"]
    assert "win rate shown first" in first.out
    assert "the same verdict in both orders" in first.out
    assert "at equal lengths" in first.out
    assert "49 calls" not in first.out
    assert "48 calls, 48000 tokens in, 480 out: price unknown" in first.out
    assert first.err.startswith("12 pairs, 48 calls, about ")
    assert judge(tmp_path, server, "--criteria", "paper,helpfulness") == 0
    again = capsys.readouterr()
    assert again.out == first.out
    assert "judged before" in again.err


def test_json_is_the_file_of_results(tmp_path: Path, serve: Serve, capsys: Capture) -> None:
    write_outputs(tmp_path, 4)
    assert judge(tmp_path, serve(), "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "run" / "results.json").read_text())


def test_two_judged_runs_are_compared_pair_by_pair(tmp_path: Path, serve: Serve, capsys: Capture) -> None:
    write_outputs(tmp_path, 12)
    server = serve()
    assert judge(tmp_path, server, output="long") == 0
    rows = [json.loads(line) for line in (tmp_path / "judged.jsonl").read_text().splitlines()]
    text = "".join(json.dumps({**row, "completion": "short"}) + "\n" for row in reversed(rows))
    (tmp_path / "judged.jsonl").write_text(text)
    assert judge(tmp_path, server, output="short") == 0
    capsys.readouterr()
    assert evalkit("compare", tmp_path / "long", tmp_path / "short", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [score["n"] for score in shown["scores"]] == [12, 12]


def test_a_dry_run_asks_nothing_and_writes_nothing(tmp_path: Path, serve: Serve, capsys: Capture) -> None:
    write_outputs(tmp_path, 10)
    server = serve()
    assert judge(tmp_path, server, "--dry-run", "--price-in", 30, "--price-out", 60) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("10 pairs, 20 calls, about ")
    assert "$0." in shown
    assert judge(tmp_path, server, "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["calls"] == 20
    assert not server.asked
    assert not (tmp_path / "run").exists()


def test_much_is_spent_only_after_a_yes(tmp_path: Path, serve: Serve, capsys: Capture) -> None:
    write_outputs(tmp_path, 4)
    server = serve()
    dear = ("--price-in", 3000, "--price-out", 6000)
    assert judge(tmp_path, server, *dear) == 2
    told = capsys.readouterr().err
    assert "add --yes to spend it" in told
    assert not server.asked
    assert judge(tmp_path, server, *dear, "--yes") == 0


def test_the_budget_ends_in_status_3(tmp_path: Path, serve: Serve, capsys: Capture) -> None:
    write_outputs(tmp_path, 10)
    prices = ("--price-in", 10, "--price-out", 30, "--concurrency", 2)
    assert judge(tmp_path, serve(), *prices, "--max-cost", 0.05) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[-1].startswith("error: --max-cost 0.05: $0.0")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--outputs", "a.jsonl"), "give --outputs and --against"),
        (("--labels", "a.jsonl", "--outputs", "a.jsonl"), "--labels goes without --outputs"),
        (("--outputs", "gone.jsonl", "--against", "gone.jsonl"), "gone.jsonl: No such file"),
    ],
)
def test_bad_words_are_one_line(words: tuple[str, ...], message: str, tmp_path: Path, capsys: Capture) -> None:
    assert evalkit("judge", "--judge-model", "m", "--output", tmp_path / "run", *words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_files_without_a_common_prompt_are_refused(tmp_path: Path, serve: Serve, capsys: Capture) -> None:
    write_outputs(tmp_path, 3)
    (tmp_path / "against.jsonl").write_text(
        json.dumps({"prompt": "Question 1?", "completion": "x"}) + "\n" + json.dumps({"prompt": "?", "completion": "x"})
    )
    assert judge(tmp_path, serve()) == 2
    assert "1 outputs have a counterpart, 2 have none, 0 have several" in capsys.readouterr().err
    assert judge(tmp_path, serve(), "--allow-partial") == 0
    assert "2 outputs had no counterpart" in capsys.readouterr().out


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path, serve: Serve, capsys: Capture) -> None:
    write_outputs(tmp_path, 3)
    server = serve()
    server.__exit__()
    assert judge(tmp_path, server, "--give-up-after", 0.3) == 2
    assert "does not answer: no connection" in capsys.readouterr().err


def test_a_judge_that_gives_no_verdict_is_found_out_before_money_is_spent(
    tmp_path: Path, serve: Serve, capsys: Capture
) -> None:
    write_outputs(tmp_path, 30)
    server = serve(rule=lambda first, second: 0.7)
    server.completion = lambda body, content, verdict=None: {  # type: ignore[method-assign]
        "choices": [{"message": {"content": "Both are fine."}, "finish_reason": "stop"}]
    }
    assert judge(tmp_path, server) == 2
    told = capsys.readouterr().err
    assert "no verdict line at the end of the reply to a test question ('Both are fine.')" in told
    assert sum(server.asked.values()) == 1


def test_the_quality_of_stored_verdicts_is_printed(tmp_path: Path, capsys: Capture) -> None:
    rows = [{"crowd": "left", "gpt4": "left"}, {"crowd": "right", "gpt4": "left"}, {"crowd": "tie", "gpt4": "tie"}]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows * 5))
    assert evalkit("judge-quality", path, "--human", "crowd", "--judge", "gpt4") == 0
    shown = capsys.readouterr().out
    assert "0.6667" in shown
    assert "the judge picks the first answer 1.0000, people 0.5000" in shown
    assert evalkit("judge-quality", path, "--human", "crowd", "--judge", "gpt4", "--json") == 0
    assert json.loads(capsys.readouterr().out)["agreement"]["share"] == pytest.approx(2 / 3)
    assert evalkit("judge-quality", path, "--human", "nobody", "--judge", "gpt4") == 2
    assert "pairs.jsonl:1: no nobody; the columns are crowd, gpt4" in capsys.readouterr().err
