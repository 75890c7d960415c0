"""The demo's problems, solutions and verifier."""

import random

import pytest
from demo import feedback
from hypothesis import given
from hypothesis import strategies as st
from task import Problem, answer_in, demonstrations, is_right, problems, solution

three_digits = st.integers(100, 999)


def problem(first: int, second: int) -> Problem:
    return Problem(first=first, second=second, prompt="How many?")


@pytest.mark.parametrize(
    ("carries", "expected"),
    [
        (True, " 7+5=12, 4+8+1=13, 3+2+1=6 #### 632"),
        (False, " 7+5=12, 4+8=12, 3+2=5 #### 522"),
    ],
)
def test_a_solution_adds_columns_from_the_right(carries: bool, expected: str):
    assert solution(problem(347, 285), carries=carries) == expected


@given(three_digits, three_digits)
def test_who_carries_is_always_right(first: int, second: int):
    one = problem(first, second)
    assert is_right(one, solution(one, carries=True))


@given(three_digits, three_digits)
def test_who_never_carries_is_right_exactly_where_no_inner_column_overflows(first: int, second: int):
    one = problem(first, second)
    overflows = first % 10 + second % 10 > 9 or first // 10 % 10 + second // 10 % 10 > 9
    assert is_right(one, solution(one, carries=False)) is not overflows


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (" 1+1=2 #### 222", 222),
        ("#### 0222", 222),
        ("#### 222 #### 333", 222),
        ("the answer is 222", None),
        ("####222", None),
        ("#### -222", None),
        ("", None),
    ],
)
def test_the_answer_is_the_first_number_after_the_mark(completion: str, answer: int | None):
    assert answer_in(completion) == answer


def test_problems_are_distinct_and_repeat_with_the_seed():
    first, again = problems(5000, random.Random(3)), problems(5000, random.Random(3))
    assert first == again
    assert len({(one.first, one.second) for one in first}) == 5000
    assert all(100 <= one.first <= 999 and 100 <= one.second <= 999 for one in first)
    assert all(str(one.first) in one.prompt and str(one.second) in one.prompt for one in first)
    assert problems(50, random.Random(4)) != first[:50]


def test_more_problems_than_pairs_of_numbers_are_refused():
    with pytest.raises(ValueError, match="larger than population"):
        problems(900**2 + 1, random.Random(0))


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_careful_share_of_demonstrators_carries(share: float):
    generator = random.Random(0)
    given_problems = problems(4000, generator)
    rows = demonstrations(given_problems, generator, careful_share=share)
    needs = [one for one in given_problems if solution(one, carries=True) != solution(one, carries=False)]
    careful = {one.prompt: solution(one, carries=True) for one in needs}
    carried = sum(row["completion"] == careful.get(row["prompt"]) for row in rows) / len(needs)
    assert carried == pytest.approx(share, abs=0.04)  # four standard errors


def test_feedback_has_a_thumb_for_each_sample_and_pairs_only_within_a_prompt():
    def sample(prompt: str, completion: str, finished: bool = True) -> dict[str, object]:
        return {"prompt": prompt, "completion": completion, "finished": finished, "answer": 5}

    samples = [sample("p", "#### 5"), sample("p", "#### 4"), sample("p", "#### 3"), sample("q", "#### 5")]
    thumbs, pairs = feedback([*samples, sample("r", "#### 5", finished=False), sample("r", "x")])
    assert [row["label"] for row in thumbs] == [True, False, False, True, False, False]
    assert pairs == [{"prompt": "p", "chosen": "#### 5", "rejected": "#### 4"}]
