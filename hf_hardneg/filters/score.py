"""Keep a range of scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.checks import at_least
from hf_hardneg.errors import ParameterError
from hf_hardneg.filters.base import Filter

__all__ = ["ScoreFilter"]


class ScoreFilter(Filter):
    """Keeps candidates with ``min_score <= score < max_score``.

    Args:
        min_score: lowest score kept, on the retriever's scale; ``None`` for no bound.
        max_score: first score no longer kept; ``None`` for no bound.

    Raises:
        ParameterError: ``min_score >= max_score``, or no bound at all.
    """

    name = "score"
    needs = ("scores",)

    def __init__(self, *, min_score: float | None = None, max_score: float | None = None) -> None:
        """Check the bounds."""
        for name, value in (("min_score", min_score), ("max_score", max_score)):
            if value is not None:
                at_least("score", name, value, -np.inf)
        if min_score is None and max_score is None:
            raise ParameterError("score: give min_score, max_score, or both.")
        if min_score is not None and max_score is not None and min_score >= max_score:
            raise ParameterError(
                f"score: min_score={min_score} is not below max_score={max_score}; expected "
                "min_score < max_score."
            )
        self.min_score = min_score
        self.max_score = max_score

    def mask(self, queries: Queries, candidates: Candidates) -> NDArray[np.bool_]:
        """Keep the range."""
        kept = np.ones(candidates.shape, dtype=np.bool_)
        with np.errstate(over="ignore"):  # a bound beyond float32 is no bound: infinity
            if self.min_score is not None:
                kept &= candidates.scores >= np.float32(self.min_score)
            if self.max_score is not None:
                kept &= candidates.scores < np.float32(self.max_score)
        return kept
