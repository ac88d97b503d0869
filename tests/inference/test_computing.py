"""An iterator read ahead in a thread -> the same items in the same order, and its error where it occurred."""

import threading
import time
from contextlib import closing

import pytest

from dnahub.inference.computing import made_ahead


def test_items_come_in_order_and_only_a_few_are_made_ahead():
    made, taken = [], []
    with closing(made_ahead((made.append(i) or i for i in range(100)), 2)) as ahead:
        for item in ahead:
            time.sleep(0.001)
            taken.append(item)
            assert len(made) <= len(taken) + 2
    assert taken == list(range(100))


def test_an_error_of_the_iterator_comes_after_the_items_before_it():
    def items():
        yield from (1, 2)
        raise ValueError("record 3")

    taken = []
    with pytest.raises(ValueError, match="record 3"):
        for item in made_ahead(items(), 2):
            taken.append(item)
    assert taken == [1, 2]


def test_an_error_in_the_loop_does_not_wait_for_a_read_that_hangs():
    release = threading.Event()

    def items():
        yield 1
        release.wait(60)
        yield 2

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), closing(made_ahead(items(), 2)) as ahead:
        for _ in ahead:
            raise KeyboardInterrupt
    assert time.monotonic() - started < 10
    release.set()
