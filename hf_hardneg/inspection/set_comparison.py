"""What two mined sets of the same queries have in common, and how they differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.checks import whole_number
from hf_hardneg.errors import HardNegError, ParameterError, QueryError
from hf_hardneg.evaluation.audit_labels import labels_of_set
from hf_hardneg.evaluation.label_rate import METHOD, label_rate
from hf_hardneg.evaluation.labels import Labels
from hf_hardneg.evaluation.spool import NewSpool, Spool, spools
from hf_hardneg.hashing import mix
from hf_hardneg.inspection.opened import InspectedSet
from hf_hardneg.inspection.set_pair import (
    BATCH,
    ID,
    RowComparison,
    SetPair,
    compare_row,
    document_keys,
    query_keys,
)
from hf_hardneg.rates import Rate
from hf_hardneg.score_hardness import ScoreHardness, ScoreTally
from hf_hardneg.strategy import parse

__all__ = [
    "DifferentRow", "RowComparison", "SetComparison", "SetPair", "Side", "compare_row",
    "compare_sets",
]  # fmt: skip

PARTS = 64
"""Queries are taken apart by the last bits of their hashes; one part is in memory at a time."""
PAIR = np.dtype([("query", "<u8"), ("document", "<u8"), ("rank", "<i4")])
PAGE = 20


@dataclass(frozen=True, slots=True)
class Side:
    """One of two sets.

    Attributes:
        name: of the set.
        rows: of the set.
        queries: different ones.
        only: of these, those that the other set does not have.
        unnamed: rows left out, whose query has no id or no text.
        negatives: different ones of the queries that both have.
        elsewhere: those of the queries that the other set does not have.
        repeated: negatives that stand a second time for their query; they count once.
        nameless: negatives left out, that have no id or no text.
        mean_rank: of ``negatives``, among the candidates, from 1; ``None`` without ranks.
        ranked: how many of them have a rank.
        hardness: by the set's own scores, over all its rows; ``None`` without scores.
        rates: shares of false negatives: those of its report, then that of labels.
    """

    name: str
    rows: int
    queries: int
    only: int
    unnamed: int
    negatives: int
    elsewhere: int
    repeated: int
    nameless: int
    mean_rank: float | None
    ranked: int
    hardness: ScoreHardness | None
    rates: tuple[Rate, ...]


@dataclass(frozen=True, slots=True)
class DifferentRow:
    """A query that both sets have.

    Attributes:
        number: its first row in the first set, from 0.
        other: its first row in the second set.
        query: its text in the first set, or its id.
        both, only_a, only_b: different negatives.
    """

    number: int
    other: int
    query: str
    both: int
    only_a: int
    only_b: int

    @property
    def jaccard(self) -> float | None:
        """Shared negatives over all; ``None`` where neither has any."""
        every = self.both + self.only_a + self.only_b
        return self.both / every if every else None


@dataclass(frozen=True)
class SetComparison:
    """Two sets beside each other; everything is counted, nothing sampled.

    Attributes:
        pair: the two sets.
        a, b: what each has.
        queries_both: queries that both have.
        moved: of these, those whose first row has another number.
        both, only_a, only_b: negatives of these queries that both have, or only one.
        jaccard: mean over the queries of shared negatives over all; ``None`` where there are none.
        compared: queries that this mean is of: those for which either has negatives.
        same: of these, those with the same negatives.
        disjoint: of these, those with no negative in common.
        same_scale: whether scores of both are on one scale, because one retriever gave them;
            ``None`` where it is not known.
        notes: what a reader should know.
    """

    pair: SetPair
    a: Side
    b: Side
    queries_both: int
    moved: int
    both: int
    only_a: int
    only_b: int
    jaccard: float | None
    compared: int
    same: int
    disjoint: int
    same_scale: bool | None
    notes: tuple[str, ...]
    counts: _Counts

    def different(self, page: int = 0, size: int = PAGE) -> tuple[DifferentRow, ...]:
        """Return a page of the queries that both have, those that differ most first.

        That is by the share of common negatives, then by the number of others, then by row.

        Args:
            page: from 0.
            size: queries a page.
        """
        whole_number("compare", "page", page, 0)
        whole_number("compare", "size", size, 1)
        order, counts = self._order[page * size : (page + 1) * size], self.counts
        return tuple(
            DifferentRow(
                int(counts.rows_a[place]),
                int(counts.rows_b[place]),
                self.pair.a.mined.at(int(counts.rows_a[place])).queries()[0],
                int(counts.both[place]),
                int(counts.of_a[place] - counts.both[place]),
                int(counts.of_b[place] - counts.both[place]),
            )
            for place in order.tolist()
        )

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        counts = self.counts
        every = counts.of_a + counts.of_b - counts.both
        # Where neither has a negative nothing differs: such queries stand last.
        share = np.where(every > 0, counts.both / np.maximum(every, 1), 2.0)
        return np.lexsort((counts.rows_a, counts.both - every, share))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, without the rows."""
        names = ("queries_both", "moved", "both", "only_a", "only_b", "jaccard", "compared", "same",
                 "disjoint", "same_scale")  # fmt: skip
        sides = {
            name: {**asdict(side), "rates": [rate.to_dict() for rate in side.rates]}
            for name, side in (("a", self.a), ("b", self.b))
        }
        return {
            **sides,
            "queries_by": self.pair.queries_by,
            "documents_by": self.pair.documents_by,
            **{name: getattr(self, name) for name in names},
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class _Counts:
    """Of each query that both sets have: its first rows, and its negatives, shape (queries,)."""

    rows_a: NDArray[np.int32]
    rows_b: NDArray[np.int32]
    both: NDArray[np.int32]
    of_a: NDArray[np.int32]
    of_b: NDArray[np.int32]


@dataclass(slots=True)
class _Tally:
    """What is counted of one set while its pairs are read."""

    elsewhere: int = 0
    repeated: int = 0
    nameless: int = 0
    ranks: int = 0
    ranked: int = 0


def compare_sets(
    a: InspectedSet | SetPair, b: InspectedSet | None = None, *, labels: Labels | None = None
) -> SetComparison:
    """Compare two mined sets of the same queries.

    Hashes of all negatives go through temporary files, twenty bytes each; in memory are at most
    forty bytes a row.

    Args:
        a: the first set; or both, matched.
        b: the second set, where ``a`` is one.
        labels: labelled negatives, for a rate of each.

    Raises:
        FormatError: queries or documents cannot be matched.
        ParameterError: one set alone.
    """
    pair = a if isinstance(a, SetPair) else None
    if pair is None and b is not None and not isinstance(a, SetPair):
        pair = SetPair(a, b)
    if pair is None:
        raise ParameterError("compare: one set is given; expected two, or a SetPair.")
    tallies = _Tally(), _Tally()
    with spools() as new:
        parts = [
            _pairs(own, pair, new, str(place), tallies[place])
            for place, own in enumerate((pair.a, pair.b))
        ]
        counts = _counted(pair, parts, tallies)
    sides = _sides(pair, counts, tallies, labels)
    every = counts.of_a + counts.of_b - counts.both
    there = every > 0
    shared = int(counts.both.sum())
    scale = _same_scale(pair.a, pair.b)
    return SetComparison(
        pair,
        *sides,
        queries_both=len(every),
        moved=int((counts.rows_a != counts.rows_b).sum()),
        both=shared,
        only_a=int(counts.of_a.sum()) - shared,
        only_b=int(counts.of_b.sum()) - shared,
        jaccard=float((counts.both[there] / every[there]).mean()) if there.any() else None,
        compared=int(there.sum()),
        same=int((there & (counts.both == every)).sum()),
        disjoint=int((there & (counts.both == 0)).sum()),
        same_scale=scale,
        notes=tuple(_notes(pair, sides, scale)),
        counts=counts,
    )


# -- pairs ---------------------------------------------------------------------------------------


def _pairs(
    own: InspectedSet, pair: SetPair, new: NewSpool, name: str, tally: _Tally
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


def _counted(pair: SetPair, parts: list[list[Spool]], tallies: tuple[_Tally, _Tally]) -> _Counts:
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
    return _Counts(
        first_a[places_a].astype(np.int32), first_b[places_b].astype(np.int32), both, of_a, of_b
    )


def _distinct(
    spool: Spool, common: NDArray[np.uint64], tally: _Tally
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


# -- beside each other ---------------------------------------------------------------------------


def _sides(
    pair: SetPair, counts: _Counts, tallies: tuple[_Tally, _Tally], labels: Labels | None
) -> tuple[Side, Side]:
    rates = [own.report.false_negatives if own.report else [] for own in (pair.a, pair.b)]
    if labels is not None:
        extra = (int((own - counts.both).sum()) for own in (counts.of_a, counts.of_b))
        judged = _label_rates(pair, labels, tuple(extra))
        rates = [[*own, one] for own, one in zip(rates, judged, strict=True)]
    made = []
    for own, index, numbers, tally, shares in (
        (pair.a, pair.index_a, counts.of_a, tallies[0], rates[0]),
        (pair.b, pair.index_b, counts.of_b, tallies[1], rates[1]),
    ):
        queries = len(index.first[0])
        made.append(
            Side(
                own.name,
                len(own),
                queries,
                queries - len(counts.both),
                index.unnamed,
                int(numbers.sum()),
                tally.elsewhere,
                tally.repeated,
                tally.nameless,
                tally.ranks / tally.ranked if tally.ranked else None,
                tally.ranked,
                _hardness(own),
                tuple(shares),
            )
        )
    return made[0], made[1]


def _hardness(own: InspectedSet) -> ScoreHardness | None:
    """Return the hardness that the report has or, without one, that of the rows' own scores."""
    if own.report is not None:
        return own.report.hardness
    mined = own.mined
    if not (mined.has("negative_scores") and mined.has("positive_scores")):
        return None
    tally = ScoreTally()
    for batch in mined.batches(BATCH):
        tally.add(*batch.numbers("positive_scores"), *batch.numbers("negative_scores"))
    return tally.result()


def _label_rates(pair: SetPair, labels: Labels, extra: tuple[int, ...]) -> list[Rate]:
    """Return the rate that labels give for each set.

    Labels that were drawn from one of the two say nothing of what only the other has.
    """
    found: list[tuple[Labels, str] | Rate] = []
    for own in (pair.a, pair.b):
        try:
            found.append(labels_of_set(own.mined, labels))
        except QueryError as error:
            found.append(Rate(METHOD, None, None, None, 0, why=str(error)))
    drawn = [set() if isinstance(one, Rate) else _drawn(one[0]) for one in found]
    rates = []
    for place, one in enumerate(found):
        if isinstance(one, Rate):
            rates.append(one)
        elif extra[place] and not drawn[place] - drawn[1 - place]:
            why = (
                f"{extra[place]:,} negatives are in this set and not in the other, and none of "
                "them is labelled. Draw labels from this set, or from a pool that holds both"
            )
            rates.append(Rate(METHOD, None, None, None, 0, why=why))
        else:
            rate = label_rate(one[0])
            rates.append(replace(rate, assumed=(one[1], *rate.assumed)))
    return rates


def _drawn(labels: Labels) -> set[tuple[str, str]]:
    return {row.pair for row in labels if not row.control and not row.hand_picked}


def _same_scale(a: InspectedSet, b: InspectedSet) -> bool | None:
    """Return whether one retriever gave the scores of both, whatever its depth."""
    heads = []
    for own in (a, b):
        try:
            parsed = parse(own.strategy)
        except HardNegError:
            return None
        calls = [*parsed.retrievers, *parsed.joiners]
        heads.append(
            [(one.name, {**one.arguments, "top_k": 0 if len(calls) == 1 else
                         one.arguments.get("top_k")}) for one in calls]
        )  # fmt: skip
    return heads[0] == heads[1]


def _notes(pair: SetPair, sides: tuple[Side, Side], scale: bool | None) -> Iterator[str]:
    what = "ids" if pair.documents_by == ID else "normalised texts"
    asked = "ids" if pair.queries_by == ID else "normalised texts"
    yield f"Queries are matched by their {asked}, documents by their {what}."
    for own in sides:
        if own.only:
            yield (
                f"{own.only:,} of {own.queries:,} queries of {own.name} are not in the other set; "
                f"their {own.elsewhere:,} negatives are in no figure but its hardness and rates."
            )
        if own.rows > own.queries + own.unnamed:
            yield (
                f"{own.name} has {own.rows:,} rows of {own.queries:,} queries: all rows of a query "
                "are taken together."
            )
        if own.unnamed:
            yield f"{own.unnamed:,} rows of {own.name} have no query that could be matched."
        if own.nameless:
            yield f"{own.nameless:,} negatives of {own.name} could not be told apart; left out."
        if own.repeated:
            yield f"{own.repeated:,} negatives of {own.name} stand twice for a query; counted once."
    if scale is False:
        yield (
            "The scores come from different retrievers, so they are on different scales: compare "
            "shares, not scores or margins."
        )
    if scale is None:
        yield (
            "It is not known what gave the scores of one of the sets: whether both are on one "
            "scale is not known either."
        )
