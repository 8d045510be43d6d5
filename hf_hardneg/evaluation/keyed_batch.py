"""Some rows of a mined set as arrays: what the checks of an audit look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from hf_hardneg.arrow import flat_list
from hf_hardneg.evaluation.text_facts import TextFacts, Texts
from hf_hardneg.hashing import among, exact_key, mix
from hf_hardneg.mined_set import MinedBatch

__all__ = ["NO_ID", "KeyedBatch", "Side", "keyed"]

NO_ID = np.uint64(exact_key(""))

Keys = NDArray[np.uint64]
Marks = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Side:
    """The positives, or the negatives, of the rows of a batch, one after the other.

    Attributes:
        offsets: those of row i are ``[offsets[i]:offsets[i + 1]]``; shape (rows + 1,).
        owners: the row of each, shape (documents,).
        texts: facts of the texts, ``None`` where there are no texts.
        ids: keys of the ids, :data:`NO_ID` where one is missing; ``None`` where there are none.
        scores: ``nan`` where one is missing; ``None`` where there are none.
    """

    offsets: NDArray[np.int64]
    owners: NDArray[np.int64]
    texts: Texts | None
    ids: Keys | None
    scores: NDArray[np.float32] | None

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self.owners)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Documents of each row, shape (rows,)."""
        return np.diff(self.offsets)

    def documents(self, by: str) -> tuple[Keys, Marks]:
        """Return (keys of the documents, which of these are known), by ``text`` or ``id``."""
        if by == "text":
            return (self.texts.keys, self.texts.usable()) if self.texts else _none(len(self))
        return (self.ids, self.ids != NO_ID) if self.ids is not None else _none(len(self))

    def exactly(self) -> tuple[Keys, Marks]:
        """Return (keys of the exact texts, which of these are known)."""
        return (self.texts.exact, self.texts.usable()) if self.texts else _none(len(self))


@dataclass(frozen=True, slots=True)
class KeyedBatch:
    """Some rows of a mined set.

    Attributes:
        start: number of the first row.
        batch: the rows themselves.
        queries: facts of the queries.
        positives, negatives: the documents.
        filled: which negatives are fill, ``None`` where that is not known.
        uneven: rows whose lists of texts, ids or scores have unequal lengths, shape (rows,).
    """

    start: int
    batch: MinedBatch
    queries: Texts
    positives: Side
    negatives: Side
    filled: Marks | None
    uneven: Marks

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.queries)

    def own_positives(self, by: str) -> Marks:
        """Return which negatives are a positive of their row, by ``exact``, ``text`` or ``id``."""
        exact = by == "exact"
        known, there = self.positives.exactly() if exact else self.positives.documents(by)
        asked, usable = self.negatives.exactly() if exact else self.negatives.documents(by)
        pairs = np.sort(mix(self.positives.owners[there].astype(np.uint64), known[there]))
        marks: Marks = usable & among(pairs, mix(self.negatives.owners.astype(np.uint64), asked))
        return marks


def keyed(batch: MinedBatch, facts: TextFacts) -> KeyedBatch:
    """Return the arrays of a batch."""
    uneven = np.zeros(len(batch), np.bool_)
    positives = _side(batch, "positive", facts, uneven)
    negatives = _side(batch, "negative", facts, uneven)
    queries = facts.of(_whole(batch.table["query"]))
    filled = None
    if batch.has("negative_filled"):
        offsets, values = flat_list(batch.table["negative_filled"])
        flags = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
        filled = _aligned(offsets, flags, negatives.offsets, False, uneven)
    return KeyedBatch(batch.start, batch, queries, positives, negatives, filled, uneven)


def _none(size: int) -> tuple[Keys, Marks]:
    return np.zeros(size, np.uint64), np.zeros(size, np.bool_)


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole


def _side(batch: MinedBatch, name: str, facts: TextFacts, uneven: Marks) -> Side:
    """Return one side; texts decide how many there are, ids where there are no texts."""
    texts, ids, scores = None, None, None
    offsets = np.zeros(len(batch) + 1, np.int64)
    if batch.has(f"{name}s"):
        offsets, values = flat_list(batch.table[f"{name}s"])
        texts = facts.of(values)
    if batch.has(f"{name}_ids"):
        own, values = flat_list(batch.table[f"{name}_ids"])
        raw = pc.fill_null(values, "").cast(pa.binary()).to_pylist()
        found = np.fromiter(map(xxhash.xxh3_64_intdigest, raw), np.uint64, count=len(raw))
        offsets = offsets if texts is not None else own
        ids = _aligned(own, found, offsets, NO_ID, uneven)
    if batch.has(f"{name}_scores"):
        own, numbers = batch.numbers(f"{name}_scores")
        scores = _aligned(own, numbers, offsets, np.float32(np.nan), uneven)
    owners = np.repeat(np.arange(len(batch)), np.diff(offsets))
    return Side(offsets, owners, texts, ids, scores)


def _aligned(
    own: NDArray[np.int64],
    values: NDArray[Any],
    offsets: NDArray[np.int64],
    missing: Any,  # noqa: ANN401
    uneven: Marks,
) -> NDArray[Any]:
    """Return values with one for each document; in a row of another length all are missing.

    A list of another length belongs to other documents: which of them, nobody can say. A list
    that is empty or missing where there are documents is missing, and not of another length.
    """
    if np.array_equal(own, offsets):
        return values
    lengths, expected = np.diff(own), np.diff(offsets)
    same = lengths == expected
    uneven |= ~same & (lengths > 0)
    out = np.full(offsets[-1], missing, dtype=values.dtype)
    out[np.repeat(same, expected)] = values[np.repeat(same, lengths)]
    return out
