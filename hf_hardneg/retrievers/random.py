"""Random documents: the baseline every strategy should beat."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import NO_ROW, Queries
from hf_hardneg.checks import whole_number
from hf_hardneg.corpus import Corpus
from hf_hardneg.draws import random_rows
from hf_hardneg.retrievers.base import Hits, Retriever
from hf_hardneg.trials import try_search
from hf_hardneg.workload import Phase, Trial, Workload

__all__ = ["RandomRetriever"]


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
