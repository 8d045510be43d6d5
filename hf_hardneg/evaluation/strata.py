"""Strata of candidates by rank, and a simple random sample of each, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.evaluation.ranks import BANDS

__all__ = ["BY", "Bottom", "Drawn", "in_equal_parts", "in_proportion", "strata_of", "stratum_names"]

BY = ("rank", "none")
Keys = NDArray[np.uint64]


def stratum_names(by: str) -> tuple[str, ...]:
    """Return the names of the strata: bands of ranks, and what has no rank; or all pairs."""
    return ("all",) if by == "none" else BANDS.names


def strata_of(ranks: NDArray[np.int64], by: str) -> NDArray[np.int64]:
    """Return the number of the stratum of each rank; 0 is no rank."""
    return np.zeros(len(ranks), np.int64) if by == "none" else BANDS.of(ranks)


def in_equal_parts(sizes: Sequence[int], total: int) -> list[int]:
    """Return how many to draw of each stratum: as many of each, and all of those with fewer.

    What the small strata leave over goes to the others in equal parts; a remainder to the first.
    """
    drawn = [0] * len(sizes)
    left, open_ = min(total, sum(sizes)), [place for place, size in enumerate(sizes) if size]
    while left and open_:
        share = max(left // len(open_), 1)
        for place in list(open_):
            more = min(share, sizes[place] - drawn[place], left)
            drawn[place] += more
            left -= more
            if drawn[place] == sizes[place]:
                open_.remove(place)
    return drawn


def in_proportion(sizes: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return how many to draw of each stratum: its share, at least one, at most all.

    Shares are rounded by largest remainders; where one would be 0, the sum is that much larger.
    """
    total = int(sizes.sum())
    if total <= size:
        return sizes
    exact = sizes * (size / total)
    shares = np.floor(exact).astype(np.int64)
    remainders = np.argsort(-(exact - shares), kind="stable")
    shares[remainders[: size - int(shares.sum())]] += 1
    return np.where(sizes > 0, np.maximum(shares, 1), 0)


@dataclass(frozen=True, slots=True)
class Drawn:
    """Pairs by the number that was drawn for them.

    Attributes:
        noise: a hash of (seed, query, document), shape (pairs,).
        query_keys: shape (pairs,).
        rows: number of the row each stands in.
        places: its place in the row.
    """

    noise: Keys
    query_keys: Keys
    rows: NDArray[np.int64]
    places: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.noise)

    def take(self, which: NDArray[np.generic]) -> Drawn:
        """Return some of them, by place or by mask."""
        return Drawn(
            self.noise[which], self.query_keys[which], self.rows[which], self.places[which]
        )

    def joined(self, other: Drawn) -> Drawn:
        """Return both."""
        parts = zip(self.columns(), other.columns(), strict=True)
        return Drawn(*(np.concatenate(part) for part in parts))

    def columns(self) -> tuple[Keys, Keys, NDArray[np.int64], NDArray[np.int64]]:
        """Return the four arrays."""
        return self.noise, self.query_keys, self.rows, self.places

    @staticmethod
    def nothing() -> Drawn:
        """Return no pairs."""
        keys, rows = np.zeros(0, np.uint64), np.zeros(0, np.int64)
        return Drawn(keys, keys, rows, rows)


@dataclass(slots=True)
class Bottom:
    """The pairs of a stratum with the lowest noise, and how many pairs there were.

    The noise of a pair is a hash that no other pair has a part in: the ``n`` lowest of ``N`` are a
    simple random sample without replacement, in which each pair is with the probability ``n / N``,
    and fewer of the lowest are such a sample of that size.
    """

    most: int
    size: int = 0
    kept: Drawn = field(default_factory=Drawn.nothing)

    def add(self, pairs: Drawn) -> None:
        """Take further pairs, none of which was there before."""
        self.size += len(pairs)
        both = self.kept.joined(pairs)
        if len(both) > self.most:
            both = both.take(np.argpartition(both.noise, self.most)[: self.most])
        self.kept = both

    def lowest(self, number: int) -> Drawn:
        """Return those with the lowest noise, in rising order."""
        return self.kept.take(np.argsort(self.kept.noise, kind="stable")[:number])
