"""Statements as text: what a referee is told, in which order, and what is left out where nobody asked."""

import pytest

from halotheory.reporting.derivation import named, render, summary, tally
from halotheory.reporting.report import show
from tests.halotheory.reporting.statements import OPEN, made


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.strip() for line in capsys.readouterr().out.splitlines()]


def test_a_derivation_numbers_its_steps_and_says_what_decided_each(capsys: pytest.CaptureFixture[str]) -> None:
    show(render(made()))
    told = lines(capsys)
    at = told.index("steps      1 Multiply out.")
    assert told[at + 1 : at + 3] == ["2 As it stands.", "(t + 1)**2 = t**2 + 2*t + 1"]
    assert told[at + 3 : at + 5] == ["for t > 0", "proved: exact rewriting"]
    assert told[at + 5] == "trials     both sides: 10 worlds, largest error 1.0e-16 <= 1e-12"


def test_a_refutation_is_told_with_reading_assumption_and_witness(capsys: pytest.CaptureFixture[str]) -> None:
    show(render(made()))
    told = lines(capsys)
    at = told.index("refuted    rising")
    assert told[at + 1 : at + 5] == [
        "y_b has more than y_a.",
        'reading    "more" means <b>more often</b>',
        "assuming   pi_ref > 0",
        "witness    pi_ref(y_a) = 1/3, beta = every beta > 0",
    ]


def test_without_steps_method_and_witness_remain(capsys: pytest.CaptureFixture[str]) -> None:
    show(render(made(), steps=False))
    told = lines(capsys)
    assert "method     exact rewriting" in told
    assert "witness    pi_ref(y_a) = 1/3, beta = every beta > 0" in told
    assert not any("Multiply out." in line or "worlds" in line for line in told)


def test_a_boundary_is_a_table_whose_gaps_stay_empty(capsys: pytest.CaptureFixture[str]) -> None:
    show(render(made()))
    told = [line.split() for line in lines(capsys)]
    assert ["points", "q", "beta_star", "side"] in told
    assert ["1e-6", "[0.158,", "0.160]", "left"] in told
    assert ["points", "case", "m", "n"] in told
    assert ["all", "1"] in told
    assert ["tends", "to", "beta_star", "->", "0", "as", "q", "->", "0"] in told


def test_the_summary_has_one_line_per_claim_with_its_reading(capsys: pytest.CaptureFixture[str]) -> None:
    show(summary([made("lemma1"), made("theorem3", OPEN)]))
    told = lines(capsys)
    assert told[0] == "lemma1  Contradictory preferences"
    assert 'refuted   y_b has more than y_a. ("more" means <b>more often</b>)' in told
    assert "undecided  There are infinitely many twin primes." in told
    assert sum(line.startswith("boundary") for line in told) == 4


def test_the_tally_counts_claims() -> None:
    assert tally([made(), made("x", OPEN)]) == "2 statements, 3 claims: 1 proved, 1 refuted, 1 undecided"
    assert tally([made("x", OPEN)]) == "1 statement, 1 claim: 0 proved, 0 refuted, 1 undecided"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lemma1", "Lemma 1"),
        ("theorem4_kto", "Theorem 4, KTO"),
        ("kl_estimate", "KL estimate"),
        ("proposition2", "Proposition 2"),
    ],
)
def test_statements_are_named_as_in_a_paper(name: str, expected: str) -> None:
    assert named(made(name)) == expected
