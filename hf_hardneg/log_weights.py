"""What the log-weights of several samplers have in common."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.hashing import mix

__all__ = ["NO_POSITIVE", "drawn_positives", "finite", "score_of_positives"]

NO_POSITIVE = -1
DRAW_OF_A_POSITIVE = 0x706F736974697665
"""Keeps this draw apart from the noise of candidates, which is a hash of the same seed."""
LOWEST = float(np.finfo(np.float64).min)


def drawn_positives(
    queries: Queries, seed: int, among: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Draw one positive of each row uniformly, by a hash of the seed and the query.

    Args:
        queries: the batch.
        seed: of the miner.
        among: which positives may be drawn, shape (positives,); ``None`` for all.

    Returns:
        Its place among the positives of the batch, -1 where the row has none, shape (batch,).
    """
    if not len(queries.positive_rows):
        return np.full(len(queries), NO_POSITIVE, dtype=np.int64)
    allowed = np.arange(len(queries.positive_rows)) if among is None else np.flatnonzero(among)
    ends = np.searchsorted(allowed, queries.offsets)
    counts = np.diff(ends)
    number = mix(seed, DRAW_OF_A_POSITIVE, queries.keys) % np.maximum(counts, 1).astype(np.uint64)
    places = np.append(allowed, NO_POSITIVE)[ends[:-1] + number.astype(np.int64)]
    return np.where(counts > 0, places, NO_POSITIVE).astype(np.int64)


def score_of_positives(candidates: Candidates, places: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the scores of :func:`drawn_positives`, ``nan`` where there is none, (batch,)."""
    # The place -1 of no positive finds what stands at the end.
    return np.append(candidates.positive_scores.astype(np.float64), np.nan)[places]


def finite(log_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log-weights with the lowest number in place of ``-inf``.

    A weight that is too small for a float is still a weight: only what a sampler never takes has
    ``-inf``.
    """
    return np.maximum(log_weights, LOWEST)
