"""At which place a negative stood, in bins that tables and strata share."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.errors import FormatError
from hf_hardneg.mined_set import MinedBatch

__all__ = ["BANDS", "BINS", "RankBins", "numbers_beside", "places_of"]


@dataclass(frozen=True, slots=True)
class RankBins:
    """Bins of ranks: one for what has no rank, then one from each of the first ranks.

    Attributes:
        firsts: first rank of each bin, rising, from 1; the last one has no end.
    """

    firsts: tuple[int, ...]

    def __len__(self) -> int:
        """Return the number of bins, that of no rank among them."""
        return len(self.firsts) + 1

    @property
    def names(self) -> tuple[str, ...]:
        """What the bins are called."""
        closed = (
            str(first) if after == first + 1 else f"{first}-{after - 1}"
            for first, after in pairwise(self.firsts)
        )
        return ("no rank", *closed, f"above {self.firsts[-1] - 1}")

    def of(self, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of the bin of each rank; a rank of 0 is none."""
        return np.searchsorted(self.firsts, ranks, side="right").astype(np.int64)


BINS = RankBins((1, 2, 3, 4, 6, 11, 21, 51, 101))
"""What rates are told by."""

BANDS = RankBins((1, 6, 11, 21, 51, 101))
"""What labels are drawn from: each is several of :data:`BINS`, so that the two can be compared."""


def numbers_beside(batch: MinedBatch, name: str, offsets: NDArray[np.int64]) -> NDArray[np.generic]:
    """Return scores or ranks that stand beside documents, one each.

    Raises:
        FormatError: there is another number of them in some row.
    """
    own, numbers = batch.numbers(name)
    if not np.array_equal(own, offsets):
        raise FormatError(
            f"the set has, in rows {batch.start:,} to {batch.start + len(batch) - 1:,}, another "
            f"number of {name.replace('_', ' ')} than of documents. They were left from another "
            "mining: mine again."
        )
    return numbers


def places_of(batch: MinedBatch, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rank of each negative in the retriever's list, or its place in its row.

    Ranks where the mined set has them, 0 for a negative without one; places count from 1.

    Args:
        batch: rows of a mined set.
        offsets: of its negatives.

    Raises:
        FormatError: a row has another number of ranks than of negatives.
    """
    if batch.has("negative_ranks"):
        return numbers_beside(batch, "negative_ranks", offsets).astype(np.int64)
    starts = np.repeat(offsets[:-1], np.diff(offsets))
    return np.arange(offsets[0], offsets[-1]) - starts + 1
