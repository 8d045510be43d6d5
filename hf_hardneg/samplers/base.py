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
        among_survivors: whether a weight depends on which other candidates are left. Such a
            sampler is given only those that the filters kept.
        stratum_names: names of the strata, where negatives are told apart by stratum.
    """

    noisy: ClassVar[bool] = True
    among_survivors: ClassVar[bool] = False
    stratum_names: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def log_weights(
        self, queries: Queries, candidates: Candidates, seed: int
    ) -> NDArray[np.float64]:
        """Return the log-weight of every candidate, shape (batch, k).

        ``-inf`` is never taken. Empty slots may hold anything.

        Args:
            queries: the batch.
            candidates: its candidates.
            seed: of the miner, for a weight that is drawn itself. Most have no use for it.
        """

    def strata(self, queries: Queries, candidates: Candidates) -> NDArray[np.int8]:
        """Return the stratum of every candidate, an index into :attr:`stratum_names`, (batch, k).

        Only asked where there are names, about the candidates that :meth:`log_weights` is given.
        Empty slots may hold any of them.
        """
        return np.zeros(candidates.shape, dtype=np.int8)

    def quotas(self, n: int) -> tuple[int, ...] | None:
        """Return how many of ``n`` negatives each stratum gives, ``None`` for any number.

        What a stratum cannot give, the others do, in their order.
        """
        return None

    def keys(self, queries: Queries, candidates: Candidates, seed: int) -> NDArray[np.float64]:
        """Return the keys by which candidates are taken, shape (batch, k), ``-inf`` if empty."""
        keys = self.log_weights(queries, candidates, seed)
        if self.noisy:
            keys = keys + gumbel_noise(seed, queries.keys, candidates.document_keys)
        return np.where(candidates.filled, keys, -np.inf)
