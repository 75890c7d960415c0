"""The time of a check: it runs out, parts get less of it, and limits nest."""

import contextlib
import threading
import time

import pytest

from halotheory.deadline import Deadline, time_limit


def _sleep() -> None:
    time.sleep(10)


def test_time_runs_down_to_nothing_and_no_further() -> None:
    assert Deadline(-1).left() == 0
    assert 9 < Deadline(10).left() <= 10


@pytest.mark.parametrize(("whole", "part", "least"), [(10, 1, 1), (1, 10, 1)])
def test_a_part_has_no_more_than_the_whole(whole: float, part: float, least: float) -> None:
    assert least - 0.5 < Deadline(whole).at_most(part).left() <= least


def test_a_body_that_takes_too_long_is_stopped() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError), time_limit(0.05):
        _sleep()
    assert time.monotonic() - began < 5


def test_a_body_that_swallows_the_alarm_is_stopped_again() -> None:
    with pytest.raises(TimeoutError), time_limit(0.05):  # noqa: PT012 - the body is what is tested
        try:
            _sleep()
        except TimeoutError:
            _sleep()


def test_an_earlier_outer_limit_holds_inside() -> None:
    with pytest.raises(TimeoutError), time_limit(0.05), time_limit(10):
        _sleep()


def test_an_outer_limit_goes_on_after_the_inner_body() -> None:
    with pytest.raises(TimeoutError), time_limit(0.3):  # noqa: PT012 - two bodies in one limit
        with pytest.raises(TimeoutError), time_limit(0.05):
            _sleep()
        _sleep()


def test_nothing_rings_after_the_body() -> None:
    with time_limit(0.05):
        pass
    time.sleep(0.1)


def test_the_alarm_waits_until_a_thread_has_started() -> None:
    """An exception in the midst would leave a thread that does not find itself among the started ones."""
    stopped = 0
    for _ in range(200):
        with contextlib.suppress(TimeoutError), time_limit(1e-3):
            while True:
                thread = threading.Thread(target=int, daemon=True)
                thread.start()
                thread.join()
        stopped += 1
    assert stopped == 200  # a thread that failed would fail the test: its exception is a warning, and that an error
