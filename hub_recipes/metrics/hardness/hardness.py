"""How hard mined negatives are by their scores.

A metric for ``evaluate``; the figures are those of hf-hardneg.
"""

from __future__ import annotations

import evaluate

from hf_hardneg.evaluation.metric_inputs import check_further
from hf_hardneg.evaluation.metric_module import Examples, Figures, QueryMetric
from hf_hardneg.evaluation.metrics import hardness_figures

_DESCRIPTION = """
How hard negatives are beside their positives, by the scores of one scorer: how many score higher,
the score relative to the positive, the softmax weight that they would get in InfoNCE at a
temperature, how much of it the hardest takes, how many negatives that leaves; and how often
documents are used again. In-batch negatives are not in the softmax.
"""

_CITATION = """
@article{oord2018cpc,
    title = {Representation Learning with Contrastive Predictive Coding},
    author = {Aaron van den Oord and Yazhe Li and Oriol Vinyals},
    journal = {arXiv:1807.03748},
    year = {2018},
}
"""

_INPUTS = """
Args:
    predictions: one for each query: `{"ids": [...], "scores": [...]}`, the negatives.
        A list of scores does too.
    references: one for each query: `{"ids": [...], "scores": [...], "judged": [...]}`, the scores
        of the positives, by the same scorer. A list of scores does too.
    temperature: of the softmax, above 0. Default: 0.05, usual for cosines.
    against: which of several positives: min (default), max, mean of their scores.
Returns:
    harder_than_positive, rows_with_harder (shares), relative_score, margin (means), softmax_weight
    of all negatives of a row, hardest_share of it, effective_negatives, negatives_compared,
    negatives_without_score, distinct_negatives and reuse_gini (by ids). None where it is not known.
Examples:
    >>> metric = evaluate.load("hub_recipes/metrics/hardness")
    >>> figures = metric.compute(predictions=[[0.9, 0.5], [0.2]], references=[[0.8], [0.4]])
    >>> round(figures["harder_than_positive"], 3)
    0.333
"""


class Hardness(QueryMetric, evaluate.Metric):
    """How hard mined negatives are by their scores."""

    about, cites, takes = _DESCRIPTION, _CITATION, _INPUTS

    def _compute(
        self,
        predictions: Examples,
        references: Examples,
        temperature: float = 0.05,
        against: str = "min",
        **further: object,
    ) -> Figures:
        check_further("hardness", further)
        return hardness_figures(predictions, references, temperature, against)
