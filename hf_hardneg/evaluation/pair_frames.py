"""The pairs of a query and a candidate that labels can be asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.hashing import exact_key, text_key

__all__ = ["FoundPair", "Frame", "PairBatch", "by_row", "nothing"]

Keys = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class PairBatch:
    """The pairs of some rows, and the known positives of these rows.

    Attributes:
        start: number of the first row.
        query_keys: of the normalised queries, shape (rows,).
        offsets: the candidates of row i are ``offsets[i]:offsets[i + 1]``, shape (rows + 1,).
        document_keys: of the candidates' normalised texts, shape (pairs,).
        ranks: from 1, 0 where it is not known, shape (pairs,).
        positive_offsets: as ``offsets``, of the row's own positives.
        positive_keys: of the texts of the positives.
        further_offsets, further_keys: of the texts that the positives have in the corpus.
    """

    start: int
    query_keys: Keys
    offsets: NDArray[np.int64]
    document_keys: Keys
    ranks: NDArray[np.int64]
    positive_offsets: NDArray[np.int64]
    positive_keys: Keys
    further_offsets: NDArray[np.int64]
    further_keys: Keys


@dataclass(frozen=True, slots=True)
class FoundPair:
    """A pair as it is read by whoever labels it; ``None`` is not known."""

    query_id: str
    query: str
    document_id: str
    document: str
    rank: int | None
    score: float | None
    source: str | None

    @classmethod
    def of(
        cls,
        query: tuple[str, str],
        document: tuple[str, str],
        *,
        rank: int | None = None,
        score: Any = None,  # noqa: ANN401
        source: str | None = None,
    ) -> FoundPair:
        """Return a pair with names for what the data does not name.

        Args:
            query: its id, or the empty string, and its text.
            document: likewise.
            rank: 0 is not known.
            score: a float32; not finite is not known.
            source: what found it.
        """
        return cls(
            query_name(*query),
            query[1],
            document_name(*document),
            document[1],
            rank or None,
            None if score is None else number(score),
            source,
        )


class Frame(ABC):
    """All pairs of a data set.

    Attributes:
        notes: what a reader should know of how it was read.
        ranked: whether ranks are those of a retriever, not places in a row.
    """

    notes: tuple[str, ...] = ()
    ranked: bool = True

    @abstractmethod
    def query_keys(self) -> Keys:
        """Return the key of each row's query, shape (rows,)."""

    @abstractmethod
    def batches(self) -> Iterator[PairBatch]:
        """Yield the pairs of all rows in their order."""

    @abstractmethod
    def find(
        self, pairs: Sequence[tuple[int, int]], positives: Sequence[tuple[int, int]]
    ) -> tuple[list[FoundPair], list[FoundPair]]:
        """Return pairs and positives with their texts.

        Args:
            pairs: (row, place among the row's candidates).
            positives: (row, place among the row's positives).
        """


def nothing(rows: int) -> tuple[NDArray[np.int64], Keys]:
    """Return the offsets and keys of rows without any document."""
    return np.zeros(rows + 1, np.int64), np.zeros(0, np.uint64)


def number(value: Any) -> float | None:  # noqa: ANN401
    """Return a float32 as the shortest number that stands for it, ``None`` if not finite."""
    return float(str(np.float32(value))) if np.isfinite(value) else None


def by_row(pairs: Sequence[tuple[int, int]]) -> dict[int, list[int]]:
    """Return the places in ``pairs`` by row."""
    found: dict[int, list[int]] = {}
    for place, (row, _) in enumerate(pairs):
        found.setdefault(row, []).append(place)
    return found


def query_name(identity: str, text: str) -> str:
    """Return a query's id, or one made of its text where the data has none."""
    return identity or f"q-{exact_key(text):016x}"


def document_name(identity: str, text: str) -> str:
    """Return a document's id, or one made of its normalised text where the data has none."""
    return identity or f"d-{text_key(text):016x}"
