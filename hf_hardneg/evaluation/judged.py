"""Which negatives the judgements call relevant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import ColumnError, QueryError, listing
from hf_hardneg.evaluation.clustered import by_query, clustered_interval
from hf_hardneg.evaluation.judged_groups import by_rank, by_score
from hf_hardneg.evaluation.judgements import Judgements
from hf_hardneg.evaluation.ranks import numbers_beside, places_of
from hf_hardneg.hashing import normalize_text, text_keys
from hf_hardneg.mined_set import MinedBatch, MinedSet
from hf_hardneg.rates import Rate, wilson

__all__ = ["judged_rate"]

METHOD = "judged"
UNJUDGED, NOT_RELEVANT, RELEVANT = -1, 0, 1


@dataclass(frozen=True, slots=True)
class _Cases:
    """The negatives of a mined set, one entry each.

    Attributes:
        queries: keys of the normalised queries.
        verdicts: one of the three.
        places: rank, or place in the row.
        scores: ``nan`` where there is none.
    """

    queries: NDArray[np.uint64]
    verdicts: NDArray[np.int8]
    places: NDArray[np.int64]
    scores: NDArray[np.float32]


@dataclass(slots=True)
class _Counts:
    """What could not be matched, counted, and what is relevant beside the set's own positives."""

    rows: int = 0
    rows_unjudged: int = 0
    named: int = 0
    unknown_relevant: dict[str, set[str]] = field(default_factory=dict)
    without_id: int = 0
    by_twin: int = 0
    unknown_documents: int | None = None


def judged_rate(mined: MinedSet, judgements: Judgements, corpus: Corpus | None = None) -> Rate:
    """Return the share of the judged negatives that judgements call relevant.

    Judgements have to go deeper than the positives the miner knew. The rate is over negatives
    that have a judgement. ``details`` has the share that has one, and the least and the greatest
    rate over all negatives that the others allow (none, or all, of them relevant).

    The interval is Wilson's, as if every judged negative were an independent case. They are not:
    the negatives of one query succeed and fail together. ``details`` has the percentile interval of
    a bootstrap over queries beside it, and ``design_effect``, by how much more the rate varies than
    independent cases would let it. Where that is well above 1 (2 is common), the
    bootstrap is the interval to cite for other queries like these, and Wilson's is too narrow. To
    say how many of exactly THESE negatives are false no interval is needed where all are judged.

    With a corpus, a document whose normalised text is that of a judged one has its judgement.

    Args:
        mined: the mined set.
        judgements: by query id, or by text; see :class:`Judgements`.
        corpus: gives ids to negatives without, finds copies of judged documents under other ids,
            and counts the judged documents that it does not have.

    Returns:
        The rate; ``None`` where no negative is judged; where the judgements name relevant
        documents alone and are not said to be complete: each judged negative would be a false one;
        and where they name the set's own positives alone: none would be.

    Raises:
        ColumnError: the mined set has no ids of queries or negatives to match by.
        QueryError: none of its queries has a judgement, or none of the judged documents is in the
            corpus; without a corpus, complete judgements that name none of the set's documents.
    """
    mined = mined if corpus is None else mined.joined(corpus)
    _refuse_unmatched(mined, judgements)
    counts = _Counts()
    twins = {} if corpus is None else _twins(judgements, corpus, counts)
    cases = _read(mined, judgements, corpus, twins, counts)
    if counts.rows_unjudged == counts.rows:
        raise QueryError(
            f"none of the {counts.rows:,} rows of {mined.name} has a query that "
            f"{judgements.name} judge. They name queries such as "
            f"{listing(map(repr, judgements.queries()), limit=3)}. Give the judgements of these "
            "queries."
        )
    if judgements.complete and corpus is None and not counts.named:
        # Ids of another kind would make a rate of 0 out of nothing.
        raise QueryError(
            f"{judgements.name} name none of the documents of {mined.name}, so nothing shows that "
            "both have the same ids. They name documents such as "
            f"{listing(map(repr, _documents(judgements)), limit=3)}. Give the corpus."
        )
    return _rate(mined, judgements, cases, counts)


def _documents(judgements: Judgements) -> list[str]:
    return [name for query in judgements.queries() for name in judgements.judged(query)][:3]


def _refuse_unmatched(mined: MinedSet, judgements: Judgements) -> None:
    if not judgements.by_text and not mined.has("query_id"):
        raise ColumnError(
            f"{mined.name} has no ids of queries, and {judgements.name} name queries by id. Mine "
            "with the column of ids kept, or take the judgements from a column of the data."
        )
    if not mined.has("negative_ids"):
        raise ColumnError(
            f"{mined.name} has no ids of negatives, and {judgements.name} name documents by id. "
            "Give the corpus, so that the texts can be looked up in it."
        )


def _twins(judgements: Judgements, corpus: Corpus, counts: _Counts) -> dict[str, dict[int, int]]:
    """Return, by query, the grade of each judged text by the text's key."""
    names = [(query, name) for query in judgements.queries() for name in judgements.judged(query)]
    rows = corpus.rows_of_ids([name for _, name in names])
    keys = corpus.document_keys[np.maximum(rows, 0)].tolist()
    counts.unknown_documents = int(np.count_nonzero(rows < 0))
    if counts.unknown_documents == len(names):
        raise QueryError(
            f"none of the {len(names):,} judged documents is in the corpus. {judgements.name} "
            f"name documents such as {listing((repr(name) for _, name in names), limit=3)}, the "
            f"corpus has {listing(map(repr, corpus.ids(range(min(3, len(corpus))))), limit=3)}. "
            "Give the corpus that was judged."
        )
    found: dict[str, dict[int, int]] = {}
    for (query, name), row, key in zip(names, rows.tolist(), keys, strict=True):
        if row >= 0:
            grade, own = judgements.judged(query)[name], found.setdefault(query, {})
            own[key] = max(grade, own.get(key, grade))
    return found


# -- reading -------------------------------------------------------------------------------------


def _read(
    mined: MinedSet,
    judgements: Judgements,
    corpus: Corpus | None,
    twins: Mapping[str, Mapping[int, int]],
    counts: _Counts,
) -> _Cases:
    parts = [_read_batch(batch, judgements, corpus, twins, counts) for batch in mined.batches()]
    return _Cases(
        np.concatenate([part.queries for part in parts]),
        np.concatenate([part.verdicts for part in parts]),
        np.concatenate([part.places for part in parts]),
        np.concatenate([part.scores for part in parts]),
    )


def _read_batch(
    batch: MinedBatch,
    judgements: Judgements,
    corpus: Corpus | None,
    twins: Mapping[str, Mapping[int, int]],
    counts: _Counts,
) -> _Cases:
    texts = batch.queries()
    names = [normalize_text(text) for text in texts] if judgements.by_text else batch.query_ids()
    ids = batch.texts("negative_ids")
    keys = _document_keys(ids.flat, corpus)
    counts.rows += len(batch)
    counts.rows_unjudged += sum(name not in judgements for name in names)
    counts.without_id += sum(not name for name in ids.flat)
    positives = batch.texts("positive_ids") if batch.has("positive_ids") else None
    verdicts = np.full(len(ids.flat), UNJUDGED, dtype=np.int8)
    for row, query in enumerate(names):
        judged = judgements.judged(query)
        if not judged:
            continue
        known = () if positives is None else positives[row]
        counts.named += any(name in judged for name in (*ids[row], *known))
        new = counts.unknown_relevant.setdefault(query, judgements.relevant(query))
        new.difference_update(known)
        by_text = twins.get(query, {})
        for place in range(int(ids.offsets[row]), int(ids.offsets[row + 1])):
            grade = judged.get(ids.flat[place])
            if grade is None and by_text and (key := keys[place]) is not None:
                grade = by_text.get(key)
                counts.by_twin += grade is not None
            if grade is not None:
                verdicts[place] = RELEVANT if grade > 0 else NOT_RELEVANT
            elif judgements.complete and ids.flat[place]:
                verdicts[place] = NOT_RELEVANT
    scores = np.full(len(ids.flat), np.nan, dtype=np.float32)
    if batch.has("negative_scores"):
        scores = numbers_beside(batch, "negative_scores", ids.offsets).astype(np.float32)
    queries = np.repeat(text_keys(texts), np.diff(ids.offsets))
    return _Cases(queries, verdicts, places_of(batch, ids.offsets), scores)


def _document_keys(ids: list[str], corpus: Corpus | None) -> list[int | None]:
    """Return the key of the text of each document, ``None`` for one that is not in the corpus."""
    if corpus is None:
        return [None] * len(ids)
    rows = corpus.rows_of_ids(ids)
    keys = corpus.document_keys[np.maximum(rows, 0)].tolist()
    return [key if row >= 0 else None for key, row in zip(keys, rows.tolist(), strict=True)]


# -- counting ------------------------------------------------------------------------------------


def _rate(mined: MinedSet, judgements: Judgements, cases: _Cases, counts: _Counts) -> Rate:
    negatives = len(cases.verdicts)
    judged = cases.verdicts != UNJUDGED
    n, hits = int(judged.sum()), int((cases.verdicts == RELEVANT).sum())
    details: dict[str, Any] = {
        "negatives": negatives,
        "judged": n,
        "relevant": hits,
        "share_judged": n / negatives if negatives else None,
        "lower_bound": hits / negatives if negatives else None,
        "upper_bound": (hits + negatives - n) / negatives if negatives else None,
        "rows": counts.rows,
        "rows_without_judgements": counts.rows_unjudged,
        "negatives_without_id": counts.without_id,
        "judged_by_copy": counts.by_twin,
        "judged_documents_not_in_corpus": counts.unknown_documents,
        "complete": judgements.complete,
        "ranks": "of the retriever" if mined.has("negative_ranks") else "place in the row",
    }
    assumed = _assumed(mined, judgements)
    beyond = None
    if mined.has("positive_ids"):
        beyond = sum(map(len, counts.unknown_relevant.values()))
    details["relevant_beyond_positives"] = beyond
    why = _why_not(judgements, n, hits, beyond)
    if why:
        return Rate(METHOD, None, None, None, n, assumed=assumed, why=why, details=details)
    relevant = cases.verdicts == RELEVANT
    _, [own_hits, own_cases] = by_query(cases.queries[judged], relevant[judged], judged[judged])
    clustered = clustered_interval(own_hits, own_cases, n)
    low, high = wilson(hits, n)
    details |= {
        **clustered.details(),
        "by_rank": by_rank(cases.places, judged, relevant),
        "by_score": by_score(cases.scores, judged, relevant),
    }
    return Rate(METHOD, hits / n, low, high, n, assumed=assumed, details=details)


def _why_not(judgements: Judgements, n: int, hits: int, beyond: int | None) -> str:
    if not n:
        return "no negative has a judgement"
    if judgements.relevant_only and judgements.complete and not hits and beyond == 0:
        return (
            "the judgements name no relevant document but the set's own positives, so no negative "
            "can be found false; judgements that go deeper are needed"
        )
    if judgements.relevant_only and not judgements.complete:
        return (
            "the judgements name relevant documents alone, so every judged negative is a false "
            "one by construction; if whoever judged named all relevant documents of these "
            "queries, say complete=True (--complete-judgements)"
        )
    return ""


def _assumed(mined: MinedSet, judgements: Judgements) -> tuple[str, ...]:
    said = ["A grade above 0 means relevant; the judgements are right."]
    if judgements.complete:
        said.append("Documents of a judged query without a judgement are not relevant.")
    else:
        said.append(
            "Negatives with a judgement are like those without; share_judged says how many there "
            "are, lower_bound and upper_bound what holds without this."
        )
    return (*said, *mined.notes)
