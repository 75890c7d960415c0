"""Laws of what is drawn."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trainer.converting import selection
from trainer.converting.spool import group_ids, key_of
from trainer.errors import TrainerError

SEEDS = st.integers(0, 5)
PROMPTS = st.lists(st.integers(0, 4), min_size=1, max_size=20)


def numbered(prompts: list[int]) -> np.ndarray:
    return group_ids(b"".join(key_of(prompt) for prompt in prompts))


@given(PROMPTS)
def test_group_ids_count_by_first_appearance(prompts: list[int]) -> None:
    seen: dict[int, int] = {}
    assert numbered(prompts).tolist() == [seen.setdefault(prompt, len(seen)) for prompt in prompts]


@given(PROMPTS, SEEDS, st.integers(1, 3))
def test_at_most_so_many_of_each_prompt_and_no_fewer(prompts: list[int], seed: int, count: int) -> None:
    rows, drawn = np.arange(len(prompts)), selection.draws(seed, "test", len(prompts))
    kept = selection.at_most_of_each(rows, numbered(prompts), count, drawn).tolist()
    assert kept == sorted(set(kept))
    left = Counter(prompts[row] for row in kept)
    assert left == {prompt: min(have, count) for prompt, have in Counter(prompts).items()}


@given(PROMPTS)
def test_dedupe_keeps_the_first_of_equals(contents: list[int]) -> None:
    kept = selection.first_of_each(np.arange(len(contents)), numbered(contents)).tolist()
    assert kept == [at for at, one in enumerate(contents) if one not in contents[:at]]


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.floats(0, 1), SEEDS)
def test_a_share_of_the_desirable_is_kept_and_all_others(among: list[bool], share: float, seed: int) -> None:
    rows, mask = np.arange(len(among)), np.array(among)
    kept = selection.share_of(rows, mask, share, selection.draws(seed, "test", len(among)))
    assert mask[kept].sum() == round(share * sum(among))
    assert (~mask[kept]).sum() == (~mask).sum()
    assert kept.tolist() == sorted(kept.tolist())


@given(st.integers(1, 40), SEEDS)
def test_shuffling_loses_nothing_and_a_seed_gives_one_order(count: int, seed: int) -> None:
    drawn = selection.draws(seed, "shuffle", count)
    order = selection.shuffled(np.arange(count), drawn).tolist()
    assert sorted(order) == list(range(count))
    assert order == selection.shuffled(np.arange(count), selection.draws(seed, "shuffle", count)).tolist()


def test_draws_are_the_same_everywhere() -> None:
    drawn = selection.draws(0, "shuffle", 3).tolist()
    assert drawn == [15938418778590533404, 14784491360855348908, 17155454527606989391]
    assert selection.draws(0, "mixture", 1).tolist() != drawn[:1]
    assert selection.draws(1, "shuffle", 1).tolist() != drawn[:1]


@given(
    st.lists(st.tuples(st.integers(0, 50), st.floats(0.01, 10)), min_size=1, max_size=4),
    st.one_of(st.none(), st.integers(1, 60)),
)
def test_a_mixture_has_its_size_and_its_shares(sources: list[tuple[int, float]], size: int | None) -> None:
    available, shares = [have for have, _ in sources], [share for _, share in sources]
    try:
        counts = selection.mixture(available, shares, size)
    except TrainerError:
        assert size is not None
        assert size > sum(selection.mixture(available, shares, None))
        return
    total = sum(counts)
    assert all(count <= have for count, have in zip(counts, available, strict=True))
    assert all(abs(count - total * share / sum(shares)) < 1 for count, share in zip(counts, shares, strict=True))
    if size is not None:
        assert total == size
    else:
        assume(total < sum(available))
        with pytest.raises(TrainerError, match="give at most"):
            selection.mixture(available, shares, sum(available) + 1)


def test_a_mixture_by_hand() -> None:
    assert selection.mixture([100, 10], [0.7, 0.3], None) == [23, 10]
    assert selection.mixture([100, 10], [0.7, 0.3], 10) == [7, 3]
    with pytest.raises(TrainerError, match=r"--size 40: .* sources of 100, 10 rows give at most 33"):
        selection.mixture([100, 10], [0.7, 0.3], 40)
