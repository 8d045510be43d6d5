"""Every pair of a data set once, without the known positives, and the lowest of each stratum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.evaluation.pair_frames import PairBatch
from hf_hardneg.evaluation.strata import Bottom, Drawn, strata_of, stratum_names
from hf_hardneg.hashing import EMPTY_TEXT_KEY, among, mix

__all__ = ["CONTROL_DRAW", "QUERY_DRAW", "Gathered"]

QUERY_DRAW, CONTROL_DRAW = 1, 2
"""Mixed into the seed, so that the draws of queries, controls and pairs have nothing in common."""

Keys = NDArray[np.uint64]


class Gathered:
    """The pairs of all batches: in each stratum those with the lowest noise.

    Args:
        size: pairs that can be asked of a stratum.
        by: what the strata are.
        seed: of the noise.
        chosen: keys of the queries that count, rising.
        repeated: keys of the queries that stand in several rows, rising. Their rows wait until all
            are there: a positive of one is a positive of the others, and a pair counts once.

    Attributes:
        strata: the pairs by the number of their stratum.
        controls: the known positives.
        left_out: candidates that are known positives.
        empty: candidates without a text.
    """

    def __init__(self, size: int, by: str, seed: int, chosen: Keys, repeated: Keys) -> None:
        """Begin with nothing."""
        self.strata = [Bottom(size) for _ in stratum_names(by)]
        self.controls = Bottom(size)
        self.left_out = self.empty = 0
        self._by, self._seed = by, seed
        self._chosen, self._repeated = chosen, repeated
        self._waiting: list[_Sides] = []

    def add(self, batch: PairBatch) -> None:
        """Take the rows of a batch; those whose query has further rows wait for these."""
        wanted = among(self._chosen, batch.query_keys)
        later = wanted & among(self._repeated, batch.query_keys)
        sides = _sides_of(batch)
        for rows, wait in ((wanted & ~later, False), (later, True)):
            if not rows.any():
                continue
            own = _Sides(*(side.take(rows[side.drawn.rows - batch.start]) for side in sides))
            if wait:
                self._waiting.append(own)
            else:
                self._take(own)

    def finish(self) -> None:
        """Take the rows that have waited."""
        if self._waiting:
            self._take(_Sides(*map(_join, zip(*self._waiting, strict=True))))
            self._waiting = []

    def _take(self, sides: _Sides) -> None:
        known = np.unique(np.concatenate([sides.positives.keys, sides.further.keys]))
        empty = sides.candidates.documents == EMPTY_TEXT_KEY
        self.empty += int(np.count_nonzero(empty))
        pairs = sides.candidates.take(~empty).different()
        is_known = among(known, pairs.keys)
        self.left_out += int(np.count_nonzero(is_known))
        pairs = pairs.take(~is_known)
        number = strata_of(pairs.ranks, self._by)
        drawn = pairs.with_noise(self._seed)
        for place, stratum in enumerate(self.strata):
            stratum.add(drawn.take(number == place))
        positives = sides.positives.take(sides.positives.documents != EMPTY_TEXT_KEY)
        self.controls.add(positives.different().with_noise(self._seed, CONTROL_DRAW))


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Pairs of a query and a document: their keys, the document's, their ranks."""

    keys: Keys
    documents: Keys
    ranks: NDArray[np.int64]
    drawn: Drawn = field(default_factory=Drawn.nothing)

    def take(self, which: NDArray[np.generic]) -> _Pairs:
        return _Pairs(
            self.keys[which], self.documents[which], self.ranks[which], self.drawn.take(which)
        )

    def different(self) -> _Pairs:
        """Return each pair once, with its best rank; of equal ones the first."""
        known = np.where(self.ranks > 0, self.ranks, np.iinfo(np.int64).max)
        order = np.lexsort((self.drawn.places, self.drawn.rows, known, self.keys))
        first = np.ones(len(order), dtype=np.bool_)
        first[1:] = self.keys[order][1:] != self.keys[order][:-1]
        return self.take(order[first])

    def with_noise(self, seed: int, further: int = 0) -> Drawn:
        own = self.drawn
        return Drawn(mix(seed, further, self.keys), own.query_keys, own.rows, own.places)


class _Sides(NamedTuple):
    """The pairs of some rows: with the candidates, and with what is known to be relevant."""

    candidates: _Pairs
    positives: _Pairs
    further: _Pairs


def _join(parts: Sequence[_Pairs]) -> _Pairs:
    drawn = zip(*(part.drawn.columns() for part in parts), strict=True)
    return _Pairs(
        np.concatenate([part.keys for part in parts]),
        np.concatenate([part.documents for part in parts]),
        np.concatenate([part.ranks for part in parts]),
        Drawn(*(np.concatenate(column) for column in drawn)),
    )


def _sides_of(batch: PairBatch) -> _Sides:
    unranked = [np.zeros(len(keys), np.int64) for keys in (batch.positive_keys, batch.further_keys)]
    return _Sides(
        _side(batch, batch.offsets, batch.document_keys, batch.ranks),
        _side(batch, batch.positive_offsets, batch.positive_keys, unranked[0]),
        _side(batch, batch.further_offsets, batch.further_keys, unranked[1]),
    )


def _side(
    batch: PairBatch, offsets: NDArray[np.int64], documents: Keys, ranks: NDArray[np.int64]
) -> _Pairs:
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    queries = batch.query_keys[owner]
    places = np.arange(len(documents)) - offsets[owner]
    keys = mix(queries, documents) if len(documents) else documents
    drawn = Drawn(np.zeros(len(documents), np.uint64), queries, batch.start + owner, places)
    return _Pairs(keys, documents, ranks, drawn)
