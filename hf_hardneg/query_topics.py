"""Clusters of queries by their vectors, numbered so that neighbours have numbers close by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.errors import ParameterError

__all__ = ["query_topics"]

SEEDS = 2**31 - 1
"""faiss takes a seed of 31 bits."""
LONGEST = 1e18
"""Of a vector: squares of distances between such vectors are finite in single precision."""


def query_topics(
    vectors: NDArray[np.float32], clusters: int, *, iterations: int, seed: int
) -> NDArray[np.int64]:
    """Cluster vectors with k-means of the Euclidean distance; return the cluster of each.

    All vectors are used to find the centroids. Clusters are numbered along a walk that goes from
    each centroid to the nearest one that it has not come to yet.

    Args:
        vectors: shape (queries, dimension), finite.
        clusters: wanted; as many as there are vectors at most. Fewer are in use where vectors are
            equal.
        iterations: of k-means.
        seed: of the centroids that it begins with, which are vectors drawn at random.

    Raises:
        ParameterError: a vector is too long for single precision.
    """
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    if lengths.max() > LONGEST:  # faiss would not survive an overflow
        raise ParameterError(
            f"the vectors are too long for k-means in single precision: the longest has length "
            f"{lengths.max():.3g}; expected at most {LONGEST:g}. Scale them, for example to "
            "length 1."
        )
    import faiss

    clusters = min(clusters, len(vectors))
    kmeans = faiss.Kmeans(
        vectors.shape[1],
        clusters,
        niter=iterations,
        seed=seed % SEEDS,
        min_points_per_centroid=1,
        max_points_per_centroid=len(vectors),
    )
    kmeans.train(vectors)
    centroids = np.asarray(kmeans.centroids, dtype=np.float32)
    _, nearest = kmeans.index.search(vectors, 1)
    return _places_on_walk(centroids)[nearest[:, 0]]


def _places_on_walk(centroids: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return at which place of a walk from neighbour to neighbour each centroid is."""
    squares = np.einsum("ij,ij->i", centroids, centroids)
    places = np.empty(len(centroids), dtype=np.int64)
    here = 0
    for place in range(len(centroids)):
        places[here] = place
        squares[here] = np.inf  # been there
        here = int(np.argmin(squares - 2 * (centroids @ centroids[here])))
    return places
