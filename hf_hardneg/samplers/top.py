"""The candidates of the highest score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.samplers.base import Sampler

__all__ = ["TopSampler"]


class TopSampler(Sampler):
    """Takes candidates by falling score, ties by rank; by rank where there are no scores."""

    name = "top"
    noisy = False

    def log_weights(
        self, queries: Queries, candidates: Candidates, seed: int
    ) -> NDArray[np.float64]:
        """Return the score; without scores, the negative rank."""
        scores = candidates.scores.astype(np.float64)
        missing = np.isnan(scores)
        if not missing.any():
            return scores
        return np.where(missing, -candidates.ranks.astype(np.float64), scores)
