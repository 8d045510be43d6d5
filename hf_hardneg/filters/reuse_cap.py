"""Let no document be a negative of more than so many queries."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import NO_ROW, Candidates, Queries
from hf_hardneg.checks import whole_number
from hf_hardneg.errors import ParameterError
from hf_hardneg.filters.base import Filter
from hf_hardneg.hashing import KeySet, mix
from hf_hardneg.stage_inputs import Rows

__all__ = ["ReuseCap"]

Keys = NDArray[np.uint64]

SALT = 0x52455553
PLACES = 2**16
"""Places that are told apart; what stands behind them is told apart by the hash alone."""
RECORDS_AT_ONCE = 2**19
HASH_BITS = np.uint64(48)
UNLIMITED = np.uint64(2**64 - 1)


class ReuseCap(Filter):
    """Keeps each document for at most ``max_queries`` of the queries that would take it.

    Some documents come near very many queries (hubs). Without a limit they become the negatives
    of all of these, and a model learns to push a few documents away from everything.

    A query wants a document when it is left by the filters that stand before this one. The first
    pass goes over the pool and works out, for each document, at which place in the order of each
    query (the sampler's, ties by rank) it stands. Of more than ``max_queries`` queries that want
    it, those keep it that have it earliest; at the same place a hash of seed, query and document
    decides. A document that no more queries want is not restricted. The second pass is the
    choice of negatives, which then keeps to the cap whatever else drops candidates: vetoes,
    further filters, or the sampler. What is decided of a query and a document depends on the set
    of queries alone, not on the order of rows, the batch, or the number of processes.

    A query is its normalised text: rows of the same query share one place, the earliest of
    theirs. A document is its normalised text too: copies under other ids share one cap. Random
    fill (``underfilled="fill"``) is not counted: it is drawn from the corpus, not from candidates.

    It is the order, not what is taken in the end, that counts: a document at place 90 is wanted
    too where 5 are taken, so a place may be given away to a query that never comes there. Since
    those that have it earliest keep it, this costs little while ``max_queries`` times documents is
    well above negatives times queries, and rows get short as the two come near each other.
    Measured on SciFact (809 training queries, 5,183 documents, ``bm25@100``, the 5 best; without
    a cap a document is a negative of at most 10 queries):

    ===========  =========  ===============  ===================
    max_queries  negatives  rows with all 5  mean negative score
    ===========  =========  ===============  ===================
    10           4,045      809              8.93
    3            4,045      809              8.81
    2            4,027      796              8.60
    1            3,539      577              7.99
    ===========  =========  ===============  ===================

    Stand it last among the filters, so that nothing is given to a query that would drop it. Where
    rows get short, retrieve deeper or raise ``max_queries``.

    It has to see the candidates of all rows, so it works in ``miner.mine`` and ``miner.select``,
    not on single batches; of a DatasetDict, each split has a cap of its own. The first pass needs
    about 24 bytes for each (document, query) that it keeps in mind, at most ``max_queries + 1`` for
    each document, and a bounded buffer.

    Not from a paper.

    Args:
        max_queries: how many distinct queries may have a document as a negative, at least 1.

    Raises:
        ParameterError: ``max_queries`` is out of range, or a single batch is asked about.
    """

    name = "reuse-cap"
    source = "practice: against hub documents"
    costs = "one more pass over the pool"

    def __init__(self, *, max_queries: int = 10) -> None:
        """Check the cap; what it means for each document is learnt by :meth:`fitted`."""
        self.max_queries = whole_number(self.name, "max_queries", max_queries, 1)
        self._learnt: tuple[_CappedDocuments, KeySet] | None = None

    @property
    def needs_fit(self) -> bool:
        """It has to see what every query wants."""
        return self._learnt is None

    def fitted(self, rows: Rows) -> ReuseCap:
        """Return the filter that knows which queries keep which document."""
        if not self.needs_fit:
            return self
        wanted = _Earliest(self.max_queries + 1, rows.seed)
        for queries, candidates, keys in rows.orders():
            wanted.look_at(queries, candidates, keys)
        again = ReuseCap(max_queries=self.max_queries)
        capped, allowed = _decided(*wanted.records(), self.max_queries)
        again._learnt = _CappedDocuments(capped), allowed
        return again

    def mask(self, queries: Queries, candidates: Candidates) -> NDArray[np.bool_]:
        """Keep what is not capped, and what is capped and allowed to the query."""
        if self._learnt is None:
            raise ParameterError(
                "reuse-cap: it has to see the candidates of all queries first, and a single batch "
                "does not have them. Use miner.mine(dataset) or miner.select(pool)."
            )
        capped, allowed = self._learnt
        dropped = capped.are_in(candidates)
        dropped[dropped] = ~allowed.holds(_pairs(queries, candidates)[dropped])
        return ~dropped

    def _keys(self) -> tuple[Keys, ...]:
        """Return what was learnt as arrays: the capped documents, and the pairs that stay."""
        return tuple(known.keys for known in self._learnt or ())

    def __eq__(self, other: object) -> bool:
        """Two are equal when their caps are, and what they have learnt."""
        if not isinstance(other, ReuseCap) or not super().__eq__(other):
            return False
        if self.needs_fit or other.needs_fit:
            return self.needs_fit and other.needs_fit
        return all(map(np.array_equal, self._keys(), other._keys()))

    __hash__ = Filter.__hash__

    def __getstate__(self) -> dict[str, Any]:
        """Return the parameters and what was learnt: the cache must tell two fits apart."""
        return {**super().__getstate__(), "learnt": self._keys()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the parameters and what was learnt."""
        learnt = state["learnt"]
        super().__setstate__({name: value for name, value in state.items() if name != "learnt"})
        if learnt:
            capped, allowed = learnt
            self._learnt = _CappedDocuments(KeySet(capped)), KeySet(allowed)


class _CappedDocuments:
    """The documents that have a cap, known by row once they were looked up by key.

    A document comes up in many batches, and a look-up by row takes a tenth of the time.
    """

    def __init__(self, capped: KeySet) -> None:
        self.keys = capped.keys
        self._capped = capped
        self._known = np.empty(0, dtype=np.int8)
        """By corpus row: 1 it has a cap, 0 it has none, -1 not looked up yet."""

    def are_in(self, candidates: Candidates) -> NDArray[np.bool_]:
        """Return which slots hold one of them, shape (batch, k)."""
        missing = int(candidates.rows.max(initial=NO_ROW)) + 1 - len(self._known)
        if missing > 0:
            self._known = np.concatenate([self._known, np.full(missing, -1, dtype=np.int8)])
        if not len(self._known):  # no candidate so far
            return np.zeros(candidates.shape, dtype=np.bool_)
        known = self._known[candidates.rows]
        new = np.nonzero((known < 0) & candidates.filled)
        known[new] = self._capped.holds(candidates.document_keys[new])
        self._known[candidates.rows[new]] = known[new]
        return (known > 0) & candidates.filled


def _pairs(queries: Queries, candidates: Candidates) -> Keys:
    """Return one key for each query and document, shape (batch, k)."""
    return mix(queries.keys[:, None], candidates.document_keys)


class _Earliest:
    """The earliest queries of each document, of any number of records (document, pair, place).

    The place holds the hash that parts equal places, in its lower bits. What is dropped on the
    way stands behind ``number`` other queries, and those only move forward, so nothing is lost.
    """

    def __init__(self, number: int, seed: int) -> None:
        self._number, self._seed = number, seed
        self._parts: list[tuple[NDArray[np.int32], Keys, Keys, Keys]] = []
        self._kept = self._fresh = 0
        self._limits = np.empty(0, dtype=np.uint64)
        """By corpus row, the place of the last of ``number`` queries; later ones are no use."""

    def look_at(self, queries: Queries, candidates: Candidates, keys: NDArray[np.float64]) -> None:
        """Take what the queries of a batch want."""
        filled = candidates.filled
        # What the sampler would not take stands last but is wanted: a sampler that looks at the
        # survivors may take it when others are gone. Empty slots stand behind it.
        order = np.argsort(np.where(filled, -keys, np.nan), axis=1, kind="stable")
        rows = np.take_along_axis(candidates.rows, order, axis=1)
        places = np.minimum(np.arange(rows.shape[1]), PLACES - 1).astype(np.uint64) << HASH_BITS
        early = (rows != NO_ROW) & (places <= self._limits_of(rows))
        lines, columns = np.nonzero(early)
        slots = order[lines, columns]
        pairs = _pairs(queries, candidates)[lines, slots]
        noise = mix(self._seed, SALT, pairs)
        self.add(
            rows[lines, columns].astype(np.int32),
            candidates.document_keys[lines, slots],
            pairs,
            places[columns] | (noise >> np.uint64(16)),
        )

    def _limits_of(self, rows: NDArray[np.int64]) -> Keys:
        """Return the limit of each corpus row; there is none for a row that is new."""
        needed = int(rows.max(initial=NO_ROW)) + 1
        if needed > len(self._limits):
            more = np.full(needed - len(self._limits), UNLIMITED, dtype=np.uint64)
            self._limits = np.concatenate([self._limits, more])
        return self._limits[rows] if len(self._limits) else np.zeros(rows.shape, np.uint64)

    def add(self, rows: NDArray[np.int32], documents: Keys, pairs: Keys, places: Keys) -> None:
        """Take further records."""
        self._parts.append((rows, documents, pairs, places))
        self._fresh += len(documents)
        if self._fresh > max(RECORDS_AT_ONCE, self._kept):
            self.records()

    def records(self) -> tuple[Keys, Keys, Keys]:
        """Return (document, pair, place), sorted by document and then by place."""
        if not self._parts:
            return (np.empty(0, np.uint64),) * 3
        columns = list(zip(*self._parts, strict=True))
        self._parts = []
        # One column after the other, so that there are never two copies of all of them.
        columns.reverse()
        rows, documents, pairs, places = (np.concatenate(columns.pop()) for _ in range(4))
        kept, last = _pruned(documents, pairs, places, self._number)
        rows, documents, pairs, places = (
            values[kept] for values in (rows, documents, pairs, places)
        )
        self._limits_of(rows)  # makes room
        ends = np.flatnonzero(last)
        run = np.repeat(places[ends], np.diff(ends, prepend=-1))
        full = np.repeat(_place_in_run(documents)[ends] == self._number - 1,
                         np.diff(ends, prepend=-1))  # fmt: skip
        self._limits[rows[full]] = run[full]
        self._parts = [(rows, documents, pairs, places)]
        self._kept, self._fresh = len(documents), 0
        return documents, pairs, places


def _pruned(
    documents: Keys, pairs: Keys, places: Keys, number: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Choose the first ``number`` distinct queries of each document, each at its first place.

    Returns:
        The records that are kept, sorted by document and place; and which of these is the last of
        its document.
    """
    order = _by_document_and_place(documents, places)
    sorted_documents = documents[order]
    in_order = np.sort(pairs)
    if (in_order[1:] == in_order[:-1]).any():  # a query that stands in several rows, or twin texts
        first = np.sort(np.unique(pairs[order], return_index=True)[1])
        order, sorted_documents = order[first], sorted_documents[first]
    kept = _place_in_run(sorted_documents) < number
    order, sorted_documents = order[kept], sorted_documents[kept]
    last = np.ones(len(order), dtype=np.bool_)
    last[:-1] = sorted_documents[1:] != sorted_documents[:-1]
    return order, last


def _by_document_and_place(documents: Keys, places: Keys) -> NDArray[np.int64]:
    """Return the order by document and then by place: as lexsort, in a third of the time."""
    order = np.argsort(documents)
    begins = np.ones(len(order), dtype=np.bool_)
    np.not_equal(documents[order[1:]], documents[order[:-1]], out=begins[1:])
    # The number of the run and as much of the place as there is room for, in one integer.
    packed = np.cumsum(begins, dtype=np.uint64)
    room = np.uint64(64 - int(packed[-1] if len(packed) else 0).bit_length())
    packed <<= room
    packed |= places[order] >> (np.uint64(64) - room)
    again = np.argsort(packed)
    packed, order = packed[again], order[again]
    del again
    alike = np.flatnonzero(packed[1:] == packed[:-1])
    if (places[order[alike]] != places[order[alike + 1]]).any():
        return np.lexsort((places, documents))
    return order


def _place_in_run(sorted_keys: Keys) -> NDArray[np.int64]:
    """Return 0, 1, 2, ... for the entries of each run of equal keys."""
    begins = np.ones(len(sorted_keys), dtype=np.bool_)
    begins[1:] = sorted_keys[1:] != sorted_keys[:-1]
    starts = np.flatnonzero(begins)
    lengths = np.diff(np.append(starts, len(sorted_keys)))
    places: NDArray[np.int64] = np.arange(len(sorted_keys)) - np.repeat(starts, lengths)
    return places


def _decided(documents: Keys, pairs: Keys, places: Keys, cap: int) -> tuple[KeySet, KeySet]:
    """Return the documents that more than ``cap`` queries want, and the pairs that stay."""
    place = _place_in_run(documents)
    capped = KeySet(documents[place == cap])
    stays = (place < cap) & capped.holds(documents)
    return capped, KeySet(pairs[stays])
