"""Checks of the whole set: positives of the same query elsewhere, hub documents, repeated rows.

What they need of each document, a key of eight bytes, is written to a temporary file and read
again at the end, so that memory grows neither with the rows nor with the documents: only queries
that stand in several rows are held, with their positives, eight bytes each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.evaluation.audit_check import Check, comparable
from hf_hardneg.evaluation.audit_documents import INCOMPARABLE
from hf_hardneg.evaluation.finding import ERROR, WARNING, Place
from hf_hardneg.evaluation.keyed_batch import KeyedBatch
from hf_hardneg.evaluation.spool import NewSpool, Spool, counted
from hf_hardneg.hashing import KeySet, mix
from hf_hardneg.mined_set import MinedSet

__all__ = ["HUB_LEAST", "HUB_TIMES", "Hubs", "RepeatedRows", "Siblings"]

HUB_LEAST, HUB_TIMES = 20, 10

Keys = NDArray[np.uint64]


def repeated_keys(spool: Spool) -> KeySet:
    """Return the keys that stand in a spool more than once."""
    found = [keys[counts > 1] for keys, counts in counted(spool)]
    return KeySet(np.concatenate(found) if found else np.zeros(0, np.uint64))


def spans(
    counts: Spool, *columns: Spool, rows: int = 2**15
) -> Iterator[tuple[int, NDArray[np.int64], list[NDArray[Any]]]]:
    """Yield (first row, offsets, columns) of some rows at a time.

    Args:
        counts: how many documents each row has.
        columns: a number for each document.
        rows: how many at a time.
    """
    streams = [_Reader(column) for column in columns]
    for start, own in counts.chunks(rows):
        offsets = np.concatenate([[0], np.cumsum(own, dtype=np.int64)])
        yield start, offsets, [stream.take(int(offsets[-1])) for stream in streams]


class _Reader:
    """Takes numbers from a spool, so many at a time."""

    def __init__(self, spool: Spool) -> None:
        self._chunks = spool.chunks()
        self._left: NDArray[Any] = np.zeros(0, spool.dtype)

    def take(self, size: int) -> NDArray[Any]:
        parts, have = [self._left], len(self._left)
        while have < size:
            parts.append(next(self._chunks)[1])
            have += len(parts[-1])
        whole = np.concatenate([part for part in parts if len(part)] or parts[:1])
        self._left = whole[size:]
        return whole[:size]


class Siblings(Check):
    """Negatives that are a positive of the same query in another row.

    Args:
        examples: how many places to keep.
        new: opens spools, for what is read again at the end.
    """

    name = "sibling_positive"
    title = "Sibling positive as negative"
    severity = ERROR
    about = (
        "The negative is a positive of the same query (by its normalised text) in another row: a "
        "document known to be relevant is taught as one that is not."
    )

    def __init__(self, examples: int, new: NewSpool) -> None:
        """Open the spools."""
        super().__init__(examples)
        self._by, self._query_texts = "text", True
        self._queries = new("queries", np.uint64)
        self._positive_counts = new("positive-counts", np.int32)
        self._positives = new("positives", np.uint64)
        self._counts = new("counts", np.int32)
        self._negatives = new("negatives", np.uint64)

    def lacks(self, mined: MinedSet) -> str:
        """Return why the set cannot be checked for this, or nothing."""
        ways = comparable(mined)
        self._by = ways[0] if ways else ""
        self._query_texts = mined.query_texts
        return "" if ways else INCOMPARABLE

    def add(self, batch: KeyedBatch) -> None:
        """Look at some rows; those without a query have no siblings."""
        # Ids that stand for queries are not normalised: "Q1" and "q1" are two.
        keys = batch.queries.keys if self._query_texts else batch.queries.exact
        queries = np.where(batch.queries.usable(), keys, np.uint64(0))
        self._queries.add(queries)
        for side, counts, pairs in (
            (batch.positives, self._positive_counts, self._positives),
            (batch.negatives, self._counts, self._negatives),
        ):
            keys, known = side.documents(self._by)
            own = queries[side.owners]
            values = np.where(known & (own != 0), mix(own, keys), np.uint64(0))
            if side is batch.negatives:
                # A positive of its own row is another check's.
                values[batch.own_positives("text") | batch.own_positives("id")] = 0
            counts.add(side.counts)
            pairs.add(values)
        self.tally.checked += len(batch.negatives)

    def finish(self) -> None:
        """Compare, now that all positives are known."""
        several = repeated_keys(self._queries)
        if not len(several):
            return
        pairs = []
        rows = spans(self._positive_counts, self._positives)
        queries = _Reader(self._queries)
        for _, offsets, (own,) in rows:
            marks = several.holds(queries.take(len(offsets) - 1))
            found = own[np.repeat(marks, np.diff(offsets))]
            pairs.append(np.unique(found[found != 0]))
        known = KeySet(np.concatenate(pairs))
        for start, offsets, (asked,) in spans(self._counts, self._negatives):
            self.tally.add_negatives(start, offsets, (asked != 0) & known.holds(asked))


class RepeatedRows(Check):
    """Rows that stand in the set before: the same query, positives and negatives.

    Args:
        examples: how many places to keep.
        new: opens spools, for what is read again at the end.
    """

    name = "repeated_row"
    title = "Repeated row"
    severity = WARNING
    about = "A row with the same query, positives and negatives, in their order, stands before."
    of = "rows"

    def __init__(self, examples: int, new: NewSpool) -> None:
        """Open the spool."""
        super().__init__(examples)
        self._rows = new("rows", np.uint64)

    def add(self, batch: KeyedBatch) -> None:
        """Look at some rows."""
        keys = batch.queries.keys
        for side in (batch.positives, batch.negatives):
            documents = side.documents("text" if side.texts is not None else "id")[0]
            keys = mix(keys, _sums(documents, side.offsets, side.owners))
        self._rows.add(keys)
        self.tally.checked += len(batch)

    def finish(self) -> None:
        """Count, now that all rows are known."""
        several = repeated_keys(self._rows)
        seen = np.zeros(len(several), np.bool_)
        for start, keys in self._rows.chunks():
            marks = several.holds(keys)
            found = np.flatnonzero(marks)
            which, first = np.unique(np.searchsorted(several.keys, keys[found]), return_index=True)
            marks[found[first[~seen[which]]]] = False  # where it stands for the first time
            seen[which] = True
            self.tally.add_rows(start, marks)


def _sums(keys: Keys, offsets: NDArray[np.int64], owners: NDArray[np.int64]) -> Keys:
    """Return one hash for each row of its documents in their order."""
    places = (np.arange(len(keys)) - offsets[owners]).astype(np.uint64)
    hashed = np.concatenate([np.zeros(1, np.uint64), mix(keys, places)])
    with np.errstate(over="ignore"):
        sums = np.cumsum(hashed, dtype=np.uint64)
        counts = np.diff(offsets).astype(np.uint64)
        return mix(sums[offsets[1:]] - sums[offsets[:-1]], counts)


class Hubs(Check):
    """Negatives that are hub documents: those that stand in very many rows.

    A document is a hub here if it is a negative more than 20 times and more than 10 times as often
    as the mean of all documents that are a negative at all. Beside the count stands the skewness
    of the number of times, by which M. Radovanovic, A. Nanopoulos, M. Ivanovic, "Hubs in space:
    popular nearest neighbors in high-dimensional data", Journal of Machine Learning Research 11
    (2010), 2487-2531, measure hubness; theirs is over all documents, this one over those used.

    Args:
        examples: how many places to keep.
        new: opens spools, for what is read again at the end.
    """

    name = "hub_document"
    title = "Hub document"
    severity = WARNING
    about = (
        f"The document is a negative more than {HUB_LEAST} times, and more than {HUB_TIMES} times "
        "as often as the mean document that is used. Training sees it again and again; ReuseCap "
        "bounds this when mining."
    )

    def __init__(self, examples: int, new: NewSpool) -> None:
        """Open the spools."""
        super().__init__(examples)
        self._limit = examples
        self._by = "text"
        self._counts = new("hub-counts", np.int32)
        self._documents = new("documents", np.uint64)
        self._figures: dict[str, Any] = {}

    def lacks(self, mined: MinedSet) -> str:
        """Choose by what documents are told apart."""
        self._by = "text" if mined.has("negatives") else "id"
        return ""

    def add(self, batch: KeyedBatch) -> None:
        """Look at some rows."""
        keys, known = batch.negatives.documents(self._by)
        self._counts.add(batch.negatives.counts)
        self._documents.add(np.where(known, keys, np.uint64(0)))
        self.tally.checked += len(batch.negatives)

    def finish(self) -> None:
        """Count, now that all uses are known."""
        sums = np.zeros(4)
        for _, counts in counted(self._documents):
            each = counts.astype(np.float64)
            sums += [len(each), each.sum(), (each**2).sum(), (each**3).sum()]
        if not sums[0]:
            return
        limit = max(HUB_LEAST, HUB_TIMES * sums[1] / sums[0])
        hubs, times = self._above(limit)
        self._figures = {
            "documents_used": int(sums[0]),
            "mean_times": round(sums[1] / sums[0], 2),
            "skewness": _skewness(sums),
            "hubs": len(hubs),
            "hub_above_times": round(limit, 2),
            "most_times": int(times.max(initial=0)),
        }
        self._mark(hubs, times)

    def _above(self, limit: float) -> tuple[Keys, NDArray[np.int64]]:
        """Return the documents used more often, and how often."""
        keys, times = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
        for own, counts in counted(self._documents):
            keys.append(own[counts > limit])
            times.append(counts[counts > limit])
        return np.concatenate(keys), np.concatenate(times)

    def _mark(self, hubs: Keys, times: NDArray[np.int64]) -> None:
        """Count what hubs take, and find where the most used of them stand first."""
        held = KeySet(hubs)
        order = np.lexsort((hubs, -times))[: self._limit]
        wanted = dict(zip(hubs[order].tolist(), times[order].tolist(), strict=True))
        found: dict[int, Place] = {}
        places = self.tally.places
        for start, offsets, (keys,) in spans(self._counts, self._documents):
            marks = (keys != 0) & held.holds(keys)
            self.tally.add_negatives(start, offsets, marks)
            if len(found) < len(wanted):
                for place in np.flatnonzero(np.isin(keys, list(wanted))).tolist():
                    row = int(np.searchsorted(offsets, place, side="right")) - 1
                    where = (start + row, place - int(offsets[row]))
                    found.setdefault(int(keys[place]), where)
        places[:] = [found[key] for key in wanted]
        self.remarks = {found[key]: f"a negative {count:,} times" for key, count in wanted.items()}

    def figures(self) -> dict[str, Any]:
        """Return how documents are used."""
        return self._figures


def _skewness(sums: NDArray[np.float64]) -> float | None:
    """Return the third standardised moment, from sums of powers 0 to 3; ``None`` if all are one."""
    mean, square, cube = sums[1:] / sums[0]
    variance = square - mean**2
    if variance <= 1e-12 * square:
        return None
    return round(float((cube - 3 * mean * square + 2 * mean**3) / variance**1.5), 3)
