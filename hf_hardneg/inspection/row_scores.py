"""The scores of negatives beside those of their positives: of the set, or else of its pool."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hf_hardneg.arrow import flat_list
from hf_hardneg.inspection.pool_rows import PoolRows
from hf_hardneg.mined_set import MinedBatch, MinedSet

__all__ = ["MODEL_SCORES", "RowScores", "ScoreSource", "excesses"]

MODEL_SCORES = "candidate_model_scores"
"""Column of a pool with the scores that a cross-encoder among the stages gave."""
POOL_COLUMNS = ("query_id", "query", "positive_ids", "positive_scores", "candidate_ids",
                "candidate_scores", MODEL_SCORES)  # fmt: skip
NO_POOL_ROW = -1
Offsets = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RowScores:
    """Scores of some rows, ``nan`` where there is none.

    Attributes:
        positive_offsets: the positives of row i are ``[offsets[i]:offsets[i + 1]]``.
        positives: shape (positives,).
        negative_offsets: likewise.
        negatives: shape (negatives,).
        judged: what a cross-encoder gave the negatives, shape (negatives,).
    """

    positive_offsets: Offsets
    positives: Floats
    negative_offsets: Offsets
    negatives: Floats
    judged: Floats


def excesses(scores: RowScores) -> Floats:
    """Return by how much each negative outscores the positive of its row, shape (negatives,).

    The positive is the one with the least score of those that have one. At 0 and above the
    negative outscores it; ``nan`` where one of the two has no score.
    """
    rows = len(scores.positive_offsets) - 1
    least = np.full(rows, np.inf, np.float32)
    known = np.isfinite(scores.positives)
    owners = np.repeat(np.arange(rows), np.diff(scores.positive_offsets))
    np.minimum.at(least, owners[known], scores.positives[known])
    least[np.isinf(least)] = np.nan
    own = np.repeat(least, np.diff(scores.negative_offsets))
    asked = np.where(np.isfinite(scores.negatives), scores.negatives, np.nan)
    found: Floats = (asked - own).astype(np.float32)
    return found


class ScoreSource:
    """Gives the scores of rows: those of the set, and of the pool for a side that has none.

    Args:
        mined: the set.
        pool: of its queries.

    Attributes:
        lacks: why negatives cannot be held against positives; empty where they can.
        lacks_model: why no cross-encoder's score is known; empty where one is.
        where: where the scores come from.
    """

    def __init__(self, mined: MinedSet, pool: PoolRows | None) -> None:
        """Look what is there."""
        self._mined = mined
        self._pool = pool
        self._own = {
            side: mined.has(f"{side}_scores") and _counts_known(mined, side)
            for side in ("positive", "negative")
        }
        named = mined.has("negative_ids")
        usable = pool is not None and named
        self._columns = [name for name in POOL_COLUMNS
                         if pool is not None and name in pool.rows.column_names]  # fmt: skip
        self._pool_rows = None
        if pool is not None:
            self._pool_rows = pool.rows.select_columns(self._columns).with_format("arrow")
        self.lacks = ""
        if not all(self._own.values()) and not usable:
            side = "negatives" if not self._own["negative"] else "positives"
            why = "pool" if pool is None else "ids of its negatives, by which the pool knows them"
            self.lacks = f"the set has no scores of {side}, and no {why}"
        self.lacks_model = ""
        if pool is None or MODEL_SCORES not in self._columns:
            self.lacks_model = "no cross-encoder's scores are kept in a pool of the set"
        elif not named:
            self.lacks_model = "the set has no ids of negatives, by which the pool knows them"
        self.uses_pool = usable and (not all(self._own.values()) or not self.lacks_model)
        # Rows with ids of their own need no look into the corpus.
        self._rows = mined.stored if _same_columns(mined) else mined
        if self._rows is mined.stored and mined.by_id is not None:
            self._rows = mined.by_id
        parts = ["the set" if self._own[side] else "its pool" for side in ("positive", "negative")]
        self.where = " and ".join(dict.fromkeys(parts))

    def batches(self, start: int, size: int) -> Iterator[RowScores]:
        """Yield the scores of the rows from ``start`` on, ``size`` rows at a time."""
        for first in range(start, len(self._mined), size):
            yield self.part(first, min(first + size, len(self._mined)))

    def part(self, start: int, stop: int) -> RowScores:
        """Return the scores of the rows from ``start`` up to ``stop``."""
        batch = self._rows.part(start, stop)
        pool = self._pool_table(batch) if self.uses_pool else None
        positive_offsets, positives = self._side(batch, "positive", pool)
        negative_offsets, negatives = self._side(batch, "negative", pool)
        judged = np.full(len(negatives), np.nan, np.float32)
        if pool is not None and not self.lacks_model:
            judged = _of_candidates(batch, pool, MODEL_SCORES)
        return RowScores(positive_offsets, positives, negative_offsets, negatives, judged)

    def _side(self, batch: MinedBatch, side: str, pool: pa.Table | None) -> tuple[Offsets, Floats]:
        offsets = _offsets(batch, side)
        if self._own[side]:
            own, values = batch.numbers(f"{side}_scores")
            return offsets, _beside(own, values.astype(np.float32), offsets)
        if pool is None:
            return offsets, np.full(int(offsets[-1]), np.nan, np.float32)
        if side == "negative":
            return offsets, _of_candidates(batch, pool, "candidate_scores")
        return offsets, _of_positives(batch, pool, offsets)

    def _pool_table(self, batch: MinedBatch) -> pa.Table:
        """Return the pool's row of each row; one without any has empty lists."""
        rows = self._pool_rows
        if self._pool is None or rows is None:
            raise TypeError("a pool was asked for where there is none")
        stop = batch.start + len(batch)
        if stop <= len(rows) and batch.has("query_id"):
            beside = rows[batch.start : stop]
            same = pc.equal(beside["query_id"], batch.table["query_id"])
            # Most often the pool has a row for each row, in the same order.
            if same.null_count == 0 and pc.all(same).as_py():
                return beside
        places = _places(batch, self._pool)
        if (places == NO_POOL_ROW).any() and self._rows is self._mined.by_id:
            # The pool may name queries by other ids; then their texts decide.
            places = _places(self._mined.stored.part(batch.start, stop), self._pool)
        found = rows[np.maximum(places, 0).tolist()]
        return _without(found, places == NO_POOL_ROW)


def _counts_known(mined: MinedSet, side: str) -> bool:
    return mined.has(f"{side}s") or mined.has(f"{side}_ids")


def _same_columns(mined: MinedSet) -> bool:
    """Return whether the set has the ids of both sides without its corpus."""
    stored = mined.stored
    return all(
        stored.has(name) or not mined.has(name) for name in ("negative_ids", "positive_ids")
    ) and all(_counts_known(stored, side) or not _counts_known(mined, side)
              for side in ("positive", "negative"))  # fmt: skip


def _offsets(batch: MinedBatch, side: str) -> Offsets:
    """Return where the documents of each row begin; texts decide how many there are, else ids."""
    for name in (f"{side}s", f"{side}_ids"):
        if batch.has(name):
            return flat_list(batch.table[name])[0]
    return np.zeros(len(batch) + 1, np.int64)


def _beside(own: Offsets, values: Floats, offsets: Offsets) -> Floats:
    """Return one value for each document; a row with another number of values has none."""
    if np.array_equal(own, offsets):
        return values
    expected = np.diff(offsets)
    same = np.diff(own) == expected
    out = np.full(int(offsets[-1]), np.nan, np.float32)
    out[np.repeat(same, expected)] = values[np.repeat(same, np.diff(own))]
    return out


def _places(batch: MinedBatch, pool: PoolRows) -> NDArray[np.int64]:
    ids = batch.query_ids() if batch.has("query_id") else [""] * len(batch)
    positives = batch.texts("positive_ids") if batch.has("positive_ids") else None
    found = (
        pool.of(ids[row], text, [name for name in positives[row] if name] if positives else ())
        for row, text in enumerate(batch.queries())
    )
    return np.array([NO_POOL_ROW if place is None else place for place in found], np.int64)


def _without(table: pa.Table, gone: NDArray[np.bool_]) -> pa.Table:
    """Return the table with empty lists in the rows that are gone."""
    if not gone.any():
        return table
    mask = pa.array(gone)
    columns = [pc.if_else(mask, pa.scalar(None, column.type), column) for column in table.columns]
    return pa.table(columns, names=table.column_names)


def _pairs(asked: tuple[Offsets, pa.Array], known: tuple[Offsets, pa.Array]) -> NDArray[np.int64]:
    """Return for each asked value its place among the known ones of the same row, -1 for none."""
    names = pa.concat_arrays([asked[1].cast(pa.string()), known[1].cast(pa.string())])
    codes = names.dictionary_encode()
    width = len(codes.dictionary) + 1
    code = pc.fill_null(codes.indices, width - 1).to_numpy(zero_copy_only=False).astype(np.int64)
    lines = [np.repeat(np.arange(len(own) - 1), np.diff(own)) for own, _ in (asked, known)]
    cut = len(asked[1])
    wanted, there = lines[0] * width + code[:cut], lines[1] * width + code[cut:]
    order = np.argsort(there, kind="stable")
    if not len(order):
        return np.full(cut, -1, np.int64)
    place = np.minimum(np.searchsorted(there, wanted, sorter=order), len(order) - 1)
    found = order[place]
    return np.where((there[found] == wanted) & (code[:cut] < width - 1), found, -1)


def _floats(values: pa.Array) -> Floats:
    found: Floats = values.to_numpy(zero_copy_only=False).astype(np.float32)
    return found


def _of_candidates(batch: MinedBatch, pool: pa.Table, column: str) -> Floats:
    """Return what the pool says of each negative, ``nan`` where it has no such candidate."""
    asked, known = flat_list(batch.table["negative_ids"]), flat_list(pool["candidate_ids"])
    own, values = flat_list(pool[column])
    scores = _beside(own, _floats(values), known[0])
    places = _pairs(asked, known)
    found = np.full(len(places), np.nan, np.float32)
    found[places >= 0] = scores[places[places >= 0]]
    return _beside(asked[0], found, _offsets(batch, "negative"))


def _of_positives(batch: MinedBatch, pool: pa.Table, offsets: Offsets) -> Floats:
    """Return what the pool says of each positive, as :mod:`row_views` shows it.

    One that is known by no id has the score of the only positive of the pool's row, if both the
    row and the pool have one alone.
    """
    own, values = flat_list(pool["positive_scores"])
    scores = _floats(values)
    names, known = flat_list(pool["positive_ids"])
    out = np.full(int(offsets[-1]), np.nan, np.float32)
    found = np.zeros(len(out), np.bool_)
    if batch.has("positive_ids"):
        asked = flat_list(batch.table["positive_ids"])
        if np.array_equal(asked[0], offsets):
            places = _pairs(asked, (names, known))
            found = places >= 0
            out[found] = _beside(own, scores, names)[places[found]]
    alone = (np.diff(own) == 1) & (np.diff(offsets) == 1)
    lone = np.repeat(alone, np.diff(offsets)) & ~found
    out[lone] = scores[np.repeat(alone, np.diff(own))][lone[np.repeat(alone, np.diff(offsets))]]
    return out
