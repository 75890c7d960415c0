"""The journal: what was written is found again, whatever a crash left at its end."""

import asyncio
import json
from pathlib import Path

import pytest

from evalkit.errors import EvalkitError
from evalkit.judging.journal import open_journal, request_key
from evalkit.judging.replies import Reply


def add(path: Path, *keys: str) -> None:
    async def all_at_once() -> None:
        with open_journal(path) as journal:
            await asyncio.gather(*(journal.add(key, Reply(content=f"reply {key}")) for key in keys))

    asyncio.run(all_at_once())


def found(path: Path) -> dict[str, str]:
    keys = [f"k{i}" for i in range(300)]
    with open_journal(path) as journal:
        return {key: reply.content for key in keys if (reply := journal.find(key)) is not None}


def test_replies_that_arrive_together_are_all_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal.jsonl"
    add(path, *(f"k{i}" for i in range(200)))
    add(path, "k200")
    assert len(path.read_text().splitlines()) == 201
    assert found(path) == {f"k{i}": f"reply k{i}" for i in range(201)}
    assert path.stat().st_mode & 0o077 == 0  # prompts and replies are their owner's


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_torn_last_line_is_dropped_and_the_next_does_not_join_it(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    add(path, "k0", "k1")
    path.write_bytes(path.read_bytes()[:-cut])
    with open_journal(path) as journal:
        assert journal.dropped == (cut > 1)
    add(path, "k2")
    kept = {"k0": "reply k0", "k2": "reply k2"} | ({"k1": "reply k1"} if cut == 1 else {})
    assert found(path) == kept


@pytest.mark.parametrize("line", [b"\0\0\0\0", b"[]", b"3", b'{"key": "k1"}', b'{"key": [], "reply": {}}', b"\xff\xfe"])
def test_a_line_that_is_no_reply_is_dropped(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    add(path, "k0")
    path.write_bytes(path.read_bytes() + line + b"\n")
    add(path, "k2")
    assert found(path) == {"k0": "reply k0", "k2": "reply k2"}


def test_a_file_that_is_no_journal_is_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    for text in ('{"prompt": "a"}\n{"prompt": "b"}\n', '{"prompt": "a"}', "thesis"):
        path.write_text(text)
        with pytest.raises(EvalkitError, match="not a journal of replies"):
            found(path)
        assert path.read_text() == text
    path.write_text('{"key": "k0", "rep\n{"k')  # what two kills leave, each in the first line of its start
    assert found(path) == {}
    for other in (tmp_path, Path("/dev/null")):
        with pytest.raises(EvalkitError):
            found(other)


def test_the_key_tells_servers_models_prompts_and_settings_apart() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "a"}], "max_tokens": 5}
    keys = [
        request_key("http://a", body),
        request_key("http://b", body),
        *(request_key("http://a", {**body, name: value}) for name, value in (("model", "n"), ("seed", 1))),
        request_key("http://a", {**body, "messages": [{"role": "user", "content": "b"}]}),
    ]
    assert len(set(keys)) == 5
    assert request_key("http://a", dict(reversed(list(body.items())))) == keys[0]


def test_a_line_is_plain_json(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    add(path, "k0")
    assert json.loads(path.read_text()) == {"key": "k0", "reply": {"content": "reply k0"}}
