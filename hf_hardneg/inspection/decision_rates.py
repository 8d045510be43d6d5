"""How many of what another decision chooses is relevant: by drawn labels, by hidden positives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.corpus import Corpus
from hf_hardneg.evaluation.clustered import clustered_interval
from hf_hardneg.evaluation.hidden_positives import FEWEST_QUERIES, METHOD, draw_marks
from hf_hardneg.evaluation.label_cases import bad_queries
from hf_hardneg.evaluation.label_rate import METHOD as LABELS
from hf_hardneg.evaluation.label_rate import label_rate
from hf_hardneg.evaluation.labels import Label, Labels
from hf_hardneg.hashing import text_keys
from hf_hardneg.inspection.opened import InspectedSet
from hf_hardneg.inspection.pool_batch import PoolBatch, document_keys, pool_batch, pool_of
from hf_hardneg.inspection.set_rules import MODEL
from hf_hardneg.inspection.slider_engine import ALWAYS, SliderEngine
from hf_hardneg.inspection.views import CHOSEN
from hf_hardneg.rates import Rate

__all__ = ["hidden_rate", "labelled_rate"]

AT_ONCE = 2_000
POSITIVE_OUTCOMES = ALWAYS[:2]


def _unknown(method: str, why: str, details: dict[str, Any] | None = None) -> Rate:
    return Rate(method, None, None, None, 0, why=why, details=details or {})


# -- labels --------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Chosen:
    """What a decision chooses for the queries of labels.

    Attributes:
        labels: those of pairs that are chosen.
        pairs: of these, how many pairs.
        drawn_added: of these, pairs that the set has not.
        negatives: all that is chosen for these queries.
        added: of these, those that the set has not.
        beyond: of these, those deeper than anything that could be drawn.
    """

    labels: list[Label]
    pairs: int = 0
    drawn_added: int = 0
    negatives: int = 0
    added: int = 0
    beyond: int = 0


def labelled_rate(inspected: InspectedSet, engine: SliderEngine, labels: Labels) -> Rate:
    """Return the rate that drawn labels give for what a decision chooses.

    The decision is made for all queries that have a label. Of the drawn pairs those count that it
    chooses, each with the weight of its draw: they are a sample of what it chooses as far as that
    could be drawn. So there is no rate where negatives are chosen that the set has not and none
    of them was drawn, as with labels drawn from the set itself, nor where some stand deeper than
    anything that could be drawn. Labels of pairs that were picked by hand are left out.

    Args:
        inspected: the set, with its pool.
        engine: decides.
        labels: of negatives of the set, or of a pool.
    """
    drawn = [row for row in labels if not row.control and not row.hand_picked]
    by_query: dict[tuple[str, str], list[Label]] = {}
    for row in drawn:
        by_query.setdefault((row.query_id, row.query), []).append(row)
    pool = pool_of(inspected)
    lines: dict[int, list[Label]] = {}
    for (query_id, query), own in by_query.items():
        for number in pool.all_of(query_id, query).tolist():
            lines.setdefault(number, []).extend(own)
    if not lines:
        return _unknown(LABELS, f"none of the queries of {labels.name} is in the pool")
    depths = [row.depth for row in drawn]
    known = [depth for depth in depths if depth is not None]
    deepest = max(known) if known and len(known) == len(depths) else None
    found = _chosen(inspected, engine, lines, deepest)
    details = {
        "labelled_pairs": len({row.pair for row in drawn}),
        "labelled_pairs_chosen": found.pairs,
        "negatives_of_these_queries": found.negatives,
        "of_these_added": found.added,
    }
    if why := _not_covered(found, deepest):
        return _unknown(LABELS, why, details)
    kept = {row.pair for row in found.labels}
    rate = label_rate(
        Labels(
            [row for row in labels if row.control or (row.pair in kept and not row.hand_picked)],
            labels.name,
            bad_queries(labels),
        )
    )
    said = (
        f"{found.pairs:,} of {details['labelled_pairs']:,} drawn pairs are chosen by this "
        "decision; with the weights of their draw they stand for all that it chooses."
    )
    return replace(rate, assumed=(said, *rate.assumed), details={**rate.details, **details})


def _not_covered(found: _Chosen, deepest: int | None) -> str:
    """Say why the labels cannot stand for what is chosen; empty if they can."""
    if not found.pairs:
        return "none of the pairs that were drawn to be labelled is chosen"
    if found.added and not found.drawn_added:
        return (
            f"of the labelled queries {found.added:,} of {found.negatives:,} negatives are others "
            "than the set's own, and none of these was drawn to be labelled. Draw labels from the "
            "pool"
        )
    if found.beyond:
        return (
            f"{found.beyond:,} of {found.negatives:,} negatives stand deeper than rank "
            f"{deepest:,}, the last that could be drawn to be labelled. Draw labels from a pool as "
            "deep"
        )
    return ""


def _chosen(
    inspected: InspectedSet,
    engine: SliderEngine,
    lines: dict[int, list[Label]],
    deepest: int | None,
) -> _Chosen:
    """Decide for the rows of labels, and look up which labels are of what is chosen."""
    found, pool, corpus = _Chosen([]), pool_of(inspected), inspected.corpus
    numbers = sorted(lines)
    kept: dict[tuple[str, str], bool] = {}
    for start in range(0, len(numbers), AT_ONCE):
        batch = pool_batch(pool, numbers[start : start + AT_ONCE], corpus)
        slots, own = engine.chosen(batch), batch.of([CHOSEN])
        keys = batch.candidates.document_keys
        for line, number in enumerate(batch.rows.tolist()):
            places = slots[line][slots[line] >= 0]
            found.negatives += len(places)
            found.added += int((~own[line, places]).sum())
            if deepest is not None:
                found.beyond += int((batch.candidates.ranks[line, places] > deepest).sum())
            names = {batch.ids[batch.candidates.rows[line, place]]: place for place in places}
            by_text = {int(keys[line, place]): place for place in places} if batch.texts else {}
            texts = text_keys([row.document for row in lines[number]]).tolist()
            for row, key in zip(lines[number], texts, strict=True):
                place = names.get(row.document_id) if row.document_id else None
                if place is None and row.document:
                    place = by_text.get(key)
                if place is None:
                    continue
                found.labels.append(row)
                kept[row.pair] = kept.get(row.pair, False) or not own[line, place]
    found.pairs, found.drawn_added = len(kept), sum(kept.values())
    return found


# -- hidden positives ----------------------------------------------------------------------------


def hidden_rate(
    engine: SliderEngine, batches: Sequence[PoolBatch], corpus: Corpus | None, seed: int
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
        return _unknown(METHOD, f"{rules.why}, so which stages a positive would meet is not known")
    others = [one.name for one in (*rules.recorded, rules.slider(MODEL)) if one is not None]
    if others:
        return _unknown(
            METHOD,
            f"{' and '.join(others)} was never asked about known positives, so whether it would "
            "let a hidden one pass cannot be told from the pool",
        )
    rows = sum(map(len, batches))
    keys: list[NDArray[np.uint64]] = []
    hits: list[NDArray[np.float64]] = []
    cases: list[NDArray[np.float64]] = []
    seen: set[int] = set()
    unclear = hidden = 0
    for batch in batches:
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
        return _unknown(METHOD, why, details)
    order = np.argsort(np.concatenate(keys), kind="stable")
    false, negatives = np.concatenate(hits)[order], np.concatenate(cases)[order]
    n = int(negatives.sum())
    if not n:
        return _unknown(METHOD, "nothing is chosen for the rows with several positives", details)
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
