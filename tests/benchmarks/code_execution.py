"""HumanEval's sandbox against code_eval's procedure: the same verdicts on harmless completions, and the time of one.

    python tests/benchmarks/code_execution.py DATA_DIR [--mutants N] [--workers N]

The completions are the canonical solutions, and mutants of them (an operator, a comparison or a constant changed, a
result dropped), some of which are still right. Each is judged in the sandbox, and by running prompt, completion and
test in one bare process with a limit of 3 s, which is how code_eval, and with it lm-eval, judges it.
"""

import argparse
import ast
import collections
import copy
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from evalkit.running.humaneval import judge
from evalkit.sandbox import Limits, find_sandbox

BARE = "import sys\nexec(sys.stdin.read(), {})\n"


def main() -> None:
    """Print how many verdicts agree, and what one costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--mutants", type=int, default=3, help="of each canonical solution")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    lines = (chosen.data_dir / "humaneval" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    problems = [json.loads(line) for line in lines]
    cases = [(problem, text) for problem in problems for text in completions(problem, chosen.mutants)]
    sandbox = find_sandbox()
    print(f"{len(cases)} completions of {len(problems)} problems, {sandbox.kind}, {chosen.workers} workers")
    ours, seconds = timed(
        lambda case: judge(case[0], case[1], sandbox, Limits())["ending"] == "passed", cases, chosen.workers
    )
    theirs, bare_seconds = timed(lambda case: passes_bare(case[0], case[1]), cases, chosen.workers)
    print(f"passed: {sum(ours)} here, {sum(theirs)} by code_eval's procedure")
    differing = [case for case, one, other in zip(cases, ours, theirs, strict=True) if one != other]
    print(f"verdicts that differ: {len(differing)}")
    for problem, text in differing:
        print(f"--- {problem['task_id']}\n{text}")
    print(f"seconds a completion: {seconds / len(cases):.3f} here, {bare_seconds / len(cases):.3f} in a bare process")
    sys.exit(bool(differing))


def timed(function: Any, cases: list[Any], workers: int) -> tuple[list[bool], float]:
    """Return what a function says of each case, and how long all took, s."""
    started = time.monotonic()
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, cases)), time.monotonic() - started


def passes_bare(problem: dict[str, str], completion: str) -> bool:
    """Return whether the program that code_eval would run ends well within 3 s."""
    program = f"{problem['prompt']}{completion}\n{problem['test']}\ncheck({problem['entry_point']})"
    command = [sys.executable, "-I", "-c", BARE]
    try:
        done = subprocess.run(command, input=program, text=True, capture_output=True, timeout=3, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def completions(problem: dict[str, str], mutants: int) -> list[str]:
    """Return the canonical solution, a stub, and mutants of the solution."""
    solution = problem["canonical_solution"]
    return [solution, "    pass\n", *mutated(problem, mutants)]


def mutated(problem: dict[str, str], number: int) -> Iterator[str]:
    """Yield the body of the entry point with one place changed, places spread over it."""
    tree = ast.parse(problem["prompt"] + problem["canonical_solution"])
    body = tree.body[-1]
    places = [node for node in ast.walk(body) if type(node) in _CHANGES]
    places = [node for node in places if not (isinstance(node, ast.Constant) and not isinstance(node.value, int))]
    for place in places[:: max(1, len(places) // number)][:number] if places else []:
        index = list(ast.walk(tree)).index(place)
        changed = copy.deepcopy(tree)
        _CHANGES[type(place)](list(ast.walk(changed))[index])
        function: Any = changed.body[-1]
        statements = function.body[1:] if ast.get_docstring(function) is not None else function.body
        text = "\n".join(ast.unparse(ast.fix_missing_locations(statement)) for statement in statements)
        yield "".join(f"    {line}\n" for line in text.splitlines())


def _change_operator(node: Any) -> None:
    node.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()


def _change_comparison(node: Any) -> None:
    swaps = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq}
    node.ops[0] = swaps.get(type(node.ops[0]), ast.Eq)()


def _change_constant(node: Any) -> None:
    node.value = (not node.value) if isinstance(node.value, bool) else node.value + 1


def _drop_result(node: Any) -> None:
    node.value = None


_CHANGES: dict[type, Any] = collections.OrderedDict(
    {ast.BinOp: _change_operator, ast.Compare: _change_comparison, ast.Constant: _change_constant}
    | {ast.Return: _drop_result}
)

if __name__ == "__main__":
    main()
