"""From a row of a mined set and its row in the pool to what is shown of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hf_hardneg.corpus import Corpus
from hf_hardneg.hashing import normalize_text
from hf_hardneg.inspection.pool_rows import PoolRows
from hf_hardneg.inspection.views import CHOSEN, DocumentView, RowView
from hf_hardneg.mined_set import MinedBatch

__all__ = ["row_view"]

UNUSED = "not needed"
PROMOTED = "promoted by "


def row_view(
    number: int,
    batch: MinedBatch,
    pool: PoolRows | None,
    corpus: Corpus | None,
    stages: Sequence[str] = (),
) -> RowView:
    """Return what is shown of one row.

    Args:
        number: of the row.
        batch: this row alone.
        pool: candidates of the queries.
        corpus: texts by id.
        stages: names of the stages that may take a candidate out, in their order.
    """
    query_id = batch.query_ids()[0] if batch.has("query_id") else ""
    query = batch.queries()[0]
    positives = _side(batch, "positive")
    negatives = _side(batch, "negative")
    if pool is None:
        return RowView(number, query_id, query, positives, negatives)
    place = pool.of(
        query_id, query, [one.document_id for one in positives if one.document_id], beside=number
    )
    if place is None:
        note = "The pool has no candidates of this query."
        return RowView(number, query_id, query, positives, negatives, notes=(note,))
    row = pool.at(place)
    candidates = _candidates(row, corpus, stages)
    negatives = _with_pool(negatives, candidates)
    taken = {one.document_id for one in negatives}
    rejected = [one for one in candidates if one.document_id not in taken]
    shown = tuple(replace(one, place=place) for place, one in enumerate(rejected))
    return RowView(
        number, query_id or row["query_id"] or "", query, _scored(positives, row), negatives, shown,
        _unmatched(rejected),
    )  # fmt: skip


def _unmatched(rejected: Sequence[DocumentView]) -> tuple[str, ...]:
    """Say which candidates were chosen, by what the pool says, and are not among the negatives."""
    number = sum(one.outcome == CHOSEN for one in rejected)
    if not number:
        return ()
    return (
        f"{number:,} of the candidates that are no negatives here were chosen, by what the pool "
        "says: the query's negatives stand in several rows, or the row does not name its own so "
        "that they are found in the pool.",
    )


def _side(batch: MinedBatch, side: str) -> tuple[DocumentView, ...]:
    """Return the documents of one side of a row."""
    texts, ids = _list(batch, f"{side}s"), _list(batch, f"{side}_ids")
    scores, ranks = _list(batch, f"{side}_scores"), _list(batch, f"{side}_ranks")
    filled = _list(batch, f"{side}_filled")
    return tuple(
        DocumentView(
            side,
            place,
            _at(ids, place) or "",
            _at(texts, place) or "",
            _finite(_at(scores, place)),
            _at(ranks, place) or None,
            filled=bool(_at(filled, place)),
        )
        for place in range(max(len(texts), len(ids)))
    )


def _list(batch: MinedBatch, name: str) -> list[Any]:
    if not batch.has(name):
        return []
    return batch.table[name][0].as_py() or []


def _at(values: Sequence[Any], place: int) -> Any:  # noqa: ANN401
    return values[place] if place < len(values) else None


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _candidates(
    row: Mapping[str, Any], corpus: Corpus | None, stages: Sequence[str]
) -> list[DocumentView]:
    """Return the candidates of a query, best rank first."""
    ids = row["candidate_ids"]
    texts = _texts(ids, corpus)
    judged = row.get("candidate_model_scores") or [None] * len(ids)
    found = [
        DocumentView(
            "rejected",
            place,
            name,
            texts[place],
            _finite(row["candidate_scores"][place]),
            row["candidate_ranks"][place] or None,
            row["candidate_sources"][place] or "",
            row["candidate_outcomes"][place] or "",
            _passed(row["candidate_outcomes"][place] or "", stages),
            _finite(judged[place]),
        )
        for place, name in enumerate(ids)
    ]
    return sorted(found, key=lambda one: one.rank or len(found) + 1)


def _texts(ids: Sequence[str], corpus: Corpus | None) -> list[str]:
    if corpus is None or not ids:
        return [""] * len(ids)
    rows = corpus.rows_of_ids(ids)
    texts = iter(corpus.texts(rows[rows >= 0]))
    return [next(texts) if row >= 0 else "" for row in rows]


def _passed(outcome: str, stages: Sequence[str]) -> tuple[str, ...]:
    """Return the stages that a candidate passed before this became of it.

    One that was not needed was asked about by nobody after the cheap stages, and which these are
    the names alone do not tell: nothing is said of it.
    """
    if outcome == CHOSEN:
        return tuple(stages)
    last = outcome.removeprefix(PROMOTED)
    if last in stages:
        return tuple(stages[: list(stages).index(last)])
    return ()


def _with_pool(
    negatives: Sequence[DocumentView], candidates: Sequence[DocumentView]
) -> tuple[DocumentView, ...]:
    """Return the negatives with what the pool knows of them."""
    by_id = {one.document_id: one for one in candidates}
    by_text = {normalize_text(one.text): one for one in reversed(candidates) if one.text}
    found = []
    for one in negatives:
        # Where two documents have the same text, the one that was chosen is meant.
        same = (
            by_id.get(one.document_id) if one.document_id else by_text.get(normalize_text(one.text))
        )
        if same is None:
            found.append(one)
            continue
        found.append(
            replace(
                one,
                document_id=one.document_id or same.document_id,
                text=one.text or same.text,
                score=same.score if one.score is None else one.score,
                rank=one.rank or same.rank,
                source=same.source,
                outcome=same.outcome,
                passed=same.passed,
                model_score=same.model_score,
            )
        )
    return tuple(found)


def _scored(positives: Sequence[DocumentView], row: Mapping[str, Any]) -> tuple[DocumentView, ...]:
    """Return the positives with the scores that the pool has for them."""
    pairs = zip(row["positive_ids"], row["positive_scores"], strict=True)
    scores = {name: score for name, score in pairs if name}  # of two without an id neither is meant
    only = row["positive_scores"][0] if len(row["positive_scores"]) == 1 else None
    alone = only if len(positives) == 1 else None
    return tuple(
        one
        if one.score is not None
        else replace(one, score=_finite(scores.get(one.document_id, alone)))
        for one in positives
    )
