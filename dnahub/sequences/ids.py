"""Ids of records -> those that occurred before, at 8 bytes for each id."""

from collections.abc import Sequence

import numpy as np


class SeenIds:
    """All ids so far, as 64-bit hashes, in a few sorted arrays of growing size."""

    def __init__(self):
        self._sorted: list[np.ndarray] = []

    def add(self, ids: Sequence[str]) -> list[int]:
        """
        Add the ids of the next records, and return the positions of those that occurred before.

        Two different ids are taken for one with a probability of 2^-64: once in 4,000 inputs of 100 million ids.
        """
        # Python's hash of text is SipHash with a random key: nobody can craft ids that collide.
        hashes = np.fromiter(map(hash, ids), np.int64, len(ids))
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        repeated = np.zeros(len(ids), bool)
        repeated[order[1:]] = ordered[1:] == ordered[:-1]
        for earlier in self._sorted:
            places = np.minimum(np.searchsorted(earlier, hashes), len(earlier) - 1)
            repeated |= earlier[places] == hashes
        if len(ordered):
            self._sorted.append(ordered)
        while len(self._sorted) > 1 and len(self._sorted[-2]) <= 2 * len(self._sorted[-1]):
            merged = np.concatenate([self._sorted.pop(), self._sorted.pop()])
            merged.sort(kind="stable")  # of two sorted halves: a merge
            self._sorted.append(merged)
        return np.flatnonzero(repeated).tolist()
