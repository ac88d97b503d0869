"""Blocks that are done -> a progress bar, and a summary at the end."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tqdm.auto import tqdm

from dnahub.inference.counts import Counts

BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}B/{total_fmt}B [{elapsed}<{remaining}{postfix}]"
BAR_WITHOUT_END = "{desc}: {n_fmt}B [{elapsed}{postfix}]"  # for an input of unknown size


class Progress:
    """
    One bar by the bytes of the input, with the speed in sequences and nt.

    Args:
        num_bytes: Of the input, None if unknown.
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

    def close(self) -> None:
        self._bar.close()

    def skip(self, bytes_read: int) -> None:
        """Move to where an earlier run had come, which says nothing of the speed of this one."""
        if not self._bar.disable:
            self._bar.initial += bytes_read - self._bar.n
            self._bar.update(bytes_read - self._bar.n)

    def advance(self, bytes_read: float, num_sequences: float, num_nt: float) -> None:
        """
        Move to where the input is embedded, by this process or, as far as it can tell, another.

        Args:
            bytes_read: Of the whole input.
            num_sequences: Since the last call; within a block a fraction of its sequences.
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

    def within(self, bytes_read: int, num_sequences: int, num_nt: int, num_tokens: int) -> Callable[[int], None]:
        """
        A function that is called with the number of tokens of each batch of a block, and moves the bar by its share.

        Args:
            bytes_read: As for `advance`, like the next two: where the block ends, and of the block.
            num_tokens: Of the block.
        """
        before, done = self._bar.n, 0

        def advance(num_tokens_of_batch: int) -> None:
            nonlocal done
            done += num_tokens_of_batch
            share = num_tokens_of_batch / num_tokens
            self.advance(before + (bytes_read - before) * done / num_tokens, num_sequences * share, num_nt * share)

        return advance


@contextmanager
def writing_bar(num_rows: int) -> Iterator[Callable[[int], object]]:
    """A bar of the rows that go from the parts into the output."""
    with tqdm(desc="writing", total=num_rows, unit=" rows", unit_scale=True) as bar:
        yield bar.update


def summary(parts: Sequence[Counts], computed: Sequence[Counts], seconds: float, backend: str) -> str:
    """
    What was done, in a few lines.

    Args:
        parts: Of all parts.
        computed: Of those that this process computed.
        seconds: From when the model was loaded.
        backend: What ran the model.
    """
    counts = Counts.total(parts)
    rows = f", {counts.rows:,} windows" if counts.rows != counts.sequences else ""
    seen = max(1, counts.padding_tokens + counts.computed_tokens)
    speed = Counts.total(computed).tokens / seconds
    return "\n".join(
        [
            f"{counts.sequences:,} sequences{rows}, {counts.nt:,} nt, {counts.tokens:,} tokens",
            f"letters read as N: {counts.replaced:,}, truncated: {counts.truncated:,}, duplicates computed once: "
            f"{counts.repeated_pieces:,}, padding: {100 * counts.padding_tokens / seen:.1f} %",
            f"parts: {len(parts):,}, computed now: {len(computed):,}, reused: {len(parts) - len(computed):,}",
            f"{seconds:.1f} s without start-up, {speed:,.0f} tokens/s, backend {backend}",
        ]
    )
