"""How often the same documents are used again as negatives."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Reuse", "ReuseCounts", "gini"]

MERGE = 1 << 22


@dataclass(frozen=True, slots=True)
class Reuse:
    """How the negatives are spread over documents.

    Attributes:
        negatives: how many there are.
        distinct: how many different documents they are.
        gini: of the uses of the documents that are used: 0 where all are used as often, towards 1
            where few are used for nearly everything; ``None`` without a negative.
        gini_of_corpus: the same over all documents of the corpus, those never used too.
        most_reused: (document, how often), the most used first; the id where there are ids, else
            the text.
        told_apart_by: ``text`` (normalised) or ``id``.
    """

    negatives: int
    distinct: int
    gini: float | None
    gini_of_corpus: float | None
    most_reused: tuple[tuple[str, int], ...]
    told_apart_by: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "most_reused": [list(one) for one in self.most_reused]}


def gini(counts: NDArray[np.integer[Any]], unused: int = 0) -> float | None:
    """Return the Gini coefficient of counts, ``None`` where their sum is 0.

    ``sum_i (2 i - n - 1) x_i / (n sum_i x_i)`` with the counts ``x`` in rising order, i from 1 to
    n: half the mean difference of two counts over their mean. It is biased towards 0 for few
    documents, (n - 1) / n at most.

    Args:
        counts: not negative, shape (documents,).
        unused: further documents, with a count of 0.
    """
    rising = np.sort(counts).astype(np.float64)
    n, total = len(rising) + unused, rising.sum()
    if not total:
        return None
    places = np.arange(unused + 1, n + 1, dtype=np.float64)
    return float(((2 * places - n - 1) * rising).sum() / (n * total))


class ReuseCounts:
    """Counts of keys in memory that the different keys decide, not their uses."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._keys = np.zeros(0, np.uint64)
        self._counts = np.zeros(0, np.int64)
        self._waiting: list[NDArray[np.uint64]] = []
        self._number = 0

    def add(self, keys: NDArray[np.uint64]) -> None:
        """Count further uses, shape (uses,)."""
        self._waiting.append(keys)
        self._number += len(keys)
        if self._number >= MERGE:
            self._merge()

    def _merge(self) -> None:
        fresh, uses = np.unique(np.concatenate(self._waiting), return_counts=True)
        keys, place = np.unique(np.concatenate([self._keys, fresh]), return_inverse=True)
        counts = np.zeros(len(keys), np.int64)
        np.add.at(counts, place, np.concatenate([self._counts, uses]))
        self._keys, self._counts = keys, counts
        self._waiting, self._number = [], 0

    def counts(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Return the different keys, rising, and how often each is used."""
        if self._waiting:
            self._merge()
        return self._keys, self._counts

    def most_used(self, number: int) -> dict[int, int]:
        """Return the keys that are used most, with their counts; ties by the lower key."""
        keys, counts = self.counts()
        first = np.lexsort((keys, -counts))[:number]
        return {int(keys[place]): int(counts[place]) for place in first}
