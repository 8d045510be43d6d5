"""Keep candidates that score below the positive, but by no more than a margin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.filters.base import Filter
from hf_hardneg.margins import Margin

__all__ = ["SemiHardFilter"]

DEFAULT_MARGIN = 0.1


class SemiHardFilter(Filter):
    """Keeps candidates inside the margin below the positive: ``limit <= s < s+``.

    With ``s`` the candidate's score and ``s+`` that of the row's positive by the same scorer (of
    several, the lowest, unless ``against`` says otherwise):

    - absolute: ``s+ - margin <= s < s+``;
    - relative: ``s+ - relative * |s+| <= s < s+``.

    The limit is that of :class:`~hf_hardneg.MarginFilter` with the same parameters, which keeps
    ``s < limit``. Together with what is harder than the positive, ``s >= s+``, the two part the
    candidates: each is in exactly one of the three, also at equal scores.

    These are the semi-hard negatives of FaceNet (F. Schroff, D. Kalenichenko, J. Philbin,
    "FaceNet: a unified embedding for face recognition and clustering", CVPR 2015): further from
    the anchor than the positive, but inside the margin alpha = 0.2 of squared distances of unit
    vectors. For unit vectors ``|x - y|^2 = 2 - 2 cos(x, y)``, so with cosines as scores

        |a - p|^2 < |a - n|^2           is    s < s+
        |a - n|^2 < |a - p|^2 + alpha   is    s > s+ - alpha / 2

    and the paper's alpha of 0.2 is the default ``margin`` of 0.1. On another scale (BM25, logits,
    raw dot products) it means nothing: set ``margin``, or use ``relative``.

    Differences from the paper: the limit itself is kept, which makes the three sets meet without
    a gap; candidates are what a retriever lists from the corpus, not a batch in training; the
    scores are those of the retriever, not of the model as it trains.

    Where any positive of the row has no score (a run that does not list it) nothing is kept.

    Args:
        margin: the absolute margin on the retriever's scale, at least 0. The default, 0.1, holds
            when neither kind is given.
        relative: the relative margin, from 0 to 1.
        against: which positive of a row with several: ``min``, ``max``, ``mean``, or ``own``: each
            positive by itself, so that such a row becomes one row for each.

    Raises:
        ParameterError: both kinds are given, or a value is out of range.
    """

    name = "semi-hard"
    needs = ("scores",)
    source = "FaceNet, Schroff et al., CVPR 2015"

    def __init__(
        self,
        *,
        margin: float | None = None,
        relative: float | None = None,
        against: str = "min",
    ) -> None:
        """Check that one kind of margin is asked for."""
        checked = Margin.checked(self.name, margin, relative, against)
        self.margin, self.relative, self.against = checked.margin, checked.relative, checked.against

    def mask(self, queries: Queries, candidates: Candidates) -> NDArray[np.bool_]:
        """Keep what lies from the limit up to the positive."""
        margin = self.margin
        if margin is None and self.relative is None:
            margin = DEFAULT_MARGIN
        band = Margin(margin, self.relative, self.against)
        positive = band.positive(queries, candidates)
        # A comparison with nan is false: without a positive's score nothing is kept.
        scores = candidates.scores.astype(np.float64)
        kept: NDArray[np.bool_] = scores >= band.limit(positive)[:, None]
        return kept & (scores < positive[:, None])
