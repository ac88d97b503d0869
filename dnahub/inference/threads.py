"""Items of an iterator -> the same items, made ahead in a thread."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def made_ahead(items: Iterable[Item], size: int) -> Iterator[Item]:
    """
    Iterate over items, of which a thread makes the next ones meanwhile; an error comes after the items before it.

    Args:
        items: The items.
        size: The most items that wait, the one in the making included.
    """
    iterator, end = iter(items), object()
    thread = ThreadPoolExecutor(1, thread_name_prefix="reading ahead")
    try:
        waiting = deque(thread.submit(next, iterator, end) for _ in range(size))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(thread.submit(next, iterator, end))
            yield item
    finally:
        thread.shutdown(wait=False, cancel_futures=True)  # it may wait for standard input
