"""Sentences say what comparisons show, and no more."""

import pytest

from halotheory.experiments.measures import GAIN
from halotheory.experiments.result import Comparison, Key
from halotheory.experiments.statistics import Estimate
from halotheory.experiments.wording import sentences


def compared(condition: str, other: str, mean: float, adjusted: float) -> Comparison:
    first, second = (Key(condition=condition, contender=name, measure="gain") for name in ("kto", other))
    return Comparison(
        first=first,
        second=second,
        difference=Estimate(mean=mean, low=mean - 0.01, high=mean + 0.02, count=9),
        p_value=adjusted / 4,
        adjusted=adjusted,
    )


NAMED = {str(i): f"{i} %" for i in range(5)}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([(0.1, 0.01)] * 4, "kto gains more reward than dpo throughout, by 0.1"),
        ([(0.1, 0.2)] * 4, "kto against dpo: no difference shown in reward"),
        (
            [(0.1, 0.01), (0.2, 0.05), (0.3, 0.051), (-0.1, 0.01)],
            "kto gains more reward than dpo at 0 % and 1 %, by 0.1 to 0.2, "
            "and gains less reward than dpo at 3 %, by 0.1; no difference shown at 2 %",
        ),
        (
            [(-0.1, 0.01), (-0.1, 0.01), (-0.1, 0.01), (0.1, 0.06)],
            "kto gains less reward than dpo at 0 % to 2 %, by 0.1; no difference shown at 3 %",
        ),
    ],
)
def test_sentences(given: list[tuple[float, float]], said: str) -> None:
    found = [compared(str(i), "dpo", *each) for i, each in enumerate(given)]
    assert sentences(found, [GAIN], NAMED, where="at {}") == [said]


def test_the_same_of_several_is_one_sentence() -> None:
    found = [compared(str(i), other, 0.1, 0.01) for other in ("a", "b", "c") for i in range(2)]
    assert sentences(found, [GAIN], NAMED, where="at {}") == [
        "kto gains more reward than a, b and c throughout, by 0.1"
    ]


def test_a_single_comparison_comes_with_its_numbers() -> None:
    assert sentences([compared("0", "dpo", 0.1, 0.01)], [GAIN], NAMED) == [
        "kto gains more reward than dpo (+0.100, 95 % interval +0.090 to +0.120)"
    ]
    assert sentences([compared("0", "dpo", 0.1, 0.5)], [GAIN], NAMED) == [
        "kto against dpo: no difference shown in reward (+0.100, 95 % interval +0.090 to +0.120)"
    ]
