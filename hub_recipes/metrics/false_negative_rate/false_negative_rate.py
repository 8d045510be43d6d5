"""The share of negatives that are relevant.

A metric for ``evaluate``; the figures are those of hf-hardneg.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import evaluate

from hf_hardneg.evaluation.metric_inputs import FEATURES, check_further, examples_of
from hf_hardneg.evaluation.metrics import false_negative_figures

Example = Mapping[str, Any] | Sequence[Any] | None

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


class FalseNegativeRate(evaluate.Metric):
    """The share of negatives that are relevant."""

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
        **further: object,
    ) -> dict[str, float | int | None]:
        check_further("false_negative_rate", further)
        return false_negative_figures(predictions, references)
