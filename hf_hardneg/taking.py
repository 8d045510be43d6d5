"""Taking candidates in order, line by line: arrays, and nothing of what they stand for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Chosen", "Order", "by_stratum", "place_in_line", "spread"]


class Order:
    """Candidates in the order in which they are taken, and which of them are still to be asked."""

    def __init__(self, keys: NDArray[np.float64], alive: NDArray[np.bool_]) -> None:
        # The living of all lines in one array, line by line. Slots stand in rank order, so a
        # stable sort breaks ties by rank; keys that fall already (the best first, as retrieved)
        # need none.
        self.left = np.count_nonzero(alive, axis=1).astype(np.int64)
        self._width = keys.shape[1]
        if (keys[:, 1:] <= keys[:, :-1]).all():
            self._places = np.flatnonzero(alive)
        else:
            order = np.argsort(np.where(alive, -keys, np.inf), axis=1, kind="stable")
            self._places = order[np.arange(self._width) < self.left[:, None]]
        self._first = np.cumsum(self.left) - self.left
        self.taken = np.zeros(len(keys), dtype=np.int64)

    def gone(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return which candidates were taken, shape (batch, k)."""
        taken = np.zeros(shape, dtype=np.bool_)
        lines = np.repeat(np.arange(len(self.taken)), self.taken)
        places = self._first[lines] + place_in_line(lines, len(self.taken))
        taken[lines // (len(self.taken) // shape[0]), self._places[places] % self._width] = True
        return taken

    def take(
        self, lines: NDArray[np.int64], wanted: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Take the next ``wanted`` candidates of each line, as (lines, slots)."""
        number = np.minimum(wanted, self.left[lines])
        first = np.repeat(self._first[lines] + self.taken[lines], number)
        before = np.repeat(np.cumsum(number) - number, number)
        place = first + np.arange(len(first)) - before
        owners = np.repeat(lines, number)
        self.taken[lines] += number
        self.left[lines] -= number
        return owners, self._places[place] % self._width


def by_stratum(
    keys: NDArray[np.float64], alive: NDArray[np.bool_], strata: NDArray[np.int8], number: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return keys and living with a line for each stratum of each query."""
    own = alive[:, None, :] & (strata[:, None, :] == np.arange(number)[:, None])
    return np.repeat(keys, number, axis=0), own.reshape(-1, keys.shape[1])


def spread(
    need: NDArray[np.int64], short: NDArray[np.int64], left: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return how many candidates to take from each stratum, shape (batch, strata).

    Each gives what it is short of. What those that are used up cannot give, the others do, in
    their order; what is used up stays so, so nothing is ever taken that is not needed.

    Args:
        need: how many candidates each query may take, shape (batch,).
        short: how many each stratum has still to give, (batch, strata).
        left: how many each stratum has left, (batch, strata).
    """
    if left.shape[1] == 1:
        return np.minimum(need[:, None], left)
    first = _in_order(np.minimum(np.maximum(short, 0), left), need)
    return first + _in_order(left - first, need - first.sum(axis=1))


def _in_order(offered: NDArray[np.int64], need: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how much of each offer is taken when they are taken in order up to ``need``."""
    before = np.cumsum(offered, axis=1) - offered
    taken: NDArray[np.int64] = np.clip(need[:, None] - before, 0, offered)
    return taken


class Chosen:
    """The negatives chosen so far."""

    def __init__(self, batch: int, n: int) -> None:
        self.slots = np.full((batch, n), -1, dtype=np.int64)
        self.filled = np.zeros((batch, n), dtype=np.bool_)
        self.counts = np.zeros(batch, dtype=np.int64)

    def add(self, lines: NDArray[np.int64], slots: NDArray[np.int64], filled: bool) -> None:
        """Append accepted candidates; lines must be sorted."""
        place = place_in_line(lines, len(self.counts)) + self.counts[lines]
        self.slots[lines, place] = slots
        self.filled[lines, place] = filled
        self.counts += np.bincount(lines, minlength=len(self.counts))


def place_in_line(lines: NDArray[np.int64], batch: int) -> NDArray[np.int64]:
    """Return 0, 1, 2, ... for the entries of each line; lines must be sorted."""
    number = np.bincount(lines, minlength=batch)
    before = np.cumsum(number) - number
    places: NDArray[np.int64] = np.arange(len(lines)) - before[lines]
    return places
