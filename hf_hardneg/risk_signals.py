"""Signals of a candidate that tell whether it may be relevant: one number each.

With ``s`` the candidate's score, ``s+`` the positive's score, ``r`` the raw rank, ``v(a, b)`` the
similarity of two documents or of a query and a document:

==============================  =================================================================
``score/positive``              ``s`` over ``s+``
``score``                       ``s``
``positive-score``              ``s+``
``log-rank``                    ``ln r``
``document-similarity``         ``v(d+, d)``, where the retriever keeps vectors
``document-similarity/query``   ``v(d+, d)`` over ``v(q, d)``, likewise
==============================  =================================================================

Where the lists of several retrievers are joined, the same of each of them stands beside, with its
name: ``score/positive:bm25``, ``score:bm25``, ``positive-score:bm25``, ``log-rank:bm25`` and
``listed:bm25``, 1 where its list has the candidate and else 0.

With a cross-encoder, whose logit of a query and a document is ``c``, and ``c+`` the positive's:

==============================  =================================================================
``cross-encoder``               ``c``
``cross-encoder-difference``    ``c - c+``
==============================  =================================================================

Logits, not probabilities: a cross-encoder trained on relevance gives log odds, which is what the
model of risk adds up, and a probability near 0 or 1 has lost what tells candidates apart. A logit
has no zero that means anything and may be negative, so a ratio to the positive's says nothing; the
difference is the log of the ratio of the odds.

"Over" is the plain ratio where the divisor is above 0: ``a over b = 1 + (a - b) / |b|``, which
for a negative divisor still rises with ``a``; bounded to [-10, 10].

Of several positives of a row the highest score is ``s+``, and the highest similarity counts: a
candidate that is near any of them is suspicious. ``nan`` where a signal is missing: the positive
has no score, or none of the positives is a document of the corpus. A cross-encoder scores a
positive by its text in the data too; it misses only one that has no text anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import NO_ROW, Candidates, Queries
from hf_hardneg.errors import ParameterError
from hf_hardneg.pair_scorer import PAIRS_AT_ONCE, PairScorer, ScorerNote, positive_texts
from hf_hardneg.positives import ragged_indices
from hf_hardneg.stage_inputs import VectorSource

__all__ = ["LOGITS", "Signals", "over", "signals_of", "source_name"]

BOUND = 10.0
LEAST_DIVISOR = 1e-6
BYTES_AT_ONCE = 64_000_000
LOGITS = "identity"
"""The activation of a cross-encoder that leaves its logits as they are."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Signals:
    """The signals of a batch of candidates.

    Attributes:
        names: of the signals.
        values: shape (batch, k, signals); ``nan`` where one is missing, and in empty slots.
        cross_encoder: which cross-encoder they came from; ``None`` without one.
    """

    names: tuple[str, ...]
    values: Floats
    cross_encoder: ScorerNote | None = None


def signals_of(
    queries: Queries,
    candidates: Candidates,
    source: VectorSource,
    cross_encoder: PairScorer | None = None,
) -> Signals:
    """Return the signals of every candidate; see the table of this module.

    Args:
        queries: the batch.
        candidates: its candidates, with the scores of the positives.
        source: the retriever that found them.
        cross_encoder: scores every candidate, and the positives, by logits; default: none.

    Raises:
        ParameterError: the cross-encoder gives something else than logits.
    """
    named = _of_scores(candidates.scores.astype(np.float64), _highest(queries, candidates), "")
    named["log-rank"] = np.log(np.maximum(candidates.ranks, 1).astype(np.float64))
    if "vectors" in source.gives:
        named |= _of_vectors(queries, candidates, source)
    parts = _leaves(source)
    if len(parts) > 1 and candidates.source_ranks is not None:
        for place, (name, part) in enumerate(zip(candidates.source_names, parts, strict=True)):
            named |= _of_part(queries, candidates, part, place, name)
    if cross_encoder is not None:
        if cross_encoder.activation != LOGITS:
            raise ParameterError(
                f"risk: the cross-encoder has activation={cross_encoder.activation!r}; expected "
                f"{LOGITS!r}: its signals are logits."
            )
        named |= _of_cross_encoder(queries, candidates, source, cross_encoder)
    values = np.stack(list(named.values()), axis=-1)
    values[~candidates.filled] = np.nan
    values[~np.isfinite(values)] = np.nan
    return Signals(tuple(named), values, None if cross_encoder is None else cross_encoder.note())


def source_name(source: VectorSource) -> str:
    """Return a retriever with its depth and all parameters, and those behind it."""
    own = source.expression()
    return f"{own} of [{', '.join(map(source_name, source.parts))}]" if len(source.parts) else own


def over(values: Floats, divisors: Floats) -> Floats:
    """Return ``1 + (a - b) / |b|``, the ratio for ``b > 0``, bounded to [-10, 10]."""
    size = np.maximum(np.abs(divisors), LEAST_DIVISOR)
    with np.errstate(invalid="ignore"):  # of empty slots, whose scores are infinite
        return np.clip(1 + (values - divisors) / size, -BOUND, BOUND)


def _of_scores(scores: Floats, positive: Floats, suffix: str) -> dict[str, Floats]:
    """Return the three signals of a scorer: of candidates (batch, k), of positives (batch,)."""
    column = np.broadcast_to(positive[:, None], scores.shape)
    return {
        f"score/positive{suffix}": over(scores, column),
        f"score{suffix}": scores,
        f"positive-score{suffix}": column,
    }


def _highest(queries: Queries, candidates: Candidates) -> Floats:
    """Return the highest score among each row's positives, ``nan`` if none has one."""
    return _highest_of(queries, candidates.positive_scores.astype(np.float64))


def _highest_of(queries: Queries, scores: Floats) -> Floats:
    owner = np.repeat(np.arange(len(queries)), queries.positives_per_query)
    best = np.full(len(queries), np.nan)
    np.fmax.at(best, owner, scores)
    return best


def _of_vectors(
    queries: Queries, candidates: Candidates, source: VectorSource
) -> dict[str, Floats]:
    """Return the similarity to the nearest positive, and that over the query's own."""
    batch, k = candidates.shape
    lines, slots = np.nonzero(candidates.filled)
    rows = candidates.rows[lines, slots]
    _, places = ragged_indices(queries.offsets[lines], queries.positives_per_query[lines])
    asked = np.repeat(np.arange(len(lines)), queries.positives_per_query[lines])
    inside = queries.positive_rows[places] != NO_ROW
    asked, places = asked[inside], places[inside]
    near = _in_portions(
        source, source.document_similarity, queries.positive_rows[places], rows[asked]
    )
    best = np.full(len(lines), np.nan)
    np.fmax.at(best, asked, near)
    similarity = np.full((batch, k), np.nan)
    similarity[lines, slots] = best
    if source.scores_are_similarities(candidates.source_names):
        to_query = candidates.scores.astype(np.float64)
    else:

        def ask(lines: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float32]:
            return source.query_similarity(queries.texts, lines, rows)

        to_query = np.full((batch, k), np.nan)
        to_query[lines, slots] = _in_portions(source, ask, lines, rows)
    return {
        "document-similarity": similarity,
        "document-similarity/query": over(similarity, to_query),
    }


def _of_cross_encoder(
    queries: Queries, candidates: Candidates, source: VectorSource, scorer: PairScorer
) -> dict[str, Floats]:
    """Return the logit of each candidate, and that less the highest of the positives."""
    corpus, filled = source.corpus, candidates.filled
    owner = np.repeat(np.arange(len(queries)), queries.positives_per_query)
    there = queries.positive_rows != NO_ROW
    there |= bool(len(queries.positive_texts))
    # A row without candidates needs no score of its positives.
    served = np.flatnonzero(filled.any(axis=1))
    places = np.flatnonzero(there & np.isin(owner, served))
    own = np.full(len(owner), np.nan)
    own[places] = _logits(
        scorer,
        queries,
        owner[places],
        lambda part: positive_texts(queries, places[part].tolist(), corpus),
    )
    lines, slots = np.nonzero(filled)
    rows = candidates.rows[lines, slots]
    scores = np.full(candidates.shape, np.nan)
    scores[lines, slots] = _logits(scorer, queries, lines, lambda part: corpus.texts(rows[part]))
    best = _highest_of(queries, own)
    return {"cross-encoder": scores, "cross-encoder-difference": scores - best[:, None]}


def _logits(
    scorer: PairScorer,
    queries: Queries,
    lines: NDArray[np.int64],
    texts: Callable[[slice], list[str]],
) -> Floats:
    """Score pairs of the queries ``lines`` and texts, so many at a time, in one call each."""
    found = [np.empty(0)]
    for start in range(0, len(lines), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        asked = [queries.texts[line] for line in lines[part]]
        found.append(scorer.score(asked, texts(part)).astype(np.float64))
    return np.concatenate(found)


def _leaves(source: VectorSource) -> tuple[VectorSource, ...]:
    """Return the retrievers that search, behind everything that joins or scores anew."""
    parts = source.parts
    return tuple(leaf for part in parts for leaf in _leaves(part)) if len(parts) else (source,)


def _of_part(
    queries: Queries, candidates: Candidates, part: VectorSource, place: int, name: str
) -> dict[str, Floats]:
    """Return what one of several retrievers says of the candidates."""
    ranks = np.zeros(candidates.shape, dtype=np.int32)
    if candidates.source_ranks is not None:
        ranks = candidates.source_ranks[:, :, place]
    listed = ranks > 0
    named = {
        # A candidate that is not in the list stands right behind its end.
        f"log-rank:{name}": np.log(np.where(listed, ranks, part.top_k + 1).astype(np.float64)),
        f"listed:{name}": listed.astype(np.float64),
    }
    if "scores" not in part.gives:
        return named
    scores, positive = _scored_by(part, queries, candidates)
    return {**named, **_of_scores(scores, positive, f":{name}")}


def _scored_by(
    part: VectorSource, queries: Queries, candidates: Candidates
) -> tuple[Floats, Floats]:
    """Return (scores (batch, k), those of the positives (batch,)) by one retriever.

    One that scores only what it lists has no score for the rest: there it is the lowest that it
    has for the query, 0 where it has none.
    """
    filled = candidates.filled
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(filled.sum(axis=1))])
    rows = candidates.rows[filled]
    # Candidates stand where positives do: a retriever scores those of any kind.
    asked = replace(
        queries,
        offsets=offsets,
        positive_rows=rows,
        positive_texts=[],
        known_offsets=offsets,
        known_rows=rows,
        known_keys=candidates.document_keys[filled],
    )
    batch = len(queries)
    no_hits = np.full((batch, 1), NO_ROW), np.full((batch, 1), -np.inf, np.float32)
    scores = np.full(candidates.shape, np.nan)
    scores[filled] = part.positive_scores(asked, no_hits)
    own = part.positive_scores(queries, no_hits).astype(np.float64)
    lowest = np.fmin.reduce(scores, axis=1, initial=np.inf)
    lowest = np.where(np.isfinite(lowest), lowest, 0.0)
    positive = _highest_of(queries, own)
    return (
        np.where(filled & np.isnan(scores), lowest[:, None], scores),
        np.where(np.isnan(positive), lowest, positive),
    )


def _in_portions(
    source: VectorSource,
    ask: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]],
    one: NDArray[np.int64],
    other: NDArray[np.int64],
) -> Floats:
    """Ask about pairs, so many at a time that their vectors take bounded memory."""
    if not len(one):
        return np.empty(0)
    size = max(BYTES_AT_ONCE // (2 * 4 * source.dimension), 1)
    found = [
        ask(one[start : start + size], other[start : start + size])
        for start in range(0, len(one), size)
    ]
    return np.concatenate(found).astype(np.float64)
