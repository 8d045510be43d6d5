"""The mean reciprocal rank of the first relevant document.

A metric for ``evaluate``; the figures are those of hf-hardneg.
"""

from __future__ import annotations

import evaluate

from hf_hardneg.evaluation.metric_inputs import check_further
from hf_hardneg.evaluation.metric_module import Examples, Figures, QueryMetric
from hf_hardneg.evaluation.metrics import reciprocal_rank_figures

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


class MRRAtK(QueryMetric, evaluate.Metric):
    """The mean reciprocal rank of the first relevant document."""

    about, cites, takes = _DESCRIPTION, _CITATION, _INPUTS

    def _compute(
        self,
        predictions: Examples,
        references: Examples,
        k: int = 10,
        **further: object,
    ) -> Figures:
        check_further("mrr_at_k", further)
        return reciprocal_rank_figures(predictions, references, k)
