"""Whether a pool is that of a mined set: the same queries, and the same decision over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_hardneg.hashing import normalize_text
from hf_hardneg.inspection.pool_rows import PoolRows
from hf_hardneg.inspection.views import CHOSEN
from hf_hardneg.mined_set import MinedBatch, MinedSet

__all__ = ["PoolFit", "pool_fit"]

LOOKED_AT = 50
DUPLICATE = "duplicate-text"


@dataclass(frozen=True, slots=True)
class PoolFit:
    """What a pool says of some rows of a set.

    Attributes:
        rows: that were looked at, spread over all.
        absent: of these, whose query the pool does not have.
        strange: whose query has another text there, under the same id.
        others: of which a negative that is no fill is a candidate there that was not chosen.
    """

    rows: int
    absent: int
    strange: int
    others: int

    @property
    def problem(self) -> str:
        """Why the pool is not that of the set; empty if it may be."""
        if self.strange:
            return (
                f"of {self.rows:,} rows that were looked at, {self.strange:,} have another query "
                "in the pool, under the same id"
            )
        return ""

    def notes(self) -> Iterator[str]:
        """Say what a reader should know of a pool that may be that of the set."""
        if self.absent:
            yield (
                f"Of {self.rows:,} rows that were looked at, {self.absent:,} have no candidates in "
                "the pool: what is said of candidates is said of the other rows alone."
            )
        if self.others:
            yield (
                f"Of {self.rows:,} rows that were looked at, {self.others:,} have a negative that "
                "was not chosen by what the pool says: it is the pool of another decision over the "
                "same queries. What became of a candidate, and figures of other decisions, are of "
                "that one."
            )


def pool_fit(mined: MinedSet, pool: PoolRows) -> PoolFit:
    """Hold some rows of a set against their rows in a pool."""
    places = np.unique(np.linspace(0, len(mined) - 1, LOOKED_AT).astype(np.int64)).tolist()
    absent = strange = others = 0
    for number in places:
        batch = mined.at(number)
        query_id, query = _query(batch)
        positives = batch.texts("positive_ids")[0] if batch.has("positive_ids") else []
        place = pool.of(query_id, query, [one for one in positives if one], beside=number)
        if place is None:
            absent += 1
            continue
        row = pool.at(place)
        known = mined.query_texts and query and row["query"]
        if known and normalize_text(query) != normalize_text(row["query"]):
            strange += 1
        elif batch.has("negative_ids"):
            others += _has_others(batch, row)
    return PoolFit(len(places), absent, strange, others)


def _has_others(batch: MinedBatch, row: Mapping[str, Any]) -> bool:
    """Return whether a row has a negative that is a candidate in the pool and was not chosen."""
    outcomes = dict(zip(row["candidate_ids"], row["candidate_outcomes"], strict=True))
    names = batch.texts("negative_ids")[0]
    filled = batch.table["negative_filled"][0].as_py() if batch.has("negative_filled") else []
    # An id that was found by a text may be that of a copy.
    fitting = (CHOSEN, DUPLICATE, None)
    return any(
        outcomes.get(name) not in fitting
        for place, name in enumerate(names)
        if not (place < len(filled) and filled[place])
    )


def _query(batch: MinedBatch) -> tuple[str, str]:
    return batch.query_ids()[0] if batch.has("query_id") else "", batch.queries()[0]
