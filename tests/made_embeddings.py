"""Arrays -> what `Engine.compute` gives, with nothing replaced, cut off, padded or repeated."""

import numpy as np

from dnahub.inference.engine import Embeddings


def embeddings_of(
    vectors: np.ndarray, sequence: np.ndarray, start: np.ndarray, end: np.ndarray, num_tokens: np.ndarray
) -> Embeddings:
    return Embeddings(
        vectors=vectors,
        sequence=sequence,
        start=start,
        end=end,
        num_tokens=num_tokens,
        num_replaced=0,
        num_truncated=0,
        num_computed_tokens=int(num_tokens.sum()),
        num_padding_tokens=0,
        num_repeats=0,
    )
