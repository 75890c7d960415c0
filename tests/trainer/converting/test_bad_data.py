"""One line for each thing that a user of `trainer data` can get wrong; nothing is written."""

import errno
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.conftest import Ended
from tests.trainer.converting.rows import BINARIZED, SHP, assistant, user
from tests.trainer.tiny import write_jsonl

PAIR = {"prompt": "p", "chosen": "a", "rejected": "b"}
THUMB = {"prompt": "p", "completion": "a", "label": True}
SCORED = {"prompt": "p", "completion": "a", "score": 1}
CHAT = {"prompt": [user("p")], "chosen": [assistant("a")], "rejected": [assistant("b")]}

LINES = [
    ('{"prompt": "p", ', "in.jsonl:2: malformed JSON"),
    (
        '{"prompt": "p", "prompt": "q", "chosen": "a", "rejected": "b"}',
        "in.jsonl:2: malformed JSON: the key 'prompt'",
    ),
    ('{"prompt": "p", "chosen": [{"role": "a", "role": "b"}]}', "in.jsonl:2: malformed JSON: the key 'role' is given"),
    ("[1]", "in.jsonl:2: the row is [1] (list); expected an object"),
    ('{"prompt": "p", "chosen": "a"}', "in.jsonl:2: no column 'rejected'; there are: prompt, chosen"),
    ('{"prompt": "p", "chosen": "a", "rejected": null}', "in.jsonl:2: rejected is null; expected text"),
    ('{"prompt": "p", "chosen": "a", "rejected": "\\ud83d"}', "in.jsonl:2: rejected holds half a character"),
    ('{"prompt": "p", "chosen": "a", "rejected": "b", "margin": NaN}', "in.jsonl:2: margin is NaN; expected a finite"),
    ('{"prompt": 1' + "0" * 5000 + "}", "in.jsonl:2: malformed JSON: Exceeds the limit"),
    (json.dumps(CHAT), "in.jsonl:2: the row is chat, and that of in.jsonl:1 is text; give --style chat"),
]


@pytest.mark.parametrize(("line", "message"), LINES, ids=[message[9:50] for _, message in LINES])
def test_a_bad_line(workplace: Path, trainer: Callable[..., Ended], line: str, message: str) -> None:
    (workplace / "in.jsonl").write_text(json.dumps(PAIR) + "\n" + line + "\n")
    check(trainer("data", "--data", "in.jsonl", "--output", "out.jsonl"), message)
    assert not [path for path in workplace.iterdir() if "out" in path.name]


ROWS: list[tuple[dict[str, Any], str, str]] = [
    ({**THUMB, "label": 1}, "", "in.jsonl:1: label is 1 (int); write true or false"),
    ({**THUMB, "weight": 0}, "", "in.jsonl:1: weight is 0 (int); expected a number above 0"),
    (
        {**THUMB, "completion": " "},
        "",
        "no row is left of the 1 that were read: 1 dropped: empty completion",
    ),
    ({**SCORED, "score": float("nan")}, "--to paired", "in.jsonl:1: score is NaN; expected a finite number"),
    ({**SCORED, "score": "5"}, "--to paired", 'in.jsonl:1: score is "5" (str); expected a finite number'),
    ({**SCORED, "score": 10**400}, "--to paired", "in.jsonl:1: score is 1000"),
    ({**SCORED, "group": [1]}, "--to paired", "in.jsonl:1: group is [1] (list); expected text or a whole number"),
    (SCORED, "", "--to is missing: scored rows have scores; give --to paired, or --to unpaired with --threshold"),
    (SCORED, "--to unpaired", "--threshold is missing: scores above it become desirable"),
    (SCORED, "--to paired", "1 dropped: the only answer to its prompt"),
    (THUMB, "--to paired", "1 dropped: the only answer to its prompt"),
    (BINARIZED, "--format paired", "in.jsonl:1: chosen is a conversation and prompt is text"),
]


@pytest.mark.parametrize(("values", "words", "message"), ROWS, ids=[message[:50] for *_, message in ROWS])
def test_a_bad_row(
    workplace: Path, trainer: Callable[..., Ended], values: dict[str, Any], words: str, message: str
) -> None:
    write_jsonl(workplace / "in.jsonl", [values])
    check(trainer("data", "--data", "in.jsonl", "--output", "out.jsonl", *words.split()), message)
    assert not [path for path in workplace.iterdir() if "out" in path.name]


WORDS = [
    ("--data pairs.jsonl --output out.csv", "--output out.csv: unknown kind of file; give a name that ends in .jsonl"),
    ("--data pairs.jsonl", "--output is missing"),
    ("--output out.jsonl", "--data is missing"),
    ("--data pears.jsonl --output out.jsonl", "pears.jsonl: no such file, and no named data set"),
    ("--data pairs.jsonl --output out.jsonl --format pared", "--format pared: no such format; did you mean 'paired'?"),
    ("--data pairs.jsonl --output out.jsonl --format hh --format shp", "--format is given 2 times and --data 1"),
    ("--data pairs.jsonl --output out.jsonl --format shp", "pairs.jsonl:1: no column 'history'; there are: prompt"),
    ("--data pairs.jsonl --output out.jsonl --to thumbs", "--to thumbs: expected auto, paired, unpaired"),
    ("--data pairs.jsonl --output out.jsonl --held-out 1", "--held-out 1.0: must be in (0, 1)"),
    ("--data pairs.jsonl --output out.jsonl --threshold nan", "--threshold nan: expected a number"),
    (
        "--data pairs.jsonl --output out.jsonl --threshold 1",
        "--threshold has no effect here: no thumbs are made",
    ),
    ("--data pairs.jsonl --output out.jsonl --pairs best-worst", "--pairs has no effect here: no pairs are made"),
    ("--data pairs.jsonl --output out.jsonl --lang en", "--lang has no effect here: only oasst rows have a language"),
    ("--data pairs.jsonl --output out.jsonl --signal thumbs", "--signal has no effect here"),
    ("--data pairs.jsonl --output out.jsonl --min-score-ratio 2", "--min-score-ratio has no effect here"),
    ("--data pairs.jsonl --output out.jsonl --keep-desirable 0", "--keep-desirable has no effect here: pairs have no"),
    ("--data thumbs.jsonl --output out.jsonl --max-pairs-per-prompt 2", "--max-pairs-per-prompt has no effect here"),
    ("--data pairs.jsonl --output out.jsonl --split test", "--split has no effect here"),
    (
        "--data pairs.jsonl --data thumbs.jsonl --output out.jsonl",
        "--to is missing: pairs.jsonl is paired",
    ),
    ("--data pairs.jsonl --output out.jsonl --weights 1,2", "--weights 1,2: 2 weights for 1 --data; give one for each"),
    ("--data pairs.jsonl --output out.jsonl --weights x", "--weights x: expected numbers with commas, such as 0.7,0.3"),
    ("--data pairs.jsonl --output out.jsonl --weights 0", "--weights 0: every weight must be a number above 0"),
    ("--data pairs.jsonl --output out.jsonl --size 99", "--size 99: drawn without replacement"),
    ("--data pairs.jsonl --output out.jsonl --held-out 0.0001", "--held-out 0.0001: no prompt of the 24 rows falls"),
    ("--data pairs.jsonl --output out.jsonl --held-out 0.9999", "--held-out 0.9999: every prompt of the 24 rows falls"),
    ("--data empty.jsonl --output out.jsonl", "empty.jsonl: holds no rows; expected at least one"),
    (
        "--data shp.jsonl --output out.jsonl --min-score-ratio 3",
        "1 dropped: score ratio below 3 (the first is shp",
    ),
    ("--data pairs.jsonl --output thumbs.jsonl/out.jsonl", "thumbs.jsonl/out.jsonl: cannot be written"),
    ("--data pairs.jsonl --output model.jsonl", "--output model.jsonl: no regular file"),
    (f"--data pairs.jsonl --output {'o' * 250}.jsonl", "must be a path: names of at most 200 bytes"),
    (f"--data {'p' * 250}.jsonl --output out.jsonl", "ppp.jsonl: must be a path: names of at most 255 bytes"),
    ("--data pairs.jsonl --output out\udcff.jsonl", "--output 'out\\udcff.jsonl': the name is not UTF-8"),
]


@pytest.mark.parametrize(("words", "message"), WORDS, ids=[words for words, _ in WORDS])
def test_bad_words(workplace: Path, trainer: Callable[..., Ended], words: str, message: str) -> None:
    (workplace / "empty.jsonl").touch()
    (workplace / "model.jsonl").mkdir()
    write_jsonl(workplace / "shp.jsonl", [SHP])
    before = sorted(path.name for path in workplace.iterdir())
    check(trainer("data", *words.split()), message)
    assert sorted(path.name for path in workplace.iterdir()) == before


def test_data_whose_name_no_report_can_hold(workplace: Path, trainer: Callable[..., Ended]) -> None:
    try:
        (workplace / "p\udcff.jsonl").write_text(json.dumps(PAIR))
    except OSError:
        pytest.skip("the file system takes UTF-8 alone")
    ended = trainer("data", "--data", "p\udcff.jsonl", "--output", "out.jsonl")
    check(ended, "--data 'p\\udcff.jsonl': the name is not UTF-8; give the file another")


@pytest.mark.parametrize("words", ["--data pairs.jsonl", "--data thumbs.jsonl --to paired"])
def test_a_full_disk_is_named(
    workplace: Path, trainer: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    class Full(io.BytesIO):
        """What a file does whose last bytes wait in a buffer until it is flushed."""

        def flush(self) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def close(self) -> None:
            super().close()
            self.flush()

    monkeypatch.setattr("tempfile.TemporaryFile", lambda dir: Full())  # noqa: A006 - its name there
    ended = trainer("data", *words.split(), "--output", f"{workplace}/out.jsonl")
    check(ended, f"{workplace}: cannot be written: No space left on device; free or choose another place")
    assert not list(workplace.glob("*out*"))


def check(ended: Ended, message: str) -> None:
    assert (ended.status, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line
