"""Blocks of the input -> parts, computed where they are missing."""

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field

from dnahub.inference.counts import Counts
from dnahub.inference.engine import Engine
from dnahub.inference.faults import explained_memory
from dnahub.inference.parts import Facts, Parts
from dnahub.inference.progress import Progress
from dnahub.inference.reading import Work
from dnahub.inference.threads import made_ahead

PLANS_AHEAD = 2  # each may take 100 MB


@dataclass
class Computed:
    """
    What came of the blocks.

    Args:
        digests: Of all blocks, in order.
        parts: Facts of the parts that this process computed.
        reused: Facts of those that it found.
    """

    digests: list[str] = field(default_factory=list)
    parts: list[Facts] = field(default_factory=list)
    reused: list[Facts] = field(default_factory=list)


def compute_missing(blocks: Iterable[Work], engine: Engine, parts: Parts, progress: Progress) -> Computed:
    """
    Compute the blocks that have a plan. One thread reads ahead, another writes the part before.

    Raises:
        ValueError: From reading, for a batch that does not fit into memory, or a full disk. Parts that were computed
            before are complete.
    """
    done = Computed()
    writing: Future | None = None
    # The thread that writes ends first, after an interrupt too: what was computed is kept.
    with closing(progress), closing(made_ahead(blocks, PLANS_AHEAD)) as ahead, ThreadPoolExecutor(1) as writer:
        for work in ahead:
            done.digests.append(work.digest)
            if work.found is not None:
                done.reused.append(work.found)
                progress.skip(work.bytes_read)
                continue
            size = (work.bytes_read, work.num_sequences, work.num_nt)
            if work.plan is None:  # of another process
                progress.advance(*size)
                continue
            with explained_memory():
                embeddings = engine.compute(work.plan, progress.within(*size, work.plan.num_tokens))
            if writing is not None:
                writing.result()
            counts = Counts.of(work.num_sequences, work.num_nt, embeddings)
            facts = Facts(parts.settings, work.digest, engine.backend, counts)
            done.parts.append(facts)
            writing = writer.submit(parts.write, work.number, work.records, embeddings, facts)
        if writing is not None:
            writing.result()
    return done
