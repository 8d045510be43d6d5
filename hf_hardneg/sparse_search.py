"""Exact search among sparse vectors, the same on every machine and for every batch.

The products of two float32 are exact in double precision, and they are added up in the order of
the dimensions, one by one: a score does not depend on the batch, the threads or the processor.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.arrow import leftmost
from hf_hardneg.candidates import NO_ROW, order_by_score
from hf_hardneg.sparse_store import Shard, SparseDocuments
from hf_hardneg.sparse_vectors import SparseVectors

__all__ = ["document_products", "pair_products", "sparse_search"]

LEAST_PER_THREAD = 16


def _scan(
    starts: NDArray[np.int64],
    places: NDArray[np.uint16],
    weights: NDArray[np.float32],
    query_starts: NDArray[np.int64],
    query_dims: NDArray[np.int32],
    query_weights: NDArray[np.float32],
    sums: NDArray[np.float64],
    first: int,
    numbers: NDArray[np.int64],
    scores: NDArray[np.float32],
) -> None:
    """Look for better ones in a shard; this is compiled.

    Each line of ``numbers`` and ``scores`` is a heap with the worst of the k best at its root:
    the lowest score, of equal ones the highest number. Shards come in rising order, so of equal
    scores the one that is there already stays.
    """
    k = numbers.shape[1]
    for line in range(len(query_starts) - 1):
        sums[:] = 0.0
        for entry in range(query_starts[line], query_starts[line + 1]):
            dim, weight = query_dims[entry], np.float64(query_weights[entry])
            for posting in range(starts[dim], starts[dim + 1]):
                sums[places[posting]] += weight * np.float64(weights[posting])
        own, values = numbers[line], scores[line]
        for place in range(len(sums)):
            score = np.float32(sums[place])
            if score <= 0.0 or score <= values[0]:
                continue
            at = 0
            child = 1
            while child < k:
                right = child + 1
                if right < k and (
                    values[right] < values[child]
                    or (values[right] == values[child] and own[right] > own[child])
                ):
                    child = right
                if score <= values[child]:
                    break
                values[at], own[at] = values[child], own[child]
                at = child
                child = 2 * at + 1
            values[at], own[at] = score, first + place


@cache
def _compiled() -> Callable[..., None]:
    """Return :func:`_scan` as machine code that other threads can run beside."""
    import numba

    compiled: Callable[..., None] = numba.njit(nogil=True)(_scan)
    return compiled


def sparse_search(
    queries: SparseVectors, documents: SparseDocuments, k: int, threads: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the k texts of the highest inner product with each query, of those above zero.

    Args:
        queries: no dimension beyond those of the documents.
        documents: complete.
        k: how many.
        threads: queries are shared among them; results do not depend on it.

    Returns:
        Numbers of distinct texts and products, shape (queries, k), best first, ties by the lower
        number; -1 and ``-inf`` where fewer are above zero.
    """
    numbers = np.full((len(queries), k), NO_ROW, dtype=np.int64)
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    size = max(-(-len(queries) // threads), LEAST_PER_THREAD)
    scan = _compiled()

    def work(low: int) -> None:
        sums = np.zeros(documents.per_shard)
        own = slice(low, low + size)
        starts = queries.starts[low : low + size + 1]
        for number in range(documents.shards):
            shard = documents.shard(number)
            scan(
                shard.starts, shard.places, shard.weights, starts, queries.dims, queries.weights,
                sums[: shard.texts], shard.first, numbers[own], scores[own],
            )  # fmt: skip

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(0, len(queries), size)))
    return order_by_score(numbers, scores)


def document_products(
    queries: SparseVectors,
    lines: NDArray[np.int64],
    documents: SparseDocuments,
    numbers: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return the product of a query and a distinct text for each pair, as the search gives it.

    Args:
        queries: the queries.
        lines: which query, shape (pairs,).
        documents: complete.
        numbers: which distinct text, shape (pairs,).
    """
    products = np.zeros(len(lines), dtype=np.float32)
    owners = numbers // documents.per_shard
    for shard in np.unique(owners):
        own = np.flatnonzero(owners == shard)
        products[own] = _in_shard(queries, lines[own], documents.shard(int(shard)), numbers[own])
    return products


def _in_shard(
    queries: SparseVectors, lines: NDArray[np.int64], shard: Shard, numbers: NDArray[np.int64]
) -> NDArray[np.float32]:
    pairs = queries.take(lines)
    owner, dims = pairs.lines, pairs.dims
    wanted = (numbers - shard.first)[owner]
    high = shard.starts[dims + 1]
    posting = leftmost(shard.places, wanted, shard.starts[dims], high)
    has = np.flatnonzero(posting < high)
    has = has[shard.places[posting[has]] == wanted[has]]
    return _sums(owner[has], pairs.weights[has], shard.weights[posting[has]], len(lines))


def pair_products(
    queries: SparseVectors,
    lines: NDArray[np.int64],
    others: SparseVectors,
    places: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return the inner product of ``queries[lines[i]]`` and ``others[places[i]]`` for each pair."""
    one, two = queries.take(lines), others.take(places)
    width = max(one.dimension, two.dimension)
    keys, others_keys = (part.lines * width + part.dims for part in (one, two))
    shared, first, second = np.intersect1d(
        keys, others_keys, assume_unique=True, return_indices=True
    )
    return _sums(shared // width, one.weights[first], two.weights[second], len(lines))


def _sums(
    owner: NDArray[np.int64], one: NDArray[Any], two: NDArray[Any], number: int
) -> NDArray[np.float32]:
    """Add up products one by one, in their order."""
    totals = np.zeros(number)
    np.add.at(totals, owner, one.astype(np.float64) * two.astype(np.float64))
    return totals.astype(np.float32)
