"""The mean reciprocal rank of the first relevant document.

A metric for ``evaluate``; the figures are those of hf-hardneg.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import evaluate

from hf_hardneg.evaluation.metric_inputs import FEATURES, check_further, examples_of
from hf_hardneg.evaluation.metrics import reciprocal_rank_figures

Example = Mapping[str, Any] | Sequence[Any] | None

_DESCRIPTION = """
Mean reciprocal rank: 1 / the rank of the first relevant document among the first k of a query, 0
if there is none, as a mean over the queries that have a relevant document, with its 95% interval.
"""

_CITATION = """
@inproceedings{macavaney-etal-2022-irmeasures,
    title = {Streamlining Evaluation with ir-measures},
    author = {Sean MacAvaney and Craig Macdonald and Iadh Ounis},
    booktitle = {ECIR},
    year = {2022},
}
"""

_INPUTS = """
Args:
    predictions: one for each query: `{"ids": [...], "scores": [...]}`, the ranked documents.
        Ranked by their scores, where there are any, else as they stand. A list of ids does too.
    references: one for each query: `{"ids": [...], "scores": [...], "judged": [...]}`, the relevant
        documents; only ids are used. A list of ids does too.
    k: how many documents of a query are looked at. Default: 10.
Returns:
    mrr_at_10, mrr_at_10_low, mrr_at_10_high (with the k that was asked for; low and high are None
    with one query or where all have the same value), mrr_queries, mrr_queries_without_relevant:
    queries that were left out.
Examples:
    >>> metric = evaluate.load("hub_recipes/metrics/mrr_at_k")
    >>> figures = metric.compute(predictions=[["a", "b"], ["c", "d"]], references=[["b"], ["c"]])
    >>> figures["mrr_at_10"]
    0.75
"""


class MRRAtK(evaluate.Metric):
    """The mean reciprocal rank of the first relevant document."""

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
        k: int = 10,
        **further: object,
    ) -> dict[str, float | int | None]:
        check_further("mrr_at_k", further)
        return reciprocal_rank_figures(predictions, references, k)
