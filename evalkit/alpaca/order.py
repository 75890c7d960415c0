"""Which of two outputs AlpacaEval shows first: drawn by a seed from the instruction's text."""

import random

SEED = 0  # alpaca_eval's default


def model_shown_first(instruction: str) -> bool:
    """Return whether alpaca_eval shows the model's output before the baseline's.

    Source: alpaca_eval 0.6.6, `processors.RandomSwitchTwoColumnsProcessor`; it agrees with every reply of the judge
    that is stored with log-probabilities.
    """
    drawn = random.Random(f"is_switched_outputs{instruction}{SEED}")  # noqa: S311  it is alpaca_eval's, no secret
    return drawn.choices([False, True], k=1)[0]
