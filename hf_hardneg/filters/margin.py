"""Keep candidates that score clearly below the positive."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import AGAINST, Candidates, Queries
from hf_hardneg.checks import at_least, fraction, one_of
from hf_hardneg.errors import ParameterError
from hf_hardneg.filters.base import Filter
from hf_hardneg.stage_inputs import Rows

__all__ = ["MarginFilter"]

DEFAULT_RELATIVE = 0.05


class MarginFilter(Filter):
    """Keeps candidates whose score lies a margin below the positive's, by the same scorer.

    With ``s`` the candidate's score and ``s+`` that of the row's positive (of several, the lowest,
    unless ``against`` says otherwise):

    - absolute: ``s < s+ - margin``;
    - relative: ``s < s+ - relative * |s+|``. For ``s+ > 0`` this is ``s < (1 - relative) * s+``,
      the "PercPos" of NV-Retriever (G. Moreira et al., 2024) with 95% for the default 0.05. The
      plain product would invert the test for a negative ``s+``; the absolute value does not;
    - percentile: ``s < q``, the given quantile of the scores of ALL positives of the data set.
      Free of scale, so fit for logits. It has to see the whole data set, so it works in
      ``miner.mine`` and ``miner.select``, not on single batches.

    Where any positive of the row has no score (a run that does not list it) nothing is kept: it
    was ranked below everything that is there.

    Args:
        margin: the absolute margin, at least 0.
        relative: the relative margin, from 0 to 1. The default, 0.05, holds when none is given.
        percentile: the quantile, from 0 to 1.
        cut: the score that ``percentile`` was fitted to; set by :meth:`fitted`.
        against: which positive of a row with several: ``min``, the strictest and the default, with
            which one noisy low positive costs the row most of its candidates; ``max``, ``mean``,
            or ``own``: each positive by itself, so that such a row becomes one row for each.

    Raises:
        ParameterError: more than one of the three, or a value out of range.
    """

    name = "margin"
    source = "Moreira et al., NV-Retriever, 2024"
    needs = ("scores",)

    def __init__(
        self,
        *,
        margin: float | None = None,
        relative: float | None = None,
        percentile: float | None = None,
        cut: float | None = None,
        against: str = "min",
    ) -> None:
        """Check that one kind of margin is asked for."""
        given = [
            name
            for name, value in (
                ("margin", margin), ("relative", relative), ("percentile", percentile)
            )
            if value is not None
        ]  # fmt: skip
        if len(given) > 1:
            raise ParameterError(
                f"margin: {' and '.join(given)} are both given; expected one kind of margin. Use "
                "two stages to apply both: 'margin(margin=0.1)+margin(relative=0.05)'."
            )
        if cut is not None and percentile is None:
            raise ParameterError(
                f"margin: cut={cut} is given without percentile, which it belongs to. For a limit "
                "of your own use score(max_score=...)."
            )
        self.margin = None if margin is None else at_least("margin", "margin", margin, 0)
        self.relative = None if relative is None else fraction("margin", "relative", relative)
        self.percentile = (
            None if percentile is None else fraction("margin", "percentile", percentile)
        )
        self.against = one_of("margin", "against", against, AGAINST)
        if percentile is not None and against != "min":
            raise ParameterError(
                f"margin: against={against!r} is given with percentile, whose limit is the same "
                "for all rows. Leave one of the two out."
            )
        self.cut = None if cut is None else at_least("margin", "cut", cut, -np.inf)

    @property
    def needs_fit(self) -> bool:
        """A percentile margin has to see the scores of all positives."""
        return self.percentile is not None and self.cut is None

    def fitted(self, rows: Rows) -> MarginFilter:
        """Return the filter with the quantile of the positives' scores worked out."""
        if not self.needs_fit:
            return self
        positive_scores = rows.positive_scores()
        scored = positive_scores[~np.isnan(positive_scores)]
        if not len(scored):
            raise ParameterError(
                "margin: percentile needs the positives' scores, and no positive has one. Use a "
                "retriever that scores its positives."
            )
        # The lower of two neighbours is a score that occurs: no rounding of an interpolation.
        cut = np.quantile(scored, self.percentile or 0.0, method="lower")
        return MarginFilter(percentile=self.percentile, cut=float(cut))

    def mask(self, queries: Queries, candidates: Candidates) -> NDArray[np.bool_]:
        """Keep what lies below the limit."""
        if self.needs_fit:
            raise ParameterError(
                "margin: percentile needs the scores of all positives of the data set, and a "
                "single batch does not have them. Use miner.mine(dataset), or give max_score."
            )
        if self.cut is not None:
            return candidates.scores < np.float32(self.cut)
        positive = candidates.positive_score(queries, self.against)
        if self.margin is not None:
            limit = positive - self.margin
        else:
            relative = DEFAULT_RELATIVE if self.relative is None else self.relative
            limit = positive - relative * np.abs(positive)
        # A comparison with nan is false: without a positive's score nothing is kept.
        return candidates.scores.astype(np.float64) < limit[:, None]
