"""How hard mined negatives are by their scores.

A metric for ``evaluate``; the figures are those of hf-hardneg.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import evaluate

from hf_hardneg.evaluation.metric_inputs import FEATURES, check_further, examples_of
from hf_hardneg.evaluation.metrics import hardness_figures

Example = Mapping[str, Any] | Sequence[Any] | None

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


class Hardness(evaluate.Metric):
    """How hard mined negatives are by their scores."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=FEATURES,
        )

    # evaluate copies these two and adds to their docstrings.
    def add_batch(
        self,
        *,
        predictions: Sequence[Any] | None = None,
        references: Sequence[Any] | None = None,
    ) -> None:
        """Add the documents of several queries."""
        super().add_batch(
            predictions=examples_of("predictions", predictions),
            references=examples_of("references", references),
        )

    def add(
        self,
        *,
        prediction: Example = None,
        reference: Example = None,
        predictions: Example = None,
        references: Example = None,
    ) -> None:
        """Add the documents of one query; ``evaluate.combine`` hands them on in the plural."""
        self.add_batch(
            predictions=[predictions if prediction is None else prediction],
            references=[references if reference is None else reference],
        )

    def _compute(
        self,
        predictions: Sequence[Mapping[str, Any]],
        references: Sequence[Mapping[str, Any]],
        temperature: float = 0.05,
        against: str = "min",
        **further: object,
    ) -> dict[str, float | int | None]:
        check_further("hardness", further)
        return hardness_figures(predictions, references, temperature, against)
