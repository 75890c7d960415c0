"""A judge's server, files of outputs, and the command."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.evalkit.judging.server import KEY, JudgeServer

Files = tuple[Path, Path]


def words(number: int, count: int) -> str:
    """Return text of its own for each number."""
    return " ".join(f"w{number}-{at}" for at in range(count))


def write_outputs(folder: Path, n: int) -> Files:
    """Write two files of outputs for the same prompts: the first longer for two of three."""
    judged = [{"prompt": f"Question {i}?", "completion": words(i, 3 + 2 * (i % 3))} for i in range(n)]
    against = [{"instruction": f"Question {i}?", "output": "x " + words(i, 4)} for i in reversed(range(n))]
    paths = folder / "judged.jsonl", folder / "against.jsonl"
    for path, rows in zip(paths, (judged, against), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return paths


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture
def serve() -> Iterator[Callable[..., JudgeServer]]:
    """Return a function that starts a server."""
    started: list[JudgeServer] = []

    def start(**options: Any) -> JudgeServer:
        server = JudgeServer(**options).__enter__()
        started.append(server)
        return server

    yield start
    for server in started:
        server.__exit__()


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
