"""The written proof: complete, safe from what a loss file says, and set by LaTeX where there is one."""

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from halotheory.checking import check
from halotheory.cli import app
from halotheory.command import run
from halotheory.contract import load_loss
from halotheory.errors import HaloTheoryError
from halotheory.findings import Finding, Status
from halotheory.reporting.observed import observe
from halotheory.reporting.proof import RELAXATIONS, REQUIRED, Proof, html, latex_article, proof_of
from halotheory.source import Source, source_of

ZOO = Path(__file__).parents[1] / "zoo.py"
LOSSES = ["kto", "dpo", "ipo", "sft", "kto_concave", f"{ZOO}:jump_among_gains"]


def prepared(spec: str) -> Proof:
    verdict = check(spec)
    return proof_of(verdict, source_of(spec, verdict.loss), observe(load_loss(spec)))


@pytest.fixture(scope="module")
def proofs() -> dict[str, Proof]:
    return {spec: prepared(spec) for spec in LOSSES}


class _Balanced(HTMLParser):
    """Fails where an element is not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not any(name.startswith("on") for name, _ in attrs)
        self.open += [tag] if tag not in {"meta", "br"} else []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("spec", LOSSES)
def test_the_page_is_well_formed_and_whole_without_a_network(proofs: dict[str, Proof], spec: str) -> None:
    page = html(proofs[spec])
    parser = _Balanced()
    parser.feed(page)
    assert parser.open == []
    assert "<script" not in page
    assert "src=" not in page
    assert "href=" not in page
    for finding in proofs[spec].verdict.conditions:
        assert f"{finding.name.replace('_', ' ')} <b class=" in page


def test_the_page_of_a_halo_shows_code_construction_saturation_and_curves(proofs: dict[str, Proof]) -> None:
    page = html(proofs["kto"])
    assert "desirable_weight * torch.sigmoid(-beta * z)" in page
    assert "<h2>The construction</h2>" in page
    assert page.count("fades</span>") == 2
    assert page.count('<svg viewBox="') == 3
    assert "Kahneman-Tversky (Eq. 4)" in page


def test_the_page_of_another_loss_shows_the_counterexample_re_evaluated(proofs: dict[str, Proof]) -> None:
    page = html(proofs["ipo"])
    assert "<h2>The construction</h2>" not in page
    assert "<h2>The counterexample</h2>" in page
    assert "200 &gt; 0 at the hyperparameters as set, confirmed by ball arithmetic." in page
    sag = next(lemma for lemma in proofs[LOSSES[-1]].lemmas if lemma.finding.name == "concave_in_gains")
    assert sag.recheck is not None
    assert sag.recheck.startswith("2 z2 = z1 + z3 and v(z1) + v(z3) - 2 v(z2) = ")


def test_a_witness_that_is_none_is_not_confirmed(proofs: dict[str, Proof]) -> None:
    wrong = Finding(
        name="non_decreasing",
        status=Status.REFUTED,
        method="",
        statement="",
        witness={"z1": "0", "z2": "1", "v(z1)": "1", "v(z2)": "beta + 1"},
    )
    verdict = replace(proofs["ipo"].verdict, conditions=[wrong])
    assert proof_of(verdict, proofs["ipo"].source).lemmas[0].recheck is None


def test_every_relaxation_and_condition_is_explained(proofs: dict[str, Proof]) -> None:
    assert "mirrored_argument</b>: For undesirable outputs v is applied to" in html(proofs["kto_concave"])
    assert len(REQUIRED) == 6
    assert len(RELAXATIONS) == 10


def test_what_a_file_says_is_text(proofs: dict[str, Proof]) -> None:
    evil = "<script>alert(1)</script>\\end{verbatim}\\input{x} é"
    proof = replace(
        proofs["kto"],
        headline=evil,
        source=Source(path=evil, line=1, code=evil),
        verdict=replace(proofs["kto"].verdict, notes=[evil], loss=evil),
    )
    page, article = html(proof), latex_article(proof)
    assert "<script" not in page
    assert article.count(r"\end{verbatim}") == 1
    assert article.isascii()


def test_the_same_verdict_gives_the_same_bytes(proofs: dict[str, Proof]) -> None:
    again = prepared("dpo")
    assert html(proofs["dpo"]) == html(again)
    assert latex_article(proofs["dpo"]) == latex_article(again)


def test_long_lines_of_code_go_on_in_the_next_line(proofs: dict[str, Proof]) -> None:
    code = "    return " + " + ".join(["policy_logps"] * 20)
    article = latex_article(replace(proofs["kto"], source=Source(path="my_loss.py", line=1, code=code)))
    listing = article.partition("\\begin{verbatim}\n")[2].partition("\n\\end{verbatim}")[0]
    assert [len(line) <= 94 for line in listing.split("\n")] == [True] * 4
    assert "".join(listing.split()) == "".join(code.split())


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex with amsmath and TikZ")
@pytest.mark.parametrize("spec", [*LOSSES, "ppo_clip"])
def test_latex_sets_the_article(proofs: dict[str, Proof], spec: str, tmp_path: Path) -> None:
    proof = proofs[spec] if spec in proofs else prepared(spec)
    (tmp_path / "proof.tex").write_text(latex_article(proof), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "proof.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert [line for line in done.stdout.splitlines() if re.match(r"Overfull \\hbox \((?!\d\.)", line)] == []  # 10 pt


def test_source_is_the_file_where_it_is_short_else_the_function(tmp_path: Path) -> None:
    path = tmp_path / "my_loss.py"
    path.write_text("import torch\n\ndef loss(policy_logps):\n    return -policy_logps\n")
    assert source_of(str(path), "my_loss.py:loss").line == 1
    path.write_text("\n" * 200 + "def loss(policy_logps):\n    return -policy_logps\n")
    found = source_of(f"{path}:loss", "my_loss.py:loss")
    assert (found.line, found.code) == (201, "def loss(policy_logps):\n    return -policy_logps")
    assert source_of("kto", "kto").code.startswith("def kto(")
    with pytest.raises(HaloTheoryError, match="no function 'other'"):
        source_of(str(path), "my_loss.py:other")


def test_the_command_writes_both_and_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my_loss.py"
    path.write_text("def loss(policy_logps, reference_logps):\n    return (reference_logps - policy_logps) ** 2\n")
    words = [str(tmp_path / name) for name in ("proof.html", "proof.tex")]
    assert run(app, HaloTheoryError, ["check", str(path), "--html", words[0], "--latex", words[1]]) == 1
    assert capfd.readouterr().err == f"written: {words[0]}\nwritten: {words[1]}\n"
    assert "The loss of one example" in Path(words[0]).read_text(encoding="utf-8")
    assert run(app, HaloTheoryError, ["check", "dpo", "--html", str(tmp_path / "no" / "a.html")]) == 2
    assert "no such folder" in capfd.readouterr().err
