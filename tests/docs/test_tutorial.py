"""The Python of the pages on worlds prints what they say.

python tests/docs/test_tutorial.py    # bring the pages up to date
"""

import contextlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import halotheory.worlds

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL, API = ROOT / "docs" / "tutorial-worlds.md", ROOT / "docs" / "worlds.md"
_PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
_OUTPUT = re.compile(r"(?<=```\{code-block\} text\n:class: output\n\n).*?(?=```)", re.DOTALL)
_NUMBER = re.compile(r"[-+]?\d+\.\d+")
_CLOSE = 0.02


def printed(page: Path) -> Iterator[str]:
    """Yield what each block of the page prints, one after the other."""
    names: dict[str, object] = {}
    for code in _PYTHON.findall(page.read_text(encoding="utf-8")):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, str(page), "exec"), names)  # the page's own code
        yield out.getvalue()


def numbers(text: str) -> list[float]:
    return [float(number) for number in _NUMBER.findall(text)]


@pytest.mark.parametrize("page", [TUTORIAL, API], ids=lambda page: page.stem)
def test_a_page_prints_what_it_shows(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    shown = _OUTPUT.findall(page.read_text(encoding="utf-8"))
    for expected, found in zip(shown, printed(page), strict=True):
        assert _NUMBER.sub("NUMBER", expected) == _NUMBER.sub("NUMBER", found)
        assert numbers(found) == pytest.approx(numbers(expected), abs=_CLOSE)


def test_the_page_names_all_that_is_public() -> None:
    text = API.read_text(encoding="utf-8")
    assert [name for name in halotheory.worlds.__all__ if f"`{name}`" not in text] == []


def rewrite(page: Path) -> None:
    """Write what the blocks print into the page."""
    texts = iter(list(printed(page)))
    text = _OUTPUT.sub(lambda _: next(texts), page.read_text(encoding="utf-8"))
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    os.chdir(ROOT)
    for each in (TUTORIAL, API):
        rewrite(each)
