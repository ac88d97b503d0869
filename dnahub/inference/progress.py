"""Blocks that are done -> a progress bar, and a summary at the end."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tqdm.auto import tqdm


class Progress:
    """One bar by the bytes of the input (None if unknown), with the speed in sequences and nt."""

    def __init__(self, what: str, num_bytes: int | None, is_shown: bool):
        options = {"unit": "B", "unit_scale": True, "smoothing": 0, "disable": not is_shown}
        self._bar = tqdm(desc=what, total=num_bytes, **options)
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
    """What was done, in a few lines; the tokens and seconds are those of this process, from the loaded model on."""
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
