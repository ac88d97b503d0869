"""Embeddings -> points in the plane, by UMAP."""

import warnings

import numpy as np
from sklearn.neighbors import NearestNeighbors

NUM_NEIGHBORS = 15  # umap-learn's default
MIN_POINTS = 4  # its spectral layout in two dimensions fails on three


def project(embeddings: np.ndarray, seed: int) -> np.ndarray:
    """
    UMAP (McInnes et al. 2018, https://arxiv.org/abs/1802.03426) with umap-learn's defaults.

    The neighbours are exact, from scikit-learn: half a second for some thousand points, where compiling umap-learn's
    approximate search takes half a minute.

    Args:
        embeddings: (points, hidden), at least `MIN_POINTS`.

    Returns:
        float32, (points, 2).
    """
    import umap  # takes 3 to 20 s (it compiles)

    num_neighbors = min(NUM_NEIGHBORS, len(embeddings) - 1)
    search = NearestNeighbors(n_neighbors=num_neighbors).fit(embeddings)
    distances, indices = search.kneighbors(embeddings)  # (points, neighbours), each point its own first
    mapper = umap.UMAP(
        n_neighbors=num_neighbors,
        precomputed_knn=(indices.astype(np.int32), distances.astype(np.float32), None),
        random_state=seed,
        n_jobs=1,  # a seed rules out threads; umap-learn warns where this is left open
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"precomputed_knn\[2\] \(knn_search_index\)", category=UserWarning)
        return mapper.fit_transform(embeddings)
