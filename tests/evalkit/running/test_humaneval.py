"""HumanEval's completions, scored."""

import ast
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from evalkit.errors import EvalkitError
from evalkit.running import humaneval
from evalkit.running.benchmarks import Answered, find_benchmarks
from evalkit.running.humaneval import CodeExecution, judge, run_completions, score_items
from evalkit.running.run import run
from evalkit.sandbox import Limits, Sandbox, find_sandbox

PROBLEM = {
    "task_id": "Own/0",
    "prompt": 'def add(x: int, y: int) -> int:\n    """Return the sum.\n    >>> add(1, 2)\n    3\n    """\n',
    "canonical_solution": "    return x + y\n",
    "test": "\n\nMETADATA = {}\n\n\ndef check(candidate):\n    assert candidate(1, 2) == 3\n"
    "    assert candidate(-1, 1) == 0\n",
    "entry_point": "add",
}
RIGHT, WRONG = PROBLEM["canonical_solution"], "    return x - y\n"


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    try:
        return find_sandbox()
    except EvalkitError as error:
        pytest.skip(str(error))


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def answered(*responses: str, problem: dict[str, str] = PROBLEM) -> Answered:
    return Answered(doc=problem, prompt=problem["prompt"], responses=responses)


def test_one_completion_scores_one_or_nothing(sandbox: Sandbox) -> None:
    right, wrong = score_items([answered(RIGHT), answered(WRONG)], CodeExecution())
    assert (right["score"], wrong["score"]) == (1.0, 0.0)
    assert right["metric"] == "pass@1"
    assert right["higher_is_better"] is True
    assert right["sandbox"] == sandbox.kind
    assert wrong["verdicts"] == [{"ending": "failed", "reason": "AssertionError"}]
    assert "num_samples" not in right


def test_several_completions_score_their_share_and_unbiased_pass_at_k(sandbox: Sandbox) -> None:
    (row,) = score_items([answered(RIGHT, WRONG, WRONG, RIGHT, WRONG)], CodeExecution(workers=2))
    assert row["score"] == pytest.approx(0.4)
    assert row["sample_scores"] == [1, 0, 0, 1, 0]
    assert row["other_scores"] == pytest.approx({"pass@2": 1 - 3 / 10, "pass@5": 1.0})  # 1 - C(3, 2) / C(5, 2)


def test_what_cannot_be_judged_has_no_score(sandbox: Sandbox) -> None:
    broken = PROBLEM | {"test": "def check(candidate):\n    candidate(print)\n"}
    bad_prompt = PROBLEM | {"prompt": "def add(x:\n"}
    rows = score_items([answered(RIGHT, problem=broken), answered(RIGHT, problem=bad_prompt)], CodeExecution())
    assert [row["score"] for row in rows] == [None, None]
    assert "cannot cross to another process: a builtin_function_or_method" in rows[0]["error"]
    assert "not the beginning of a Python program" in rows[1]["error"]


def test_verdicts_are_kept_and_equal_completions_run_once(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = CodeExecution(journal=tmp_path / "verdicts.jsonl", workers=1)
    ran: list[str] = []

    def counted(problem: Any, completion: str, *rest: Any) -> Any:
        ran.append(completion)
        return judge(problem, completion, *rest)

    monkeypatch.setattr(humaneval, "judge", counted)
    pairs = [(PROBLEM, RIGHT), (PROBLEM, WRONG), (PROBLEM, RIGHT)]
    first = run_completions(pairs, sandbox, execution)
    assert sorted(ran) == sorted([RIGHT, WRONG])
    assert run_completions(pairs, sandbox, execution) == first
    assert len(ran) == 2
    run_completions(pairs, sandbox, CodeExecution(journal=execution.journal, limits=Limits(seconds=1)))
    assert len(ran) == 4  # under other limits nothing is known yet
    other = PROBLEM | {"test": PROBLEM["test"].replace("== 0", "== 1")}
    assert run_completions([(other, RIGHT)], sandbox, execution)[0]["ending"] == "failed"


def test_an_error_of_the_machine_is_not_kept(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    execution = CodeExecution(journal=tmp_path / "verdicts.jsonl", workers=1)

    def no_processes(*arguments: object, **named: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patched:
        patched.setattr(humaneval, "check_function", no_processes)
        (row,) = score_items([answered(RIGHT)], execution)
    assert row["score"] is None
    assert "Resource temporarily unavailable" in row["error"]
    (row,) = score_items([answered(RIGHT)], execution)
    assert row["score"] == 1


def test_progress_tells_what_is_left(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(humaneval, "_SECONDS_BETWEEN_LINES", 0.0)
    lines: list[str] = []
    score_items([answered(RIGHT, WRONG)], CodeExecution(say=lines.append))
    assert [line.split(",")[0] for line in lines] == ["  ran 1 of 2 completions", "  ran 2 of 2 completions"]


def test_without_a_sandbox_it_says_so() -> None:
    lines: list[str] = []
    (row,) = score_items([answered(RIGHT)], CodeExecution(sandbox="none", say=lines.append))
    assert (row["score"], row["sandbox"]) == (1, "none")
    assert "runs as you" in lines[0]


def test_workers_are_at_least_one() -> None:
    with pytest.raises(EvalkitError, match="--code-workers 0: must be at least 1"):
        CodeExecution(workers=0)


def settings_of(path: Path) -> dict[str, Any]:
    """Return the settings of a task file over those that it includes."""

    class Loader(yaml.SafeLoader):
        """Reads !function as text."""

    Loader.add_constructor("!function", lambda loader, node: node.value)
    own = yaml.load(path.read_text(encoding="utf-8"), Loader)  # a SafeLoader
    return (settings_of(path.parent / own["include"]) if "include" in own else {}) | own


@pytest.mark.parametrize("name", ["humaneval", "humaneval_instruct"])
def test_prompts_and_stop_strings_are_lm_evals(name: str) -> None:
    spec = importlib.util.find_spec("lm_eval")
    assert spec is not None
    assert spec.origin is not None
    theirs = settings_of(Path(spec.origin).parent / "tasks" / "humaneval" / f"{name}.yaml")
    ours = settings_of(Path(humaneval.__file__).parent / "tasks" / f"{name}.yaml")
    same = ("task", "dataset_path", "output_type", "test_split", "doc_to_text", "doc_to_target", "num_fewshot")
    for key in (*same, "gen_prefix", "metadata"):
        assert ours.get(key) == theirs.get(key), key
    fence = ["```"] if name == "humaneval_instruct" else []  # where lm-eval cuts the answer afterwards
    theirs["generation_kwargs"]["until"] += fence
    assert ours["generation_kwargs"] == theirs["generation_kwargs"]


INTERRUPTED = """
import sys
from pathlib import Path
from evalkit.running.humaneval import CodeExecution, run_completions
from evalkit.sandbox import Sandbox
problem = {problem!r}
slow = "    import time; time.sleep(30)\\n"
pairs = [(problem, "    return x + y  # " + str(n) + "\\n") for n in range(4)] + [(problem, slow)]
run_completions(pairs, Sandbox(kind={kind!r}), CodeExecution(journal=Path({journal!r}), workers=1))
"""


def test_a_killed_run_keeps_its_verdicts_and_leaves_no_process(sandbox: Sandbox, tmp_path: Path) -> None:
    journal = tmp_path / "verdicts.jsonl"
    program = INTERRUPTED.format(problem=PROBLEM, kind=sandbox.kind, journal=str(journal))
    environment = os.environ | {"TMPDIR": str(tmp_path)}  # for what a killed process cannot clear away
    killed = subprocess.Popen([sys.executable, "-c", program], start_new_session=True, env=environment)
    for _ in range(600):
        if journal.exists() and journal.read_text().count("\n") == 4 and sandboxes_of(killed.pid):
            break
        time.sleep(0.1)
    started = sandboxes_of(killed.pid)
    assert started
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    for _ in range(50):
        if not any(Path(f"/proc/{pid}").exists() for pid in started):
            break
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in started)
    assert [json.loads(line)["answer"]["ending"] for line in journal.read_text().splitlines()] == ["passed"] * 4


def sandboxes_of(pid: int) -> list[int]:
    """Return the descendants of a process."""
    found, queue = [], [pid]
    while queue:
        for path in Path(f"/proc/{queue.pop()}/task").glob("*/children"):
            children = [int(word) for word in path.read_text().split()]
            found += children
            queue += children
    return found


def problems(data_dir: Path) -> list[dict[str, str]]:
    file = data_dir / "humaneval" / "test.jsonl"
    if not file.is_file():
        pytest.skip(f"no HumanEval at {file}")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_canonical_solutions_pass_and_stubs_do_not(sandbox: Sandbox, data_dir: Path) -> None:
    known = problems(data_dir)
    items = [answered(row["canonical_solution"], "    pass\n", problem=row) for row in known]
    rows = score_items(items, CodeExecution())
    assert [row["sample_scores"] for row in rows] == [[1.0, 0.0]] * len(known)


def test_tests_pass_literals_to_the_function(data_dir: Path) -> None:
    """So that values are enough: no test's outcome depends on what a completion does to an argument afterwards."""
    for row in problems(data_dir):
        calls = [node for node in ast.walk(ast.parse(row["test"])) if isinstance(node, ast.Call)]
        calls = [node for node in calls if isinstance(node.func, ast.Name) and node.func.id == "candidate"]
        names = {name.id for call in calls for arg in call.args for name in ast.walk(arg) if isinstance(name, ast.Name)}
        assert names <= {"lst", "copy", "coeffs"}, row["task_id"]  # made afresh for each call, in 32 and 151


class _Server(BaseHTTPRequestHandler):
    """An OpenAI-compatible server of a model that knows the canonical solutions, and forgets every third."""

    solutions: ClassVar[dict[str, str]] = {}

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
        choices = [{"index": n, "text": self.solutions.get(p, "    pass\n")} for n, p in enumerate(prompts)]
        reply = json.dumps({"id": "1", "object": "text_completion", "created": 0, "model": "m", "choices": choices})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(reply.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name of the base class)
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}/v1"
        running.shutdown()
        thread.join()


def test_a_run_from_the_model_to_the_score(
    sandbox: Sandbox, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    rows = [PROBLEM | {"task_id": f"Own/{n}", "prompt": f"# {n}\n{PROBLEM['prompt']}"} for n in range(6)]
    write_rows(tmp_path / "data" / "humaneval" / "test.jsonl", rows)
    _Server.solutions = {row["prompt"]: RIGHT for n, row in enumerate(rows) if n % 3}
    settings: dict[str, Any] = {"backend": "openai", "base_url": server, "data_dir": tmp_path / "data"}
    settings |= {"allow_code_execution": True, "sandbox": sandbox.kind}
    found = run("m", ["humaneval"], tmp_path / "run", **settings)["benchmarks"]["humaneval"]
    assert (found["score"], found["n"], found["metric"]) == (pytest.approx(4 / 6), 6, "pass@1")
    stored = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text().splitlines()]
    assert [row["score"] for row in stored] == [0, 1, 1, 0, 1, 1]
    assert [row["verdicts"][0]["ending"] for row in stored][:2] == ["failed", "passed"]
    sampled = run("m", ["humaneval"], tmp_path / "sampled", temperature=0.7, samples=2, **settings)
    assert sampled["benchmarks"]["humaneval"]["other_scores"] == {"pass@2": pytest.approx(4 / 6)}


def test_code_runs_only_when_it_is_allowed_and_isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_rows(tmp_path / "humaneval" / "test.jsonl", [PROBLEM])
    settings: dict[str, Any] = {"backend": "openai", "base_url": "http://127.0.0.1:9/v1", "data_dir": tmp_path}
    with pytest.raises(EvalkitError, match="allow it with --allow-code-execution"):
        run("m", ["humaneval"], tmp_path / "run", **settings)
    monkeypatch.setattr("evalkit.sandbox.probe.why_not", lambda kind: "not today")
    with pytest.raises(EvalkitError, match=r"no sandbox works here \(bubblewrap: not today; namespaces: not today\)"):
        run("m", ["humaneval"], tmp_path / "run", allow_code_execution=True, **settings)
    assert not (tmp_path / "run").exists()


def test_incomplete_data_are_refused(tmp_path: Path) -> None:
    rows = [{key: value for key, value in PROBLEM.items() if key != "test"}]
    write_rows(tmp_path / "humaneval" / "test.jsonl", rows)
    with pytest.raises(EvalkitError, match=r"test.jsonl:1: no column 'test'; a row has task_id, prompt"):
        find_benchmarks(["humaneval"], tmp_path, lambda items: [])
