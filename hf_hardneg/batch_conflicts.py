"""Which rows of training data may not stand in one batch, and batches in which none such meet.

A loss with in-batch negatives takes the positives and the negatives of all other rows of a batch
for negatives of each query. Two rows i and j, with queries q, sets of positives P and sets of
negatives N, are in conflict if that is wrong by what the data say::

    q_i = q_j   or   P_i and P_j share a text   or   P_i and N_j do   or   N_i and P_j do

Texts are compared by the keys of their normalised form. That N_i and N_j share a text is no
conflict: it is a negative of both queries.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.training_rows import KeyLists, RowKeys

__all__ = ["Conflicts"]

TRIES = 4
"""Waiting rows that may be tried in vain for one batch, in sizes of a batch.

What bounds the work: rows are placed once, tried once as fresh ones, and for each batch at most so
many times more.
"""
Tokens = list[list[int]]


class Conflicts:
    """The conflicts between the rows of training data.

    Only texts that can ever be in the way are kept: queries that several rows have, and documents
    that are a positive of one row and stand in another one too.

    Args:
        keys: of the texts of all rows.
    """

    def __init__(self, keys: RowKeys) -> None:
        """Give each text that matters a number."""
        rows = len(keys.queries)
        documents = np.concatenate([keys.positives.keys, keys.negatives.keys])
        found, numbers, counts = np.unique(documents, return_inverse=True, return_counts=True)
        numbers = numbers.astype(np.int64)
        positives, negatives = np.split(numbers, [len(keys.positives.keys)])
        wanted = np.zeros(len(found), dtype=bool)
        wanted[positives] = True
        wanted &= counts > 1
        strong = _owned(keys.positives, positives, wanted)
        weak = _owned(keys.negatives, negatives, wanted)
        _, same, often = np.unique(keys.queries, return_inverse=True, return_counts=True)
        repeated = np.flatnonzero(often[same] > 1)
        owners = np.concatenate([repeated, strong[0]])
        tokens = np.concatenate([same[repeated].astype(np.int64) + len(found), strong[1]])
        self._strong: Tokens = _lists(owners, tokens, rows)
        self._weak: Tokens = _lists(*weak, rows)

    def packed(self, rows: Iterable[int], size: int) -> list[list[int]]:
        """Put rows into batches of at most ``size`` in which no two are in conflict.

        Rows are taken in the order given. One that is in conflict with a row of the batch that is
        being filled waits, together with all others that wait for the same text, until that batch
        is full, and comes before all fresh rows then. Of those that wait for one text only the
        first is tried, which is what keeps many rows with one query from being tried for each
        batch. A batch is smaller than ``size`` only when there are no fresh rows left.

        Args:
            rows: numbers of rows, each once.
            size: of a batch.

        Returns:
            All rows, each once, in batches.
        """
        waiting = _Waiting()
        fresh = iter(rows)
        batches: list[list[int]] = []
        more = True
        while more or waiting.lines:
            batch = _Open(self._strong, self._weak, size)
            waiting.fill(batch, TRIES * size)
            while more and not batch.full:
                row = next(fresh, None)
                if row is None:
                    more = False
                else:
                    waiting.place(batch, row)
            if batch.rows:
                batches.append(batch.rows)
        return batches


class _Open:
    """A batch that is being filled."""

    def __init__(self, strong: Tokens, weak: Tokens, size: int) -> None:
        self.rows: list[int] = []
        self._size = size
        self._strong, self._weak = strong, weak
        self._queries_and_positives: set[int] = set()
        self._negatives: set[int] = set()

    @property
    def full(self) -> bool:
        return len(self.rows) >= self._size

    def blocker(self, row: int) -> int | None:
        """Return the text because of which a row cannot come in, ``None`` where it can."""
        taken, negatives = self._queries_and_positives, self._negatives
        for token in self._strong[row]:
            if token in taken or token in negatives:
                return token
        for token in self._weak[row]:
            if token in taken:
                return token
        return None

    def add(self, row: int) -> None:
        self.rows.append(row)
        self._queries_and_positives.update(self._strong[row])
        self._negatives.update(self._weak[row])


class _Waiting:
    """Rows that wait, one line for each text that was in their way; the lines take turns."""

    def __init__(self) -> None:
        self.lines: dict[int, deque[int]] = {}
        self._turns: deque[int] = deque()

    def place(self, batch: _Open, row: int) -> None:
        """Put a row into the batch, or into a line."""
        blocker = batch.blocker(row)
        if blocker is None:
            batch.add(row)
        else:
            self._join(blocker, row)

    def _join(self, token: int, row: int) -> None:
        if token not in self.lines:
            self.lines[token] = deque()
            self._turns.append(token)
        self.lines[token].append(row)

    def fill(self, batch: _Open, tries: int) -> None:
        """Put in what goes in, and stop after so many rows that do not."""
        for _ in range(len(self._turns)):
            if batch.full or tries <= 0:
                return
            token = self._turns.popleft()
            line = self.lines[token]
            while line and not batch.full:
                blocker = batch.blocker(line[0])
                if blocker is None:
                    batch.add(line.popleft())
                    continue
                tries -= 1
                if blocker == token or tries <= 0:
                    break
                self._join(blocker, line.popleft())
            if line:
                self._turns.append(token)
            else:
                del self.lines[token]


def _owned(
    lists: KeyLists, numbers: NDArray[np.int64], wanted: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows and the numbers of the documents that matter."""
    owners = np.repeat(np.arange(len(lists.offsets) - 1), np.diff(lists.offsets))
    kept = wanted[numbers]
    return owners[kept], numbers[kept]


def _lists(owners: NDArray[np.int64], tokens: NDArray[np.int64], rows: int) -> Tokens:
    """Return one list of tokens a row; rows without one share an empty list."""
    flat = tokens[np.argsort(owners, kind="stable")].tolist()
    ends: Sequence[int] = np.cumsum(np.bincount(owners, minlength=rows)).tolist()
    nothing: list[int] = []
    start = 0
    lists = []
    for end in ends:
        lists.append(flat[start:end] if end > start else nothing)
        start = end
    return lists
