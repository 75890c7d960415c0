"""What is drawn of a verdict: the right numbers, the right labels, the same bytes."""

from xml.etree import ElementTree

import numpy as np
import pytest

from halotheory.checking import check
from halotheory.contract import load_loss
from halotheory.findings import Status
from halotheory.reporting.drawing import svg, tikz
from halotheory.reporting.figures import Panel, panels, witness_points
from halotheory.reporting.observed import observe


def _weights(loss: str, **settings: float) -> dict[str, np.ndarray]:
    drawn = panels(check(loss, settings=settings))
    return {curve.name: curve.y for curve in drawn[2].curves}


def test_kto_is_drawn_beside_humans_with_the_weights_of_equation_8() -> None:
    value, slope, weight = panels(check("kto", settings={"beta": 1.0}))
    assert [curve.name for curve in value.curves] == ["Kahneman-Tversky (Eq. 4), scaled to fit", "kto"]
    z = slope.curves[0].x
    sigmoid = 1 / (1 + np.exp(-z))
    assert np.allclose(slope.curves[0].y, sigmoid * (1 - sigmoid))
    assert np.allclose(value.curves[1].y, sigmoid - 0.5)
    assert [curve.name for curve in weight.curves] == ["desirable", "undesirable"]


def test_class_weights_and_mirrored_arguments_reach_the_gradient_weights() -> None:
    plain, weighted = _weights("kto"), _weights("kto", desirable_weight=3.0)
    assert np.allclose(weighted["desirable"], 3 * plain["desirable"])
    assert np.allclose(weighted["undesirable"], plain["undesirable"])
    concave = _weights("kto_concave", beta=1.0)
    assert np.allclose(concave["desirable"], concave["undesirable"][::-1])
    assert concave["desirable"][0] > 0.9 > 0.1 > concave["desirable"][-1]


def test_both_outputs_of_a_pair_weigh_beta_times_the_slope() -> None:
    [(name, weights)] = _weights("dpo", beta=0.5).items()
    assert name == "chosen and rejected"
    assert weights[0] == pytest.approx(0.5, rel=0.01)


def test_a_value_function_with_a_context_is_drawn_for_one_that_is_named() -> None:
    value, slope, _ = panels(check("ppo_clip"))
    assert value.title == "Value at advantage = 1"
    z = slope.curves[0].x
    assert np.allclose(slope.curves[0].y, z <= 1.2)


def test_a_counterexample_is_drawn_where_its_numbers_say() -> None:
    verdict = check("ipo")
    refuted = next(finding for finding in verdict.conditions if finding.status is Status.REFUTED)
    points = witness_points(refuted, verdict.hyperparameters)
    panel, loss = panels(verdict, observe(load_loss("ipo")))
    assert list(panel.points) == points
    (_, z1, v1), (_, z2, v2) = points
    assert z1 < z2
    assert v1 > v2
    assert loss.curves[0].y.min() == pytest.approx(0, abs=1e-9)  # at the margin 1 / (2 beta) = 5


@pytest.mark.parametrize(
    ("loss", "names"),
    [
        ("dpo", ["chosen output"]),
        ("kto", ["desirable", "undesirable"]),
        ("ppo_clip", ["advantage +1", "advantage -1"]),
    ],
)
def test_a_loss_is_observed_as_its_log_ratio_moves(loss: str, names: list[str]) -> None:
    found = observe(load_loss(loss))
    assert list(found) == names
    rho, values = np.array(found[names[0]]).T
    assert np.all(np.diff(rho) > 0)
    assert np.all(np.diff(values) <= 0)


@pytest.fixture(scope="module")
def drawn() -> list[Panel]:
    return [*panels(check("kto")), *panels(check("ipo"))]


def test_a_panel_is_well_formed_described_and_the_same_each_time(drawn: list[Panel]) -> None:
    for panel in drawn:
        text = svg(panel)
        root = ElementTree.fromstring(text)
        assert root.get("role") == "img"
        assert root.get("aria-label") == panel.said
        assert "nan" not in text
        assert svg(panel) == text


def test_a_panel_for_a_paper_has_its_curves(drawn: list[Panel]) -> None:
    for panel in drawn:
        text = tikz(panel, lambda words: words)
        assert text.count(r"\begin{tikzpicture}") == text.count(r"\end{tikzpicture}") == 1
        assert text.count(r"\draw[very thick") >= 2 * sum(curve.role == "main" for curve in panel.curves)
        assert "nan" not in text
