"""Tables: nothing is lost in a narrow terminal."""

import io

import pytest

from evalkit.tables import difference_cells, p_cell, percent, print_table

HEADER = ("benchmark", "run - baseline", "difference", "95% interval", "p (Holm)")
ROW = ("mmlu", "a-rather-long-name-of-a-run - another", "+0.0152", "[+0.0070, +0.0235]", "0.0006 *")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", ["20", "80", "200"])
def test_every_cell_is_there_however_narrow_the_terminal(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    print_table(stream, "Differences", HEADER, [ROW])
    shown = stream.getvalue()
    for cell in (*HEADER[2:], *ROW[2:], "mmlu", "another"):
        assert cell in shown


def test_a_pipe_gets_plain_columns() -> None:
    stream = io.StringIO()
    print_table(stream, "", ("a", "b"), [("1", "22"), ("333", "4")])
    assert stream.getvalue() == "a    b\n1    22\n333  4\n"


def test_numbers_as_people_write_them() -> None:
    assert (percent(0.95), percent(0.9875), percent(0.99)) == ("95%", "0.9875", "99%")
    assert (p_cell(0.00001), p_cell(0.05)) == ("<0.0001", "0.0500")


def test_a_difference_of_zero_has_no_minus() -> None:
    cells = difference_cells({"difference": -0.0, "interval": (-1e-9, 0.1), "wins": 0, "losses": 0})
    assert cells == ("+0.0000", "[+0.0000, +0.1000]", "0:0")
