"""The contract of a sampler: a log-weight, to which the engine adds noise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.hashing import gumbel_noise
from hf_hardneg.stage import Stage

__all__ = ["Sampler"]


class Sampler(Stage, ABC):
    """Says in which order candidates are taken. A subclass writes :meth:`log_weights`.

    With Gumbel noise added, taking candidates by falling key draws them without replacement with
    probabilities proportional to the exponential of the log-weights (Gumbel-top-k).

    Attributes:
        noisy: whether noise is added; without it the order is by log-weight alone.
    """

    noisy: ClassVar[bool] = True

    @abstractmethod
    def log_weights(self, queries: Queries, candidates: Candidates) -> NDArray[np.float64]:
        """Return the log-weight of every candidate, shape (batch, k).

        ``-inf`` is never taken. Empty slots may hold anything.
        """

    def keys(self, queries: Queries, candidates: Candidates, seed: int) -> NDArray[np.float64]:
        """Return the keys by which candidates are taken, shape (batch, k), ``-inf`` if empty."""
        keys = self.log_weights(queries, candidates)
        if self.noisy:
            keys = keys + gumbel_noise(seed, queries.keys, candidates.document_keys)
        return np.where(candidates.filled, keys, -np.inf)
