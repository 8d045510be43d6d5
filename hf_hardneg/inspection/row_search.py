"""Looking through the rows of a set for words or for a document, a part at a time."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hf_hardneg.arrow import flat_list
from hf_hardneg.corpus import Corpus
from hf_hardneg.hashing import text_key
from hf_hardneg.inspection.opened import InspectedSet
from hf_hardneg.inspection.searching import holding, words_of
from hf_hardneg.inspection.wanted import SEARCHED, Wanted
from hf_hardneg.mined_set import MinedBatch, MinedSet

__all__ = ["RowSearch"]

FIRST_ROWS, ROWS_AT_ONCE = 5_000, 160_000
"""Rows of a part: few of the first, for an early answer, then twice as many each time."""
FIRST_TEXTS = 1_000
"""Rows whose own texts are looked at before those of all documents, for an early answer too."""
TEXTS_AT_ONCE = 4_000
DOCUMENTS_AT_ONCE = 65_536
SIDES = ("positive", "negative")


@dataclass(frozen=True, slots=True)
class _Named:
    """Ids by which rows name what is wanted; ``None`` where their own texts are looked at.

    Attributes:
        same: of documents that are the one that is wanted.
        worded: of documents with the words.
        queries: of queries with the words.
    """

    same: pa.Array | None = None
    worded: pa.Array | None = None
    queries: pa.Array | None = None


class RowSearch:
    """One search, which goes on in a thread of its own until it ends or is cancelled.

    Where the rows name documents of a corpus by id, it is the corpus that is searched, each of its
    documents once; else the texts of the rows themselves.

    Args:
        inspected: the set.
        wanted: of this, words and document alone.
        allowed: rows in which it is searched, shape (rows,).

    Attributes:
        looked_at: rows that have been looked at, from the first on.
        found: rows that were found among these.
        documents: documents of the corpus that have been looked through.
        known: rows that were known, from the first on, when ``allowed`` was made.
        version: of what was known then.
        failed: what ended it early.
    """

    def __init__(self, inspected: InspectedSet, wanted: Wanted, allowed: NDArray[np.bool_]) -> None:
        """Begin with nothing."""
        self._inspected, self._allowed = inspected, allowed
        self._words, self._document = words_of(wanted.search), wanted.document
        self._everywhere = wanted.search_in == SEARCHED[1]
        self._hits = np.zeros(len(inspected), np.bool_)
        self.looked_at = self.found = self.documents = 0
        self.known = len(inspected)
        self.version: tuple[int, ...] = ()
        self.failed: BaseException | None = None
        self._ended = threading.Event()
        self._cancelled = threading.Event()
        self._changed = threading.Condition()

    def cancel(self) -> None:
        """End soon; what was found is of no more use."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._cancelled.is_set()

    @property
    def complete(self) -> bool:
        """Whether all rows have been looked at."""
        return self._ended.is_set() and self.looked_at == len(self._hits)

    def rows(self) -> tuple[NDArray[np.int64], int]:
        """Return (rows found so far, rows looked at for that)."""
        looked_at = self.looked_at
        return np.flatnonzero(self._hits[:looked_at]), looked_at

    def wait(self, seconds: float, enough: int) -> None:
        """Wait until it ends, so many rows are found, or so many seconds are over.

        Raises:
            HardNegError: what ended it early.
        """
        until = time.monotonic() + seconds
        with self._changed:
            while not self._ended.is_set() and self.found < enough:
                left = until - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
        if self.failed is not None:
            raise self.failed

    def run(self) -> None:
        """Look through all rows."""
        try:
            self._run()
        except BaseException as error:
            self.failed = error
        finally:
            with self._changed:
                self._ended.set()
                self._changed.notify_all()

    def _run(self) -> None:
        mined = self._inspected.mined
        corpus = _names_documents(mined)
        everywhere = self._everywhere and bool(self._words)
        start, rows = 0, len(mined)
        if self._words and not self._document:
            if corpus is not None and everywhere:
                start = self._look(mined, 0, min(FIRST_TEXTS, rows), _Named())
            elif mined.by_id is not None and not everywhere:
                start = self._look(mined.stored, 0, min(FIRST_ROWS, rows), _Named())
        texts = corpus is None and everywhere
        if texts or (self._document and corpus is None):
            source, named, size = mined, _Named(), TEXTS_AT_ONCE
        else:
            source = mined.by_id or mined.stored
            named, size = self._named(corpus, mined.queries if mined.by_id else None), FIRST_ROWS
        while start < rows and not self.cancelled:
            start = self._look(source, start, min(start + size, rows), named)
            size = size if texts else min(2 * size, ROWS_AT_ONCE)

    def _look(self, source: MinedSet, start: int, stop: int, named: _Named) -> int:
        """Look at some rows; return where the next begin."""
        allowed = self._allowed[start:stop]
        if allowed.any():
            marks = allowed & self._marks(source.part(start, stop), named)
            self._hits[start:stop] = marks
            self.found += int(np.count_nonzero(marks))
        with self._changed:
            self.looked_at = stop
            self._changed.notify_all()
        return stop

    def _named(self, corpus: Corpus | None, queries: Corpus | None) -> _Named:
        """Return by which ids the rows name what is wanted."""
        wanted = bool(self._words)
        return _Named(
            None if corpus is None or not self._document else self._same(corpus),
            self._worded(corpus) if corpus is not None and wanted and self._everywhere else None,
            self._worded(queries) if queries is not None and wanted else None,
        )

    def _marks(self, batch: MinedBatch, named: _Named) -> NDArray[np.bool_]:
        """Return which rows of a batch have the document and the words."""
        found = np.ones(len(batch), np.bool_)
        if self._document:
            found &= self._with_document(batch, named.same)
        if self._words:
            found &= self._with_words(batch, named)
        return found

    def _with_document(self, batch: MinedBatch, same: pa.Array | None) -> NDArray[np.bool_]:
        found = np.zeros(len(batch), np.bool_)
        one = pa.array([self._document], pa.string())
        for side in SIDES:
            if batch.has(f"{side}_ids"):
                found |= _any_in(batch.table[f"{side}_ids"], one if same is None else same)
            if batch.has(f"{side}s"):
                found |= _any_in(batch.table[f"{side}s"], one)
        return found

    def _with_words(self, batch: MinedBatch, named: _Named) -> NDArray[np.bool_]:
        if named.queries is None:
            found = holding(batch.table["query"], self._words)
        else:
            asked = pc.is_in(batch.table["query_id"], value_set=named.queries)
            found = asked.to_numpy().astype(np.bool_)
        for side in SIDES if self._everywhere else ():
            if named.worded is not None and batch.has(f"{side}_ids"):
                found |= _any_in(batch.table[f"{side}_ids"], named.worded)
            elif batch.has(f"{side}s"):
                offsets, values = flat_list(batch.table[f"{side}s"])
                found |= _any(offsets, holding(values, self._words))
        return found

    def _same(self, corpus: Corpus) -> pa.Array:
        """Return the ids by which the rows may name the document."""
        document = self._document
        rows = np.flatnonzero(corpus.document_keys == np.uint64(text_key(document)))
        ids = corpus.id_array(rows).filter(pc.equal(corpus.text_array(rows), document))
        return pa.concat_arrays([pa.array([document], pa.string()), ids])

    def _worded(self, corpus: Corpus) -> pa.Array:
        """Return the ids of the texts with the words."""
        rows = corpus.to_dataset().with_format("arrow")
        found = [pa.array([], pa.string())]
        for start in range(0, len(corpus), DOCUMENTS_AT_ONCE):
            if self.cancelled:
                break
            table = rows[start : start + DOCUMENTS_AT_ONCE]
            marks = holding(table["text"], self._words)
            for chunk in table["id"].filter(pa.array(marks)).chunks:
                found.append(chunk.cast(pa.string()))
            if corpus is self._inspected.mined.corpus:
                self.documents = min(start + DOCUMENTS_AT_ONCE, len(corpus))
        return pa.concat_arrays(found)


def _names_documents(mined: MinedSet) -> Corpus | None:
    """Return the corpus whose documents the rows name by id and have no texts of."""
    stored = mined.stored
    by_id = stored.has("negative_ids") and not stored.has("negatives")
    positives = stored.has("positive_ids") and not stored.has("positives")
    alike = positives or not (mined.has("positives") or mined.has("positive_ids"))
    return mined.corpus if by_id and alike else None


def _any_in(lists: pa.ChunkedArray, wanted: pa.Array) -> NDArray[np.bool_]:
    """Return which lists hold any of the values; a missing value is none of them."""
    offsets, values = flat_list(lists)
    if len(wanted) == 1:
        same = pc.fill_null(pc.equal(values, wanted[0]), False)
    else:
        same = pc.is_in(values, value_set=wanted, skip_nulls=True)
    return _any(offsets, same.to_numpy(zero_copy_only=False).astype(np.bool_))


def _any(offsets: NDArray[np.int64], marks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    before = np.concatenate([[0], np.cumsum(marks)])
    found: NDArray[np.bool_] = before[offsets[1:]] > before[offsets[:-1]]
    return found
