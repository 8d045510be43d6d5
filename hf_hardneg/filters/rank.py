"""Keep a window of ranks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.checks import whole_number
from hf_hardneg.errors import ParameterError
from hf_hardneg.filters.base import Filter

__all__ = ["RankFilter"]


class RankFilter(Filter):
    """Keeps candidates with ``range_min <= rank < range_max``.

    Ranks are raw and count from 1: the place in the retriever's list, before anything was
    dropped, positives included. (``range_min=10`` of sentence-transformers' miner skips ten and
    is ``range_min=11`` here.)

    Args:
        range_min: first rank kept, at least 1.
        range_max: first rank no longer kept; ``None`` for no bound.

    Raises:
        ParameterError: ``range_min >= range_max``.
    """

    name = "rank"

    def __init__(self, *, range_min: int = 1, range_max: int | None = None) -> None:
        """Check the bounds."""
        self.range_min = whole_number("rank", "range_min", range_min, 1)
        if range_max is not None and whole_number("rank", "range_max", range_max, 1) <= range_min:
            raise ParameterError(
                f"rank: range_min={range_min} is not below range_max={range_max}; expected "
                "range_min < range_max (a rank is kept if range_min <= rank < range_max)."
            )
        self.range_max = range_max

    def mask(self, queries: Queries, candidates: Candidates) -> NDArray[np.bool_]:
        """Keep the window."""
        kept = candidates.ranks >= self.range_min
        return kept if self.range_max is None else kept & (candidates.ranks < self.range_max)
