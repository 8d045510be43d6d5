"""The contracts of what keeps a candidate, or a row, from being used."""

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

__all__ = ["ROW_ACTIONS", "Diversity", "Filter", "RowFilter", "Verdict", "Veto"]

ROW_ACTIONS = ("flag", "drop")
"""What a row filter may do with a row that it flags."""


class Filter(Stage, ABC):
    """A cheap decision about every candidate at once. A subclass writes :meth:`mask`.

    Attributes:
        among_survivors: whether the decision on a candidate depends on which others are left.
            Such a filter is given only what the filters before it kept, and is applied once: a
            second time it sees fewer and may drop more.
    """

    among_survivors: ClassVar[bool] = False

    @abstractmethod
    def mask(self, queries: Queries, candidates: Candidates) -> NDArray[np.bool_]:
        """Return which candidates to keep, shape (batch, k). Empty slots may hold anything."""

    def __call__(self, queries: Queries, candidates: Candidates) -> Candidates:
        """Return the candidates with the slots emptied that the filter drops."""
        return candidates.keep(self.mask(queries, candidates) & candidates.filled)

    @property
    def asks_model(self) -> bool:
        """Whether a model is asked about every candidate, which takes time."""
        return False

    def trial(self, work: Workload, nearest: Nearest, corpus: Corpus) -> tuple[Phase, ...]:
        """Try a few candidates and say what all are expected to take; see :meth:`Veto.trial`."""
        return ()


class RowFilter(Stage, ABC):
    """A decision about a row as a whole: its positive looks wrong, its query is held out.

    Decided before any negative is chosen. A flagged row keeps its negatives, and the column
    ``hard_negative_flags`` names the filter; with ``action="drop"`` it is left out. Both are
    counted in the report. A subclass writes :meth:`flags` and takes ``action``.

    Attributes:
        action: ``flag`` or ``drop``.
    """

    action: str = "flag"

    @abstractmethod
    def flags(self, queries: Queries, candidates: Candidates) -> NDArray[np.bool_]:
        """Return which rows are flagged, shape (batch,).

        Args:
            queries: the batch.
            candidates: all that was retrieved, positives among them.
        """


class Diversity(Stage, ABC):
    """Passes over a candidate that is too much like a negative chosen before it.

    Asked in the sampler's order, after the vetoes. A subclass writes :meth:`alike`.
    """

    @abstractmethod
    def alike(
        self, rows: NDArray[np.int64], others: NDArray[np.int64], corpus: Corpus
    ) -> NDArray[np.bool_]:
        """Return which pairs of documents are too much alike, shape (pairs,).

        Must depend on the two documents alone.

        Args:
            rows: corpus rows of candidates, shape (pairs,).
            others: corpus rows of negatives that were chosen, shape (pairs,).
            corpus: where the texts are.
        """


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
        fill_beyond: a query with too few survivors takes candidates of a higher raw rank than
            this that the veto was not asked about; they are marked as fill. ``None``: it does not.
    """

    keep_top_k: int | None = None
    promotes: bool = False
    fill_beyond: int | None = None

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

    def models(self) -> dict[str, dict[str, str]]:
        """Return :meth:`weights` by the name of the stage."""
        found = self.weights()
        return {self.name: found} if found else {}
