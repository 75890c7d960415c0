"""Verdicts as text: what a reader of the terminal is told."""

from dataclasses import make_dataclass, replace

import pytest

from halotheory.catalogue import Entry, catalogue
from halotheory.checking import check
from halotheory.findings import Finding, Status
from halotheory.reporting.report import render, show, summary


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_a_halo_is_told_with_its_construction_and_what_its_slope_tends_to(capsys: pytest.CaptureFixture[str]) -> None:
    show(render(check("kto")))
    text = printed(capsys)
    assert text.startswith("kto is a human-aware loss, strictly\n")
    assert "value function v(z)  1/(1 + exp(-beta*z))\n" in text
    assert "slope v'(z)          -> 0 as z -> +oo, -> 0 as z -> -oo: gradients saturate on both sides\n" in text


def test_a_refuted_condition_is_told_with_statement_witness_and_method(capsys: pytest.CaptureFixture[str]) -> None:
    show(render(check("ipo")))
    lines = printed(capsys).splitlines()
    at = next(i for i, line in enumerate(lines) if "refuted" in line)
    assert [line.split("  ")[-1].strip() for line in lines[at : at + 3]] == [
        "v falls: z1 < z2, but v(z1) > v(z2)",
        next(line for line in lines if "z1 = " in line).strip(),
        "evaluated exactly",
    ]


def test_the_guilty_part_and_the_remedy_follow_where_they_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    told = make_dataclass("Told", [("guilty", str), ("remedy", str)], bases=(Finding,), frozen=True, kw_only=True)
    finding = told(
        name="concave_in_gains",
        status=Status.REFUTED,
        method="evaluated exactly",
        statement="v sags",
        witness={"z1": "1"},
        guilty="-log(1 - sigmoid(z))",
        remedy="becomes a HALO if it is written 1 - sigmoid(z)",
    )
    show(render(replace(check("ipo"), conditions=[finding])))
    text = printed(capsys)
    assert "fails in: -log(1 - sigmoid(z))\n" in text
    assert "remedy: becomes a HALO if it is written 1 - sigmoid(z)\n" in text


def test_what_could_not_be_checked_has_its_line_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    [dpo] = catalogue(["dpo"])
    show(summary([dpo, Entry(loss="odd", kind="token", verdict=None, error="no such operation")]))
    text = printed(capsys)
    assert "odd   token   could not be checked  no such operation" in text
    assert dpo.as_dict()["kind"] == "paired"


def test_a_fault_of_the_checker_costs_one_line_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise TypeError("no such comparison")

    monkeypatch.setattr("halotheory.catalogue.check", fails)
    [entry] = catalogue(["dpo"])
    assert entry.as_dict() == {
        "loss": "dpo",
        "kind": "paired",
        "error": "the checker failed, which is a fault of its own: TypeError: no such comparison",
    }
