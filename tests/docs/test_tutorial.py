"""The Python of docs/tutorial-worlds.md prints what the page says.

python tests/docs/test_tutorial.py    # bring the page up to date
"""

import contextlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorial-worlds.md"
_PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
_OUTPUT = re.compile(r"(?<=```\{code-block\} text\n:class: output\n\n).*?(?=```)", re.DOTALL)
_NUMBER = re.compile(r"[-+]?\d+\.\d+")
_CLOSE = 0.02


def printed() -> Iterator[str]:
    """Yield what each block of the page prints, one after the other."""
    names: dict[str, object] = {}
    for code in _PYTHON.findall(PAGE.read_text(encoding="utf-8")):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, str(PAGE), "exec"), names)  # the page's own code
        yield out.getvalue()


def numbers(text: str) -> list[float]:
    return [float(number) for number in _NUMBER.findall(text)]


def test_the_tutorial_prints_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    shown = _OUTPUT.findall(PAGE.read_text(encoding="utf-8"))
    for expected, found in zip(shown, printed(), strict=True):
        assert _NUMBER.sub("NUMBER", expected) == _NUMBER.sub("NUMBER", found)
        assert numbers(found) == pytest.approx(numbers(expected), abs=_CLOSE)


def rewrite() -> None:
    """Write what the blocks print into the page."""
    os.chdir(ROOT)
    outputs = printed()
    found = list(outputs)
    texts = iter(found)
    text = _OUTPUT.sub(lambda _: next(texts), PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    rewrite()
