"""Blocks that are done -> a progress bar, and a summary at the end."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tqdm.auto import tqdm

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
        self._bytes = self._sequences = self._nt = 0.0
        self._started = time.perf_counter()

    def close(self) -> None:
        self._bar.close()

    def skip(self, num_bytes: int) -> None:
        """Move by what an earlier run computed, which says nothing of the speed of this one."""
        if not self._bar.disable:
            self._bar.initial += num_bytes
        self.advance(num_bytes, 0, 0, share=1)

    def advance(self, num_bytes: int, num_sequences: int, num_nt: int, share: float) -> None:
        """Move by a share of a block, embedded by this process or, as far as it can tell, another."""
        self._bytes += num_bytes * share
        self._sequences += num_sequences * share
        self._nt += num_nt * share
        seconds = time.perf_counter() - self._started
        speeds = tqdm.format_sizeof(self._sequences / seconds), tqdm.format_sizeof(self._nt / seconds)
        self._bar.set_postfix_str(f"{speeds[0]} sequences/s, {speeds[1]} nt/s", refresh=False)
        self._bar.update(round(self._bytes) - self._bar.n)


def summary(
    parts: Sequence[dict[str, Any]], num_computed: int, computed_tokens: int, seconds: float, backend: str
) -> str:
    """
    What was done, in a few lines.

    Args:
        parts: What all parts say of themselves.
        num_computed: How many of them this process computed.
        computed_tokens: Tokens of these.
        seconds: From when the model was loaded.
        backend: What ran the model.
    """
    counts = sum((Counter(each["counts"]) for each in parts), Counter())
    rows = f", {counts['rows']:,} windows" if counts["rows"] != counts["sequences"] else ""
    padding = 100 * counts["padding"] / max(1, counts["padding"] + counts["computed"])
    return "\n".join(
        [
            f"{counts['sequences']:,} sequences{rows}, {counts['nt']:,} nt, {counts['tokens']:,} tokens",
            f"letters read as N: {counts['replaced']:,}, truncated: {counts['truncated']:,}, "
            f"duplicates computed once: {counts['repeats']:,}, padding: {padding:.1f} %",
            f"parts: {len(parts):,}, computed now: {num_computed:,}, reused: {len(parts) - num_computed:,}",
            f"{seconds:.1f} s without start-up, {computed_tokens / seconds:,.0f} tokens/s, backend {backend}",
        ]
    )
