"""Candidates drawn with probabilities that grow exponentially with their scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.checks import above
from hf_hardneg.log_weights import LOWEST
from hf_hardneg.samplers.base import Sampler

__all__ = ["ImportanceSampler"]


class ImportanceSampler(Sampler):
    """Draws candidates with probabilities that are the softmax of their scores.

    With ``s_i`` the candidate's score the log-weight is::

        s_i / temperature

    A temperature near 0 takes the best first, as ``top`` does; a high one draws uniformly, as
    ``random`` does. The temperature is in units of score: 0.1 is a usual value for cosine, and on
    the scale of BM25 or of raw dot products it would take the best first, so give a larger one
    there.

    There is no one paper of this sampler. The same distribution, over cached documents, draws the
    negatives of E. Lindgren et al., "Efficient training of retrieval models using negative cache",
    NeurIPS 2021; there with the Gumbel-max trick, and one negative for each query. It is not the
    ``distance-weighted`` sampler, which spreads its draws over all distances.

    A candidate without a score is never drawn.

    Args:
        temperature: above 0, in units of score. Default 0.1, for cosine.

    Raises:
        ParameterError: a temperature that is not above 0.
    """

    name = "importance"
    needs = ("scores",)
    source = "softmax of the scores; as E. Lindgren et al., NeurIPS 2021"

    def __init__(self, *, temperature: float = 0.1) -> None:
        """Check the temperature."""
        self.temperature = above(
            self.name, "temperature", temperature, 0, "0.1 is usual for cosine; for the best first "
            "use top, for equal chances random",
        )  # fmt: skip

    def log_weights(
        self, queries: Queries, candidates: Candidates, seed: int
    ) -> NDArray[np.float64]:
        """Return the score over the temperature."""
        scores = candidates.scores.astype(np.float64)
        with np.errstate(over="ignore"):
            weights = np.clip(scores / self.temperature, LOWEST, -LOWEST)
        return np.where(np.isnan(scores), -np.inf, weights)
