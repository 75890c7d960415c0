"""Functions held against tests from another process."""

import pytest

from evalkit.sandbox import Ending, Limits, Outcome, Sandbox, check_function, stub


def held(sandbox: Sandbox, program: str, test: str, *, definitions: str = "", limits: Limits | None = None) -> Outcome:
    body = "".join(f"    {line}\n" for line in test.splitlines())
    return check_function(
        sandbox,
        program=program,
        entry_point="f",
        definitions=definitions,
        test=f"def check(candidate):\n{body}",
        limits=limits,
    )


@pytest.mark.parametrize(
    ("program", "test"),
    [
        ("def f(x): return x + 1", "assert candidate(1) == 2"),
        ("def f(x): return x", "for value in (None, True, 1.5, 'é', b'x', [1], (1,), {1}, {1: 2}):\n    "
                               "assert candidate(value) == value and type(candidate(value)) is type(value)"),
        ("def f(*a, **k): return a, k", "assert candidate(1, b=2) == ((1,), {'b': 2})"),
        ("count = 0\ndef f():\n    global count\n    count += 1\n    return count",
         "assert candidate() == 1\nassert candidate() == 2"),
        ("def f(x): return x / 0", "try:\n    candidate(1)\nexcept ZeroDivisionError:\n    return\nassert False"),
        ("class Mine(Exception): pass\ndef f(): raise Mine('no')",
         "try:\n    candidate()\nexcept Exception as error:\n    assert str(error) == 'no'\n    return\nassert False"),
        ("def f(n):\n    for x in range(n): yield x", "assert tuple(candidate(3)) == (0, 1, 2)"),
        ("def f(x): return iter([1]) if x == 3 else list(x)", "assert candidate(candidate(3)) == [1]"),
        ("def f(n): return f(n - 1) + 1 if n else 0", "assert candidate(500) == 500\nassert f(3) == 3"),
        ("def f(x):\n    print('hello')\n    return x", "print(candidate(1))\nassert candidate(1) == 1"),
        ("def f(x): return float('nan')", "assert candidate(1) != candidate(1)"),
        ("import math\ndef f(x): return math.factorial(x)", "assert candidate(3000) % 7 == 0"),
        ("import collections, heapq, itertools, re, hashlib, datetime, statistics, decimal\ndef f(x): return x",
         "assert candidate(1) == 1"),
        ("if __name__ == '__main__':\n    raise ValueError\ndef f(x): return x", "assert candidate(1) == 1"),
        ("import threading\ndef f(x):\n    out = []\n    thread = threading.Thread(target=out.append, args=(x,))\n"
         "    thread.start()\n    thread.join()\n    return out", "assert candidate(1) == [1]"),
        ("import tempfile\ndef f(x):\n    with tempfile.TemporaryFile() as file:\n        file.write(x)\n"
         "        file.seek(0)\n        return file.read()", "assert candidate(b'x') == b'x'"),
    ],
)  # fmt: skip
def test_what_is_right_passes(sandbox: Sandbox, program: str, test: str) -> None:
    outcome = held(sandbox, program, test)
    assert outcome.passed, outcome


@pytest.mark.parametrize(
    ("program", "test", "ending", "reason"),
    [
        ("def f(x): return x", "assert candidate(1) == 2, 'one more'", Ending.FAILED, "AssertionError: one more"),
        ("def f(x): return str(x)", "assert candidate(1) == 1", Ending.FAILED, "AssertionError"),
        ("def f(x): return [x]", "assert candidate(1) == (1,)", Ending.FAILED, "AssertionError"),
        ("def f(x): return x[3]", "candidate([])", Ending.FAILED, "IndexError: list index out of range"),
        ("def f(x) return x", "candidate(1)", Ending.FAILED, "SyntaxError"),
        ("def g(x): return x", "candidate(1)", Ending.FAILED, "NameError: name 'f' is not defined"),
        ("def f(): return 1", "candidate(1)", Ending.FAILED, "TypeError: f() takes 0 positional arguments"),
        ("import numpy\ndef f(x): return x", "candidate(1)", Ending.FAILED, "ModuleNotFoundError"),
        ("def f(x):\n    while 1: pass", "candidate(1)", Ending.TIMED_OUT, "after 1 s of processor time"),
        ("def f(x): return bytearray(10**11)", "candidate(1)", Ending.OUT_OF_MEMORY, "more than 268435456 bytes"),
        ("def f(x): print('x' * 10**7)", "candidate(1)", Ending.TOO_MUCH_OUTPUT, "more than 4194304 bytes"),
        ("def f(x): return x", "candidate(f)", Ending.ERROR, "the test passes what cannot cross"),
        ("def f(x): input()", "candidate(1)", Ending.FAILED, "EOFError"),
        (
            "def f(x): raise ValueError('\\ud800 \\x1b[2J\\n\\n!')",
            "candidate(1)",
            Ending.FAILED,
            "ValueError: � �[2J !",
        ),
    ],
)
def test_what_is_wrong_says_why(sandbox: Sandbox, program: str, test: str, ending: Ending, reason: str) -> None:
    outcome = held(sandbox, program, test, limits=Limits(seconds=1, memory_bytes=256 * 2**20))
    assert outcome.ending is ending
    assert reason in outcome.reason


def test_arguments_cross_by_value(sandbox: Sandbox) -> None:
    outcome = held(sandbox, "def f(x): x.clear()", "x = [1]\ncandidate(x)\nassert x == [1]")
    assert outcome.passed


def test_the_test_may_use_what_the_prompt_defines_and_nothing_of_the_completion(sandbox: Sandbox) -> None:
    definitions = stub("def double(x):\n    return 2 * x\n\ndef f(x):\n    '''Double.'''\n")
    cheat = "def double(x): return x\ndef f(x): return x\n"
    assert not held(sandbox, cheat, "assert candidate(3) == double(3)", definitions=definitions).passed
    honest = "def f(x): return x + x\n"
    assert held(sandbox, honest, "assert candidate(3) == double(3)", definitions=definitions).passed


@pytest.mark.parametrize(
    ("definitions", "test", "reason"),
    [
        ("", "x = 1", "KeyError: 'check'"),
        ("", "def check(candidate:", "SyntaxError"),
        ("import nothing_of_the_kind", "def check(candidate): pass", "ModuleNotFoundError"),
    ],
)
def test_a_broken_test_is_an_error_and_no_failure(sandbox: Sandbox, definitions: str, test: str, reason: str) -> None:
    program = "def f(x): return x"
    outcome = check_function(sandbox, program=program, entry_point="f", definitions=definitions, test=test)
    assert outcome.ending is Ending.ERROR
    assert reason in outcome.reason


def test_a_sandbox_that_does_not_start_is_an_error_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = "evalkit.sandbox.backends._python"
    monkeypatch.setattr(broken, lambda place: ("/bin/sh", "-c", "echo 'no room' >&2; exit 1"))
    outcome = held(Sandbox(kind="none"), "def f(x): return x", "assert candidate(1) == 1")
    assert outcome.ending is Ending.ERROR
    assert "no room" in outcome.reason


@pytest.mark.parametrize(
    ("prompt", "runs"),
    [
        ('def f(x):\n    """Say."""\n', True),
        ("def f(x):\n", True),
        ("def f(x):\n    # think\n", True),
        ("def f(x):\n\t'''Tab.'''\n", True),
        ("def f(x:\n", False),
        ("\0", False),
    ],
)
def test_a_stub_of_a_prompt_is_a_program(prompt: str, runs: bool) -> None:
    if runs:
        compile(stub(prompt), "stub", "exec")
        return
    with pytest.raises(ValueError, match="not the beginning of a Python program"):
        stub(prompt)


def test_what_cannot_go_back_to_the_function_fails_it_and_leaves_no_item_unscored(sandbox: Sandbox) -> None:
    program = "class Mine: pass\ndef f(x): return Mine()"
    outcome = held(sandbox, program, "assert candidate(candidate(1)) == 2")
    assert outcome.ending is Ending.FAILED
    assert "'Mine' cannot go back" in outcome.reason


def test_an_exception_cannot_end_the_loop_of_a_test(sandbox: Sandbox) -> None:
    outcome = held(sandbox, "def f(x): raise StopIteration", "assert all(map(candidate, [1, 2, 3]))")
    assert outcome.ending is Ending.FAILED
