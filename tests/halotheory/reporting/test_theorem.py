"""Statements as a page and as an article: whole, safe, and set by LaTeX where there is one."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from halotheory.reporting.theorem import html, latex_article
from halotheory.theorems import verify
from tests.halotheory.reporting.statements import OPEN, made

STATEMENTS = [made("lemma1"), made("theorem4_kto", OPEN)]
VOID = {"meta", "br"}


class _Balanced(HTMLParser):
    """Fails where an element is not closed in order; keeps the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not any(name.startswith("on") or name == "src" for name, _ in attrs)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name == "href" and value]
        self.open += [tag] if tag not in VOID else []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_links_only_into_itself() -> None:
    page = html(STATEMENTS)
    parser = _Balanced()
    parser.feed(page)
    assert parser.open == []
    assert parser.links == ["#lemma1", "#theorem4_kto"]
    assert parser.ids == ["lemma1", "theorem4_kto"]
    assert "<script" not in page


def test_the_page_shows_every_part_of_a_statement() -> None:
    page = html(STATEMENTS[:1])
    for part in (
        "<title>Lemma 1: Contradictory preferences</title>",
        "1 statement, 2 claims: 1 proved, 1 refuted, 0 undecided",
        "For each x with π<sub>ref</sub>(y|x) &gt; 0 &amp; β &gt; 0.",
        "<li>two outputs</li>",
        'rising <b class="refuted">refuted</b>',
        "<i>Reading.</i> &quot;more&quot; means &lt;b&gt;more often&lt;/b&gt;",
        '<span class="proved">proved</span>: exact rewriting',
        "Checked, not proved: both sides: 10 worlds",
        "Boundary: beta star",
        '<td class="number">[0.158, 0.160]</td>',
        '<polyline class="main"',
        "Use λ<sub>D</sub> = λ<sub>U</sub>.",
    ):
        assert part in page, part


def test_both_forms_show_the_conditions_of_a_formula() -> None:
    page, article = html(STATEMENTS[:1]), latex_article(STATEMENTS[:1])
    (shown,) = re.findall(r'<div class="small">for (.*?)</div>', page)
    assert re.sub(r"<.*?>", "", shown) == "t&gt;0"
    assert r"\\*for $t > 0$" in article


def test_what_is_open_says_what_was_tried_and_shows_its_formula_as_text() -> None:
    page = html(STATEMENTS)
    assert '<p class="undecided">open: everything</p>' in page
    assert "y&#x27; &gt; 0" in page


def test_both_forms_have_the_same_claims_and_figures() -> None:
    page, article = html(STATEMENTS), latex_article(STATEMENTS)
    assert page.count('<section class="lemma open ') == article.count(r"\begin{claim}") == 3
    assert page.count("<svg") == article.count(r"\begin{tikzpicture}") == 2
    assert article.isascii()


def test_the_style_is_that_of_the_proof() -> None:
    assert "prefers-color-scheme: dark" in html(STATEMENTS)
    templates = Path(__file__).parents[3] / "halotheory" / "reporting" / "templates"
    texts = {path.name: path.read_text(encoding="utf-8") for path in templates.iterdir()}
    assert [name for name, text in texts.items() if "color-scheme" in text] == ["page.css"]
    assert [name for name, text in texts.items() if "svg .main" in text] == ["figure.css"]


def test_every_verified_formula_is_set_as_one() -> None:
    page = html(verify(["lemma1"]))
    formulas = re.findall(r'<div class="formula">(.*?)</div>', page)
    assert formulas
    assert all(formula.startswith("<math") for formula in formulas)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex with amsmath, longtable and TikZ")
def test_latex_sets_the_article(tmp_path: Path) -> None:
    (tmp_path / "theorems.tex").write_text(latex_article([*verify(["lemma1"]), *STATEMENTS]), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "theorems.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
