"""What batch samplers have in common: an order for each epoch, the same in every process."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.batch_conflicts import Conflicts
from hf_hardneg.checks import whole_number
from hf_hardneg.distributed import world
from hf_hardneg.errors import ParameterError

__all__ = ["EpochBatchSampler"]

ATTEMPTS = 3
Batches = list[list[int]]


class EpochBatchSampler:
    """Batches of row numbers: each row once an epoch, in another order every epoch.

    It is no subclass of a class of torch, and needs none: DataLoader, accelerate and the trainer
    of sentence-transformers use its ``__iter__``, ``__len__``, ``set_epoch``, ``batch_size``,
    ``drop_last`` and ``sampler``.

    The order depends on ``seed`` and the epoch alone, so every process of a job has the same, of
    which accelerate gives each process every n-th batch. Full batches come first and smaller ones
    last, since accelerate passes over a group of batches that a smaller one ends.

    The number of batches is the same in every epoch, because a trainer plans its steps by it. It
    is that of epoch 0. Where conflicts make another epoch need more batches, other orders are
    tried; after three the batches of epoch 0 are given in another order. Where an epoch needs
    fewer, full batches are halved; with ``drop_last`` those above the number are left out.

    Args:
        rows: number of rows.
        batch_size: rows in a batch.
        drop_last: leave out batches with fewer rows.
        seed: of the order.
        topics: shape (rows,); a batch has rows with one number, as long as there are enough, and
            then rows with neighbouring numbers. ``None`` for one topic.
        conflicts: which rows may not meet.
    """

    name = "batches"

    def __init__(
        self,
        rows: int,
        batch_size: int,
        drop_last: bool,
        seed: int,
        topics: NDArray[np.int64] | None = None,
        conflicts: Conflicts | None = None,
    ) -> None:
        """Check the parameters and keep what decides the order."""
        self._size = whole_number(self.name, "batch_size", batch_size, 1)
        if not isinstance(drop_last, bool):
            raise ParameterError(f"{self.name}: drop_last={drop_last!r}; expected True or False.")
        self.drop_last = drop_last
        self.seed = whole_number(self.name, "seed", seed, 0)
        self.epoch = 0
        self.topics = np.zeros(rows, dtype=np.int64) if topics is None else topics
        self._conflicts = conflicts
        self._length: int | None = None
        self._planned: tuple[int, Batches] | None = None

    @property
    def batch_size(self) -> int | None:
        """Rows in a full batch; ``None`` where several processes get batches of all sizes.

        It tells accelerate that a smaller batch is to be given out like any other. With a number
        there, it would pass over groups of batches that a smaller one ends. Accelerate's
        ``split_batches`` needs full batches, so give ``drop_last`` with it.
        """
        if self._conflicts is not None and not self.drop_last and world().size > 1:
            return None
        return self._size

    @property
    def sampler(self) -> EpochBatchSampler:
        """Itself: where accelerate looks for ``set_epoch`` when there are several processes."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Take the order of another epoch from the next iteration on."""
        self.epoch = whole_number(self.name, "epoch", epoch, 0)

    def __len__(self) -> int:
        """Return the number of batches of every epoch."""
        if self._length is None:
            full, smaller = self._drawn(0, 0)
            batches = full if self.drop_last else full + smaller
            self._length, self._planned = len(batches), (0, batches)
        return self._length

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the batches of the epoch, as lists of row numbers that the caller may change."""
        wanted, epoch = len(self), self.epoch
        if self._planned is None or self._planned[0] != epoch:
            self._planned = (epoch, self._plan(epoch, wanted))
        for batch in self._planned[1]:
            yield list(batch)

    def _plan(self, epoch: int, wanted: int) -> Batches:
        """Return the batches of an epoch, as many as wanted."""
        for attempt in range(ATTEMPTS if epoch else 1):
            full, smaller = self._drawn(epoch, attempt)
            if self.drop_last and len(full) >= wanted:
                return full[:wanted]
            if not self.drop_last and len(full) + len(smaller) <= wanted:
                return _halved(full, smaller, wanted)
        full, smaller = self._drawn(0, 0)
        full = _shuffled(full, self._random(epoch, ATTEMPTS))
        return full if self.drop_last else full + smaller

    def _random(self, epoch: int, attempt: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, epoch, attempt])

    def _drawn(self, epoch: int, attempt: int) -> tuple[Batches, Batches]:
        """Draw batches; return those of full size in any order, and the smaller ones.

        The rows of each topic are cut into full batches. What is left over of all topics is one
        line, in the order of the topics' numbers, and is cut likewise.
        """
        random = self._random(epoch, attempt)
        order = random.permutation(len(self.topics))
        order = order[np.argsort(self.topics[order], kind="stable")]
        ends = np.flatnonzero(np.diff(self.topics[order])) + 1
        full: Batches = []
        left: list[int] = []
        for rows in np.split(order, ends):
            for batch in self._cut(rows.tolist()):
                if len(batch) == self._size:
                    full.append(batch)
                else:
                    left += batch
        smaller: Batches = []
        for batch in self._cut(left):
            (full if len(batch) == self._size else smaller).append(batch)
        return _shuffled(full, random), smaller

    def _cut(self, rows: list[int]) -> Batches:
        if self._conflicts is not None:
            return self._conflicts.packed(rows, self._size)
        return [rows[start : start + self._size] for start in range(0, len(rows), self._size)]

    def __repr__(self) -> str:
        """Return what it is and of which size."""
        return (
            f"{type(self).__name__}({len(self.topics)} rows, batch_size={self._size}, "
            f"drop_last={self.drop_last}, seed={self.seed})"
        )


def _shuffled(batches: Batches, random: np.random.Generator) -> Batches:
    return [batches[number] for number in random.permutation(len(batches))]


def _halved(full: Batches, smaller: Batches, wanted: int) -> Batches:
    """Return as many batches as wanted, which are no fewer than there are."""
    while len(full) + len(smaller) < wanted:
        if not full:
            smaller.sort(key=len)
        batch = (full or smaller).pop()
        half = (len(batch) + 1) // 2
        smaller += [batch[:half], batch[half:]]
    return full + smaller
