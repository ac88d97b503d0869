"""Work beside the main thread -> the same results in the same order, and every fault where it is looked for."""

import threading
import time

import pytest

from dnahub.inference import threads
from dnahub.inference.threads import Ahead, Behind


def ends(thread: threading.Thread) -> bool:
    thread.join(5)
    return not thread.is_alive()


def test_items_come_in_order_and_only_a_few_are_made_ahead():
    made = []

    def items():
        for i in range(100):
            made.append(i)
            yield i

    taken = []
    with Ahead(items(), 2) as ahead:
        for item in ahead:
            time.sleep(0.001)
            taken.append(item)
            assert len(made) <= len(taken) + 4  # two wait, one is made, one was just taken out
    assert taken == list(range(100))
    assert ends(ahead.thread)


def test_what_the_iterator_raises_comes_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise ValueError("record 3")

    taken = []
    with pytest.raises(ValueError, match="record 3"), Ahead(items(), 2) as ahead:
        for item in ahead:
            taken.append(item)
    assert taken == [1, 2]


def test_an_error_in_the_loop_ends_the_thread_that_waits_to_put_its_next_item():
    with pytest.raises(KeyboardInterrupt), Ahead(iter(range(100)), 2) as ahead:
        for _ in ahead:
            raise KeyboardInterrupt
    assert ends(ahead.thread)


def test_a_read_that_never_returns_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(threads, "SECONDS_TO_END", 0.01)
    release = threading.Event()

    def items():
        yield 1
        release.wait(60)

    with pytest.raises(KeyboardInterrupt), Ahead(items(), 2) as ahead:
        for _ in ahead:
            raise KeyboardInterrupt
    assert ahead.thread.is_alive()
    release.set()
    assert ends(ahead.thread)


def test_all_that_is_put_is_done_in_order_before_the_end():
    done = []

    def work(item):
        time.sleep(0.001)
        done.append(item)

    with Behind(work, 1) as behind:
        for item in range(20):
            behind.put(item)
    assert done == list(range(20))


def test_what_was_put_is_done_after_an_error_elsewhere_too():
    done = []
    with pytest.raises(KeyboardInterrupt), Behind(done.append, 2) as behind:
        behind.put(1)
        behind.put(2)
        raise KeyboardInterrupt
    assert done == [1, 2]


def test_a_fault_of_the_work_is_raised_by_a_later_put_and_at_the_end():
    def work(item):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Behind(work, 1) as behind:
        for item in range(10):
            behind.put(item)
            time.sleep(0.01)
        raise AssertionError("it was put 10 times")
    assert ends(behind.thread)
    with pytest.raises(OSError, match="disk full"), Behind(work, 1) as behind:
        behind.put(1)
