"""A faiss index read from its file: what it finds, and the vectors that it holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import NO_ROW, order_by_score
from hf_hardneg.errors import ParameterError, PoolError
from hf_hardneg.vector_search import exact_search, pair_similarity
from hf_hardneg.workers import usable_threads

__all__ = ["IndexFile"]

EXTRA = 16
"""Asked for beyond k, so that a tie at the end can be broken by the lower row."""
BLOCK_BYTES = 1 << 28
INVERTED_LISTS = b"Iw"
"""How the file of an index with inverted lists begins."""
NEVER = 2**31 - 1

Found = tuple[NDArray[np.int64], NDArray[np.float32]]


def _read(path: Path) -> Any:  # noqa: ANN401
    """Open an index, mapped into memory where its type allows it.

    Raises:
        PoolError: the file cannot be read, or holds no index.
    """
    import faiss

    try:
        with path.open("rb") as stream:
            lists = stream.read(2) == INVERTED_LISTS
        # faiss has one flag for inverted lists, and one for flat codes and graphs.
        flag = faiss.IO_FLAG_MMAP if lists else getattr(faiss, "IO_FLAG_MMAP_IFC", 0)
        index = faiss.read_index(str(path), flag)
    except (OSError, RuntimeError) as error:
        reason = str(error).rpartition("Error: ")[2].strip()
        raise PoolError(
            f"the faiss index {str(path)!r} cannot be read: {reason}. Expected a file written by "
            "faiss.write_index(index, path)."
        ) from None
    return index


@contextmanager
def _query_by_query() -> Iterator[None]:
    """Keep faiss from matrix products, whose rounding depends on the number of queries."""
    import faiss

    globals_of_faiss: Any = faiss.cvar
    before = globals_of_faiss.distance_compute_blas_threshold
    globals_of_faiss.distance_compute_blas_threshold = NEVER
    faiss.omp_set_num_threads(usable_threads())
    try:
        yield
    finally:
        globals_of_faiss.distance_compute_blas_threshold = before


class IndexFile:
    """A faiss index, opened.

    What stands around the index proper, a map of numbers (``IndexIDMap``) and transforms of
    vectors (``IndexPreTransform``), is taken off: places are places in the innermost index.

    Args:
        path: the file.
        nprobe: inverted lists to search.
        ef_search: breadth of the search of a graph.

    Attributes:
        dimension: of the vectors that it takes.
        similarity: ``dot`` or ``euclidean``, from the metric of the index.
        labels: what the index calls its vectors, by place; ``None`` where these are the places.

    Raises:
        PoolError: the file cannot be read, or the index compares in a way that is not known, or
            does not give its vectors back.
        ParameterError: the index has no such parameter.
    """

    def __init__(self, path: Path, *, nprobe: int | None, ef_search: int | None) -> None:
        """Open and check the index."""
        import faiss

        self._path = path
        self._outer = self._index = _read(path)
        self.dimension = int(self._outer.d)
        self.labels: NDArray[np.int64] | None = None
        self._transforms: list[Any] = []
        self._set("nprobe", nprobe, "inverted lists (IVF)")
        self._set("efSearch", ef_search, "a graph (HNSW)")
        self._unwrap()
        metrics = {faiss.METRIC_INNER_PRODUCT: "dot", faiss.METRIC_L2: "euclidean"}
        if self._index.metric_type not in metrics:
            raise PoolError(
                f"the faiss index {str(path)!r} has the metric {self._index.metric_type}; expected "
                "METRIC_INNER_PRODUCT (0) or METRIC_L2 (1)."
            )
        self.similarity = metrics[self._index.metric_type]
        self._need_vectors()

    def __len__(self) -> int:
        """Return the number of vectors."""
        return int(self._index.ntotal)

    def _set(self, name: str, value: int | None, owner: str) -> None:
        import faiss

        if value is None:
            return
        try:
            faiss.ParameterSpace().set_index_parameter(self._outer, name, value)
        except RuntimeError:
            raise ParameterError(
                f"faiss: {'ef_search' if name == 'efSearch' else name}={value} is for an index "
                f"with {owner}, and {str(self._path)!r} is {type(self._outer).__name__}. Leave it "
                "out."
            ) from None

    def _unwrap(self) -> None:
        """Take off number maps and transforms."""
        import faiss

        while True:
            if isinstance(self._index, faiss.IndexIDMap):  # IndexIDMap2 is one, too
                self.labels = np.asarray(faiss.vector_to_array(self._index.id_map), np.int64)
            elif isinstance(self._index, faiss.IndexPreTransform):
                chain: Any = self._index.chain
                self._transforms += [
                    faiss.downcast_VectorTransform(chain.at(place)) for place in range(chain.size())
                ]
            else:
                return
            self._index = faiss.downcast_index(self._index.index)

    def _need_vectors(self) -> None:
        """Refuse an index whose vectors cannot be had back: positives could not be scored by it.

        Raises:
            PoolError: they cannot.
        """
        import faiss

        kinds: Any = faiss
        reason = ""
        # The first compares bits, and the second breaks off the whole process when asked.
        if isinstance(self._index, kinds.IndexLSH | kinds.IndexIVFFastScan):
            reason = "faiss does not give the vectors of this type back"
        try:
            lists = None if reason else faiss.try_extract_index_ivf(self._index)
            if lists is not None and lists.direct_map.no():
                lists.make_direct_map()
            if len(self) and not reason:
                self._index.reconstruct(0)
        except RuntimeError as error:
            reason = str(error).rpartition("failed: ")[2].strip()
        if reason:
            raise PoolError(
                f"the vectors of the faiss index {str(self._path)!r} ({type(self._index).__name__})"
                f" cannot be had back ({reason}), so that a positive cannot be scored by it. Build "
                "it as another type, with numbers 0, 1, 2, ... or numbers of your own in an "
                "IndexIDMap, or with IndexRefineFlat around it."
            )

    @cached_property
    def exact(self) -> bool:
        """Whether the index compares with all of its vectors."""
        import faiss

        return type(self._index) in (faiss.IndexFlat, faiss.IndexFlatIP, faiss.IndexFlatL2)

    @property
    def keeps_lengths(self) -> bool:
        """Whether the vectors come back just as they were put in."""
        return self.exact and not self._transforms

    def transformed(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return vectors as the innermost index compares them."""
        for transform in self._transforms:
            # One by one: the rounding of a matrix product depends on how many there are.
            rows = [transform.apply(vectors[place : place + 1]) for place in range(len(vectors))]
            vectors = np.concatenate(rows) if rows else np.zeros((0, transform.d_out), np.float32)
        return np.ascontiguousarray(vectors, dtype=np.float32)

    def vectors(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors at some places, as the innermost index compares them."""
        taken: NDArray[np.float32] = self._index.reconstruct_batch(
            np.ascontiguousarray(places, dtype=np.int64)
        )
        return taken

    def scores(
        self,
        queries: NDArray[np.float32],
        lines: NDArray[np.int64],
        places: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Return the similarity of pairs (line of ``queries``, place in the index)."""
        out = np.empty(len(lines), dtype=np.float32)
        step = max(BLOCK_BYTES // (4 * queries.shape[1]), 1)
        for start in range(0, len(lines), step):
            own = slice(start, start + step)
            distinct, which = np.unique(places[own], return_inverse=True)
            out[own] = pair_similarity(
                queries, lines[own], self.vectors(distinct), which, self.similarity
            )
        return out

    # -- search ------------------------------------------------------------------------------

    def search(self, queries: NDArray[np.float32], k: int, order: NDArray[np.int64]) -> Found:
        """Return the k nearest vectors of each query.

        Args:
            queries: as :meth:`transformed` gives them.
            k: how many.
            order: places of the vectors; equal scores are broken by the place in this order.

        Returns:
            Numbers in ``order`` and similarities, shape (queries, k), best first, -1 and ``-inf``
            at the end.
        """
        if self.exact:
            return exact_search(queries, self._blocks(order), k, self.similarity)
        return self._approximate(queries, k, order)

    def _blocks(self, order: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        size = max(BLOCK_BYTES // (4 * int(self._index.d)), 1)
        for start in range(0, len(order), size):
            yield start, self.vectors(order[start : start + size])

    def _approximate(self, queries: NDArray[np.float32], k: int, order: NDArray[np.int64]) -> Found:
        """Ask the index, and score what it finds anew, pair by pair."""
        width = min(k + EXTRA, len(self))
        with _query_by_query():
            _, places = self._index.search(queries, width)
        number = np.empty(len(self), dtype=np.int64)
        number[order] = np.arange(len(order))
        numbers = np.full((len(queries), max(width, k)), NO_ROW, dtype=np.int64)
        scores = np.full(numbers.shape, -np.inf, dtype=np.float32)
        lines, slots = np.nonzero(places >= 0)
        found = places[lines, slots]
        numbers[lines, slots] = number[found]
        scores[lines, slots] = self.scores(queries, lines, found)
        ordered, values = order_by_score(numbers, scores)
        return ordered[:, :k], values[:, :k]
