"""How many of what another decision chooses is relevant, by positives that are hidden."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.corpus import Corpus
from hf_hardneg.evaluation.clustered import clustered_interval
from hf_hardneg.evaluation.hidden_positives import FEWEST_QUERIES, METHOD, draw_marks
from hf_hardneg.inspection.decision_labels import unknown_rate
from hf_hardneg.inspection.pool_batch import PoolBatch, document_keys
from hf_hardneg.inspection.set_rules import MODEL
from hf_hardneg.inspection.slider_engine import ALWAYS, SliderEngine
from hf_hardneg.rates import Rate

__all__ = ["hidden_rate"]

POSITIVE_OUTCOMES = ALWAYS[:2]


def hidden_rate(
    engine: SliderEngine, batches: Iterable[PoolBatch], corpus: Corpus | None, seed: int
) -> Rate:
    """Hide all but one of the positives of each row, decide, and count the hidden ones chosen.

    What :func:`~hf_hardneg.evaluation.hidden_positives.hidden_positive_rate` does by mining
    anew with ``keep=1``, over the pool: the candidates that were left out as known positives may
    be chosen, and a margin is measured against the one that stays known. It can be told only where
    every stage after the retriever is decided anew here: no other stage was ever asked about a
    known positive.

    Args:
        engine: decides.
        batches: rows of the pool.
        corpus: the documents.
        seed: of which positive stays known.
    """
    rules = engine.rules
    if rules.parsed is None:
        return unknown_rate(
            METHOD, f"{rules.why}, so which stages a positive would meet is not known"
        )
    others = [one.name for one in (*rules.recorded, rules.slider(MODEL)) if one is not None]
    if others:
        return unknown_rate(
            METHOD,
            f"{' and '.join(others)} was never asked about known positives, so whether it would "
            "let a hidden one pass cannot be told from the pool",
        )
    keys: list[NDArray[np.uint64]] = []
    hits: list[NDArray[np.float64]] = []
    cases: list[NDArray[np.float64]] = []
    seen: set[int] = set()
    rows = unclear = hidden = 0
    for batch in batches:
        rows += len(batch)
        drawn = _hidden(batch, document_keys(batch, corpus), seed, seen)
        unclear += drawn.unclear
        hidden += drawn.positives
        if not len(drawn.batch):
            continue
        slots = engine.chosen(drawn.batch, drawn.spared)
        taken = slots >= 0
        own = np.take_along_axis(drawn.spared, np.maximum(slots, 0), axis=1) & taken
        keys.append(drawn.batch.queries.keys)
        hits.append(own.sum(axis=1).astype(np.float64))
        cases.append(taken.sum(axis=1).astype(np.float64))
    used = sum(map(len, keys))
    details = {
        "keep": 1, "rows": rows, "queries_used": used, "rows_unclear": unclear,
        "positives_hidden": hidden,
    }  # fmt: skip
    if used < FEWEST_QUERIES:
        why = (
            f"{used:,} of {rows:,} rows have several positives of their own; at least "
            f"{FEWEST_QUERIES} are needed"
        )
        return unknown_rate(METHOD, why, details)
    order = np.argsort(np.concatenate(keys), kind="stable")
    false, negatives = np.concatenate(hits)[order], np.concatenate(cases)[order]
    n = int(negatives.sum())
    if not n:
        return unknown_rate(
            METHOD, "nothing is chosen for the rows with several positives", details
        )
    found = clustered_interval(false, negatives, n, seed=seed)
    details |= {**found.details(), "negatives": n, "hidden_chosen": int(false.sum())}
    assumed = _assumed(rows, used, unclear)
    rate = float(false.sum()) / n
    return Rate(METHOD, rate, found.low, found.high, n, assumed=assumed, details=details)


def _assumed(rows: int, used: int, unclear: int) -> tuple[str, ...]:
    said = [
        f"Rows without several positives of their own ({rows - used - unclear:,} of {rows:,}) are "
        "like those with more.",
        "Relevant documents that nobody marked are not counted: with positives that are not "
        "exhaustive this is a lower bound for the queries looked at.",
        "One positive of each query stayed known. A set mined knowing more of them has fewer left "
        "to choose by mistake.",
    ]
    if unclear:
        said.append(
            f"{unclear:,} rows are left out: their query has positives in other rows too, or "
            "stands in another row that counts."
        )
    return tuple(said)


@dataclass(frozen=True, slots=True)
class _Hidden:
    """Rows that know one positive, and which candidates are the others."""

    batch: PoolBatch
    spared: NDArray[np.bool_]
    unclear: int
    positives: int


def _hidden(batch: PoolBatch, keys: NDArray[np.uint64], seed: int, seen: set[int]) -> _Hidden:
    """Draw the positive that stays known of each row with several.

    Args:
        batch: rows of a pool.
        keys: of its documents.
        seed: of the draw.
        seen: keys of the queries that were used; those of this batch are added.
    """
    queries, candidates = batch.queries, batch.candidates
    known = batch.of(POSITIVE_OUTCOMES)
    lines: list[int] = []
    places: list[int] = []
    spared = np.zeros(candidates.shape, dtype=np.bool_)
    unclear = positives = 0
    for line in range(len(batch)):
        own = np.arange(queries.offsets[line], queries.offsets[line + 1])
        own = own[queries.positive_rows[own] >= 0]
        marks = keys[queries.positive_rows[own]]
        if len(np.unique(marks)) < 2:
            continue
        among = np.isin(candidates.document_keys[line], marks)
        query = int(queries.keys[line])
        if query in seen or (known[line] & ~among).any():
            unclear += 1
            continue
        seen.add(query)
        order = np.lexsort((marks, draw_marks(seed, queries.keys[line], marks)))
        shown = own[order[0]]
        lines.append(line)
        places.append(int(shown))
        spared[line] = known[line] & (candidates.document_keys[line] != marks[order[0]])
        positives += len(np.unique(marks)) - 1
    return _Hidden(_lines(batch, lines, places), spared[lines], unclear, positives)


def _lines(batch: PoolBatch, lines: Sequence[int], places: Sequence[int]) -> PoolBatch:
    """Return some rows of a batch, each with one of its positives."""
    queries, candidates = batch.queries, batch.candidates
    own, shown = np.array(lines, dtype=np.int64), np.array(places, dtype=np.int64)
    nothing = np.zeros(len(own) + 1, np.int64)
    return replace(
        batch,
        rows=batch.rows[own],
        query_ids=[batch.query_ids[line] for line in lines],
        queries=replace(
            queries,
            texts=[queries.texts[line] for line in lines],
            ids=[batch.query_ids[line] for line in lines],
            keys=queries.keys[own],
            offsets=np.arange(len(own) + 1),
            positive_rows=queries.positive_rows[shown],
            known_offsets=nothing,
        ),
        candidates=replace(
            candidates,
            rows=candidates.rows[own],
            scores=candidates.scores[own],
            ranks=candidates.ranks[own],
            sources=candidates.sources[own],
            document_keys=candidates.document_keys[own],
            positive_scores=candidates.positive_scores[shown],
        ),
        outcomes=batch.outcomes[own],
        model_scores=batch.model_scores[own],
    )
