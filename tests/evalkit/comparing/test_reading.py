"""What a path is, what a run is called, and what is said where a path is nothing that can be compared."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit.comparing.compare import compare
from evalkit.comparing.evaluation import readable
from evalkit.comparing.reading import ReadOptions, read_evaluations
from evalkit.errors import EvalkitError

RunMaker = Callable[..., Path]


def names(*runs: Path | str) -> list[str]:
    return list(read_evaluations(runs, ReadOptions()))


def test_a_run_may_be_named(make_run: RunMaker, tmp_path: Path) -> None:
    a, b = make_run("a", x=[1, 0]), make_run("b", x=[1, 1])
    assert names(f"before={a}", b) == ["before", "b"]
    comparison = compare([f"before={a}", f"after={b}"], baseline="after")
    assert (comparison.compared[0].run, comparison.baseline) == ("before", "after")
    odd = make_run("beta=0.1", x=[1, 0])
    assert names(odd, str(odd.parent / "a")) == ["beta=0.1", "a"]  # a path that is there is no NAME=PATH
    with pytest.raises(EvalkitError, match="two runs are called 'same'; name them: NAME=PATH"):
        names(f"same={a}", f"same={b}")


def test_a_baseline_that_is_not_among_the_runs_is_added(make_run: RunMaker) -> None:
    a, b, c = (make_run(name, x=[1, 0]) for name in "abc")
    comparison = compare([b, c], baseline=a)
    assert (comparison.baseline, [one.run for one in comparison.compared]) == ("a", ["b", "c"])


def test_a_training_run_is_no_evaluation(tmp_path: Path, make_run: RunMaker) -> None:
    run = tmp_path / "kto"
    (run / "model").mkdir(parents=True)
    (run / "config.yaml").write_text("loss: kto\n")
    with pytest.raises(EvalkitError, match=r"kto: a training run, .*: evalkit run --model .*kto/model"):
        compare([make_run("a", x=[1]), run])


NOT_READ = {
    "notes.txt": ("hello", r"notes\.txt: not an evaluation that can be read; it may be a folder, \.eval, \.csv"),
    "object.json": ("{}", "neither AlpacaEval's annotations, nor a log of inspect_ai, nor a list of scored items"),
    "empty.json": ("[]", "neither AlpacaEval's annotations"),
    "cut.json": ('[{"id": 1,\n "sco', r"cut\.json:2: not JSON: .*column 2"),
    "latin.json": ("caf\udce9", r"latin\.json: cannot be read: .*utf-8"),
    "latin.csv": ("id,score\ncaf\udce9,1\n", r"latin\.csv: not UTF-8 text"),
    "list.json": ("[1, 2]", r"list\.json: row 1: expected a JSON object, found int"),
}


@pytest.mark.parametrize("name", NOT_READ)
def test_a_file_that_is_nothing_we_know_says_what_it_may_be(name: str, tmp_path: Path) -> None:
    text, message = NOT_READ[name]
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(EvalkitError, match=message):
        compare([tmp_path / name])


def test_a_folder_of_inspect_logs_asks_for_one(tmp_path: Path) -> None:
    (tmp_path / "one.eval").write_bytes(b"")
    with pytest.raises(EvalkitError, match=r"a folder of inspect_ai logs; name one of them, such as .*one\.eval"):
        compare([tmp_path])


def test_failed_items_are_left_out_counted_and_warned_of(make_run: RunMaker) -> None:
    a, b = make_run("a", x=[1, 0, 1, 0, 1]), make_run("b", x=[1, 1, None, None, 1])
    lines = (b / "samples.jsonl").read_text().replace('"score": null', '"score": null, "error": "timed out"')
    (b / "samples.jsonl").write_text(lines)
    comparison = compare([a, b])
    (one,) = comparison.compared
    assert (one.paired.n, one.matched.failed) == (3, (2, 0))
    assert [(score.estimate.score, score.failed) for score in comparison.scores] == [(0.6, 0), (1.0, 2)]
    said = " ".join(comparison.caveats)
    assert "x: b has no score for 2 of 5 items (left out, such as: timed out)." in said
    assert "failed on different numbers of items (2 and 0)" in said
    (b / "samples.jsonl").write_text(lines.replace('"score": 1', '"score": null'))
    with pytest.raises(EvalkitError, match="no item has a score in both; evaluate what failed again"):
        compare([a, b])


def test_versions_of_a_task_must_agree(make_run: RunMaker) -> None:
    a, b = make_run("a", x=[1, 0]), make_run("b", x=[1, 1])
    for run, version in ((a, 1.0), (b, 2.0)):
        (run / "results.json").write_text(json.dumps({"benchmarks": {"x": {"version": version}}}))
    with pytest.raises(EvalkitError, match=r"x: .* different versions of the task \(a: 1.0, b: 2.0"):
        compare([a, b])
    allowed = compare([a, b], allow_differences=True)
    assert "x: the runs differ in the task's version (a: 1.0, b: 2.0)." in allowed.caveats


def test_judged_runs_against_other_outputs_are_refused(make_run: RunMaker) -> None:
    def judged(name: str, prompt_hash: str) -> Path:
        return make_run(name, fields={"prompt_hash": prompt_hash}, **{"judge:helpfulness": [0.5, 1, 0]})

    with pytest.raises(EvalkitError, match="judge:helpfulness: 3 of 3 prompts were judged against other outputs"):
        compare([judged("a", "x"), judged("b", "y")])


def test_a_limit_and_other_sampling_are_warned_of(make_run: RunMaker) -> None:
    a = make_run("a", x=[1, 0], config={"limit": 2, "temperature": 0.7})
    b = make_run("b", x=[1, 0], config={"limit": 2, "temperature": 0.0})
    said = " ".join(compare([a, b]).caveats)
    assert "Only the first items of each task were asked (limit of a: 2, b: 2)" in said
    assert "The runs differ in temperature (a: 0.7, b: 0.0)." in said


def test_templates_matter_where_they_are_used_and_definitions_of_tasks_always(make_run: RunMaker) -> None:
    def run(name: str, used: bool) -> Path:
        settings = {"chat_template": used, "chat_template_hash": name, "tasks": {"x--one": name, "x--two": "same"}}
        return make_run(f"{name}{used}", x=[1, 0], config=settings)

    unused = compare([run("a", False), run("b", False)]).caveats
    assert not any("chat template" in text for text in unused)
    assert "x: the definition or the data of 1 of 2 tasks differs between the runs." in unused
    used = compare([run("a", True), run("b", True)]).caveats
    assert "The runs differ in wording of the chat template (aTrue: a, bTrue: b)." in used


def test_a_score_too_large_for_a_number_is_refused(make_run: RunMaker) -> None:
    a, b = make_run("a", x=[1, 0]), make_run("b", x=[10**400, 1])
    with pytest.raises(EvalkitError, match=r"samples\.jsonl:1: the score 10+ is not a finite number"):
        compare([a, b])


def test_names_cannot_steer_a_terminal_or_turn_a_sentence_round(make_run: RunMaker, tmp_path: Path) -> None:
    hostile = "x\x1b[2J\u202ey"
    a, b = (make_run(name, **{hostile: [1, 0, None]}) for name in "ab")
    for run in (a, b):
        text = (run / "samples.jsonl").read_text().replace("null", 'null, "error": "lost\\u001b[31m\\nat sea"')
        (run / "samples.jsonl").write_text(text)
    (tmp_path / "t.csv").write_text("run,id,score\n\x1b[1msft,i,1\nkto,i,0\n")
    comparison = compare([a, b])
    assert comparison.benchmarks == ("x\ufffd[2J\ufffdy",)
    assert any("such as: lost\ufffd[31m at sea" in text for text in comparison.caveats)
    assert names(tmp_path / "t.csv") == ["\ufffd[1msft", "kto"]


def test_three_models_get_cochrans_q(make_run: RunMaker) -> None:
    runs = [
        make_run(name, x=values) for name, values in (("a", [1, 1, 0, 0]), ("b", [1, 0, 1, 0]), ("c", [1, 1, 1, 0]))
    ]
    (overall,) = compare(runs).overall
    assert (overall.benchmark, overall.n) == ("x", 4)
    assert overall.test.statistic == pytest.approx(2 * (3 * (4 + 4 + 9) - 49) / (3 * 7 - (9 + 4 + 4)))
    assert compare(runs[:2]).overall == ()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ([-1.23456, -0.5], "-1.235, -0.5"),
        (["one", "two"], "[1] one\n\n[2] two"),
        (
            [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [{"text": "Yo"}]}],
            'user: Hi\n\nassistant: {"text": "Yo"}',
        ),
        ({"a": 1}, '{"a": 1}'),
        (3, "3"),
    ],
)
def test_prompts_and_answers_as_people_read_them(value: object, text: str) -> None:
    assert readable(value) == text
