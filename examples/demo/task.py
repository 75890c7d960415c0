"""A pocket GSM8K: word problems on sums, worked solutions to imitate, and the verifier of an answer."""

import random
import re
from dataclasses import dataclass

NAMES = ("Ann", "Ben", "Eva", "Ian", "Mia", "Noah", "Tom", "Zoe")
THINGS = ("apples", "books", "cards", "coins", "eggs", "shells", "stamps", "stones")
VERBS = ("buys", "finds", "gets", "wins")
SMALLEST, LARGEST = 100, 999

_ANSWER = re.compile(r"#### ([0-9]+)")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One word problem; two problems are the same if they add the same two numbers in the same order.

    Attributes:
        first: what there is, three digits.
        second: what comes to it, three digits.
        prompt: the problem as the model reads it, a question.
    """

    first: int
    second: int
    prompt: str

    @property
    def answer(self) -> int:
        """The sum."""
        return self.first + self.second


def problems(count: int, generator: random.Random) -> list[Problem]:
    """Return `count` problems, all different, in random order.

    Any two parts of the list share no pair of numbers, so that a part can be held out.

    Raises:
        ValueError: more problems than there are pairs of three-digit numbers.
    """
    numbers = LARGEST - SMALLEST + 1
    pairs = generator.sample(range(numbers**2), count)
    return [_problem(SMALLEST + pair // numbers, SMALLEST + pair % numbers, generator) for pair in pairs]


def _problem(first: int, second: int, generator: random.Random) -> Problem:
    name, thing, verb = generator.choice(NAMES), generator.choice(THINGS), generator.choice(VERBS)
    prompt = f"{name} has {first} {thing} and {verb} {second} more. How many now?"
    return Problem(first=first, second=second, prompt=prompt)


def solution(problem: Problem, *, carries: bool) -> str:
    """Return the column addition from the right, and the answer after `####` as GSM8K has it.

    For 347 + 285: ` 7+5=12, 4+8+1=13, 3+2+1=6 #### 632`; who forgets to carry writes
    ` 7+5=12, 4+8=12, 3+2=5 #### 522`.

    Args:
        problem: what is to be added.
        carries: whether the solver remembers to carry.
    """
    columns = list(zip(reversed(str(problem.first)), reversed(str(problem.second)), strict=True))
    steps, digits, carry = [], "", 0
    for place, (upper, lower) in enumerate(columns):
        total = int(upper) + int(lower) + carry
        steps.append(f"{upper}+{lower}{'+1' if carry else ''}={total}")
        leftmost = place == len(columns) - 1
        digits = (str(total) if leftmost else str(total % 10)) + digits
        carry = int(carries and total > 9)
    return f" {', '.join(steps)} #### {digits}"


def answer_in(completion: str) -> int | None:
    """Return the first number after `####`, or None where there is none."""
    found = _ANSWER.search(completion)
    return int(found.group(1)) if found else None


def is_right(problem: Problem, completion: str) -> bool:
    """Return whether the completion's answer is the sum; how it got there does not matter."""
    return answer_in(completion) == problem.answer


def demonstrations(given: list[Problem], generator: random.Random, *, careful_share: float) -> list[dict[str, str]]:
    """Return rows {prompt, completion}: careful demonstrators carry, the others always forget to.

    Args:
        given: the problems.
        generator: decides who solves which.
        careful_share: probability that a demonstrator is a careful one, in [0, 1].
    """
    return [
        {"prompt": one.prompt, "completion": solution(one, carries=generator.random() < careful_share)} for one in given
    ]
