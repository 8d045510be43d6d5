"""The one value that flows from stage to stage: :class:`Queries` and :class:`Candidates`.

Inside the library a document is its row number in the corpus; the user's own ids appear only
where data comes in and goes out. A higher score is always a closer document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "AGAINST",
    "NO_ROW",
    "Candidates",
    "Queries",
    "among",
    "known_positive",
    "order_by_score",
    "places_by_score",
]

NO_ROW = -1


@dataclass(frozen=True, slots=True)
class Queries:
    """A batch of queries with their positives.

    Positives are ragged: those of query ``i`` are the entries ``offsets[i]:offsets[i + 1]``.

    Attributes:
        texts: the queries, length batch.
        ids: the user's ids of the queries, length batch; empty where the data has none.
        keys: keys of the normalised queries, shape (batch,).
        offsets: shape (batch + 1,).
        positive_rows: corpus rows of the row's own positives, shape (positives,); -1 where a
            positive is not a document of the corpus.
        positive_texts: the texts of the same positives as the data gives them, length positives;
            empty where the data gives ids only (the corpus has the texts then).
        known_offsets: shape (batch + 1,); as ``offsets``, for all known positives of the query,
            those of other rows included.
        known_rows: corpus rows of all known positives, -1 where not in the corpus.
        known_keys: keys of the normalised texts of all known positives.
        further: the texts of further columns, by the column's name: one list of texts a query.
            There are those that a stage of the strategy reads, and no others.
    """

    texts: Sequence[str]
    ids: Sequence[str]
    keys: NDArray[np.uint64]
    offsets: NDArray[np.int64]
    positive_rows: NDArray[np.int64]
    positive_texts: Sequence[str]
    known_offsets: NDArray[np.int64]
    known_rows: NDArray[np.int64]
    known_keys: NDArray[np.uint64]
    further: Mapping[str, Sequence[list[str]]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of queries."""
        return len(self.keys)

    @property
    def positives_per_query(self) -> NDArray[np.int64]:
        """Number of the row's own positives, shape (batch,)."""
        return np.diff(self.offsets)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidate documents of a batch of queries, arrays of shape (batch, k).

    Attributes:
        rows: corpus row numbers, int64; -1 is an empty slot.
        scores: float32, higher is closer; ``-inf`` in an empty slot, ``nan`` where the retriever
            has no score to give (random documents).
        ranks: raw 1-based rank in the retriever's list, int32; 0 in an empty slot.
        sources: index into ``source_names``, int8; -1 in an empty slot.
        document_keys: key of the normalised text of each document, uint64.
        positive_scores: score of each positive by the SAME scorer, float32, shape (positives,),
            ragged as ``Queries.offsets``; ``nan`` where there is none.
        source_names: names of the retrievers.
        source_ranks: rank in the list of each retriever, 0 where it does not list the document,
            int32, shape (batch, k, retrievers); ``None`` where there is one retriever alone and the
            candidates are in its order.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    ranks: NDArray[np.int32]
    sources: NDArray[np.int8]
    document_keys: NDArray[np.uint64]
    positive_scores: NDArray[np.float32]
    source_names: tuple[str, ...] = ("",)
    source_ranks: NDArray[np.int32] | None = None

    @property
    def filled(self) -> NDArray[np.bool_]:
        """Which slots hold a candidate, shape (batch, k)."""
        return self.rows >= 0

    @property
    def shape(self) -> tuple[int, int]:
        """Return (batch, k)."""
        batch, k = self.rows.shape
        return batch, k

    def keep(self, mask: NDArray[np.bool_]) -> Candidates:
        """Return a copy in which every slot outside ``mask`` is empty."""
        return replace(
            self,
            rows=np.where(mask, self.rows, NO_ROW),
            scores=np.where(mask, self.scores, np.float32(-np.inf)),
            ranks=np.where(mask, self.ranks, np.int32(0)),
            sources=np.where(mask, self.sources, np.int8(-1)),
            source_ranks=None
            if self.source_ranks is None
            else np.where(mask[:, :, None], self.source_ranks, np.int32(0)),
        )

    def positive_score(self, queries: Queries, against: str = "min") -> NDArray[np.float64]:
        """Return the score that stands for each query's own positives, shape (batch,).

        ``nan`` where one of them has no score, because a run that does not list it ranked it
        below everything else; and where a query has no positive.

        Args:
            queries: the batch.
            against: ``min`` is the strictest choice for a margin: nothing that comes near any
                positive passes. ``max``, ``mean``; ``own`` where each row has one positive.
        """
        owner = np.repeat(np.arange(len(queries)), queries.positives_per_query)
        scores = self.positive_scores.astype(np.float64)
        scored = ~np.isnan(scores)
        if against == "mean":
            sums = np.bincount(owner[scored], scores[scored], minlength=len(queries))
            chosen = sums / np.maximum(queries.positives_per_query, 1)
        else:
            start, pick = (-np.inf, np.maximum) if against == "max" else (np.inf, np.minimum)
            chosen = np.full(len(queries), start)
            pick.at(chosen, owner[scored], scores[scored])
        chosen[owner[~scored]] = np.nan
        chosen[queries.positives_per_query == 0] = np.nan
        return chosen


AGAINST = ("min", "max", "mean", "own")
"""Which of several positives a margin is measured against."""


def among(
    values: NDArray[np.generic], offsets: NDArray[np.int64], wanted: NDArray[np.generic]
) -> NDArray[np.bool_]:
    """Return where ``values`` (batch, k) hold one of their line's ragged ``wanted``.

    One pass for each place in the lists; the passes get short quickly, because few queries have
    many positives.
    """
    found = np.zeros(values.shape, dtype=np.bool_)
    counts = np.diff(offsets)
    for place in range(int(counts.max(initial=0))):
        lines = np.flatnonzero(counts > place)
        if len(lines) == len(values):  # nothing to pick out, nothing to copy
            found |= values == wanted[offsets[:-1] + place][:, None]
        else:
            found[lines] |= values[lines] == wanted[offsets[lines] + place][:, None]
    return found


def known_positive(queries: Queries, candidates: Candidates) -> NDArray[np.bool_]:
    """Return which candidates are known positives of their query, shape (batch, k).

    By corpus row or by the key of the text: a positive's text under another id is a positive too.
    """
    by_row = among(candidates.rows, queries.known_offsets, queries.known_rows)
    by_text = among(candidates.document_keys, queries.known_offsets, queries.known_keys)
    return (by_row | by_text) & candidates.filled


def places_by_score(candidates: Candidates) -> NDArray[np.int64]:
    """Return the place of every candidate in its line by falling score, (batch, k).

    The first place is 0. Ties go by rank, candidates without a score stand after all that have
    one, empty slots after those.
    """
    scores = candidates.scores
    falling = np.where(np.isnan(scores), np.float32(np.inf), -scores)
    falling = np.where(candidates.filled, falling, np.float32(np.nan))  # sorts after inf
    # Slots stand in rank order, so a stable sort breaks ties by rank.
    order = np.argsort(falling, axis=1, kind="stable")
    places = np.empty(order.shape, dtype=np.int64)
    np.put_along_axis(places, order, np.arange(order.shape[1])[None], axis=1)
    return places


def order_by_score(
    rows: NDArray[np.int64], scores: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Sort each line by falling score, ties by rising corpus row.

    The tie rule makes results equal on every backend and device. Score and row are packed into
    one 64-bit integer, so that a line is sorted by one fast integer sort.

    Args:
        rows: shape (batch, k), each below 2**32 - 1, or -1 for an empty slot (sorted to the end).
        scores: float32, shape (batch, k), without ``nan``.

    Returns:
        The sorted rows and scores.
    """
    # Adding zero turns -0.0 into 0.0, which must tie with it.
    filled = np.where(rows >= 0, scores + np.float32(0), np.float32(-np.inf))
    bits = filled.astype(np.float32).view(np.uint32)
    # IEEE floats compare as integers once the sign is folded in; inverted, small means high.
    rising = np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(1 << 31))
    packed = ((~rising).astype(np.uint64) << np.uint64(32)) | (
        rows.astype(np.int64) & np.int64(0xFFFFFFFF)
    ).astype(np.uint64)
    packed.sort(axis=1)
    low = (packed & np.uint64(0xFFFFFFFF)).astype(np.int64)
    falling = ~(packed >> np.uint64(32)).astype(np.uint32)
    restored = np.where(falling >> np.uint32(31), falling & np.uint32(0x7FFFFFFF), ~falling)
    sorted_rows = np.where(low == 0xFFFFFFFF, NO_ROW, low)
    return sorted_rows, restored.astype(np.uint32).view(np.float32)
