"""Exact nearest neighbours in bounded memory, the same on every machine and for every batch.

faiss finds the nearest vectors block by block with matrix products. These round differently with
the shape of the matrices, so what comes out is only used to find candidates, a few more than
asked for; the score of each is then computed by one kernel, pair by pair, and ties are broken by
the lower number. Where rounding could have hidden a better one, the block is looked at whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import NO_ROW, order_by_score
from hf_hardneg.workers import usable_threads

__all__ = ["Nearest", "exact_search", "pair_similarity"]

EXTRA = 8
UNIT = 2.0**-24
TINY = 2.0**-126
SCORES_AT_ONCE = 1 << 24

Nearest = Callable[
    [NDArray[np.float32], NDArray[np.float32], int, str],
    tuple[NDArray[np.float32], NDArray[np.int64]],
]
"""Queries, vectors, k, similarity to (scores, places), best first: how candidates are found."""


def by_faiss(
    queries: NDArray[np.float32], vectors: NDArray[np.float32], k: int, similarity: str
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Find the k nearest with faiss; scores are inner products or negative squared distances."""
    import faiss

    if similarity == "euclidean":
        distances, places = faiss.knn(queries, vectors, k, metric=faiss.METRIC_L2)
        return -distances, places
    scores, places = faiss.knn(queries, vectors, k, metric=faiss.METRIC_INNER_PRODUCT)
    return scores, places


def _raw(
    queries: NDArray[np.float32],
    lines: NDArray[np.int64],
    vectors: NDArray[np.float32],
    places: NDArray[np.int64],
    similarity: str,
) -> NDArray[np.float32]:
    """Return the inner product, or the negative squared distance, of each pair, by one kernel."""
    import faiss

    out = np.empty(len(lines), dtype=np.float32)
    # A forked worker that has not searched yet would wait for the threads of its parent for ever.
    faiss.omp_set_num_threads(usable_threads())
    kernels: Any = faiss  # the names come from C++ and are not in the types
    kernel = (
        kernels.pairwise_indexed_L2sqr
        if similarity == "euclidean"
        else kernels.pairwise_indexed_inner_product
    )
    lines, places = (np.ascontiguousarray(index, dtype=np.int64) for index in (lines, places))
    kernel(
        queries.shape[1], len(lines), faiss.swig_ptr(queries), faiss.swig_ptr(lines),
        faiss.swig_ptr(vectors), faiss.swig_ptr(places), faiss.swig_ptr(out),
    )  # fmt: skip
    return -out if similarity == "euclidean" else out


def _final(raw: NDArray[np.float32], similarity: str) -> NDArray[np.float32]:
    """Turn squared distances into distances; higher stays closer."""
    if similarity != "euclidean":
        return raw
    roots: NDArray[np.float32] = -np.sqrt(np.maximum(-raw, np.float32(0)))
    return roots


def pair_similarity(
    queries: NDArray[np.float32],
    lines: NDArray[np.int64],
    vectors: NDArray[np.float32],
    places: NDArray[np.int64],
    similarity: str,
) -> NDArray[np.float32]:
    """Return the similarity of ``queries[lines[i]]`` and ``vectors[places[i]]``, shape (pairs,).

    Args:
        queries: float32, contiguous; of length one for cosine.
        lines: which query, shape (pairs,).
        vectors: float32, contiguous; of length one for cosine.
        places: which vector, shape (pairs,).
        similarity: ``cosine``, ``dot`` or ``euclidean`` (the negative distance).
    """
    return _final(_raw(queries, lines, vectors, places, similarity), similarity)


def _rounding(queries: NDArray[np.float32], vectors: NDArray[np.float32], similarity: str) -> float:
    """Return a bound on how far the score of a matrix product can be from that of the kernel.

    A sum of d products differs from the exact one by at most d * 2**-24 * |x| * |y|, whatever the
    order (N. Higham, "Accuracy and stability of numerical algorithms", 2002, equation 3.5); both
    sides may be off. A squared distance by matrix products is a sum of three such.
    """
    one, two = (
        float(np.sqrt(np.einsum("ij,ij->i", part, part).max(initial=0)))
        for part in (queries, vectors)
    )
    size = (one + two) ** 2 if similarity == "euclidean" else one * two
    # Beside that, whatever falls below the normal floats may be lost on some devices.
    return float(2.5 * (queries.shape[1] + 4) * (UNIT * size + TINY))


def exact_search(
    queries: NDArray[np.float32],
    blocks: Iterable[tuple[int, NDArray[np.float32]]],
    k: int,
    similarity: str,
    nearest: Nearest = by_faiss,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the k best vectors of each query over all blocks.

    Args:
        queries: shape (queries, dimension), float32, contiguous.
        blocks: (number of the first vector, vectors), float32, contiguous.
        k: how many.
        similarity: ``cosine`` and ``dot`` (inner product), or ``euclidean``.
        nearest: how candidates are found; on a GPU another one.

    Returns:
        Numbers and similarities of shape (queries, k), best first, ties by the lower number; -1
        and ``-inf`` where there are fewer vectors.
    """
    best = np.full((len(queries), k), NO_ROW, dtype=np.int64)
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    for start, vectors in blocks:
        width = min(k + EXTRA, len(vectors))
        rough, places = nearest(queries, vectors, width, similarity)
        slack = _rounding(queries, vectors, similarity)
        # The candidates of later blocks are mostly far below what was found before.
        hopeful = ~(rough < scores[:, -1:] - slack)
        own = np.flatnonzero(hopeful.any(axis=1))
        reach = int(hopeful.sum(axis=1).max(initial=0))  # best first: they stand at the beginning
        more, wanted = places[own, :reach], hopeful[own, :reach]
        found = _scored(queries, own, vectors, more, wanted, similarity)
        best[own], scores[own] = _merged(best[own], scores[own], start + more, found, k)
        if width == len(vectors):
            continue
        # What was left out scores at most the last that was taken, give or take the rounding.
        unsure = np.flatnonzero(scores[:, -1] <= rough[:, -1] + slack)
        portion = max(SCORES_AT_ONCE // len(vectors), 1)
        for at in range(0, len(unsure), portion):
            lines = unsure[at : at + portion]
            best[lines], scores[lines] = _whole_block(
                queries, lines, start, vectors, best[lines], scores[lines], similarity, slack
            )
    return best, _final(scores, similarity)


def _scored(
    queries: NDArray[np.float32],
    own: NDArray[np.int64],
    vectors: NDArray[np.float32],
    places: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    similarity: str,
) -> NDArray[np.float32]:
    """Return the scores of candidates of the queries ``own``, ``-inf`` for those not wanted."""
    found = np.full(places.shape, -np.inf, dtype=np.float32)
    lines, slots = np.nonzero(wanted)
    found[lines, slots] = _raw(queries, own[lines], vectors, places[lines, slots], similarity)
    return found


def _merged(
    best: NDArray[np.int64],
    scores: NDArray[np.float32],
    more: NDArray[np.int64],
    found: NDArray[np.float32],
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the k best of both, shape (queries, k)."""
    rows, values = order_by_score(
        np.concatenate([best, more], axis=1), np.concatenate([scores, found], axis=1)
    )
    return rows[:, :k], values[:, :k]


def _whole_block(
    queries: NDArray[np.float32],
    lines: NDArray[np.int64],
    start: int,
    vectors: NDArray[np.float32],
    best: NDArray[np.int64],
    scores: NDArray[np.float32],
    similarity: str,
    slack: float,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the best of some queries after a look at every vector of a block."""
    k = best.shape[1]
    rough = queries[lines] @ vectors.T
    if similarity == "euclidean":
        lengths = (np.einsum("ij,ij->i", part, part) for part in (queries[lines], vectors))
        one, two = lengths
        rough = 2 * rough - one[:, None] - two[None]
    for line, values in enumerate(rough):
        places = np.flatnonzero(values >= scores[line, -1] - slack)
        places = places[~np.isin(start + places, best[line])]
        owner = np.full(len(places), lines[line])
        found = _raw(queries, owner, vectors, places, similarity)
        rows, ordered = _merged(
            best[line][None], scores[line][None], start + places[None], found[None], k
        )
        best[line], scores[line] = rows[0], ordered[0]
    return best, scores
