"""Pictures of value functions: the human one is equation 4, and a loss without one is told so."""

from pathlib import Path

import numpy as np
import pytest

from halotheory.checking import check
from halotheory.errors import HaloTheoryError
from halotheory.reporting.plot import draw_value_functions, kahneman_tversky


def test_the_human_value_function_is_equation_4() -> None:
    z = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    assert np.allclose(kahneman_tversky(z), [-2.25 * 2**0.88, -2.25, 0, 1, 2**0.88])


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf", ".SVG"])
def test_every_format_is_written_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"values{suffix}"
    draw_value_functions([check("kto"), check("hinge")], path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.stat().st_size > 1000


@pytest.mark.parametrize(
    ("loss", "name", "message"),
    [
        ("ipo", "a.svg", "^ipo: no value function to draw: its verdict is not_halo; leave it out$"),
        ("ppo_clip", "a.svg", "^ppo_clip: .* also depends on advantage; leave it out$"),
        ("kto", "a.gif", "'.gif'"),
    ],
)
def test_what_cannot_be_drawn_is_named(tmp_path: Path, loss: str, name: str, message: str) -> None:
    with pytest.raises(HaloTheoryError, match=message):
        draw_value_functions([check(loss)], tmp_path / name)
    assert list(tmp_path.iterdir()) == []
