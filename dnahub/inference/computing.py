"""Blocks of the input -> parts, computed where they are missing."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

from dnahub.inference.engine import Engine
from dnahub.inference.parts import Parts
from dnahub.inference.progress import Progress
from dnahub.inference.reading import Work

PLANS_AHEAD = 2  # each may take 100 MB


@dataclass
class Computed:
    """The digests of all blocks; how many parts this process computed, their tokens, and how many it found."""

    digests: list[str] = field(default_factory=list)
    num_parts: int = 0
    num_tokens: int = 0
    num_reused: int = 0


def compute_missing(blocks: Iterable[Work], engine: Engine, parts: Parts, progress: Progress) -> Computed:
    """Compute the blocks that have a plan. One thread reads ahead, another writes the part before."""
    done = Computed()
    writing: Future | None = None
    # The thread that writes ends first, after an interrupt too: what was computed is kept.
    with closing(progress), closing(made_ahead(blocks, PLANS_AHEAD)) as ahead, ThreadPoolExecutor(1) as writer:
        for work in ahead:
            done.digests.append(work.digest)
            if work.is_found:
                done.num_reused += 1
                progress.skip(work.size[0])
                continue
            if work.plan is None:  # of another process
                progress.advance(*work.size, share=1)
                continue
            results = engine.compute(work.plan, partial(progress.advance, *work.size))
            if writing is not None:
                writing.result()
            done.num_parts += 1
            done.num_tokens += results.counts["tokens"]
            number = len(done.digests) - 1
            writing = writer.submit(parts.write, number, work.digest, work.records, results, engine.encoder.backend)
        if writing is not None:
            writing.result()
    return done


def made_ahead(items: Iterable[Work], size: int) -> Iterator[Work]:
    """The items, of which a thread makes the next ones meanwhile, `size` at the most; an error comes in its place."""
    iterator, end = iter(items), object()
    thread = ThreadPoolExecutor(1, thread_name_prefix="reading ahead")
    try:
        waiting = deque(thread.submit(next, iterator, end) for _ in range(size))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(thread.submit(next, iterator, end))
            yield item
    finally:
        thread.shutdown(wait=False, cancel_futures=True)  # it may wait for standard input
