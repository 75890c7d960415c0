"""Prices, estimates, and the budget that calls in flight share."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.judging.budget import Budget, Price, Usage, find_price, token_counter, usage_of
from evalkit.judging.replies import Reply

PRICE = Price(tokens_in=30.0, tokens_out=60.0, source="test")


def test_listed_prices_are_openais_alone() -> None:
    found = find_price("gpt-4-0613", price_in=None, price_out=None, listed=True)
    assert found is not None
    assert found.cost(1_000_000, 500_000) == pytest.approx(60.0)
    assert "2025-04" in found.source
    assert find_price("gpt-4-0613", price_in=None, price_out=None, listed=False) is None
    assert find_price("my-model", price_in=None, price_out=None, listed=True) is None
    free = find_price("my-model", price_in=0.0, price_out=0.0, listed=False)
    assert free is not None
    assert free.cost(10, 10) == 0


def test_tokens_are_four_bytes_without_a_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    for model in ("gpt-4-0613", "my-model"):
        count, how = token_counter(model)
        assert how == "bytes / 4"
        assert [count(text) for text in ("", "a", "abcd", "abcde", "\u00e9\u00e9\u00e9")] == [0, 1, 1, 2, 2]


def test_usage_counts_what_is_billed_and_estimates_what_is_not_told() -> None:
    replies = [
        (100, 32, Reply(content="a", prompt_tokens=1000, completion_tokens=10)),
        (100, 32, Reply(content="b")),
        (100, 32, Reply(rejected="too long")),
    ]
    found = usage_of(replies, PRICE)
    assert found == Usage(calls=3, tokens_in=1100, tokens_out=42, unreported=1, cost=found.cost)
    assert found.cost == pytest.approx((1100 * 30 + 42 * 60) / 1e6)
    assert usage_of(replies, None).cost is None


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 500), st.booleans()), max_size=40),
    st.floats(0.01, 1.0),
)
def test_the_budget_holds_where_estimates_are_not_too_low(calls: list[tuple[int, int, bool]], most: float) -> None:
    budget, flying = Budget(most=most, price=PRICE, spent=0.0), []
    for tokens_in, tokens_out, lands in calls:
        reserved = budget.reserve(tokens_in, tokens_out)
        if reserved is not None:
            flying.append((reserved, tokens_in, tokens_out))
        if flying and lands:
            cost, prompt, reply = flying.pop()
            budget.settle(cost, Reply(content="a", prompt_tokens=prompt, completion_tokens=reply // 2))
        assert budget.spent <= most + 1e-9
    for cost, prompt, reply in flying:
        budget.settle(cost, Reply(content="a", prompt_tokens=prompt, completion_tokens=reply))
    assert budget.idle
    assert budget.spent <= most + 1e-9


def test_what_is_not_answered_gives_its_share_back() -> None:
    budget = Budget(most=0.1, price=PRICE, spent=0.05)
    cost = budget.reserve(1000, 100)
    assert cost is not None
    assert cost == pytest.approx(0.036)
    assert not budget.idle
    assert budget.reserve(1000, 100) is None
    budget.settle(cost, None)
    assert budget.spent == 0.05
    assert budget.reserve(1000, 100) is not None
