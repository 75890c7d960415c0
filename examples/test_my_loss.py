"""Tests of examples/my_loss.py: run `pytest examples/test_my_loss.py`."""

from pathlib import Path

import torch
from hypothesis import given

from halotheory import load_loss
from halotheory.testing import (
    assert_batch_order_does_not_matter,
    assert_gradients_saturate,
    assert_halo,
    assert_log_ratio_only,
    unpaired_batches,
)

MY_LOSS = str(Path(__file__).with_name("my_loss.py"))


def test_it_is_a_halo():
    assert_halo(MY_LOSS, strict=True)


def test_only_the_log_ratio_matters():
    assert_log_ratio_only(MY_LOSS)


def test_what_is_too_easy_or_too_hard_is_ignored():
    assert_gradients_saturate(MY_LOSS)


def test_the_order_of_a_batch_does_not_matter():
    assert_batch_order_does_not_matter(MY_LOSS)


@given(unpaired_batches())
def test_losses_are_bounded(batch):
    loss = load_loss(MY_LOSS, {"loss_aversion": 1.5})
    losses = loss(**batch)
    assert torch.isfinite(losses).all()
    assert ((losses >= -1.5) & (losses <= 2.5)).all()
