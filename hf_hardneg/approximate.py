"""Approximate nearest neighbours with faiss, for corpora that are too large for exact search.

The index only proposes candidates; their scores are computed from the stored vectors by the same
kernel as in exact search, so every score is exact and only the choice is approximate. How good
the choice is, is measured against exact search.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.cache import content_hash, published_folder
from hf_hardneg.candidates import NO_ROW, order_by_score
from hf_hardneg.errors import ParameterError
from hf_hardneg.vector_search import exact_search, pair_similarity
from hf_hardneg.vectors import DocumentVectors

__all__ = ["ApproximateIndex", "automatic_index"]

INDEX_VERSION = 1
LARGE = 500_000
"""Below so many vectors exact search is quick enough on two cores (seconds for 1,000 queries)."""
TRAINING_POINTS_PER_LIST = 64
EXTRA = 16
SAMPLE = 256
RECALL = 0.95
QUERIES_AT_ONCE = 1024
VECTORS_AT_ONCE = 1 << 16
"""Read at a time while the index is filled and tuned: beside the index itself that is little."""
META = "meta.json"
INDEX = "index.faiss"


def automatic_index(vectors: int) -> str | None:
    """Return the faiss factory string for so many vectors, ``None`` for exact search.

    Inverted lists, about four times the square root of their number, of vectors in one byte a
    dimension (the faiss wiki's guidelines to choose an index).
    """
    if vectors < LARGE:
        return None
    lists = 2 ** round(math.log2(4 * math.sqrt(vectors)))
    return f"IVF{lists},SQ8"


class ApproximateIndex:
    """A faiss index over the vectors of a corpus, on disk, built once.

    Args:
        documents: the vectors, complete.
        factory: a faiss factory string: ``IVF4096,SQ8``, ``HNSW32``, ``IVF1024,PQ48`` ...
        block: vectors that are in memory at a time while it is built.
        threads: that faiss may use.

    Raises:
        ParameterError: faiss does not know such an index, or it does not fit the vectors.
    """

    def __init__(self, documents: DocumentVectors, factory: str, block: int, threads: int) -> None:
        """Open the index; build it if it is not there."""
        import faiss

        faiss.omp_set_num_threads(threads)
        self._documents, self._factory = documents, factory
        self._block = min(block, VECTORS_AT_ONCE)
        key = content_hash(INDEX_VERSION, documents.folder.name, factory)
        self._folder = published_folder(documents.folder.parent / f"index-{key}", self._build)
        self._index = faiss.read_index(str(self._folder / INDEX))
        self._meta = json.loads((self._folder / META).read_text())
        self._set(self._meta["effort"])

    def _metric(self) -> int:
        import faiss

        euclidean = self._documents.similarity == "euclidean"
        return int(faiss.METRIC_L2 if euclidean else faiss.METRIC_INNER_PRODUCT)

    def _build(self, folder: Path) -> None:
        import faiss

        documents = self._documents
        try:
            self._index = faiss.index_factory(documents.dimension, self._factory, self._metric())
            if not self._index.is_trained:
                self._index.train(self._training_points())
            for _, block in documents.blocks(self._block):
                self._index.add(block)
        except RuntimeError as error:
            reason = str(error).rsplit(": ", 1)[-1]
            raise ParameterError(
                f"dense: index={self._factory!r}: faiss cannot build it for {len(documents)} "
                f"vectors of {documents.dimension} dimensions ({reason}). Expected 'exact', 'auto' "
                "or a factory string such as 'IVF4096,SQ8' or 'HNSW32'."
            ) from error
        effort, recall = self._tuned()
        faiss.write_index(self._index, str(folder / INDEX))
        (folder / META).write_text(json.dumps({"effort": effort, "recall": recall}) + "\n")

    def _training_points(self) -> NDArray[np.float32]:
        """Return an even sample of the vectors: the same in every process."""
        import faiss

        lists = getattr(faiss.try_extract_index_ivf(self._index), "nlist", 256)
        wanted = min(len(self._documents), max(TRAINING_POINTS_PER_LIST * lists, 10_000))
        return self._sample(wanted)

    def _sample(self, number: int) -> NDArray[np.float32]:
        numbers = np.linspace(0, len(self._documents) - 1, number).astype(np.int64)
        return self._documents.take(np.unique(numbers))

    # -- how hard it looks -------------------------------------------------------------------

    def _set(self, effort: int) -> None:
        """Set how many lists (IVF) or neighbours (HNSW) a search looks at."""
        import faiss

        inverted = faiss.try_extract_index_ivf(self._index)
        if inverted is not None:
            inverted.nprobe = effort
        elif hasattr(self._index, "hnsw"):
            self._index.hnsw.efSearch = effort

    def _tuned(self) -> tuple[int, float]:
        """Return the least effort that finds 95% of the true neighbours of sampled documents."""
        import faiss

        inverted = faiss.try_extract_index_ivf(self._index)
        top = inverted.nlist if inverted is not None else 4096
        sample = self._sample(SAMPLE)
        exact, _ = self._exact(sample, 100)
        effort = 1 if inverted is not None else 64
        while True:
            self._set(effort)
            found = recall_of(self.search(sample, 100)[0], exact)
            if found >= RECALL or effort >= top:
                return effort, found
            effort = min(2 * effort, top)

    def _exact(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        blocks = self._documents.blocks(self._block)
        return exact_search(queries, blocks, k, self._documents.similarity)

    def measure(self, queries: NDArray[np.float32], k: int) -> float:
        """Return which share of the true k nearest the index finds for a sample of queries."""
        sample = np.ascontiguousarray(queries[:SAMPLE])
        return recall_of(self.search(sample, k)[0], self._exact(sample, k)[0])

    # -- search ------------------------------------------------------------------------------

    def search(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the k best of what the index proposes; see :func:`exact_search`."""
        parts = [
            self._portion(np.ascontiguousarray(queries[start : start + QUERIES_AT_ONCE]), k)
            for start in range(0, len(queries), QUERIES_AT_ONCE)
        ]
        numbers, scores = zip(*parts, strict=True)
        return np.concatenate(numbers), np.concatenate(scores)

    def _portion(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        width = min(k + EXTRA, len(self._documents))
        _, proposed = self._index.search(queries, width)
        lines, slots = np.nonzero(proposed >= 0)
        unique, place = np.unique(proposed[lines, slots], return_inverse=True)
        scores = np.full(proposed.shape, -np.inf, dtype=np.float32)
        scores[lines, slots] = pair_similarity(
            queries, lines, self._documents.take(unique), place, self._documents.similarity
        )
        numbers = np.full((len(queries), max(k, width)), NO_ROW, dtype=np.int64)
        values = np.full(numbers.shape, -np.inf, dtype=np.float32)
        numbers[:, :width], values[:, :width] = np.where(proposed >= 0, proposed, NO_ROW), scores
        numbers, values = order_by_score(numbers, values)
        return numbers[:, :k], values[:, :k]

    def note(self) -> str:
        """Say what the index is and how good it was when it was built."""
        return (
            f"approximate search with {self._factory!r}: {self._meta['recall']:.3f} of the true "
            f"100 nearest found for {SAMPLE} sampled documents, effort {self._meta['effort']}"
        )


def recall_of(found: NDArray[np.int64], exact: NDArray[np.int64]) -> float:
    """Return the share of the exact numbers that were found, over all queries."""
    hits = sum(
        len(np.intersect1d(one[one >= 0], two[two >= 0]))
        for one, two in zip(found, exact, strict=True)
    )
    return hits / max(int(np.count_nonzero(exact >= 0)), 1)
