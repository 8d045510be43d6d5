"""Candidates drawn so that every bin of margins to the positive is as likely."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.errors import ParameterError
from hf_hardneg.samplers.base import Sampler

__all__ = ["MarginBinSampler"]


class MarginBinSampler(Sampler):
    """Draws a bin of margins uniformly, then a candidate of the bin uniformly (TAS-Balanced).

    With ``m_i = t+ - t_i`` the margin of candidate ``i``, by the scores of the pool as the
    teacher's, the range of the row's margins is cut into ``bins`` bins of equal width, and the
    log-weight is::

        -log(number of bins that are not empty * number of candidates in the bin of i)

    The weights of a row add up to 1. The first negative is distributed exactly so; the next ones
    are drawn without replacement by the same weights, which are not balanced anew.

    ``t+`` is the same for all candidates of a row: it moves all margins alike and the bins with
    them, so it is left out of the computation. It follows that it does not matter which of
    several positives of a row is meant (the strictest, as in ``margin``, or any other), nor
    whether it has a score. Candidates without a score have no margin and are never drawn.

    A bin holds its lower bound and not its upper one, the last one holds both. Where all margins
    of a row are equal they are in one bin, and the draw is uniform.

    Source: S. Hofstätter, S. Lin, J. Yang, J. Lin, A. Hanbury, "Efficiently teaching an effective
    dense retriever with balanced topic aware sampling", SIGIR 2021 (the balanced margin sampling;
    the topic aware batches are no matter of mining). Differences: the paper puts the pairs of all
    positives of a query into the same bins, here a row's candidates are binned against one
    positive; it draws one pair a query and step, here several negatives are drawn at once; its
    teacher is a cross-encoder ensemble, here it is whatever scored the pool, such as
    ``multi-vector``. Bins are made of what the filters leave; vetoes are asked afterwards.

    Args:
        bins: number of bins, at least 1, default 10 (the paper's). With 1 the draw is uniform.

    Raises:
        ParameterError: ``bins`` is no whole number of at least 1.
    """

    name = "margin-bin"
    needs = ("scores",)
    among_survivors = True
    source = "TAS-Balanced (Hofstätter et al., SIGIR 2021)"

    def __init__(self, *, bins: int = 10) -> None:
        """Check the number of bins."""
        if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
            raise ParameterError(
                f"margin-bin: bins={bins!r}; expected a whole number of at least 1 (the paper's "
                "value: 10)."
            )
        self.bins = bins

    def log_weights(
        self, queries: Queries, candidates: Candidates, seed: int
    ) -> NDArray[np.float64]:
        """Return -log(number of bins that are not empty * number of candidates in the bin)."""
        scored = candidates.filled & ~np.isnan(candidates.scores)
        bins = self._bins(candidates, scored)
        lines = np.broadcast_to(np.arange(len(bins))[:, None], bins.shape)
        places = (lines * self.bins + bins)[scored]
        sizes = np.bincount(places, minlength=len(bins) * self.bins).reshape(-1, self.bins)
        occupied = np.count_nonzero(sizes, axis=1)[:, None]
        own = np.take_along_axis(sizes, bins, axis=1)
        weights = -np.log(np.maximum(occupied * own, 1))
        return np.where(scored, weights, -np.inf)

    def _bins(self, candidates: Candidates, scored: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the bin of every candidate, from the smallest margin, the highest score, on."""
        scores = candidates.scores.astype(np.float64)
        high = np.where(scored, scores, -np.inf).max(axis=1, initial=-np.inf, keepdims=True)
        low = np.where(scored, scores, np.inf).min(axis=1, initial=np.inf, keepdims=True)
        width = np.where(high > low, high - low, 1.0)
        above = np.where(scored, high, 0.0) - np.where(scored, scores, 0.0)  # m_i - min m
        share = np.clip(above / width, 0.0, 1.0)
        bins: NDArray[np.int64] = np.minimum((share * self.bins).astype(np.int64), self.bins - 1)
        return bins
