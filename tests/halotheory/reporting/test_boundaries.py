"""Boundaries are read as numbers and drawn along the axes that they name."""

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from halotheory.reporting.boundaries import columns, number, panel
from halotheory.reporting.drawing import picture, svg, tikz
from tests.halotheory.reporting.statements import CURVE, TABLE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-6", 1e-6),
        ("3/10", 0.3),
        ("[0.5, 0.7]", 0.6),
        ("[1/4, 3/4]", 0.5),
        ("log(3)/2", 0.5493061443340549),
        ("-2.5", -2.5),
        ("oo", None),
        ("left", None),
        ("1/0", None),
        ("nan", None),
        ("[a, b]", None),
        ("", None),
    ],
)
def test_numbers_are_read_and_words_are_none(text: str, expected: float | None) -> None:
    assert number(text) == (None if expected is None else pytest.approx(expected, rel=1e-14))


def test_a_curve_runs_through_the_middles_of_its_enclosures_on_a_logarithmic_axis() -> None:
    drawn = panel(CURVE)
    assert drawn is not None
    [curve] = drawn.curves
    assert np.allclose(curve.x, [1e-6, 0.01, 0.9])
    assert np.allclose(curve.y, [0.159, 0.477, 20.9])
    assert (drawn.x_label, drawn.y_label, drawn.x_scale) == ("q", "beta_star", "log")
    assert drawn.said == "beta_star: from beta_star 0.159 at q 1e-06 to beta_star 20.9 at q 0.9."


def test_a_third_axis_tells_curves_apart() -> None:
    points = [{"p": p, "x": str(x), "y": f"{x}/{p}"} for p in ("3", "4") for x in (1, 2)]
    drawn = panel(replace(CURVE, points=points, axes=("x", "y", "p")))
    assert drawn is not None
    assert [curve.name for curve in drawn.curves] == ["p = 3", "p = 4"]
    assert len({curve.role for curve in drawn.curves}) == 2
    assert drawn.x_scale == "linear"


def test_without_axes_or_numbers_nothing_is_drawn() -> None:
    assert panel(TABLE) is None
    assert panel(replace(TABLE, axes=("case", "m"))) is None
    assert panel(replace(CURVE, points=CURVE.points[:1])) is None


def test_columns_keep_the_order_of_their_first_appearance() -> None:
    assert columns(TABLE) == ["case", "m", "n"]


def test_both_drawings_place_equal_ratios_at_equal_distances() -> None:
    points = [{"q": f"1e{n}", "beta": str(n)} for n in (-4, -2, 0)]
    drawn = panel(replace(CURVE, points=points, axes=("q", "beta")))
    assert drawn is not None
    line = svg(drawn).partition('<polyline class="main" points="')[2].partition('"')[0]
    left, middle, right = (float(place.split(",")[0]) for place in line.split())
    assert middle - left == pytest.approx(right - middle, abs=0.11)
    assert ">1e\N{MINUS SIGN}04<" in svg(drawn) or ">0.0001<" in svg(drawn)
    assert r"\draw[very thick]" in tikz(drawn, str)


def test_a_picture_is_a_file_of_its_own_with_a_dot_at_each_point() -> None:
    drawn = panel(CURVE)
    assert drawn is not None
    root = ElementTree.fromstring(picture(drawn))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    tags = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert tags.count("circle") == 3
    assert "style" in tags
    assert "url(" not in picture(drawn)


def test_a_long_title_is_broken_and_moves_what_lies_below() -> None:
    drawn = panel(CURVE)
    assert drawn is not None
    long = replace(drawn, title="The indicator of y_a has the smallest loss value up to this beta, and not beyond")
    assert svg(drawn).count('class="title"') == 1
    assert svg(long).count('class="title"') == 3
    heights = [float(svg(each).partition('viewBox="')[2].split()[3].rstrip('"')) for each in (drawn, long)]
    assert heights[1] == heights[0] + 32
