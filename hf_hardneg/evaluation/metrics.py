"""The figures behind the metrics for ``evaluate``: plain values, with names of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from hf_hardneg.checks import whole_number
from hf_hardneg.errors import ParameterError
from hf_hardneg.evaluation.clustered import clustered_interval
from hf_hardneg.evaluation.measures import parse_measures
from hf_hardneg.evaluation.metric_inputs import flat_scores
from hf_hardneg.evaluation.ranking_scores import Ranked, score_lists
from hf_hardneg.evaluation.reuse import ReuseCounts, gini
from hf_hardneg.hashing import exact_keys
from hf_hardneg.score_hardness import TEMPERATURE, ScoreTally

__all__ = ["false_negative_figures", "hardness_figures", "reciprocal_rank_figures"]

Examples: TypeAlias = Sequence[Mapping[str, Sequence[Any]]]
Figures: TypeAlias = dict[str, float | int | None]


def reciprocal_rank_figures(predictions: Examples, references: Examples, k: int = 10) -> Figures:
    """Return the mean reciprocal rank of the first relevant document among the first ``k``.

    Its interval is ``None`` with one query, or where all queries have the same value: what does
    not vary tells nothing of how sure the mean is.

    Args:
        predictions: ``ids`` of the ranked documents, by their ``scores`` where there are scores
            (documents of the same score, and those without one, which stand last, in the order
            given), else best first.
        references: ``ids`` of the relevant documents. A query without any is left out.
        k: at least 1.

    Raises:
        ParameterError: ``k`` out of range, or no query with a relevant document.
    """
    name = f"mrr_at_{whole_number('mrr_at_k', 'k', k, 1)}"
    grades = {str(place): dict.fromkeys(own["ids"], 1) for place, own in enumerate(references)}
    if not any(grades.values()):
        raise ParameterError(
            f"mrr_at_k: none of {len(grades)} references has ids; expected relevant documents."
        )
    ranked = [_ranked(str(place), own) for place, own in enumerate(predictions)]
    measure = parse_measures([f"RR@{k}"])
    scores = score_lists(ranked, grades, measure, name=name)
    ((mean,), (ends,)) = scores.means.values(), scores.intervals.values()
    return {
        name: mean,
        f"{name}_low": None if ends is None else ends[0],
        f"{name}_high": None if ends is None else ends[1],
        "mrr_queries": len(scores),
        "mrr_queries_without_relevant": scores.without_relevant,
    }


def _ranked(query: str, own: Mapping[str, Sequence[Any]]) -> Ranked:
    ids, scores = list(own["ids"]), own["scores"]
    if len(scores) and not ids:
        raise ParameterError("mrr_at_k: predictions have scores and no ids; expected ids.")
    if len(scores):
        falling = [np.inf if score is None else -score for score in scores]
        ids = [ids[place] for place in np.argsort(falling, kind="stable")]
    different = list(dict.fromkeys(ids))
    return query, different, np.full(len(different), np.nan)


def false_negative_figures(predictions: Examples, references: Examples) -> Figures:
    """Return the share of negatives that are relevant, with its 95% interval.

    With ``judged`` in any reference, negatives that are neither judged nor relevant are left out:
    nobody looked at them. Without, they count as true negatives, and the rate is a lower bound.
    The interval takes queries for the units, because negatives of one query are alike; it is that
    of :func:`~hf_hardneg.evaluation.clustered.clustered_interval`.

    Args:
        predictions: ``ids`` of the negatives of each query.
        references: ``ids`` of the relevant documents, and perhaps ``judged``.
    """
    judged_only = any(len(own["judged"]) for own in references)
    hits, cases = np.zeros(len(predictions)), np.zeros(len(predictions))
    for place, (negatives, known) in enumerate(zip(predictions, references, strict=True)):
        relevant = set(known["ids"])
        counted = relevant | set(known["judged"]) if judged_only else set(negatives["ids"])
        own = [name for name in negatives["ids"] if name in counted]
        hits[place], cases[place] = sum(name in relevant for name in own), len(own)
    whole = int(cases.sum())
    found = clustered_interval(hits, cases, whole) if whole else None
    return {
        "false_negative_rate": float(hits.sum() / whole) if whole else None,
        "false_negative_rate_low": found.low if found else None,
        "false_negative_rate_high": found.high if found else None,
        "false_negatives": int(hits.sum()),
        "false_negative_rate_negatives": whole,
        "false_negative_rate_left_out": sum(len(own["ids"]) for own in predictions) - whole,
    }


def hardness_figures(
    predictions: Examples,
    references: Examples,
    temperature: float = TEMPERATURE,
    against: str = "min",
) -> Figures:
    """Return how hard negatives are by their scores, and how varied by their ids.

    The figures are those of :class:`~hf_hardneg.score_hardness.ScoreHardness` and
    :class:`~hf_hardneg.evaluation.reuse.Reuse`; ``None`` where scores or ids are not given.

    Args:
        predictions: ``scores`` and ``ids`` of the negatives of each query.
        references: ``scores`` of the positives, by the same scorer.
        temperature: of the softmax, above 0.
        against: which of several positives: ``min``, ``max``, ``mean``.
    """
    tally, reuse = ScoreTally(against, temperature), ReuseCounts()
    tally.add(*flat_scores(references), *flat_scores(predictions))
    reuse.add(exact_keys(name for own in predictions for name in own["ids"]))
    found, (_, counts) = tally.result(), reuse.counts()
    return {
        "harder_than_positive": found.harder,
        "rows_with_harder": found.rows_with_harder,
        "relative_score": found.relative.mean,
        "margin": found.margins.mean,
        "softmax_weight": found.weight_of_negatives,
        "hardest_share": found.hardest_share,
        "effective_negatives": found.effective_negatives,
        "negatives_compared": found.compared,
        "negatives_without_score": found.without_score,
        "distinct_negatives": len(counts) or None,
        "reuse_gini": gini(counts),
    }
