"""Blocks that are done -> a progress bar, and a summary at the end."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tqdm.auto import tqdm

from dnahub.inference.facts import Counts

BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}B/{total_fmt}B [{elapsed}<{remaining}{postfix}]"
BAR_WITHOUT_END = "{desc}: {n_fmt}B [{elapsed}{postfix}]"  # of an input whose size nobody knows


class Progress:
    """
    One bar by the bytes of the input, with what is embedded in a second by all processes.

    Args:
        num_bytes: Of the input, None where that is not known.
        is_shown: Whether there is a bar; of several processes one shows it.
    """

    def __init__(self, num_bytes: int | None, is_shown: bool):
        self._bar = tqdm(
            desc="embedding",
            total=num_bytes,
            unit_scale=True,
            smoothing=0,
            bar_format=BAR if num_bytes else BAR_WITHOUT_END,
            disable=not is_shown,
        )
        self._sequences = self._nt = 0.0
        self._started = time.perf_counter()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()

    def pass_over(self, bytes_read: int) -> None:
        """As far as that, an earlier run had come: it says nothing of the speed of this one."""
        if self._bar.disable:
            return
        self._bar.initial += bytes_read - self._bar.n
        self._bar.update(bytes_read - self._bar.n)

    def advance(self, bytes_read: float, num_sequences: float, num_nt: float) -> None:
        """
        As far as that, the input is embedded, by this process or another.

        Args:
            bytes_read: Of all the input.
            num_sequences: Those since the last call; a fraction of a block's, where that is on its way.
            num_nt: Likewise.
        """
        self._sequences += num_sequences
        self._nt += num_nt
        seconds = time.perf_counter() - self._started
        self._bar.set_postfix_str(
            f"{tqdm.format_sizeof(self._sequences / seconds)} sequences/s, "
            f"{tqdm.format_sizeof(self._nt / seconds)} nt/s",
            refresh=False,
        )
        self._bar.update(bytes_read - self._bar.n)

    def through(self, bytes_read: int, num_sequences: int, num_nt: int, num_tokens: int) -> Callable[[int], None]:
        """
        What is told of each batch of a block, so that the bar moves within it; arguments as of `advance`.

        Args:
            num_tokens: Of the block: each of its batches counts by its own.
        """
        before, done = self._bar.n, 0

        def told(num_tokens_of_batch: int) -> None:
            nonlocal done
            done += num_tokens_of_batch
            share = num_tokens_of_batch / num_tokens
            self.advance(before + (bytes_read - before) * done / num_tokens, num_sequences * share, num_nt * share)

        return told


def writing_bar(num_rows: int) -> tqdm:
    """Of the rows that go from the shards into the output."""
    return tqdm(desc="writing", total=num_rows, unit=" rows", unit_scale=True)


@dataclass(frozen=True)
class Summary:
    """
    What was done.

    Args:
        output: Where the embeddings are.
        counts: Of all blocks.
        counts_now: Of the blocks that this run computed.
        blocks: How many there are.
        blocks_now: How many of them this run computed.
        seconds: From when all was loaded to the finished output.
        processes: How many computed.
        backend: With what.
    """

    output: Path
    counts: Counts
    counts_now: Counts
    blocks: int
    blocks_now: int
    seconds: float
    processes: int
    backend: str

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterable[str]:
        counts = self.counts
        rows = f", {counts.rows:,} windows" if counts.rows != counts.sequences else ""
        yield f"{counts.sequences:,} sequences{rows}, {counts.nt:,} nt, {counts.tokens:,} tokens"
        yield (
            f"letters read as N: {counts.replaced:,}, truncated: {counts.truncated:,}, pieces like another of their "
            f"block, computed once: {counts.repeated_pieces:,}, padding: {100 * counts.padding_share:.1f} %"
        )
        if self.blocks_now < self.blocks:
            yield f"{self.blocks - self.blocks_now:,} of {self.blocks:,} blocks were there from an earlier run"
        processes = "1 process" if self.processes == 1 else f"{self.processes} processes"
        yield (
            f"{self.seconds:.1f} s without start-up, {self.counts_now.tokens / self.seconds:,.0f} tokens/s, "
            f"{processes}, backend {self.backend}"
        )
        yield str(self.output)
