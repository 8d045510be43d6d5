"""The distinct texts of a corpus: what has to be encoded, and which documents it stands for."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.arrow import save_array
from hf_hardneg.cache import published_folder
from hf_hardneg.candidates import NO_ROW, order_by_score
from hf_hardneg.corpus import Corpus
from hf_hardneg.hashing import exact_keys
from hf_hardneg.positives import ragged_indices
from hf_hardneg.text_parts import open_array

__all__ = ["DistinctTexts", "as_rows", "distinct_texts"]

TEXTS_AT_ONCE = 4096


def distinct_texts(corpus: Corpus) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct texts of a corpus.

    Returns:
        ``first``: row of the first document with each distinct text, rising, shape (distinct,);
        ``number``: which distinct text each document has, shape (documents,).
    """
    keys = np.array(corpus.document_keys)
    _, group, counts = np.unique(keys, return_inverse=True, return_counts=True)
    # Equal keys mean equal after normalisation; a model may tell such texts apart.
    alike = np.flatnonzero(counts[group] > 1)
    for start in range(0, len(alike), TEXTS_AT_ONCE):
        rows = alike[start : start + TEXTS_AT_ONCE]
        keys[rows] = exact_keys(corpus.texts(rows))
    _, first, number = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[number]


class DistinctTexts:
    """The distinct texts of a corpus by number, in the order in which they first stand there.

    Args:
        corpus: the documents.
        folder: where it is kept.
    """

    def __init__(self, corpus: Corpus, folder: Path) -> None:
        """Look at nothing yet."""
        self.corpus, self.folder = corpus, folder

    @cached_property
    def _distinct(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First row of each distinct text, and which distinct text each document has."""

        def build(folder: Path) -> None:
            for name, values in zip(("first", "number"), distinct_texts(self.corpus), strict=True):
                save_array(folder / f"{name}.npy", values)

        folder = published_folder(self.folder / "distinct", build)
        return open_array(folder, "first"), open_array(folder, "number")

    def __len__(self) -> int:
        """Return the number of distinct texts."""
        return len(self._distinct[0])

    def first_rows(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first document with each of some distinct texts."""
        return np.asarray(self._distinct[0][numbers], dtype=np.int64)

    def texts_of(self, numbers: NDArray[np.int64]) -> list[str]:
        """Return some of the distinct texts."""
        return self.corpus.texts(self.first_rows(numbers))

    def numbers_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return which distinct text each document has."""
        return np.asarray(self._distinct[1][rows])

    @cached_property
    def _members(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (offsets, rows): the documents of each distinct text, rising."""
        number = np.asarray(self._distinct[1])
        counts = np.bincount(number, minlength=len(self))
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        return offsets, np.argsort(number, kind="stable")

    def rows_of(
        self, numbers: NDArray[np.int64], most: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return documents of distinct texts, the lower rows, as (how many of each, their rows).

        Args:
            numbers: the distinct texts.
            most: how many documents of each are wanted.
        """
        if len(self) == len(self.corpus):
            counts = np.minimum(most, 1)
            return counts, numbers[counts > 0]
        offsets, rows = self._members
        counts = np.minimum(most, offsets[numbers + 1] - offsets[numbers])
        return counts, rows[ragged_indices(offsets[numbers], counts)[1]]

    def copies(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many documents have each distinct text."""
        if len(self) == len(self.corpus):
            return np.ones(len(numbers), np.int64)
        return np.diff(self._members[0])[numbers]


def as_rows(
    documents: DistinctTexts, numbers: NDArray[np.int64], scores: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Turn distinct texts into documents: each with its equals, as many as can be wanted.

    Args:
        documents: whose texts they are.
        numbers: shape (lines, k), best first, -1 in an empty slot.
        scores: the same shape.

    Returns:
        Rows and scores of the same shape, best first, ties by the lower row.
    """
    if len(documents) == len(documents.corpus):
        return numbers, scores
    k = numbers.shape[1]
    lines, places = np.nonzero(numbers != NO_ROW)
    copies = np.zeros(numbers.shape, dtype=np.int64)
    copies[lines, places] = documents.copies(numbers[lines, places])
    # How many documents have a higher score: what is left of k is what a text can fill.
    before = np.cumsum(copies, axis=1) - copies
    falls = np.ones(numbers.shape, dtype=np.bool_)
    falls[:, 1:] = scores[:, 1:] != scores[:, :-1]
    better = np.maximum.accumulate(np.where(falls, before, 0), axis=1)
    counts, rows = documents.rows_of(
        numbers[lines, places], np.maximum(k - better, 0)[lines, places]
    )
    owner = np.repeat(lines, counts)
    lengths = np.bincount(owner, minlength=len(numbers))
    shape = (len(numbers), max(int(lengths.max(initial=0)), k))
    column = ragged_indices(np.zeros(len(numbers), np.int64), lengths)[1]
    out, values = np.full(shape, NO_ROW, np.int64), np.full(shape, -np.inf, np.float32)
    out[owner, column] = rows
    values[owner, column] = np.repeat(scores[lines, places], counts)
    ordered, kept = order_by_score(out, values)
    return ordered[:, :k], kept[:, :k]
