"""The share of negatives that are relevant.

A metric for ``evaluate``; the figures are those of hf-hardneg.
"""

from __future__ import annotations

import evaluate

from hf_hardneg.evaluation.metric_inputs import check_further
from hf_hardneg.evaluation.metric_module import Examples, Figures, QueryMetric
from hf_hardneg.evaluation.metrics import false_negative_figures

_DESCRIPTION = """
The share of mined negatives that are in truth relevant, by judgements, with its 95% interval
(queries are the units). With lists of what was judged, negatives that nobody judged are left out;
without them they count as true negatives, and the rate is a lower bound.
"""

_CITATION = ""  # a share with an interval: there is no paper to name

_INPUTS = """
Args:
    predictions: one for each query: `{"ids": [...], "scores": [...]}`, the negatives;
        only ids are used. A list of ids does too.
    references: one for each query: `{"ids": [...], "scores": [...], "judged": [...]}`, ids of the
        relevant documents and, where it is known, of all that were judged. A list of ids does too.
Returns:
    false_negative_rate, false_negative_rate_low, false_negative_rate_high: None without a case;
    false_negatives, false_negative_rate_negatives (cases), false_negative_rate_left_out.
Examples:
    >>> metric = evaluate.load("hub_recipes/metrics/false_negative_rate")
    >>> figures = metric.compute(predictions=[["a", "b"], ["c", "d"]], references=[["b"], ["x"]])
    >>> figures["false_negative_rate"]
    0.25
"""


class FalseNegativeRate(QueryMetric, evaluate.Metric):
    """The share of negatives that are relevant."""

    about, cites, takes = _DESCRIPTION, _CITATION, _INPUTS

    def _compute(
        self,
        predictions: Examples,
        references: Examples,
        **further: object,
    ) -> Figures:
        check_further("false_negative_rate", further)
        return false_negative_figures(predictions, references)
