"""How well a retriever, or an embedding model, ranks the documents of a corpus."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hf_hardneg.beir import read_queries
from hf_hardneg.candidates import NO_ROW, Queries
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import ParameterError, QueryError, listing
from hf_hardneg.evaluation.measures import MEASURES, deepest, parse_measures
from hf_hardneg.evaluation.ranking import Judged, grades_of
from hf_hardneg.evaluation.ranking_scores import Ranked, RankingScores, score_lists
from hf_hardneg.hashing import text_keys
from hf_hardneg.models import model_name
from hf_hardneg.retrievers import DenseRetriever, Retriever

__all__ = ["rank_model", "rank_retriever"]


def rank_retriever(
    retriever: Retriever,
    queries: Mapping[str, str] | str | Path,
    judgements: Judged,
    *,
    measures: Sequence[str] = MEASURES,
    name: str | None = None,
) -> RankingScores:
    """Score what a retriever finds for the judged queries.

    The ranking is the retriever's own, the one that mining sees: documents of the same score stand
    in the order of the corpus. (A run on file is ranked by its scores, ties as in trec_eval.)

    Args:
        retriever: over the corpus that the judgements are about.
        queries: query id -> text, or a file of queries; those without judgements are left out.
        judgements: see :func:`~hf_hardneg.evaluation.ranking.rank_run`.
        measures: names of ir-measures.
        name: to be shown; default: the retriever's.

    Raises:
        ParameterError: a measure looks at more documents than the retriever gives.
        QueryError: a judged query has no text, or no query has a relevant document.
    """
    parsed = parse_measures(measures)
    grades = grades_of(judgements)
    texts = read_queries(Path(queries)) if isinstance(queries, str | Path) else queries
    wanted = min(deepest(parsed.values()), len(retriever.corpus))
    if retriever.top_k < wanted:
        raise ParameterError(
            f"the measures {listing(parsed)} look at {wanted:,} documents of each query, and the "
            f"retriever {retriever.name!r} gives {retriever.top_k:,}. Make it with "
            f"top_k={wanted}, or measure at a lower cutoff."
        )
    missing = [query for query in grades if query not in texts]
    if missing:
        raise QueryError(
            f"{len(missing):,} judged queries have no text, for example "
            f"{listing(map(repr, missing), limit=3)}. Give the queries that were judged."
        )
    asked = {query: texts[query] for query in grades}
    ranked = _searched(retriever, asked)
    scores = score_lists(ranked, grades, parsed, name=name or retriever.name)
    # Only after the search does the retriever know all that there is to say of it.
    own = _notes(retriever.corpus, grades, len(texts) - len(asked))
    return replace(scores, notes=(*scores.notes, *retriever.notes(), *own))


def rank_model(
    model: Any,  # noqa: ANN401
    *,
    corpus: Any,  # noqa: ANN401
    queries: Mapping[str, str] | str | Path,
    judgements: Judged,
    measures: Sequence[str] = MEASURES,
    name: str | None = None,
    batch_size: int = 32,
    device: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> RankingScores:
    """Score an embedding model by exact search over a corpus.

    Each text is encoded once; the vectors are kept under the model's weights, so that measuring it
    again, or mining with it, encodes nothing. A document without any text is never found.

    Args:
        model: a name on the Hub, a path, a loaded ``SentenceTransformer``, or an encoder.
        corpus: the documents, see :class:`~hf_hardneg.corpus.Corpus`.
        queries: query id -> text, or a file of queries.
        judgements: see :func:`~hf_hardneg.evaluation.ranking.rank_run`.
        measures: names of ir-measures.
        name: to be shown; default: the model's.
        batch_size: texts in a forward pass.
        device: where the model runs.
        cache_dir: where vectors are kept; see :func:`hf_hardneg.cache.cache_root`.

    Raises:
        ModelError: the model cannot be had.
        QueryError: a judged query has no text, or no query has a relevant document.
    """
    documents = Corpus.of(corpus, cache_dir)
    wanted = min(deepest(parse_measures(measures).values()), len(documents))
    retriever = DenseRetriever(
        documents,
        model=model,
        top_k=wanted,
        batch_size=batch_size,
        device=device,
        cache_dir=cache_dir,
    )
    return rank_retriever(
        retriever, queries, judgements, measures=measures, name=name or model_name(model)
    )


def _notes(
    corpus: Corpus, grades: Mapping[str, Mapping[str, int]], not_judged: int
) -> Iterator[str]:
    relevant = [name for own in grades.values() for name, grade in own.items() if grade > 0]
    outside = int(np.count_nonzero(corpus.rows_of_ids(relevant) == NO_ROW))
    if outside:
        yield (
            f"{outside:,} of {len(relevant):,} judgements of relevance name documents that are not "
            "in the corpus: these are never found."
        )
    if not_judged:
        yield f"{not_judged:,} queries are not judged and were not searched for."


def _searched(retriever: Retriever, texts: Mapping[str, str]) -> Iterator[Ranked]:
    """Yield the documents that are found for each query."""
    retriever.prepare()
    names = list(texts)
    if retriever.encodes_queries:
        retriever.prepare_queries(list(dict.fromkeys(texts.values())))
    parts = [
        names[start : start + retriever.batch_rows]
        for start in range(0, len(names), retriever.batch_rows)
    ]
    batches = [_batch(part, texts) for part in parts]
    if retriever.encodes_candidates:
        retriever.prepare_candidates(batches)
    for part, batch in zip(parts, batches, strict=True):
        rows, scores = retriever.search(batch)
        for query, own, scored in zip(part, rows, scores, strict=True):
            found = own != NO_ROW
            yield query, retriever.corpus.ids(own[found]), scored[found].astype(np.float64)


def _batch(names: Sequence[str], texts: Mapping[str, str]) -> Queries:
    """Return queries without positives: a search does not look at them."""
    own = [texts[name] for name in names]
    nothing = np.zeros(len(own) + 1, np.int64)
    rows, keys = np.zeros(0, np.int64), np.zeros(0, np.uint64)
    return Queries(own, list(names), text_keys(own), nothing, rows, [], nothing, rows, keys)
