"""Random documents: the baseline every strategy should beat."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import NO_ROW, Queries
from hf_hardneg.checks import whole_number
from hf_hardneg.corpus import Corpus
from hf_hardneg.hashing import mix
from hf_hardneg.retrievers.base import Hits, Retriever
from hf_hardneg.trials import try_search
from hf_hardneg.workload import Phase, Trial, Workload

__all__ = ["RandomRetriever", "random_rows"]

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


class RandomRetriever(Retriever):
    """Candidates drawn uniformly from the corpus, without replacement, without scores.

    The draw for a query is a hash of the seed and the query, so it does not depend on the batch,
    the order of rows, or the number of processes.

    Args:
        corpus: the documents.
        top_k: candidates for each query.
        seed: not negative.
        cache_dir: where the corpus lies.
    """

    name = "random"
    gives = frozenset()

    def __init__(
        self,
        corpus: Corpus,
        *,
        top_k: int = 100,
        seed: int = 0,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        """Check the parameters."""
        self.corpus = Corpus.of(corpus, cache_dir)
        self.top_k = whole_number("random", "top_k", top_k, 1)
        self.seed = whole_number("random", "seed", seed, 0)
        self.cache_dir = cache_dir

    def search(self, queries: Queries) -> Hits:
        """Return random rows with the score ``nan``."""
        drawn = random_rows(queries.keys, self.top_k, len(self.corpus), self.seed)
        shape = (len(queries), self.top_k)
        rows = np.full(shape, NO_ROW, dtype=np.int64)
        rows[:, : drawn.shape[1]] = drawn
        scores = np.where(rows == NO_ROW, np.float32(-np.inf), np.float32(np.nan))
        return rows, scores.astype(np.float32)

    def positive_scores(self, queries: Queries, hits: Hits) -> NDArray[np.float32]:
        """Return ``nan`` for every positive: there is no scorer."""
        return np.full(len(queries.positive_rows), np.nan, dtype=np.float32)

    def trial(self, work: Workload) -> Trial:
        """Draw for some queries; see :meth:`Retriever.trial`."""
        tried = try_search(self, work)
        phase = Phase(f"{self.name}: search", tried.query * len(work.queries))
        return Trial((phase,), work.negatives(tried.nearest))
