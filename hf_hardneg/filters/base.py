"""The contracts of a filter and of a veto."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import IntEnum
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.corpus import Corpus
from hf_hardneg.stage import Stage
from hf_hardneg.workload import Nearest, Phase, Workload

__all__ = ["Filter", "Verdict", "Veto"]


class Filter(Stage, ABC):
    """A cheap decision about every candidate at once. A subclass writes :meth:`mask`.

    Attributes:
        needs_scores: refuses a retriever whose candidates have no scores.
    """

    needs_scores: ClassVar[bool] = False

    @abstractmethod
    def mask(self, queries: Queries, candidates: Candidates) -> NDArray[np.bool_]:
        """Return which candidates to keep, shape (batch, k). Empty slots may hold anything."""

    def __call__(self, queries: Queries, candidates: Candidates) -> Candidates:
        """Return the candidates with the slots emptied that the filter drops."""
        return candidates.keep(self.mask(queries, candidates) & candidates.filled)

    @property
    def needs_fit(self) -> bool:
        """Whether the filter has to see the positives' scores of all rows first."""
        return False

    def fitted(self, positive_scores: NDArray[np.float32]) -> Filter:
        """Return the filter fitted to the scores of all positives, shape (positives,)."""
        return self


class Verdict(IntEnum):
    """What a veto says about a candidate."""

    DROP = 0
    KEEP = 1
    PROMOTE = 2


class Veto(Stage, ABC):
    """An expensive decision, asked about few candidates in the sampler's order.

    A subclass writes :meth:`judge`. The verdict on a candidate must depend on the query, its
    positives and the candidate alone; then asking lazily gives the same negatives as asking about
    every candidate first.

    Attributes:
        keep_top_k: how many candidates of a query it may be asked about; ``None`` for all.
        promotes: whether a verdict may be :attr:`Verdict.PROMOTE` and shall be written out.
    """

    keep_top_k: int | None = None
    promotes: bool = False

    @abstractmethod
    def judge(
        self,
        queries: Queries,
        candidates: Candidates,
        lines: NDArray[np.int64],
        slots: NDArray[np.int64],
        corpus: Corpus,
    ) -> NDArray[np.int8]:
        """Return a :class:`Verdict` for each asked candidate.

        Args:
            queries: the batch.
            candidates: the batch's candidates.
            lines: index of the query of each asked candidate, shape (asked,).
            slots: its slot, shape (asked,): the document is ``candidates.rows[lines, slots]``.
            corpus: where the texts are.

        Returns:
            Shape (asked,).
        """

    def prepare(self) -> None:
        """Check before the work starts that the veto can be asked: its model opens, and so on."""

    def trial(self, work: Workload, nearest: Nearest, corpus: Corpus) -> tuple[Phase, ...]:
        """Try a few decisions and say what all of them are expected to take.

        Args:
            work: how much there is to do.
            nearest: candidates to try it on; may be none.
            corpus: where their texts are.
        """
        return ()

    def weights(self) -> dict[str, str]:
        """Return name and weights' hash of the model that decides, empty if there is none."""
        return {}
