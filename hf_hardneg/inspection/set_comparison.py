"""What two mined sets of the same queries have in common, and how they differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.checks import whole_number
from hf_hardneg.errors import ParameterError
from hf_hardneg.evaluation.labels import Labels
from hf_hardneg.evaluation.spool import spools
from hf_hardneg.inspection.opened import InspectedSet
from hf_hardneg.inspection.pair_counts import PairCounts, PairTally, counted, pairs_of
from hf_hardneg.inspection.set_pair import (
    ID,
    RowComparison,
    SetPair,
    compare_row,
)
from hf_hardneg.inspection.set_sides import Side, same_scale, sides_of

__all__ = [
    "DifferentRow", "RowComparison", "SetComparison", "SetPair", "Side", "compare_row",
    "compare_sets",
]  # fmt: skip

PAGE = 20


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
        counts: of each query that both have.
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
    counts: PairCounts

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
    tallies = PairTally(), PairTally()
    with spools() as new:
        parts = [
            pairs_of(own, pair, new, str(place), tallies[place])
            for place, own in enumerate((pair.a, pair.b))
        ]
        counts = counted(pair, parts, tallies)
    sides = sides_of(pair, counts, tallies, labels)
    every = counts.of_a + counts.of_b - counts.both
    there = every > 0
    shared = int(counts.both.sum())
    scale = same_scale(pair.a, pair.b)
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
