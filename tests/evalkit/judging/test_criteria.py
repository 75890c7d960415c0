"""Criteria: the built-in ones, and those in files."""

from pathlib import Path

import pytest

from evalkit.errors import EvalkitError
from evalkit.judging.criteria import CRITERIA, Criterion, find_criteria


def test_the_papers_criterion_asks_to_pick_one_and_the_others_allow_ties() -> None:
    assert {name: criterion.ties for name, criterion in CRITERIA.items()} == {
        "paper": False,
        "helpfulness": True,
        "harmlessness": True,
        "conciseness": True,
    }
    assert all(name == criterion.name for name, criterion in CRITERIA.items())


def test_a_file_is_a_question_or_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "wit.txt").write_text("Which response is wittier? {first}\n")
    (tmp_path / "kind.yaml").write_text("question: Which is kinder?\nname: kindness\nties: false\n")
    found = find_criteria([str(tmp_path / "wit.txt"), str(tmp_path / "kind.yaml")])
    assert found == [
        Criterion(name="wit", question="Which response is wittier? {first}", ties=True),
        Criterion(name="kindness", question="Which is kinder?", ties=False),
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "  \n", "no question"),
        ("a.yaml", "- a\n", "expected a mapping"),
        ("a.yaml", "question: [a\n", "cannot be read"),
        ("a.yaml", "question: a\ntie: true\n", "unknown key 'tie'"),
        ("a.yaml", "question: a\nties: perhaps\n", "`ties` is true or false"),
        ("a.yaml", "name: a\n", "no question"),
    ],
)
def test_a_bad_file_is_one_line(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(EvalkitError, match=message) as error:
        find_criteria([str(tmp_path / name)])
    assert "\n" not in str(error.value)
