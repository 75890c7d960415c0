"""`trainer data` from a file to a file: what is written, what is reported, what is done again."""

import contextlib
import gzip
import hashlib
import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.trainer.conftest import Ended
from tests.trainer.converting.rows import BINARIZED, FEW, HH, PAIRS, SHP, TEXT, ULTRAFEEDBACK, assistant, tree, user
from tests.trainer.tiny import write_jsonl
from trainer.config import DataConfig
from trainer.converting import convert
from trainer.errors import TrainerError
from trainer.files import locked

Command = Callable[..., Ended]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(path: str | Path) -> list[dict[str, Any]]:
    path = Path(path)
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return pq.read_table(path).to_pylist()
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    return [json.loads(line) for line in text.split("\n")[:-1]]


def pair(prompt: str, chosen: str = "yes", rejected: str = "no", **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **more}


def thumb(prompt: str, completion: str, label: bool, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "completion": completion, "label": label, **more}


def scored(prompt: str, completion: str, score: float, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "completion": completion, "score": score, **more}


PAIR = {"prompt": [user("Q")], "chosen": [assistant("best")]}

CASES: list[tuple[str, list[dict[str, Any]], str, list[dict[str, Any]]]] = [
    (
        "hh to chat",
        [HH],
        "--format hh",
        [
            {
                "prompt": [user("Hi"), assistant("Hello."), user("How?")],
                "chosen": [assistant("Like this.")],
                "rejected": [assistant("No.")],
            }
        ],
    ),
    (
        "shp to text thumbs",
        [SHP],
        "--to unpaired --style text --min-score-ratio 2",
        [
            thumb("\n\nHuman: Why?\n\nAssistant:", " Because.", True),
            thumb("\n\nHuman: Why?\n\nAssistant:", " Dunno.", False),
        ],
    ),
    (
        "oasst ranks",
        tree(),
        "--to paired",
        [
            {**PAIR, "rejected": [assistant("middle")], "margin": 1},
            {**PAIR, "rejected": [assistant("worst")], "margin": 2},
            {"prompt": [user("Q")], "chosen": [assistant("middle")], "rejected": [assistant("worst")], "margin": 1},
        ],
    ),
    (
        "oasst best and worst",
        tree(),
        "--to paired --pairs best-worst",
        [{**PAIR, "rejected": [assistant("worst")], "margin": 2}],
    ),
    (
        "oasst thumbs",
        tree(),
        "--to unpaired --lang en,fr",
        [
            {"prompt": [user("Q")], "completion": [assistant("best")], "label": True},
            {"prompt": [user("Q")], "completion": [assistant("worst")], "label": False},
        ],
    ),
    (
        "oasst quality",
        tree(),
        "--to unpaired --signal quality --threshold 0.5 --style text",
        [
            thumb("\n\nHuman: Q\n\nAssistant:", " best", True, weight=pytest.approx(0.4)),
            thumb("\n\nHuman: Q\n\nAssistant:", " worst", False, weight=pytest.approx(0.4)),
        ],
    ),
    (
        "ultrafeedback to pairs",
        [ULTRAFEEDBACK],
        "--format ultrafeedback --to paired --style text --pairs best-worst",
        [pair("\n\nHuman: Add 2 and 3.\n\nAssistant:", " 5", " 6", margin=3.0)],
    ),
    (
        "ultrafeedback, overall, to thumbs",
        [ULTRAFEEDBACK],
        "--to unpaired --style text --signal overall --threshold 8",
        [thumb("\n\nHuman: Add 2 and 3.\n\nAssistant:", " 6", True, weight=1.0)],
    ),
    (
        "ultrafeedback binarized",
        [BINARIZED],
        "--format ultrafeedback --style text",
        [pair("\n\nHuman: Add 2 and 3.\n\nAssistant:", " 5", " 6", margin=4.5)],
    ),
    ("pairs to thumbs", [pair("p", margin=2)], "--to unpaired", [thumb("p", "yes", True), thumb("p", "no", False)]),
    (
        "thumbs to pairs, the prompts apart",
        [thumb("p", "a", False), thumb("q", "b", True), thumb("p", "c", True), thumb("p", "d", True)],
        "--to paired",
        [pair("p", "c", "a"), pair("p", "d", "a")],
    ),
    (
        "scores to pairs",
        [scored("p", "a", 1), scored("p", "b", 3.5)],
        "--to paired",
        [pair("p", "b", "a", margin=2.5)],
    ),
    (
        "scores that are whole numbers of any size",
        [scored("p", "a", 0), scored("p", "b", 2**60 + 1), scored("q", "a", 10**299), scored("q", "b", 1)],
        "--to paired",
        [pair("p", "b", "a", margin=2.0**60), pair("q", "a", "b", margin=1e299)],
    ),
    (
        "weights that are whole numbers of any size",
        [thumb("p", "a", True, weight=2**60 + 1), thumb("p", "b", False, weight=1)],
        "",
        [thumb("p", "a", True, weight=2.0**60), thumb("p", "b", False, weight=1.0)],
    ),
    (
        "scores to pairs within groups",
        [scored("p", "a", 1, group="x"), scored("p", "b", 3, group=2), scored("p", "c", 4, group="x")],
        "--to paired",
        [pair("p", "c", "a", margin=3)],
    ),
    (
        "a weight is kept",
        [thumb("p", "a", True, weight=0.5, source="x")],
        "",
        [thumb("p", "a", True, weight=0.5)],
    ),
    (
        "text to chat",
        [pair("p", " a")],
        "--style chat",
        [{"prompt": [user("p")], "chosen": [assistant("a")], "rejected": [assistant("no")]}],
    ),
    ("equal rows", [pair("p"), pair("q"), pair("p")], "--dedupe", [pair("p"), pair("q")]),
    ("the first rows", [pair("p"), pair("q"), pair("r")], "--limit 2", [pair("p"), pair("q")]),
    ("no desirable rows", [pair("p")], "--to unpaired --keep-desirable 0", [thumb("p", "no", False)]),
]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet"])
@pytest.mark.parametrize(("values", "words", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_written(
    place: Path, trainer: Command, suffix: str, values: list[dict[str, Any]], words: str, expected: list[dict[str, Any]]
) -> None:
    write_jsonl(place / "in.jsonl", values)
    ended = trainer("data", "--from", "in.jsonl", "--output", f"out{suffix}", *words.split())
    assert (ended.status, ended.stdout) == (0, f"out{suffix}\n"), ended.stderr
    assert read(f"out{suffix}") == expected
    check_report(place / f"out{suffix}", len(values))


def check_report(output: Path, rows: int) -> None:
    """Check that the counts add up from step to step."""
    report = json.loads(output.with_name(output.name + ".report.json").read_text())
    steps = report["steps"]
    assert steps[0]["rows"] == rows
    for step in steps:
        assert step["rows"] == step["used"] + sum(one["rows"] for one in step["dropped"])
    for before, after in pairwise(steps):
        assert after["rows"] == before["made"]
    written = report["written"][0]
    assert written["rows"] == steps[-1]["made"] == len(read(output))
    assert written["sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
    for one in report["written"]:
        assert one["rows"] == (one["desirable"] or 0) + (one["undesirable"] or 0) or report["format"] == "paired"


def test_parquet_folders_and_json_are_read_alike(place: Path, trainer: Command) -> None:
    rows = [pair(f"p{at}") for at in range(5)]
    write_jsonl(place / "in.jsonl", rows)
    (place / "folder" / "data").mkdir(parents=True)
    assert trainer("data", "--data", "in.jsonl", "--output", "folder/data/train-0.parquet").status == 0
    (place / "in.json").write_text(json.dumps(rows))
    (place / "folder" / "data" / "test-0.jsonl").write_text("broken")
    for name in ("folder", "in.json"):
        assert trainer("data", "--data", name, "--output", f"{name}.out.jsonl").status == 0
        assert read(f"{name}.out.jsonl") == rows


def test_the_report_names_each_reason_and_its_first_place(place: Path, trainer: Command) -> None:
    rows = [pair("p"), pair("q", chosen=" "), pair("r", rejected=""), pair("s", chosen="\n", id=7)]
    write_jsonl(place / "in.jsonl", rows)
    ended = trainer("data", "--data", "in.jsonl", "--to", "unpaired", "--output", "out.jsonl", "--json")
    report = json.loads(ended.stdout)
    assert report == json.loads((place / "out.jsonl.report.json").read_text())
    assert report["steps"][1]["dropped"] == [
        {"reason": "empty chosen", "rows": 2, "first": "in.jsonl:2"},
        {"reason": "empty rejected", "rows": 1, "first": "in.jsonl:3"},
    ]
    assert report["columns_left_out"] == {"in.jsonl": ["id"]}
    assert {name: report["written"][0][name] for name in ("rows", "desirable", "undesirable", "prompts")} == {
        "rows": 2,
        "desirable": 1,
        "undesirable": 1,
        "prompts": 1,
    }
    assert ended.stderr.splitlines() == [
        "data: read in.jsonl as paired: 4 in, 4 out",
        "data: leave out empty answers: 4 in, 1 out",
        "data:   2 dropped: empty chosen; the first is in.jsonl:2",
        "data:   1 dropped: empty rejected; the first is in.jsonl:3",
        "data: pairs to thumbs: 1 in, 2 out",
        "data: in.jsonl: columns left out: id",
        "data: out.jsonl: 2 rows, 1 desirable, 1 undesirable, 1 prompts, 1 of them with several rows (unpaired, text)",
    ]


def test_what_messages_have_besides_is_left_out_and_said(place: Path, trainer: Command) -> None:
    row = {"prompt": [{**user("p"), "name": "Ann"}], "chosen": [assistant("a")], "rejected": [assistant("b")]}
    write_jsonl(place / "in.jsonl", [row])
    ended = trainer("data", "--data", "in.jsonl", "--output", "out.jsonl")
    assert "data: in.jsonl: columns left out: prompt[].name" in ended.stderr
    assert read("out.jsonl") == [{**row, "prompt": [user("p")]}]


ALL = "--to unpaired --dedupe --one-per-prompt --keep-desirable 0.5 --shuffle --limit 30 --held-out 0.4"


def many(count: int, prefix: str = "p") -> list[dict[str, Any]]:
    return [pair(f"{prefix}{at // 2}", f"good {at}", f"bad {at}") for at in range(count)]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet"])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(place: Path, trainer: Command, suffix: str) -> None:
    write_jsonl(place / "in.jsonl", many(160))
    for folder, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        words = ("--data", "in.jsonl", "--seed", seed, "--output", f"{folder}/out{suffix}", *ALL.split())
        assert trainer("data", *words).status == 0
    names = sorted(path.name for path in (place / "a").iterdir())
    assert names == sorted([f"out{suffix}", f"out.held-out{suffix}", f"out{suffix}.report.json"])
    for name in names:
        assert (place / "a" / name).read_bytes() == (place / "b" / name).read_bytes()
        assert (place / "a" / name).read_bytes() != (place / "c" / name).read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(PAIRS, st.floats(0.05, 0.95), st.integers(0, 3))
def test_no_prompt_is_on_both_sides_and_no_row_is_lost(
    place: Path, values: list[dict[str, Any]], share: float, seed: int
) -> None:
    write_jsonl(place / "in.jsonl", values)
    config = DataConfig(data=("in.jsonl",), output="out.jsonl", held_out=share, seed=seed)
    with contextlib.suppress(TrainerError):  # one side is empty
        (place / "out.jsonl").unlink(missing_ok=True)
        (place / "out.held-out.jsonl").unlink(missing_ok=True)
        convert(config, overwrite=True)
    if not (place / "out.jsonl").exists():
        assert not (place / "out.held-out.jsonl").exists()
        return
    kept, held = read("out.jsonl"), read("out.held-out.jsonl")
    assert not {one["prompt"] for one in kept} & {one["prompt"] for one in held}
    assert [one for one in values if one in kept] == kept
    assert len(kept) + len(held) == len(values)


def test_conversations_with_one_opening_stay_on_one_side_in_every_form(place: Path, trainer: Command) -> None:
    rows = []
    for at in range(40):
        first = f"question {at}"
        rows += [
            {"prompt": [user(first)], "completion": [assistant("a")], "label": True},
            {"prompt": [user(first), assistant("a"), user("b")], "completion": [assistant("c")], "label": False},
        ]
    write_jsonl(place / "in.jsonl", rows)
    held = {}
    for style in ("chat", "text"):
        words = ("--data", "in.jsonl", "--style", style, "--held-out", "0.3", "--output", f"{style}.jsonl")
        assert trainer("data", *words).status == 0
        prompts = [json.dumps(one["prompt"]) for one in read(f"{style}.held-out.jsonl")]
        held[style] = Counter(int(number) for one in prompts for number in re.findall(r"question (\d+)", one))
    assert held["chat"] == held["text"]
    assert set(held["chat"].values()) == {2}
    assert 4 <= len(held["chat"]) <= 20


def test_a_mixture_has_the_shares_that_are_asked_for(place: Path, trainer: Command) -> None:
    write_jsonl(place / "a.jsonl", many(60, "a"))
    write_jsonl(place / "b.jsonl", [thumb(f"b{at}", "x", True) for at in range(10)])
    words = ("--data", "a.jsonl", "--data", "b.jsonl", "--to", "unpaired", "--weights", "0.75,0.25")
    assert trainer("data", *words, "--output", "out.jsonl").status == 0
    rows = read("out.jsonl")
    assert [sum(one["prompt"].startswith(name) for one in rows) for name in "ab"] == [30, 10]
    assert len({json.dumps(one) for one in rows}) == 40
    assert trainer("data", *words, "--size", "8", "--output", "8.jsonl").status == 0
    assert [one["prompt"][0] for one in read("8.jsonl")] == ["a"] * 6 + ["b"] * 2
    ended = trainer("data", *words, "--size", "80", "--output", "80.jsonl")
    assert ended.status == 2
    assert (
        "--size 80: drawn without replacement in these shares, sources of 120, 10 rows give at most 40" in ended.stderr
    )


def test_at_most_so_many_pairs_of_a_post(place: Path, trainer: Command) -> None:
    posts = [{**SHP, "history": f"post {at % 3}", "human_ref_A": f"a {at}"} for at in range(12)]
    write_jsonl(place / "in.jsonl", posts)
    words = ("--data", "in.jsonl", "--max-pairs-per-prompt", "2", "--style", "text", "--to", "unpaired")
    assert trainer("data", *words, "--output", "out.jsonl").status == 0
    good = [one for one in read("out.jsonl") if one["label"]]
    assert sorted(one["prompt"] for one in good) == sorted(
        f"\n\nHuman: post {at}\n\nAssistant:" for at in (0, 1, 2) * 2
    )


def test_rerunning_does_nothing_and_another_command_is_refused(place: Path, trainer: Command) -> None:
    write_jsonl(place / "in.jsonl", many(10))
    words = ("data", "--data", "in.jsonl", "--output", "out.jsonl", "--held-out", "0.5")
    assert trainer(*words).status == 0
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in place.iterdir()}
    again = trainer(*words)
    assert (again.status, again.stdout) == (0, "out.jsonl\n")
    assert again.stderr == "out.jsonl: these rows are finished\n"
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in place.iterdir()} == before
    other = trainer(*words, "--shuffle", "--seed", "3")
    assert other.status == 2
    assert "holds rows of another configuration (shuffle, seed changed); give another --output" in other.stderr
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in place.iterdir()} == before


def test_changed_data_and_changed_rows_are_noticed(place: Path, trainer: Command) -> None:
    write_jsonl(place / "in.jsonl", many(10))
    words = ("data", "--data", "in.jsonl", "--output", "out.jsonl")
    assert trainer(*words).status == 0
    write_jsonl(place / "in.jsonl", many(11))
    assert "(the data changed)" in trainer(*words).stderr
    assert trainer(*words, "--overwrite").status == 0
    assert len(read("out.jsonl")) == 11
    (place / "out.jsonl").write_text("{}\n")
    assert "out.jsonl: was changed since it was written" in trainer(*words).stderr
    (place / "out.jsonl").unlink()
    assert trainer(*words).status == 0
    assert len(read("out.jsonl")) == 11


def test_overwriting_removes_held_out_rows_of_the_older_command(place: Path, trainer: Command) -> None:
    write_jsonl(place / "in.jsonl", many(20))
    words = ("data", "--data", "in.jsonl", "--output", "out.jsonl")
    assert trainer(*words, "--held-out", "0.5").status == 0
    assert (place / "out.held-out.jsonl").exists()
    assert trainer(*words, "--overwrite").status == 0
    assert not (place / "out.held-out.jsonl").exists()
    assert len(read("out.jsonl")) == 20


def test_a_command_killed_before_its_rows_have_their_name_can_be_given_again(
    place: Path, trainer: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report is there first: rows without one would be taken for those of another origin, for ever."""
    write_jsonl(place / "in.jsonl", many(20))
    words = ("data", "--data", "in.jsonl", "--output", "out.jsonl", "--held-out", "0.5")
    renamed: list[Path] = []

    def killed_at(count: int) -> None:
        real = Path.replace

        def replace(path: Path, target: Path) -> Path:
            if "report" not in target.name:
                renamed.append(target)
                if len(renamed) == count:
                    raise KeyboardInterrupt
            return real(path, target)

        renamed.clear()
        monkeypatch.setattr(Path, "replace", replace)
        assert trainer(*words).status == 130
        monkeypatch.setattr(Path, "replace", real)

    for count in (1, 2):
        killed_at(count)
        assert sum(path.exists() for path in renamed) == count - 1
        assert (place / "out.jsonl.report.json").exists()
    assert trainer(*words).status == 0
    assert len(read("out.jsonl")) + len(read("out.held-out.jsonl")) == 20
    assert "these rows are finished" in trainer(*words).stderr


def test_rows_are_written_through_a_link(place: Path, trainer: Command) -> None:
    write_jsonl(place / "in.jsonl", many(4))
    (place / "far").mkdir()
    (place / "link.jsonl").symlink_to(Path("far") / "out.jsonl")
    words = ("data", "--data", "in.jsonl", "--output", "link.jsonl")
    assert trainer(*words).stdout == "link.jsonl\n"
    assert (place / "link.jsonl").is_symlink()
    assert read("far/out.jsonl") == many(4)
    assert "these rows are finished" in trainer(*words).stderr
    assert sorted(path.name for path in (place / "far").iterdir()) == ["out.jsonl", "out.jsonl.report.json"]


def test_two_processes_do_not_write_one_file(place: Path, trainer: Command) -> None:
    write_jsonl(place / "in.jsonl", many(4))
    with locked(place / "out.jsonl"):
        ended = trainer("data", "--data", "in.jsonl", "--output", "out.jsonl")
    assert (ended.status, "out.jsonl: another process (PID " in ended.stderr) == (2, True)
    assert [path.name for path in place.iterdir()] == ["in.jsonl"]


def test_files_of_other_origin_are_not_replaced(place: Path, trainer: Command) -> None:
    write_jsonl(place / "in.jsonl", many(4))
    (place / "mine.jsonl").write_text("precious")
    ended = trainer("data", "--data", "in.jsonl", "--output", "mine.jsonl")
    assert ended.stderr == "error: mine.jsonl: exists, and has no report; give another --output, or --overwrite\n"
    assert (place / "mine.jsonl").read_text() == "precious"
    ended = trainer("data", "--data", "in.jsonl", "--output", "in.jsonl", "--overwrite")
    assert "--output in.jsonl: in.jsonl is the data; give another --output" in ended.stderr
    assert len(read("in.jsonl")) == 4


def test_an_interrupted_command_leaves_no_file(place: Path) -> None:
    write_jsonl(place / "ok.jsonl", many(50000))
    program = "import sys; from trainer.cli import main; sys.exit(main())"
    words = ["data", "--data", "ok.jsonl", "--to", "unpaired", "--output", "out/out.jsonl"]
    process = subprocess.Popen([sys.executable, "-c", program, *words], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (place / "out").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "interrupted" in said
    assert list((place / "out").iterdir()) == []


@pytest.mark.slow
def test_memory_does_not_grow_with_the_text(place: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc on this system")
    program = (
        "import sys; from trainer.cli import main; status = main(); "
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0], file=sys.stderr); sys.exit(status)"
    )
    peaks = []
    for size in (10, 4000):
        write_jsonl(place / "in.jsonl", (pair(f"p{at}", "x" * size, "y" * size) for at in range(20000)))
        words = ["data", "--data", "in.jsonl", "--to", "unpaired", "--shuffle", "--dedupe", "--output", f"{size}.jsonl"]
        ended = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
        peaks.append(int(ended.stderr.splitlines()[-1]) / 1024)
    assert peaks[1] < peaks[0] + 20  # MiB, for 160 MB of text


def test_long_lines_and_every_character_pass(place: Path, trainer: Command) -> None:
    rows = [pair("\u2028 \x00 😀 \\n", "x" * 200_000, "y")]
    write_jsonl(place / "in.jsonl", rows)
    assert trainer("data", "--data", "in.jsonl", "--output", "out.jsonl").status == 0
    assert [json.loads(line) for line in (place / "out.jsonl").read_text(encoding="utf-8").split("\n")[:-1]] == rows


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.lists(st.fixed_dictionaries({"prompt": FEW, "chosen": TEXT, "rejected": TEXT}), min_size=1, max_size=8))
def test_pairs_to_thumbs_to_pairs_gives_back_every_pair(place: Path, values: list[dict[str, Any]]) -> None:
    write_jsonl(place / "in.jsonl", values)
    convert(DataConfig(data=("in.jsonl",), output="thumbs.jsonl", to="unpaired"), overwrite=True)
    convert(DataConfig(data=("thumbs.jsonl",), output="pairs.jsonl", to="paired"), overwrite=True)
    again = read("pairs.jsonl")
    assert all(one in again for one in values)


def test_the_rows_train(workplace: Path, trainer: Command) -> None:
    ended = trainer("data", "--data", "pairs.jsonl", "--to", "unpaired", "--shuffle", "--output", "made.jsonl")
    assert ended.status == 0
    words = ("--model", "model", "--data", "made.jsonl", "--output", "run", "--max-steps", "1", "--batch-size", "4")
    assert trainer("align", "--loss", "kto", *words).status == 0
