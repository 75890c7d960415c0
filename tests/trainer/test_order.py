"""The order of the data: laws that every epoch keeps."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainer.order import Order, apart

GROUPS = st.lists(st.integers(0, 6), min_size=2, max_size=60).map(np.array)


def order(groups: Any, *, batch: int = 8, micro: int = 4, seed: int = 0, mismatched: bool = True) -> Order:
    return Order(
        prompt_group=np.asarray(groups, np.int64),
        batch_size=batch,
        micro_batch_size=micro,
        seed=seed,
        mismatched=mismatched,
    )


ORDERS = st.builds(
    order,
    GROUPS,
    batch=st.integers(2, 20),
    micro=st.integers(2, 9),
    seed=st.integers(0, 3),
    mismatched=st.booleans(),
)


@given(order=ORDERS, epoch=st.integers(0, 3))
def test_an_epoch_has_every_example_once_in_steps_and_microbatches_of_the_sizes_asked(order: Order, epoch: int) -> None:
    steps = order.epoch(epoch)
    seen = [int(example) for step in steps for microbatch in step for example in microbatch]
    assert sorted(seen) == list(range(len(order.prompt_group)))
    assert len(steps) == order.steps_per_epoch
    spare = 1 if order.mismatched else 0
    for at, step in enumerate(steps):
        sizes = [len(microbatch) for microbatch in step]
        assert sum(sizes) == order.batch_size or at == len(steps) - 1
        assert sum(sizes) <= order.batch_size + spare
        assert max(sizes) <= max(order.micro_batch_size, 2) + spare
        assert max(sizes) - min(sizes) <= 1


@given(groups=GROUPS, batch=st.integers(2, 20), micro=st.integers(2, 9))
def test_no_microbatch_has_one_example_where_z0_is_estimated(groups: Any, batch: int, micro: int) -> None:
    steps = order(groups, batch=batch, micro=micro).epoch(0)
    assert min(len(microbatch) for step in steps for microbatch in step) >= 2


@given(groups=st.lists(st.integers(0, 6), min_size=2, max_size=12))
def test_neighbours_answer_other_prompts_unless_one_prompt_has_more_than_half(groups: list[int]) -> None:
    microbatch = np.arange(len(groups))
    arranged = np.asarray(groups)[apart(microbatch, np.asarray(groups, np.int64))]
    clashes = (arranged == np.roll(arranged, -1)).any()
    assert clashes == (max(map(groups.count, groups)) > len(groups) // 2)


def test_both_answers_of_a_prompt_never_stand_together_even_in_microbatches_of_two() -> None:
    """Pairs made into thumbs: 500 prompts with two answers each."""
    pairs = order(np.repeat(np.arange(500), 2), batch=8, micro=2)
    for epoch in range(3):
        assert pairs.clashes(pairs.epoch(epoch)) == 0


def test_a_prompt_with_half_of_all_answers_is_spread_over_the_microbatches() -> None:
    groups = np.where(np.arange(80) % 2 == 0, 0, np.arange(80))
    spread = order(groups, batch=16, micro=4)
    assert spread.clashes(spread.epoch(0)) == 0


def test_with_one_prompt_only_every_neighbour_clashes_and_is_counted() -> None:
    alone = order(np.zeros(12))
    assert alone.clashes(alone.epoch(0)) == 12


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    groups = np.arange(100)

    def flat(seed: int, epoch: int) -> list[int]:
        return np.concatenate([one for step in order(groups, seed=seed).epoch(epoch) for one in step]).tolist()

    assert flat(1, 2) == flat(1, 2)
    assert len({tuple(flat(seed, epoch)) for seed in range(2) for epoch in range(2)}) == 4


def test_labels_are_mixed_even_if_the_file_has_all_desirable_first() -> None:
    desirable = np.arange(400) < 200
    steps = order(np.arange(400), batch=16, micro=8).epoch(0)
    both = [0 < desirable[microbatch].sum() < len(microbatch) for step in steps for microbatch in step]
    assert np.mean(both) > 0.9


def test_a_last_example_joins_the_step_before_it() -> None:
    sizes = [sum(map(len, step)) for step in order(np.arange(17)).epoch(0)]
    assert sizes == [8, 9]
    assert [sum(map(len, step)) for step in order(np.arange(17), mismatched=False).epoch(0)] == [8, 8, 1]
