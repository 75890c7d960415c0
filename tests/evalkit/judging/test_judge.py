"""A judged run: what it asks, what it writes, how it goes on, and what it refuses."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import EvalkitError
from evalkit.judging.judge import OutOfBudgetError, judge
from evalkit.judging.options import Options, Spending
from evalkit.judging.outputs import content_hash
from evalkit.judging.plan import plan
from evalkit.run_folder import read_run
from tests.evalkit.judging.conftest import Files, read_lines, write_outputs
from tests.evalkit.judging.server import KEY, TROUBLES, JudgeServer, by_hash, by_length, is_test_question, responses

Serve = Callable[..., JudgeServer]


def run(
    files: Files,
    output: Path,
    server: JudgeServer,
    *,
    overwrite: bool = False,
    spending: dict[str, Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    chosen = Options(judge_model="judge-1", base_url=server.url, **options)
    limits = Spending(**{"give_up_after": 30.0, "timeout": 10.0, **(spending or {})})
    return judge(plan(*files, chosen, limits), output, limits, overwrite=overwrite)


def test_preferences_are_the_means_of_both_orders(tmp_path: Path, serve: Serve) -> None:
    files, server = write_outputs(tmp_path, 6), serve(rule=by_length)
    results = run(files, tmp_path / "run", server)
    assert server.judged() == 12
    rows = read_lines(tmp_path / "run" / "samples.jsonl")
    for row in rows:
        longer, first = len(row["response"]) > len(row["target"]), [one["preference"] for one in row["orders"]]
        # by_length says 0.8 for the longer one where it comes first, 0.3 for the shorter: 0.7 for the longer
        assert first == pytest.approx([0.8, 0.7] if longer else [0.3, 0.2])
        assert row["score"] == pytest.approx(0.75 if longer else 0.25)
        assert {one["read_by"] for one in row["orders"]} == {"logprobs"}
        assert [one["judged_first"] for one in row["orders"]] == [True, False]
    found = results["benchmarks"]["judge:paper"]
    assert found["score"] == pytest.approx(sum(row["score"] for row in rows) / 6)
    assert (found["wins"], found["ties"], found["losses"], found["failed"]) == (4, 0, 2, 0)
    assert found["slots"]["gap"] == pytest.approx(0.1)
    assert found["swap"]["share"] == 1.0
    assert found["length"]["judged_longer"]["win_rate"] == pytest.approx(0.75)
    assert json.loads((tmp_path / "run" / "results.json").read_text()) == results


def test_a_judged_run_is_a_run_folder(tmp_path: Path, serve: Serve) -> None:
    files, server = write_outputs(tmp_path, 5), serve()
    run(files, tmp_path / "run", server, criteria=("helpfulness", "harmlessness"))
    read = read_run(tmp_path / "run")
    assert {name: len(items) for name, items in read.items.items()} == {
        "judge:helpfulness": 5,
        "judge:harmlessness": 5,
    }
    assert all(item.metric == "preference" and item.higher_is_better for item in read.items["judge:helpfulness"])
    assert read.config["judge_model"] == "judge-1"


def test_verdicts_are_read_from_text_where_there_are_no_log_probabilities(tmp_path: Path, serve: Serve) -> None:
    files = write_outputs(tmp_path, 4)
    for how in ("no", "refuses"):
        server = serve(logprobs=how)
        results = run(files, tmp_path / how, server)
        assert results["benchmarks"]["judge:paper"]["read_by"] == {"text": 8}
        assert {row["score"] for row in read_lines(tmp_path / how / "samples.jsonl")} == {0.0, 1.0}
        assert all("logprobs" not in body for body in server.bodies[2:])
        assert "no log-probabilities" in " ".join(results["notes"])


@pytest.mark.parametrize(
    "unknown", [("temperature",), ("seed",), ("max_tokens",), ("seed", "temperature", "max_tokens")]
)
def test_settings_that_a_server_refuses_are_left_out(unknown: tuple[str, ...], tmp_path: Path, serve: Serve) -> None:
    files, server = write_outputs(tmp_path, 2), serve(unknown=unknown)
    results = run(files, tmp_path / "run", server)
    assert results["benchmarks"]["judge:paper"]["n"] == 2
    assert not set(unknown) & set(server.bodies[-1])
    assert {"max_tokens", "max_completion_tokens"} & set(server.bodies[-1])


def test_one_order_is_drawn_by_a_hash_and_stays(tmp_path: Path, serve: Serve) -> None:
    files, server = write_outputs(tmp_path, 40), serve(rule=by_hash)
    results = run(files, tmp_path / "run", server, orders="random")
    rows = read_lines(tmp_path / "run" / "samples.jsonl")
    first = [row["orders"][0]["judged_first"] for row in rows]
    assert all(len(row["orders"]) == 1 for row in rows)
    assert 10 < sum(first) < 30
    assert results["benchmarks"]["judge:paper"]["slots"]["test"].startswith("Welch")
    again = run(files, tmp_path / "again", serve(rule=by_hash), orders="random")
    assert again["benchmarks"] == results["benchmarks"]
    other = run(files, tmp_path / "one", server, orders="one")
    assert other["benchmarks"]["judge:paper"]["slots"] is None


def test_two_answers_of_the_same_text_are_asked_once_and_are_a_tie(tmp_path: Path, serve: Serve) -> None:
    path = tmp_path / "same.jsonl"
    path.write_text(json.dumps({"prompt": "Why?", "completion": "Because."}) + "\n")
    server = serve(rule=lambda first, second: 0.9)
    results = run((path, path), tmp_path / "run", server)
    assert server.judged() == 1
    assert results["benchmarks"]["judge:paper"]["score"] == pytest.approx(0.5)


PASSING = ("429", "429-date", "429-ms", "500", "503", "half", "half-json", "hang", "close", "html", "html-200")
NEVER = ("nothing", "no-choices", "not-json")


@pytest.mark.parametrize("trouble", [*PASSING, *NEVER])
def test_what_passes_is_tried_again_and_changes_nothing(trouble: str, tmp_path: Path, serve: Serve) -> None:
    files = write_outputs(tmp_path, 3)
    expected = run(files, tmp_path / "calm", serve())
    server = serve(trouble=lambda body, before: trouble if before < 1 else "")
    found = run(files, tmp_path / "run", server, spending={"timeout": 1.0} if trouble == "hang" else {})
    assert found["benchmarks"] == expected["benchmarks"]
    assert max(server.asked.values()) == 2
    assert (tmp_path / "run" / "samples.jsonl").read_text() == (tmp_path / "calm" / "samples.jsonl").read_text()


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("refusal", "refusal"),
        ("filtered", "stopped by a content filter"),
        ("cut", "cut at the limit of tokens"),
        ("injected", "no verdict line at the end of the reply"),
        ("chatter", "no verdict line at the end of the reply"),
        ("empty", "empty reply"),
        ("too-long", "refused by the server: This model's maximum context length is 8192 tokens"),
    ],
)
def test_an_answer_without_a_verdict_is_missing_and_not_asked_again(
    trouble: str, reason: str, tmp_path: Path, serve: Serve
) -> None:
    files = write_outputs(tmp_path, 4)
    # the judge fails where question 2 is asked with the judged answer first
    server = serve(trouble=lambda body, before: trouble if troubled(body, 2) else "")
    results = run(files, tmp_path / "run", server)
    found = results["benchmarks"]["judge:paper"]
    assert (found["n"], found["failed"], found["missing"]) == (3, 1, {reason: 1})
    rows = read_lines(tmp_path / "run" / "samples.jsonl")
    assert [(row["score"] is None, row.get("error", "")) for row in rows] == [
        (False, ""),
        (False, ""),
        (True, reason),
        (False, ""),
    ]
    asked = sum(server.asked.values())
    assert run(files, tmp_path / "run", server) == results
    assert sum(server.asked.values()) == asked


def test_when_everything_goes_wrong_at_once_nothing_is_lost(tmp_path: Path, serve: Serve) -> None:
    files = write_outputs(tmp_path, 60)
    passing = ("429-ms", "500", "503", "half", "half-json", "close", "html", "html-200", "nothing", "hang")
    lasting = {3: "refusal", 5: "cut", 7: "injected", 11: "chatter", 13: "empty", 17: "filtered"}

    def trouble(body: dict[str, Any], before: int) -> str:
        for number, name in lasting.items():
            if troubled(body, number):
                return name
        chance = int(content_hash(body["messages"][0]["content"], before), 16)
        return passing[chance % len(passing)] if before < 2 and chance % 3 else ""

    server = serve(rule=by_hash, trouble=trouble)
    found = run(files, tmp_path / "run", server, spending={"timeout": 3.0, "give_up_after": 60.0})
    calm = serve(rule=by_hash, trouble=lambda body, before: trouble(body, 2))
    assert found == run(files, tmp_path / "calm", calm)
    result = found["benchmarks"]["judge:paper"]
    assert (result["n"], result["failed"], found["unanswered"]) == (54, 6, 0)
    rows = read_lines(tmp_path / "run" / "samples.jsonl")
    assert {at for at, row in enumerate(rows) if row["score"] is None} == set(lasting)
    assert set(server.answered.values()) == {1}


def test_a_judge_that_explains_has_its_last_line_read(tmp_path: Path, serve: Serve) -> None:
    files, server = write_outputs(tmp_path, 6), serve()
    plain = server.completion

    def explained(body: dict[str, Any], content: str, *, verdict: float | None = None) -> dict[str, Any]:
        return plain(body, f"Response A says more; B is \u00e4hnlich.\n\n{content}", verdict=verdict)

    server.completion = explained  # type: ignore[method-assign]
    found = run(files, tmp_path / "run", server, explain=True)
    assert found["benchmarks"]["judge:paper"]["read_by"] == {"logprobs": 12}
    assert server.bodies[-1]["max_tokens"] == 400
    assert "compare the two responses" in server.bodies[-1]["messages"][0]["content"]
    assert found["benchmarks"] == run(files, tmp_path / "plain", serve())["benchmarks"]


def test_several_samples_of_a_prompt_are_one_observation(tmp_path: Path, serve: Serve) -> None:
    judged, against = write_outputs(tmp_path, 10)
    rows = [{**row, "completion": row["completion"] + " more" * k} for row in read_lines(judged) for k in range(3)]
    judged.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = run((judged, against), tmp_path / "run", serve(rule=by_hash))["benchmarks"]["judge:paper"]
    assert found["n"] == 30
    assert "10 clusters" in found["method"]
    ids = [row["id"] for row in read_lines(tmp_path / "run" / "samples.jsonl")]
    assert ids[:3] == [ids[0], f"{ids[0]}#2", f"{ids[0]}#3"]


def test_what_a_kill_leaves_while_a_file_is_written_is_no_other_run(tmp_path: Path, serve: Serve) -> None:
    files, server = write_outputs(tmp_path, 2), serve()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".config.yaml.123.tmp").write_text("evalkit: 0")
    (tmp_path / "run" / "journal.jsonl").write_text('{"key"')
    assert run(files, tmp_path / "run", server)["benchmarks"]["judge:paper"]["n"] == 2


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, serve: Serve) -> None:
    files, server = write_outputs(tmp_path, 2), serve()
    (tmp_path / "file").write_text("")
    with pytest.raises(EvalkitError, match="file: a file; give a folder"):
        run(files, tmp_path / "file", server)
    with pytest.raises(EvalkitError, match="Not a directory"):
        run(files, tmp_path / "file" / "run", server)
    (tmp_path / "run" / "results.json").mkdir(parents=True)
    with pytest.raises(EvalkitError, match="not empty, and not a judged run"):
        run(files, tmp_path / "run", server)


def troubled(body: dict[str, Any], number: int) -> bool:
    _, first, _ = responses(body["messages"][0]["content"])
    return first.startswith(f"w{number}-")


def test_a_call_that_is_never_answered_is_failed_and_asked_by_the_next_start(tmp_path: Path, serve: Serve) -> None:
    files, bad = write_outputs(tmp_path, 4), [True]
    server = serve(trouble=lambda body, before: "html-200" if bad[0] and troubled(body, 1) else "")
    results = run(files, tmp_path / "run", server)
    assert results["unanswered"] == 1
    (reason,) = results["benchmarks"]["judge:paper"]["missing"]
    assert reason.startswith("no answer: not JSON: <html>")
    answered = server.judged()
    bad[0] = False
    again = run(files, tmp_path / "run", server)
    assert again["unanswered"] == 0
    assert server.judged() == answered + 1
    assert again["benchmarks"] == run(files, tmp_path / "calm", serve())["benchmarks"]


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ("400", "status 400: messages: something is wrong with them"),
        ("401", r"status 401: Incorrect API key provided: \[key\]"),
        ("403", "status 403: Project does not have access"),
        ("404", "status 404: The model does not exist"),
        ("quota", "no quota left"),
        ("wait-long", "asks to wait 7200 s"),
    ],
)
def test_what_no_call_can_pass_stops_the_run_and_keeps_what_is_answered(
    trouble: str, message: str, tmp_path: Path, serve: Serve
) -> None:
    files, bad = write_outputs(tmp_path, 30), [True]
    server = serve(trouble=lambda body, before: trouble if bad[0] and troubled(body, 20) else "")
    with pytest.raises(EvalkitError, match=message):
        run(files, tmp_path / "run", server, spending={"concurrency": 2})
    assert not (tmp_path / "run" / "results.json").exists()
    kept = len(read_lines(tmp_path / "run" / "journal.jsonl"))
    assert kept >= 30
    bad[0] = False
    results = run(files, tmp_path / "run", server)
    assert results["benchmarks"]["judge:paper"]["n"] == 30
    assert sum(server.answered.values()) <= 61 + 2
    assert set(server.answered.values()) <= {1, 2}


def test_a_server_that_is_gone_stops_the_run(tmp_path: Path, serve: Serve) -> None:
    files, gone = write_outputs(tmp_path, 30), []
    server = serve(trouble=lambda body, before: "close" if len(gone) or troubled(body, 10) else "")
    server.trouble = lambda body, before: "close" if server.judged() > 20 else ""
    with pytest.raises(EvalkitError, match="requests in a row unanswered"):
        run(files, tmp_path / "run", server, spending={"concurrency": 4, "give_up_after": 0.6})


def test_judging_stops_at_the_budget_and_goes_on_with_a_larger_one(tmp_path: Path, serve: Serve) -> None:
    files, server = write_outputs(tmp_path, 20), serve()
    # each reply costs 1000 * 10 + 10 * 30 dollars per million: 0.0103
    prices = {"price_in": 10.0, "price_out": 30.0, "concurrency": 4}
    with pytest.raises(OutOfBudgetError, match=r"--max-cost 0.2: \$0.\d+ spent, \d+ of 40 calls not asked"):
        run(files, tmp_path / "run", server, spending={**prices, "max_cost": 0.2})
    paid = server.judged() * 0.0103
    assert 0.15 < paid <= 0.2 + 4 * 0.0103  # the estimate of a prompt is a quarter of what this server bills
    assert not (tmp_path / "run" / "results.json").exists()
    results = run(files, tmp_path / "run", server, spending={**prices, "max_cost": 1.0})
    assert server.judged() == 40
    assert results["usage"]["cost"] == pytest.approx(40 * 0.0103)
    calm = run(files, tmp_path / "calm", serve(), spending=prices)
    assert calm == results


def test_a_shared_journal_pays_once_for_two_folders(tmp_path: Path, serve: Serve) -> None:
    files, server, shared = write_outputs(tmp_path, 5), serve(), {"journal": tmp_path / "shared.jsonl"}
    one = run(files, tmp_path / "one", server, spending=shared)
    asked = sum(server.asked.values())
    other = run(files, tmp_path / "other", server, spending=shared)
    assert sum(server.asked.values()) == asked
    assert one == other
    assert not (tmp_path / "one" / "journal.jsonl").exists()


Change = Callable[[dict[str, Any]], dict[str, Any]]


def changed(server: JudgeServer, change: Change) -> JudgeServer:
    """Let a server change its completions, but for that of the test question."""
    original = server.completion

    def completion(body: dict[str, Any], content: str, *, verdict: float | None = None) -> dict[str, Any]:
        reply = original(body, content, verdict=verdict)
        return reply if is_test_question(body["messages"][0]["content"]) else change(reply)

    server.completion = completion  # type: ignore[method-assign]
    return server


def _with_key_among_tokens(reply: dict[str, Any]) -> dict[str, Any]:
    top = reply["choices"][0]["logprobs"]["content"][-1]["top_logprobs"]
    top.append({"token": OTHER_KEY, "logprob": -5.0})
    return reply


OTHER_KEY = "a-key-without-the-usual-beginning-0123456789"
LEAKS: dict[str, Change] = {
    "among the alternatives of a token": _with_key_among_tokens,
    "where an error is cut": lambda reply: {"error": "y" * 185 + OTHER_KEY},
    "in the model's name": lambda reply: reply | {"model": f"judge {OTHER_KEY}"},
}


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_not_even_a_part_of_a_key_is_written(
    leak: Change, tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", OTHER_KEY)
    server = changed(serve(key=OTHER_KEY), leak)
    run(write_outputs(tmp_path, 1), tmp_path / "run", server)
    for path in (tmp_path / "run").iterdir():
        assert OTHER_KEY[:10] not in path.read_text(), path.name


def test_broken_characters_and_absurd_counts_of_a_server_cost_no_results(tmp_path: Path, serve: Serve) -> None:
    def absurd(reply: dict[str, Any]) -> dict[str, Any]:
        reply["choices"][0]["message"]["content"] = "\ud800\n" + reply["choices"][0]["message"]["content"]
        return reply | {"model": "judge\ud800", "usage": {"prompt_tokens": 10**400, "completion_tokens": 1}}

    server = changed(serve(logprobs="no"), absurd)
    results = run(write_outputs(tmp_path, 3), tmp_path / "run", server, spending={"price_in": 1.0, "price_out": 1.0})
    assert results["benchmarks"]["judge:paper"]["n"] == 3
    assert results["served"] == {"judge\ufffd": 6}
    assert results["usage"]["unreported"] == 6


def test_replies_that_are_none_count_against_the_budget(tmp_path: Path, serve: Serve) -> None:
    files, server = write_outputs(tmp_path, 40), changed(serve(), lambda reply: {"choices": []})
    spending = {"price_in": 1000.0, "price_out": 1000.0, "max_cost": 3.0, "concurrency": 1}
    with pytest.raises(OutOfBudgetError, match=r"--max-cost 3: \$[23]\.\d+ spent"):
        run(files, tmp_path / "run", server, spending=spending)
    assert server.judged() < 20  # of 240, were they free


def test_the_key_is_written_nowhere(tmp_path: Path, serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    files = write_outputs(tmp_path, 8)
    server = serve(trouble=lambda body, before: "echo-key" if before == 0 else "")
    run(files, tmp_path / "run", server)
    server.key = "another"
    with pytest.raises(EvalkitError, match="status 401") as error:
        run(files, tmp_path / "second", server)
    assert KEY not in str(error.value)
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 5
    assert not any(KEY in text or KEY.removeprefix("sk-") in text for text in written)
    assert KEY not in "".join(capfd.readouterr())
    assert any("You sent Bearer [key]" in text for text in written)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"orders": "all"}, "--orders all: choose of both, random, one"),
        ({"limit": 0}, "--limit 0: must be at least 1"),
        ({"criteria": ("beauty",)}, "--criteria beauty: neither one of paper"),
        ({"criteria": ("paper", "paper")}, "the criterion 'paper' is given twice"),
        ({"criteria": ()}, "no criterion"),
        ({"spending": {"max_cost": 1.0}}, "the price of judge-1 is not known; give --price-in"),
        ({"spending": {"max_cost": math.nan}}, "--max-cost nan"),
        ({"spending": {"price_in": 1.0}}, "give both --price-in and --price-out"),
        ({"spending": {"price_in": -1.0, "price_out": 1.0}}, "must be numbers of at least 0"),
        ({"spending": {"concurrency": 0}}, "--concurrency 0"),
        ({"spending": {"concurrency": 5000}}, "--concurrency 5000: must lie between 1 and 500"),
        ({"spending": {"timeout": 0.0}}, "more than 0 seconds"),
        ({"spending": {"timeout": math.nan}}, "--timeout nan"),
        ({"seed": -1}, "--seed -1"),
        ({"temperature": math.nan}, "--temperature nan"),
        ({"max_tokens": 0}, "--max-tokens 0"),
        ({"spending": {"key_name": "NOT_SET"}}, "the environment has no NOT_SET"),
    ],
)
def test_bad_options_are_refused_before_anything_is_asked(
    options: dict[str, Any], message: str, tmp_path: Path, serve: Serve
) -> None:
    server = serve()
    with pytest.raises(EvalkitError, match=message):
        run(write_outputs(tmp_path, 2), tmp_path / "run", server, **options)
    assert not server.asked
    assert not (tmp_path / "run").exists()


def test_another_run_in_the_folder_is_refused(tmp_path: Path, serve: Serve) -> None:
    files, server = write_outputs(tmp_path, 3), serve()
    run(files, tmp_path / "run", server)
    with pytest.raises(EvalkitError, match="holds a run with other settings: criteria"):
        run(files, tmp_path / "run", server, criteria=("helpfulness",))
    asked = sum(server.asked.values())
    found = run(files, tmp_path / "run", server, criteria=("helpfulness",), overwrite=True)
    assert list(found["benchmarks"]) == ["judge:helpfulness"]
    run(files, tmp_path / "run", server, overwrite=True)
    assert sum(server.asked.values()) == asked + 7  # the replies of the first run are kept: paid, and found again
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("mine")
    with pytest.raises(EvalkitError, match="not empty, and not a judged run"):
        run(files, tmp_path / "other", server)


def test_every_trouble_of_the_server_is_tested() -> None:
    tested = Path(__file__).read_text()
    assert all(f'"{name}"' in tested for name in TROUBLES)
