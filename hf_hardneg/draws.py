"""Random documents for a query: a hash of the seed and the query, of nothing else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.hashing import mix

__all__ = ["random_rows"]

SALT = 0x52414E44
"""Keeps the draw apart from the noise of the samplers, which hashes the same seed and query."""


def random_rows(
    query_keys: NDArray[np.uint64], k: int, documents: int, seed: int
) -> NDArray[np.int64]:
    """Return distinct random rows for each query, a hash of (seed, query) alone.

    Args:
        query_keys: shape (batch,).
        k: how many for each query.
        documents: size of the corpus.
        seed: the seed.

    Returns:
        Shape (batch, min(k, documents)); each line is a uniform draw without replacement.
    """
    k = min(k, documents)
    if 4 * k >= documents:
        order = mix(seed, SALT, query_keys[:, None], np.arange(documents, dtype=np.uint64)[None])
        return np.argsort(order, axis=1, kind="stable")[:, :k].astype(np.int64)
    rows = np.empty((len(query_keys), k), dtype=np.int64)
    drawn = np.arange(2 * k + 16, dtype=np.uint64)
    # A double has 53 bits: for any corpus below 2**40 documents the bias is below 2**-13.
    share = (mix(seed, SALT, query_keys[:, None], drawn[None]) >> np.uint64(11)) * 2.0**-53
    for line, draws in enumerate((share * documents).astype(np.int64)):
        _, first = np.unique(draws, return_index=True)
        if len(first) < k:  # next to never: half of the draws were repeats
            key = query_keys[line : line + 1, None]
            order = mix(seed, SALT, key, np.arange(documents, dtype=np.uint64)[None])
            rows[line] = np.argsort(order[0], kind="stable")[:k]
        else:
            rows[line] = draws[np.sort(first)[:k]]
    return rows
