"""Work before and after the model -> done in threads beside it, through queues of a few items."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")

READING = "reading ahead"  # name of the thread
SECONDS_BETWEEN_LOOKS = 0.1
SECONDS_TO_END = 2


class Ahead(Generic[Item]):
    """
    `with Ahead(items, size) as ahead: for item in ahead`: the items of an iterator, made ahead in a thread.

    What the iterator raises is raised here, after the items before it. At the end of `with` the thread is told to end
    and waited for, but not for long: it may be stuck in a read that never returns.

    Args:
        items: What is iterated over.
        size: Items that wait, at the most; one more is being made.
    """

    def __init__(self, items: Iterable[Item], size: int):
        self._items = items
        self._queue: queue.Queue[tuple[str, Item | BaseException | None]] = queue.Queue(size)
        self._stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, name=READING, daemon=True)

    def __enter__(self) -> "Ahead[Item]":
        self.thread.start()
        return self

    def __iter__(self) -> Iterator[Item]:
        while True:
            kind, item = self._queue.get()
            if kind == "end":
                return
            if kind == "error":
                raise item
            yield item

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        self.thread.join(SECONDS_TO_END)

    def _run(self) -> None:
        try:
            for item in self._items:
                if not self._put("item", item):
                    return
        except BaseException as error:  # of any kind: the main thread waits for it
            self._put("error", error)
        else:
            self._put("end", None)

    def _put(self, kind: str, item: Item | BaseException | None) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put((kind, item), timeout=SECONDS_BETWEEN_LOOKS)
                return True
            except queue.Full:
                continue
        return False


class Behind(Generic[Item]):
    """
    `with Behind(work, size) as behind: behind.put(item)`: a function called with each item, in order, in a thread.

    What the function raises is raised by the next `put`, or at the end of `with`, which waits until all is done, also
    after an error elsewhere: what was computed is kept.

    Args:
        work: The function.
        size: Items that wait, at the most; one more is being worked on.
    """

    def __init__(self, work: Callable[[Item], None], size: int):
        self._work = work
        self._queue: queue.Queue[Item | None] = queue.Queue(size)
        self._error: BaseException | None = None
        self._failed = threading.Event()
        self.thread = threading.Thread(target=self._run, name="writing behind", daemon=True)

    def __enter__(self) -> "Behind[Item]":
        self.thread.start()
        return self

    def put(self, item: Item) -> None:
        self._enqueue(item)
        self._raise()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._enqueue(None)
        self.thread.join()
        if error is None:
            self._raise()

    def _enqueue(self, item: Item | None) -> None:
        while not self._failed.is_set():
            try:
                self._queue.put(item, timeout=SECONDS_BETWEEN_LOOKS)
                return
            except queue.Full:
                continue

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while (item := self._queue.get()) is not None:
                self._work(item)
        except BaseException as error:  # for the main thread
            self._error = error
            self._failed.set()
