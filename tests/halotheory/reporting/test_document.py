"""Prose for LaTeX and for browsers: quoted, with the letters and subscripts that mathematics has."""

import pytest

from halotheory.reporting.document import html_prose, latex_text


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("class_weights & 50% of {x}", r"class\_\allowbreak{}weights \& 50\% of \{x\}"),
        ("log pi_ref -> -oo", r"log $\pi_{\text{ref}}$ $\to$ $-$$\infty$"),
        ("E_{pi_ref}[q] > E_pi[q]", r"$E_{\text{$\pi_{\text{ref}}$}}$[q] \textgreater{} $E_\pi$[q]"),
        ("a*b", r"a*\allowbreak{}b"),
        ("E_Q[r]", "$E_Q$[r]"),
        ("beta >= 1, y_a", r"$\beta$ $\ge$ 1, $y_a$"),
        ("p^(1/beta) x^2", r"p\textsuperscript{1/$\beta$} x\textsuperscript{2}"),
        ("log-ratio -u (-1)", "log-ratio $-$u ($-$1)"),
        ("café", "cafe"),
    ],
)
def test_prose_is_quoted_for_latex(text: str, quoted: str) -> None:
    assert latex_text(text) == quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pi_ref(y_a) < 1 - p", "π<sub>ref</sub>(y<sub>a</sub>) &lt; 1 − p"),
        ("class_weights", "class_weights"),
        ("E_{pi_ref}[q] > E_pi[q]", "E<sub>π<sub>ref</sub></sub>[q] &gt; E<sub>π</sub>[q]"),
        ("alphabet, beta_dpo, lambda_D", "alphabet, beta_dpo, λ<sub>D</sub>"),
        ("<b>", "&lt;b&gt;"),
        ("p^(1/beta) (-x)^2 --no-steps", "p<sup>1/β</sup> (−x)<sup>2</sup> --no-steps"),
    ],
)
def test_prose_is_quoted_for_browsers(text: str, shown: str) -> None:
    assert html_prose(text) == shown
