"""What is made of the verdicts."""

import json
from collections.abc import Callable
from pathlib import Path

from evalkit.judging.judge import judge
from evalkit.judging.options import Options, Spending
from evalkit.judging.plan import plan
from tests.evalkit.judging.conftest import words
from tests.evalkit.judging.server import JudgeServer, by_length


def test_equal_answers_are_a_tie_asked_once_and_say_nothing_of_consistency(
    tmp_path: Path, serve: Callable[..., JudgeServer]
) -> None:
    files = tmp_path / "judged.jsonl", tmp_path / "against.jsonl"
    for path, extra in zip(files, (2, 0), strict=True):
        rows = [{"prompt": f"Question {i}?", "completion": words(i, 3 + extra * (i < 2))} for i in range(6)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    server = serve(rule=by_length)
    limits = Spending()
    results = judge(plan(*files, Options(judge_model="judge-1", base_url=server.url), limits), tmp_path / "run", limits)
    found = results["benchmarks"]["judge:paper"]
    assert server.judged() == 2 * 2 + 4
    assert (found["wins"], found["ties"], found["losses"]) == (2, 4, 0)
    assert (found["swap"]["share"], found["swap"]["n"], found["swap"]["equal_answers"]) == (1.0, 2, 4)
