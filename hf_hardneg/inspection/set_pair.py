"""Two mined sets of the same queries, row beside row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.checks import one_of
from hf_hardneg.errors import FormatError
from hf_hardneg.hashing import exact_key, exact_keys, text_key, text_keys
from hf_hardneg.inspection.opened import InspectedSet
from hf_hardneg.inspection.views import DocumentView
from hf_hardneg.mined_set import MinedBatch, MinedSet

__all__ = ["ID", "TEXT", "RowComparison", "SetPair", "compare_row"]

ID, TEXT = "id", "text"
BATCH = 10_000

Keys = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class RowComparison:
    """The negatives of one query in both sets.

    Attributes:
        number: row of the first set, from 0.
        rows_a, rows_b: all rows of the query in either set; in ``rows_b`` none where the second
            set does not have it.
        query_id, query: as the first set has them.
        positives: of the row, as the first set has them.
        both: documents that both have, as the first and as the second set has them, in the order
            of the first.
        only_a, only_b: documents that only one has, in its order.
        notes: what a reader should know.
    """

    number: int
    rows_a: tuple[int, ...]
    rows_b: tuple[int, ...]
    query_id: str
    query: str
    positives: tuple[DocumentView, ...]
    both: tuple[tuple[DocumentView, DocumentView], ...]
    only_a: tuple[DocumentView, ...]
    only_b: tuple[DocumentView, ...]
    notes: tuple[str, ...] = ()

    @property
    def jaccard(self) -> float | None:
        """Shared documents over all; ``None`` where neither has any."""
        every = len(self.both) + len(self.only_a) + len(self.only_b)
        return len(self.both) / every if every else None


class QueryIndex:
    """The rows of a set by their query: sixteen bytes a row.

    Args:
        mined: the set.
        by: ``id`` or ``text``.

    Attributes:
        keys: of the queries, each row's, in rising order.
        rows: the row of each key.
        unnamed: rows whose query has no id, or no text.
    """

    def __init__(self, mined: MinedSet, by: str) -> None:
        """Read the queries."""
        parts = [query_keys(batch, by) for batch in mined.batches(BATCH)]
        keys = np.concatenate([own for own, _ in parts])
        named = np.concatenate([own for _, own in parts])
        rows = np.flatnonzero(named)
        order = np.argsort(keys[rows], kind="stable")
        self.keys, self.rows = keys[rows][order], rows[order].astype(np.int64)
        self.unnamed = len(keys) - len(rows)

    def of(self, key: int) -> NDArray[np.int64]:
        """Return the rows of a query, rising."""
        wanted = np.uint64(key)
        first = np.searchsorted(self.keys, wanted, "left")
        return self.rows[first : np.searchsorted(self.keys, wanted, "right")]

    @cached_property
    def first(self) -> tuple[Keys, NDArray[np.int64]]:
        """The distinct keys, rising, and the first row of each."""
        keys, places = np.unique(self.keys, return_index=True)
        return keys, self.rows[places]


class SetPair:
    """Two sets whose rows are matched by their queries.

    A query is the same by its id where both sets have ids and share any, else by its normalised
    text. All rows of a query are taken together: its negatives are those of all of them. A document
    is the same by its id where both sets have ids, unless both have texts and their documents are
    known to be others; else by its normalised text.

    Args:
        a: the first set.
        b: the second.
        documents_by: ``id`` or ``text``; default: see above.

    Attributes:
        a, b: the sets.
        documents_by: by what documents are the same.
        queries_by: by what queries are.
        index_a, index_b: their rows.

    Raises:
        FormatError: they have nothing in common by which queries or documents could be matched.
    """

    def __init__(
        self, a: InspectedSet, b: InspectedSet, *, documents_by: str | None = None
    ) -> None:
        """Match the rows; the queries of both sets are read once."""
        self.a, self.b = a, b
        self.documents_by = _documents_by(a, b, documents_by)
        self.queries_by, self.index_a, self.index_b = _matched(a, b)

    def rows_of(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return all rows of the query of a row of ``a``, in ``a`` and in ``b``.

        Args:
            number: of the row, from 0.
        """
        keys, named = query_keys(self.a.mined.at(number), self.queries_by)
        if not named[0]:
            return np.array([number]), np.empty(0, np.int64)
        key = int(keys[0])
        return self.index_a.of(key), self.index_b.of(key)

    def row(self, number: int) -> RowComparison:
        """Return the negatives of one query in both sets.

        Args:
            number: of the row of ``a``, from 0.

        Raises:
            FormatError: there is no such row.
        """
        view = self.a.row(number)
        rows_a, rows_b = self.rows_of(number)
        ours, theirs = self._documents(self.a, rows_a), self._documents(self.b, rows_b)
        notes = [
            f"{own.name} has {len(rows):,} rows of this query; their negatives are taken together."
            for own, rows in ((self.a, rows_a), (self.b, rows_b))
            if len(rows) > 1
        ]
        if not len(rows_b):
            notes.append(f"{self.b.name} does not have this query.")
        return RowComparison(
            number,
            tuple(rows_a.tolist()),
            tuple(rows_b.tolist()),
            view.query_id,
            view.query,
            view.positives,
            tuple((one, theirs[key]) for key, one in ours.items() if key in theirs),
            tuple(one for key, one in ours.items() if key not in theirs),
            tuple(one for key, one in theirs.items() if key not in ours),
            tuple(notes),
        )

    def _documents(
        self, inspected: InspectedSet, rows: NDArray[np.int64]
    ) -> dict[int, DocumentView]:
        """Return the negatives of some rows by their keys, each once."""
        found: dict[int, DocumentView] = {}
        for number in rows.tolist():
            for one in inspected.row(number).negatives:
                if self.documents_by == ID and one.document_id:
                    found.setdefault(exact_key(one.document_id), one)
                if self.documents_by == TEXT and one.text:
                    found.setdefault(text_key(one.text), one)
        return found


def compare_row(a: InspectedSet, b: InspectedSet, number: int) -> RowComparison:
    """Return the negatives of one query in both sets; for many rows keep a :class:`SetPair`.

    Args:
        a: the first set.
        b: the second.
        number: of the row of ``a``, from 0.

    Raises:
        FormatError: there is no such row, or the sets cannot be matched.
    """
    return SetPair(a, b).row(number)


def query_keys(batch: MinedBatch, by: str) -> tuple[Keys, NDArray[np.bool_]]:
    """Return the key of each row's query, and whether it has what the key is made of."""
    if by == TEXT:
        texts = batch.queries()
        return text_keys(texts), np.array([bool(text) for text in texts], dtype=np.bool_)
    names = batch.query_ids() if batch.has("query_id") else batch.queries()
    return exact_keys(names), np.array([bool(name) for name in names], dtype=np.bool_)


def document_keys(batch: MinedBatch, by: str) -> tuple[NDArray[np.int64], Keys, NDArray[np.bool_]]:
    """Return offsets and keys of the negatives, and whether each has what its key is made of."""
    lists = batch.texts("negative_ids" if by == ID else "negatives")
    keys = exact_keys(lists.flat) if by == ID else text_keys(lists.flat)
    return lists.offsets, keys, np.array([bool(one) for one in lists.flat], dtype=np.bool_)


def _documents_by(a: InspectedSet, b: InspectedSet, asked: str | None) -> str:
    ids = a.mined.has("negative_ids") and b.mined.has("negative_ids")
    texts = a.mined.has("negatives") and b.mined.has("negatives")
    if asked is not None:
        one_of("compare", "documents_by", asked, (ID, TEXT))
        ids, texts = ids and asked == ID, texts and asked == TEXT
    if not ids and not texts:
        raise FormatError(
            f"{a.name} and {b.name} do not both have {asked or 'ids, nor both texts,'}"
            f"{'s' if asked else ''} of their negatives, so these cannot be compared. Give the "
            "corpus that the ids belong to."
        )
    known = a.corpus is not None and b.corpus is not None
    others = known and a.corpus != b.corpus and _fingerprint(a) != _fingerprint(b)
    return TEXT if texts and (not ids or others) else ID


def _fingerprint(inspected: InspectedSet) -> str:
    return "" if inspected.corpus is None else inspected.corpus.fingerprint


def _matched(a: InspectedSet, b: InspectedSet) -> tuple[str, QueryIndex, QueryIndex]:
    """Return by what queries are matched, and the rows of both sets by it."""
    texts = a.mined.query_texts and b.mined.query_texts
    tried: Sequence[str] = [ID] if _has_ids(a) and _has_ids(b) else []
    for by in [*tried, *([TEXT] if texts else [])]:
        index_a, index_b = QueryIndex(a.mined, by), QueryIndex(b.mined, by)
        if np.isin(index_a.first[0], index_b.first[0]).any():
            return by, index_a, index_b
    raise FormatError(
        f"{a.name} and {b.name} have no query in common, neither by id nor by text. Give two sets "
        "of the same queries."
    )


def _has_ids(inspected: InspectedSet) -> bool:
    return inspected.mined.has("query_id") or not inspected.mined.query_texts
