"""Keep candidates that score clearly below the positive."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.checks import at_least, fraction
from hf_hardneg.errors import ParameterError
from hf_hardneg.filters.base import Filter
from hf_hardneg.margins import Margin, one_kind
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
            or ``own``: each positive by itself, so that such a row becomes one row for each, with
            its siblings still known as positives. The rows are made for the whole strategy: a
            further margin of it then meets rows of one positive, whatever its ``against`` is.
            That takes ``miner.mine`` or ``miner.select``, which may make rows.

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
        one_kind(self.name, margin=margin, relative=relative, percentile=percentile)
        if cut is not None and percentile is None:
            raise ParameterError(
                f"margin: cut={cut} is given without percentile, which it belongs to. For a limit "
                "of your own use score(max_score=...)."
            )
        checked = Margin.checked(self.name, margin, relative, against)
        self.margin, self.relative, self.against = checked.margin, checked.relative, checked.against
        self.percentile = (
            None if percentile is None else fraction("margin", "percentile", percentile)
        )
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
        relative = self.relative
        if self.margin is None and relative is None:
            relative = DEFAULT_RELATIVE
        margin = Margin(self.margin, relative, self.against)
        limit = margin.limit(margin.positive(queries, candidates))
        # A comparison with nan is false: without a positive's score nothing is kept.
        return candidates.scores.astype(np.float64) < limit[:, None]
