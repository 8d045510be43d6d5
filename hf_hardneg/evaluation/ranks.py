"""At which place a negative stood, in bins that tables and strata share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.mined_set import MinedBatch

__all__ = ["BIN_NAMES", "bins_of", "places_of"]

EDGES = np.array([1, 2, 3, 4, 6, 11, 21, 51, 101])
BIN_NAMES = ("none", "1", "2", "3", "4-5", "6-10", "11-20", "21-50", "51-100", "above 100")


def places_of(batch: MinedBatch, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rank of each negative in the retriever's list, or its place in its row.

    Ranks where the mined set has them, 0 for a negative without one; places count from 1.

    Args:
        batch: rows of a mined set.
        offsets: of its negatives.
    """
    if batch.has("negative_ranks"):
        own, ranks = batch.numbers("negative_ranks")
        if np.array_equal(own, offsets):
            return ranks.astype(np.int64)
    starts = np.repeat(offsets[:-1], np.diff(offsets))
    return np.arange(offsets[0], offsets[-1]) - starts + 1


def bins_of(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of the bin of each rank, an index of :data:`BIN_NAMES`."""
    return np.searchsorted(EDGES, places, side="right").astype(np.int64)
