"""Candidates drawn so that all distances from the query are as likely."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.bound_stage import BoundStage
from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.checks import above, whole_number
from hf_hardneg.errors import ParameterError, StrategyError
from hf_hardneg.samplers.base import Sampler

__all__ = ["DistanceWeightedSampler"]

ROUNDING = 0.01
"""By which a cosine may be beyond 1: vectors kept as int8 are that far from length one."""


class DistanceWeightedSampler(BoundStage, Sampler):
    """Draws candidates by the inverse of how common their distance from the query is.

    Of points that are spread evenly over the unit sphere in ``n`` dimensions most lie at a distance
    near ``sqrt(2)`` from any given one. The density of the distance ``d`` is ``q(d)``, and the
    log-weight takes it back, so that near and far candidates come in equal parts::

        d = sqrt(2 - 2 s)
        log q(d) = (n - 2) log d + (n - 3) / 2 * log(1 - d ** 2 / 4)
        -log q(max(d, cutoff))      where d < nonzero_loss_cutoff, never drawn beyond it

    where ``s`` is the candidate's score, a cosine. ``cutoff`` bounds the weight of very near
    candidates, which are noisy: all that are nearer are as likely. Beyond ``nonzero_loss_cutoff``
    the margin loss that this was made for is 0 at its first setting.

    Source: C.-Y. Wu, R. Manmatha, A. Smola, P. Krähenbühl, "Sampling matters in deep embedding
    learning", ICCV 2017; the two cutoffs are those of its released code. Differences: there the
    candidates are the other items of a batch, here they are what was retrieved, so they are near
    already and their distances are not those of random points; and an item with nothing within
    ``nonzero_loss_cutoff`` has its negatives drawn uniformly in the usual implementations, where
    here the row gets none and is counted as short.

    At a high ``n`` the weights are steep: at 768 dimensions a candidate at 0.5 is ``exp(555)``
    times as likely as one at 1.4, so the nearest are taken nearly always, and of random documents
    most lie beyond 1.4 and are never drawn.

    This is not a softmax of the scores, which is ``importance``.

    Args:
        cutoff: distance below which all candidates are as likely, above 0. Default 0.5.
        nonzero_loss_cutoff: distance from which on nothing is drawn, above ``cutoff`` and at most
            2. Default 1.4.
        dimension: ``n``, at least 2. Default: that of the retriever's vectors. Only for a sampler
            that is used by itself, without a retriever.

    Raises:
        ParameterError: a value out of range, or a ``dimension`` that is not the retriever's.
        StrategyError: scores that are no cosines, or neither a retriever nor a ``dimension``.
    """

    name = "distance-weighted"
    needs = ("scores", "unit vectors")
    source = "C.-Y. Wu et al., Sampling matters in deep embedding learning, ICCV 2017"

    def __init__(
        self,
        *,
        cutoff: float = 0.5,
        nonzero_loss_cutoff: float = 1.4,
        dimension: int | None = None,
    ) -> None:
        """Check the parameters; the retriever is asked when its answer is needed."""
        usual = "that of the paper's code is"
        self.cutoff = above(self.name, "cutoff", cutoff, 0, f"{usual} 0.5")
        self.nonzero_loss_cutoff = above(
            self.name, "nonzero_loss_cutoff", nonzero_loss_cutoff, 0, f"{usual} 1.4"
        )
        if not self.cutoff < self.nonzero_loss_cutoff <= 2:
            raise ParameterError(
                f"distance-weighted: cutoff={cutoff!r} and nonzero_loss_cutoff="
                f"{nonzero_loss_cutoff!r}; expected cutoff < nonzero_loss_cutoff <= 2, the largest "
                "distance of unit vectors (those of the paper's code are 0.5 and 1.4)."
            )
        self.dimension = (
            None if dimension is None else whole_number(self.name, "dimension", dimension, 2)
        )

    def prepare(self) -> None:
        """Refuse a retriever whose scores are no cosines; may open its model."""
        if self._source is not None and not self._source.unit_vectors:
            raise StrategyError(
                "distance-weighted needs scores that are cosines, and those of this retriever are "
                "not. Use dense(similarity='cosine'), or a model that declares cosine."
            )

    def _dimension(self) -> int:
        """Return ``n``, of the retriever if there is one."""
        if self._source is None and self.dimension is not None:
            return self.dimension
        number = self.retriever.dimension
        self.prepare()
        if self.dimension not in (None, number):
            raise ParameterError(
                f"distance-weighted: dimension={self.dimension}, and the retriever's vectors have "
                f"{number}. Leave it out: the retriever is asked."
            )
        if number < 2:
            raise StrategyError(
                f"distance-weighted needs vectors of 2 dimensions or more, and these have {number}."
            )
        return number

    def log_weights(
        self, queries: Queries, candidates: Candidates, seed: int
    ) -> NDArray[np.float64]:
        """Return the inverse density of the distance, as a logarithm."""
        n = self._dimension()
        scored = candidates.filled & ~np.isnan(candidates.scores)
        scores = np.where(scored, candidates.scores, 0).astype(np.float64)
        self._refuse_unnormalised(scores)
        d = np.sqrt(np.maximum(2 - 2 * scores, 0))
        drawn = scored & (d < self.nonzero_loss_cutoff)
        d = np.where(drawn, np.maximum(d, self.cutoff), self.cutoff)
        log_q = (n - 2) * np.log(d) + (n - 3) / 2 * np.log(1 - d**2 / 4)
        return np.where(drawn, -log_q, -np.inf)

    def _refuse_unnormalised(self, scores: NDArray[np.float64]) -> None:
        """Refuse scores that no cosine has."""
        largest = float(np.abs(scores).max(initial=0))
        if largest > 1 + ROUNDING:
            raise StrategyError(
                f"distance-weighted: a score of magnitude {largest:g}; expected cosines, from -1 "
                "to 1, of vectors of length one. Use dense(similarity='cosine'), or a model that "
                "declares cosine."
            )
