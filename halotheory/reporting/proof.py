"""A verdict written out as a proof that a referee can read: a page for browsers, an article for LaTeX."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sympy import Expr, Rational

from halotheory import __version__
from halotheory.errors import HaloTheoryError
from halotheory.findings import Finding, Verdict
from halotheory.proving.enclose import sign
from halotheory.proving.saturation import Saturation, saturation
from halotheory.reporting.document import render_article, render_page
from halotheory.reporting.figures import Observed, Panel, panels, witness_points
from halotheory.reporting.implied import implied_value
from halotheory.reporting.report import headline
from halotheory.reporting.typeset import decimal, parsed
from halotheory.source import Source

REQUIRED: Mapping[str, str] = {
    "log_ratio_only": "theta enters the loss only through log pi(y|x) - log pi_ref(y|x), up to a constant free of "
    "theta.",
    "reference_point": "The loss is a function of z = r - E_Q[r] for a distribution Q that is exhibited and whose "
    "weights sum to one; z does not change when the rewards of all outputs are raised alike.",
    "single_value_function": "Every example's term is a v(z) + C with one v for all, a = +1 or -1, and C free of "
    "theta.",
    "non_decreasing": "v is non-decreasing on the whole line.",
    "concave_in_gains": "v is concave on (0, oo).",
    "non_constant": "v is not constant.",
}
"""What the definition asks, by the name of the condition."""

RELAXATIONS: Mapping[str, str] = {
    "class_weights": "v may be scaled by a positive constant per label.",
    "context_indexed_value": "v may depend on a context free of theta, such as an advantage, a margin or a weight.",
    "uniform_reference": "The loss ignores pi_ref and is a HALO if pi_ref is uniform.",
    "estimated_reference_point": "The reference point is an estimate of E_Q[r].",
    "implied_policy": "r is a log-ratio of an implied policy.",
    "label_mixture": "The loss is an expectation, over randomly flipped labels, of a HALO.",
    "mirrored_argument": "For undesirable outputs v is applied to E_Q[r] - r.",
    "detached_weight": "v may be scaled by a positive factor that depends on theta but is detached.",
    "modified_reference": "A HALO for another reference, free of theta, in place of pi_ref.",
    "generalised_link": "r is another increasing function of pi / pi_ref than the logarithm.",
}
"""What each relaxation permits."""

_PARTS = (
    ("implied_reward", "implied reward r"),
    ("normalizer", "normaliser l"),
    ("value_function", "value function v(z)"),
    ("reference_point", "reference point"),
    ("sign", "sign a"),
    ("constant", "constant C"),
)


@dataclass(frozen=True, kw_only=True)
class Number:
    """One entry of a witness.

    Attributes:
        name: what it is.
        text: as the witness says it.
        exact: as an expression, or None where it is prose.
        decimal: at the hyperparameters as set, or None where it cannot be evaluated.
    """

    name: str
    text: str
    exact: Expr | None
    decimal: str | None


@dataclass(frozen=True, kw_only=True)
class Lemma:
    """One condition with all that is known of it.

    Attributes:
        finding: what was found.
        required: what the definition asks.
        found: what was found beyond that.
        witness: its numbers, re-evaluated.
        recheck: what the re-evaluation shows, in one sentence, or None.
    """

    finding: Finding
    required: str
    found: str | None
    witness: Sequence[Number]
    recheck: str | None


@dataclass(frozen=True, kw_only=True)
class Proof:
    """All that the page and the article show.

    Attributes:
        verdict: what was decided.
        headline: the same in one line.
        source: the code of the loss.
        settings: hyperparameters, in words.
        parts: of the construction: name, text, and expression or None.
        lemmas: the conditions in the definition's order.
        relaxations: those that are needed, each with what it permits.
        saturation: what v' tends to, or None where there is no v.
        panels: the figure.
        version: of the checker.
    """

    verdict: Verdict
    headline: str
    source: Source
    settings: str
    parts: Sequence[tuple[str, str, Expr | None]]
    lemmas: Sequence[Lemma]
    relaxations: Sequence[tuple[str, str]]
    saturation: Saturation | None
    panels: Sequence[Panel]
    version: str


def proof_of(verdict: Verdict, source: Source, observed: Observed | None = None) -> Proof:
    """Return a verdict prepared for a reader: typeset, re-evaluated, drawn.

    Args:
        verdict: what was decided.
        source: the code of the loss.
        observed: the loss of one example by its log-ratio, drawn where there is no value function.
    """
    made, values = verdict.construction, verdict.hyperparameters
    texts = [(name, getattr(made, field)) for field, name in _PARTS] if made is not None else []
    return Proof(
        verdict=verdict,
        headline=headline(verdict),
        source=source,
        settings=", ".join(f"{name} = {value:g}" for name, value in values.items()) or "no hyperparameters",
        parts=[(name, text, parsed(text, values)) for name, text in texts],
        lemmas=[_lemma(finding, values) for finding in verdict.conditions],
        relaxations=[(name, RELAXATIONS.get(name, "")) for name in verdict.relaxations],
        saturation=_saturation(verdict),
        panels=panels(verdict, observed),
        version=__version__,
    )


def html(proof: Proof) -> str:
    """Return the proof as one page that needs no network: MathML, inline SVG, light and dark, fit for print."""
    return render_page("proof.html.j2", proof=proof)


def latex_article(proof: Proof) -> str:
    """Return the proof as an article that pdflatex sets with amsmath, amsthm and TikZ."""
    return render_article("proof.tex.j2", proof=proof, version=proof.version)


def _lemma(finding: Finding, hyperparameters: Mapping[str, float]) -> Lemma:
    required = REQUIRED.get(finding.name, finding.name.replace("_", " "))
    same = finding.statement.rstrip(".").lower() == required.rstrip(".").lower()
    return Lemma(
        finding=finding,
        required=required,
        found=None if same else finding.statement,
        witness=[_evaluated(name, text, hyperparameters) for name, text in (finding.witness or {}).items()],
        recheck=_recheck(finding, hyperparameters),
    )


def _evaluated(name: str, text: str, hyperparameters: Mapping[str, float]) -> Number:
    exact = parsed(text.partition(" ~ ")[0], hyperparameters)
    shown = None if exact is None or exact.is_Integer else decimal(_as_set(exact, hyperparameters))
    return Number(name=name, text=text, exact=exact, decimal=shown)


def _as_set(expression: Expr, hyperparameters: Mapping[str, float]) -> Expr:
    known = {str(symbol): symbol for symbol in expression.free_symbols}
    return expression.subs(
        {known[name]: Rational(repr(hyperparameters[name])) for name in known if name in hyperparameters}
    )


def _recheck(finding: Finding, hyperparameters: Mapping[str, float]) -> str | None:
    """Return the inequality that a witness of the shape's conditions violates, evaluated once more."""
    witness = finding.witness or {}
    names = [name for name, _, _ in witness_points(finding, hyperparameters)]
    texts = [witness[key].partition(" ~ ")[0] for name in names for key in (name, f"v({name})")]
    numbers = [
        _as_set(found, hyperparameters) for text in texts if (found := parsed(text, hyperparameters)) is not None
    ]
    if finding.name == "non_decreasing" and len(numbers) == 4:
        (z1, v1, z2, v2), said = numbers, "z1 < z2 and v(z1) - v(z2)"
        order, gap = z2 - z1, v1 - v2
    elif finding.name == "concave_in_gains" and len(numbers) == 6:
        (z1, v1, z2, v2, z3, v3), said = numbers, "2 z2 = z1 + z3 and v(z1) + v(z3) - 2 v(z2)"
        order, gap = z1, v1 + v3 - 2 * v2
        if sign(2 * z2 - z1 - z3) != 0:
            return None
    else:
        return None
    if sign(order) != 1 or sign(gap) != 1:
        return None
    return f"{said} = {decimal(gap, 8)} > 0 at the hyperparameters as set, confirmed by ball arithmetic."


def _saturation(verdict: Verdict) -> Saturation | None:
    if verdict.construction is None:
        return None
    try:
        value = implied_value(verdict)
    except HaloTheoryError:
        return None
    return saturation(value.v, value.settings)
