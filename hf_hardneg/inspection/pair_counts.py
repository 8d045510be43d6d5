"""The negatives of two sets, query by query: how many they share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.evaluation.spool import NewSpool, Spool
from hf_hardneg.hashing import mix
from hf_hardneg.inspection.opened import InspectedSet
from hf_hardneg.inspection.set_pair import (
    BATCH,
    SetPair,
    document_keys,
    query_keys,
)

__all__ = ["PairCounts", "PairTally", "counted", "pairs_of"]

PARTS = 64
"""Queries are taken apart by the last bits of their hashes; one part is in memory at a time."""
PAIR = np.dtype([("query", "<u8"), ("document", "<u8"), ("rank", "<i4")])


@dataclass(frozen=True, slots=True)
class PairCounts:
    """Of each query that both sets have: its first rows, and its negatives, shape (queries,)."""

    rows_a: NDArray[np.int32]
    rows_b: NDArray[np.int32]
    both: NDArray[np.int32]
    of_a: NDArray[np.int32]
    of_b: NDArray[np.int32]


@dataclass(slots=True)
class PairTally:
    """What is counted of one set while its pairs are read."""

    elsewhere: int = 0
    repeated: int = 0
    nameless: int = 0
    ranks: int = 0
    ranked: int = 0


def pairs_of(
    own: InspectedSet, pair: SetPair, new: NewSpool, name: str, tally: PairTally
) -> list[Spool]:
    """Write the negatives of a set, taken apart by their queries."""
    parts = [new(f"{name}-{part}", PAIR) for part in range(PARTS)]
    for batch in own.mined.batches(BATCH):
        queries, named = query_keys(batch, pair.queries_by)
        offsets, documents, there = document_keys(batch, pair.documents_by)
        owner = np.repeat(np.arange(len(queries)), np.diff(offsets))
        found = np.zeros(len(documents), PAIR)
        found["query"], found["document"] = queries[owner], documents
        if batch.has("negative_ranks"):
            own_offsets, ranks = batch.numbers("negative_ranks")
            if np.array_equal(own_offsets, offsets):
                found["rank"] = ranks
        tally.nameless += int((~there & named[owner]).sum())
        found = found[there & named[owner]]
        part = (found["query"] % PARTS).astype(np.int64)
        order = np.argsort(part, kind="stable")
        ends = np.searchsorted(part[order], np.arange(PARTS + 1))
        for place, spool in enumerate(parts):
            if ends[place] < ends[place + 1]:
                spool.add(found[order[ends[place] : ends[place + 1]]])
    return parts


def counted(
    pair: SetPair, parts: list[list[Spool]], tallies: tuple[PairTally, PairTally]
) -> PairCounts:
    """Count the negatives of each query that both sets have."""
    (keys_a, first_a), (keys_b, first_b) = pair.index_a.first, pair.index_b.first
    common, places_a, places_b = np.intersect1d(
        keys_a, keys_b, assume_unique=True, return_indices=True
    )
    both, of_a, of_b = (np.zeros(len(common), np.int32) for _ in range(3))
    for ours, theirs in zip(*parts, strict=True):
        found = []
        for spool, counts, tally in ((ours, of_a, tallies[0]), (theirs, of_b, tallies[1])):
            own, places = _distinct(spool, common, tally)
            np.add.at(counts, places, 1)
            found.append((own, places))
        shared = np.isin(found[0][0], found[1][0])
        np.add.at(both, found[0][1][shared], 1)
    return PairCounts(
        first_a[places_a].astype(np.int32), first_b[places_b].astype(np.int32), both, of_a, of_b
    )


def _distinct(
    spool: Spool, common: NDArray[np.uint64], tally: PairTally
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return hash and query of the different negatives of a part, of queries that both have."""
    chunks = [values for _, values in spool.chunks()]
    pairs = np.concatenate([np.zeros(0, PAIR), *chunks])
    marks, first = (
        np.unique(mix(pairs["query"], pairs["document"]), return_index=True)
        if len(pairs)
        else (np.zeros(0, np.uint64), np.zeros(0, np.int64))
    )
    tally.repeated += len(pairs) - len(first)
    kept = pairs[first]
    place = np.minimum(np.searchsorted(common, kept["query"]), max(len(common) - 1, 0))
    there = common[place] == kept["query"]
    tally.elsewhere += int((~there).sum())
    ranks = kept["rank"][there]
    tally.ranks += int(ranks.astype(np.int64).sum())
    tally.ranked += int((ranks > 0).sum())
    return marks[there], place[there]
