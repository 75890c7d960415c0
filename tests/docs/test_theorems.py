"""The page on the theorems: what it shows is what the commands find, and it shows all of it."""

import re
import time

import pytest

from docs.theorems import PAGE, TABLES, files, misquoted
from halotheory import theorems
from halotheory.findings import Status
from tests.halotheory.reporting.statements import OPEN, made


@pytest.mark.slow
def test_page_tables_and_figures_are_what_the_commands_find_in_less_than_a_minute() -> None:
    began = time.process_time()
    statements = theorems.verify()
    assert time.process_time() - began < 60  # of this process alone, however busy the machine is
    assert misquoted(PAGE.read_text(encoding="utf-8"), statements) == []
    stale = [path.name for path, text in files(statements).items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "python docs/theorems.py --write"
    assert all(claim.status is not Status.UNDECIDED for statement in statements for claim in statement.claims)


def test_the_page_includes_every_part() -> None:
    parts = re.findall(r"^<!-- begin (\S+) -->$", TABLES.read_text(encoding="utf-8"), re.MULTILINE)
    included = re.findall(r'^:start-after: "<!-- begin (\S+) -->"$', PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    ends = re.findall(r'^:end-before: "<!-- end (\S+) -->"$', PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(included) == sorted(parts)
    assert ends == included


def test_a_status_that_is_not_so_and_a_claim_that_is_not_there_are_found() -> None:
    page = "A (proved: `square`), b (refuted: `square`,\n`rising`), c (proved: `gone`), d (undecided: `hard`)."
    assert misquoted(page, [made(), made("x", OPEN)]) == ["square: refuted", "gone: proved"]


def test_a_part_has_its_tables_quoted_for_markdown() -> None:
    text = files([made()])[TABLES]
    assert (
        '| **refuted** | y<sub>b</sub> has more than y<sub>a</sub>. `rising` | "more" means &lt;b>more often&lt;/b>; '
        "π<sub>ref</sub> > 0 | π<sub>ref</sub>(y<sub>a</sub>) = 1/3, β = every β > 0 |"
    ) in text
    assert "| 1e-6 | \\[0.158, 0.160\\] | left |" in text
    assert "images/theorem4-kto-beta-star.svg" in text
