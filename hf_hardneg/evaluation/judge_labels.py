"""A judge whose errors are measured on labelled negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import FormatError
from hf_hardneg.evaluation.clustered import by_query
from hf_hardneg.evaluation.judge_correction import (
    JudgedSample,
    joined_limits,
    limits_of_draws,
    query_draws,
    score_limits,
)
from hf_hardneg.evaluation.judge_sample import Pairs
from hf_hardneg.evaluation.label_cases import LabelCases
from hf_hardneg.evaluation.labels import Labels
from hf_hardneg.hashing import text_keys
from hf_hardneg.rates import CONFIDENCE, REPEATS

__all__ = ["Standardised", "labelled_pairs", "standardised"]


def labelled_pairs(labels: Labels, corpus: Corpus) -> tuple[Pairs, NDArray[np.float64]]:
    """Return the labelled negatives as texts, and the label of each between 0 and 1.

    Raises:
        FormatError: a label without the query's text, or whose document is unknown.
    """
    cases = LabelCases.of(labels).decided
    queries, documents = [], []
    numbers = corpus.rows_of_ids([case.label.document_id for case in cases])
    for case, number in zip(cases, numbers.tolist(), strict=True):
        row = case.label
        document = row.document or (corpus.texts([number])[0] if number >= 0 else "")
        if not row.query or not document:
            raise FormatError(
                f"{labels.name}: the label of query {row.pair[0]!r} and document {row.pair[1]!r} "
                "has not the texts that a judge reads; expected the fields query and document, or "
                "a document_id of the corpus."
            )
        queries.append(row.query)
        documents.append(document)
    weights = np.array([case.weight for case in cases], dtype=np.float64)
    values = np.array([case.value for case in cases], dtype=np.float64)
    return Pairs(queries, documents, text_keys(queries), weights), values


@dataclass(frozen=True, slots=True)
class Standardised:
    """A rate from a judge and labels; ``None`` where labels lack one of the judge's two answers.

    Attributes:
        rate, low, high: the rate and its interval.
        apparent: share of the sample that the judge calls relevant.
        called_relevant: share of false negatives among labelled ones that it calls relevant.
        called_irrelevant: the same among those that it does not.
        labelled: how many labels of either kind.
    """

    rate: float | None
    low: float | None
    high: float | None
    apparent: float
    called_relevant: float | None
    called_irrelevant: float | None
    labelled: tuple[int, int]

    def details(self) -> dict[str, Any]:
        """Return the parts as plain values."""
        return {
            "apparent": self.apparent,
            "relevant_if_called": self.called_relevant,
            "relevant_if_not_called": self.called_irrelevant,
            "labelled_called": self.labelled[0],
            "labelled_not_called": self.labelled[1],
        }


def standardised(
    negatives: JudgedSample,
    labelled: JudgedSample,
    values: NDArray[np.float64],
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Standardised:
    """Return p r1 + (1 - p) r0.

    p is the share of the large sample that the judge calls relevant, r1 and r0 the weighted
    shares of false negatives among the labelled negatives that it does and does not call
    relevant. This is right for any judge, however bad: one that knows nothing has r1 = r0, and
    the rate is that of the labels. The interval is made as in
    :func:`~hf_hardneg.evaluation.judge_correction.corrected`.

    Source: A. Tenenbein, "A double sampling scheme for estimating from binomial data with
    misclassifications", Journal of the American Statistical Association 65 (1970), 1350-1361.

    Args:
        negatives: the large sample.
        labelled: negatives with a label.
        values: their labels, from 0 to 1.
        seed: of the draws.
        confidence: between 0 and 1.
    """
    called = labelled.called
    parts = [
        (negatives.queries, negatives.weights * negatives.called, negatives.weights),
        (labelled.queries, labelled.weights * called * values, labelled.weights * called),
        (labelled.queries, labelled.weights * ~called * values, labelled.weights * ~called),
    ]
    sums = _aligned(parts)
    counts = int(called.sum()), int((~called).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        p, r1, r0 = (sums[:3].sum(axis=1) / sums[3:].sum(axis=1)).tolist()
    if not np.isfinite([p, r1, r0]).all():
        known = [value if np.isfinite(value) else None for value in (r1, r0)]
        return Standardised(None, None, None, p, known[0], known[1], counts)
    draws = query_draws(sums, seed, REPEATS)
    draws = draws[np.isfinite(draws).all(axis=1)]
    ends = limits_of_draws(_mixed(*draws.T), confidence)
    weights = [negatives.weights, labelled.weights[called], labelled.weights[~called]]
    shares = np.array([p, r1, r0])
    ends += joined_limits(_mixed, shares, score_limits(sums, weights, confidence))
    low, high = np.clip([min(ends), max(ends)], 0.0, 1.0).tolist()
    return Standardised(_mixed(p, r1, r0), low, high, p, r1, r0, counts)


def _mixed(p: Any, r1: Any, r0: Any) -> Any:  # noqa: ANN401
    return p * r1 + (1 - p) * r0


def _aligned(
    parts: list[tuple[NDArray[np.uint64], NDArray[np.float64], NDArray[np.float64]]],
) -> NDArray[np.float64]:
    """Return hits and cases of each part by query, over all queries, shape (6, queries)."""
    keys = np.unique(np.concatenate([queries for queries, _, _ in parts]))
    hits, cases = np.zeros((3, len(keys))), np.zeros((3, len(keys)))
    for place, (queries, own_hits, own_cases) in enumerate(parts):
        own, [summed, whole] = by_query(queries, own_hits, own_cases)
        at = np.searchsorted(keys, own)
        hits[place, at], cases[place, at] = summed, whole
    return np.concatenate([hits, cases])
