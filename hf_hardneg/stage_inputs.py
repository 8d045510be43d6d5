"""What a stage may be given beside a batch: all rows to be fitted to, and the retriever."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_hardneg.candidates import Candidates, Queries

__all__ = ["NEEDS", "Documents", "Rows", "VectorSource"]

NEEDS = {
    "scores": "scores; use a retriever with scores, such as bm25 or dense",
    "vectors": "the documents' vectors; use dense",
    "unit vectors": "scores that are cosines of vectors; use dense with a model whose similarity "
    "is cosine, or dense(similarity='cosine')",
}
"""What a stage may need of the retriever, and which gives it."""


class Rows(Protocol):
    """The candidates of all rows of a data set, batch by batch, as often as they are asked for."""

    @property
    def seed(self) -> int:
        """The seed of the miner."""

    def positive_scores(self) -> NDArray[np.float32]:
        """Return the scores of all positives, shape (positives,), ``nan`` where there is none."""

    def retrieved(self) -> Iterator[tuple[Queries, Candidates]]:
        """Yield all candidates as they were retrieved, positives among them."""

    def left(self) -> Iterator[tuple[Queries, Candidates]]:
        """Yield what the filters that stand before this stage leave."""

    def orders(self) -> Iterator[tuple[Queries, Candidates, NDArray[np.float64]]]:
        """Yield what :meth:`left` does, and the sampler's keys, shape (batch, k)."""


class Documents(Protocol):
    """What a stage may know of the corpus that its retriever searches."""

    def __len__(self) -> int:
        """Return the number of documents."""

    @property
    def document_keys(self) -> NDArray[np.uint64]:
        """Keys of the normalised texts, shape (documents,)."""

    def texts(self, rows: ArrayLike) -> list[str]:
        """Return the texts of ``rows``."""


class VectorSource(Protocol):
    """What a stage may ask the retriever."""

    @property
    def name(self) -> str:
        """Its name in strategy strings."""

    @property
    def corpus(self) -> Documents:
        """The documents."""

    @property
    def top_k(self) -> int:
        """How many candidates it retrieves for each query."""

    @property
    def gives(self) -> frozenset[str]:
        """What it gives, of :data:`NEEDS`."""

    @property
    def parts(self) -> Sequence[VectorSource]:
        """The retrievers whose lists it works on; none if it searches by itself."""

    def expression(self) -> str:
        """Return it as it stands in a strategy string, with its parameters."""

    @property
    def unit_vectors(self) -> bool:
        """Whether scores are cosines of vectors. May open a model."""

    @property
    def dimension(self) -> int:
        """Length of the vectors."""

    def scores_are_similarities(self, sources: tuple[str, ...]) -> bool:
        """Return whether :meth:`query_similarity` is the score of candidates of these sources.

        Args:
            sources: names of the retrievers that found the candidates.
        """

    def document_similarity(
        self, one: NDArray[np.int64], other: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the similarity of pairs of corpus rows, shape (pairs,), as queries have it."""

    def query_similarity(
        self, texts: Sequence[str], lines: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the similarity of pairs of a query ``texts[lines]`` and a corpus row, (pairs,)."""

    def positive_scores(
        self, queries: Queries, hits: tuple[NDArray[np.int64], NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Return the score of every positive by the scorer of the candidates.

        Any documents can be scored so, when they are put in as positives. ``nan`` where there is
        no score.

        Args:
            queries: the batch; ragged as its ``offsets`` is the result.
            hits: candidates whose scores are known, shape (batch, k); may be empty slots.
        """
