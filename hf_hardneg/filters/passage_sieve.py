"""Keep candidates that score below the mean of their row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.checks import whole_number
from hf_hardneg.filters.base import Filter
from hf_hardneg.hashing import uniform_noise

__all__ = ["PassageSieve"]


class PassageSieve(Filter):
    """Keeps candidates that score below the mean of the positive and of the candidates left.

    With ``s_1 ... s_k`` the scores of the candidates that the filters before it have left, and
    ``s+`` that of the positive by the same scorer, it keeps

        s_j < (s+ + s_1 + ... + s_k) / (k + 1)

    and if that keeps none of them, one at random. Source: the released code of CCR (S. Wang,
    Y. Zhang, C.-T. Nguyen, "Mitigating the impact of false negatives in dense retrieval with
    contrastive confidence regularization", 2024), which sieves the negatives of a training row by
    the scores of a model that was trained with the paper's regularizer. Differences: the scores
    are those of whatever retriever stands in front; and the one that is kept at random is drawn by
    a hash of seed, query and document, so that it is the same in every run, batch and process.

    Of several positives the one with the lowest score counts, which makes the mean lowest and the
    sieve strictest. Where any positive of the row has no score there is no mean: nothing is kept,
    at random neither.

    The decision depends on which candidates are left, so what stands before it matters:
    ``score(min_score=...)+passage-sieve`` sieves less than ``passage-sieve`` alone.

    Args:
        seed: of the random choice; the miner gives its own.

    Raises:
        ParameterError: ``seed`` is not a whole number of at least 0.
    """

    name = "passage-sieve"
    needs = ("scores",)
    among_survivors = True
    source = "CCR, Wang et al., 2024 (released code)"

    def __init__(self, *, seed: int = 0) -> None:
        """Check the seed."""
        self.seed = whole_number(self.name, "seed", seed, 0)

    def mask(self, queries: Queries, candidates: Candidates) -> NDArray[np.bool_]:
        """Keep what lies below the mean, or one."""
        filled = candidates.filled
        mean = self._mean(queries, candidates)
        kept = filled & (candidates.scores.astype(np.float64) < mean[:, None])
        none = filled.any(axis=1) & ~kept.any(axis=1) & ~np.isnan(mean)
        lines = np.flatnonzero(none)
        if len(lines):
            noise = uniform_noise(self.seed, queries.keys[lines], candidates.document_keys[lines])
            kept[lines, np.where(filled[lines], noise, -1.0).argmax(axis=1)] = True
        return kept

    def _mean(self, queries: Queries, candidates: Candidates) -> NDArray[np.float64]:
        """Return the mean score of positive and candidates of each row, shape (batch,)."""
        filled = candidates.filled
        # Added up one after the other: a sum in blocks would depend on the width of the batch.
        lines = np.nonzero(filled)[0]
        scores = candidates.scores[filled].astype(np.float64)
        sums = np.bincount(lines, scores, minlength=len(queries))
        total = sums + candidates.positive_score(queries)
        mean: NDArray[np.float64] = total / (np.count_nonzero(filled, axis=1) + 1)
        return mean
