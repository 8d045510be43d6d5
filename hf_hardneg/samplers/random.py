"""Candidates drawn uniformly from those that are left."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.samplers.base import Sampler

__all__ = ["RandomSampler"]


class RandomSampler(Sampler):
    """Takes candidates uniformly without replacement: every log-weight is 0."""

    name = "random"

    def log_weights(
        self, queries: Queries, candidates: Candidates, seed: int
    ) -> NDArray[np.float64]:
        """Return zeros."""
        return np.zeros(candidates.shape, dtype=np.float64)
