"""Hidden positives: of a query's known positives one is shown, and the others are labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import NO_ROW, Candidates, Queries, known_positive
from hf_hardneg.hashing import mix
from hf_hardneg.pair_scorer import PairScorer
from hf_hardneg.positives import ragged_indices
from hf_hardneg.risk_fit import Pairs
from hf_hardneg.risk_signals import signals_of
from hf_hardneg.stage_inputs import VectorSource

__all__ = ["Shown", "hidden_pairs", "of_lines", "one_shown"]

SALT = 0x48494445
"""Keeps this draw apart from others that hash the same seed and query."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Queries that know one positive, and which of their candidates are hidden ones.

    Attributes:
        queries: each with one positive, the shown one, and no other that is known.
        candidates: theirs.
        hidden: which candidates are known positives that are not shown, shape (batch, k).
        lines: which rows of the batch they were, shape (batch,).
    """

    queries: Queries
    candidates: Candidates
    hidden: NDArray[np.bool_]
    lines: NDArray[np.int64]


def of_lines(
    queries: Queries, candidates: Candidates, lines: NDArray[np.int64]
) -> tuple[Queries, Candidates]:
    """Return some rows of a batch."""
    offsets, own = ragged_indices(queries.offsets[lines], queries.positives_per_query[lines])
    known_offsets, known = ragged_indices(
        queries.known_offsets[lines], np.diff(queries.known_offsets)[lines]
    )
    chosen = replace(
        queries,
        texts=[queries.texts[line] for line in lines],
        ids=[queries.ids[line] for line in lines] if len(queries.ids) else [],
        keys=queries.keys[lines],
        offsets=offsets,
        positive_rows=queries.positive_rows[own],
        positive_texts=[queries.positive_texts[one] for one in own]
        if len(queries.positive_texts)
        else [],
        known_offsets=known_offsets,
        known_rows=queries.known_rows[known],
        known_keys=queries.known_keys[known],
        further={
            name: [values[line] for line in lines] for name, values in queries.further.items()
        },
    )
    ranks = candidates.source_ranks
    return chosen, replace(
        candidates,
        rows=candidates.rows[lines],
        scores=candidates.scores[lines],
        ranks=candidates.ranks[lines],
        sources=candidates.sources[lines],
        document_keys=candidates.document_keys[lines],
        positive_scores=candidates.positive_scores[own],
        source_ranks=None if ranks is None else ranks[lines],
    )


def one_shown(
    queries: Queries, candidates: Candidates, document_keys: NDArray[np.uint64], seed: int
) -> Shown:
    """Return the rows whose query has two known positives or more, with one of them shown.

    The shown one is among the row's own positives that are documents of the corpus, by a hash of
    the seed, the query and the document. Two texts that are equal are one positive.

    Args:
        queries: the batch.
        candidates: all that was retrieved, positives among them.
        document_keys: keys of the texts of the corpus.
        seed: of the draw.
    """
    owner = np.repeat(np.arange(len(queries)), queries.positives_per_query)
    inside = queries.positive_rows != NO_ROW
    owner, places = owner[inside], np.flatnonzero(inside)
    keys = document_keys[queries.positive_rows[places]]
    order = np.lexsort((mix(seed, SALT, queries.keys[owner], keys), owner))
    lines, first = np.unique(owner[order], return_index=True)
    shown = places[order[first]]
    shown_keys = document_keys[queries.positive_rows[shown]]
    others = np.array(
        [
            (queries.known_keys[queries.known_offsets[line] : queries.known_offsets[line + 1]]
             != key).any()
            for line, key in zip(lines, shown_keys, strict=True)
        ],
        dtype=np.bool_,
    )  # fmt: skip
    lines, shown, shown_keys = lines[others], shown[others], shown_keys[others]
    known = known_positive(queries, candidates)[lines]
    own, found = of_lines(queries, candidates, lines)
    ends = np.arange(len(lines) + 1, dtype=np.int64)
    rows = queries.positive_rows[shown]
    texts = [queries.positive_texts[one] for one in shown] if len(queries.positive_texts) else []
    own = replace(
        own, offsets=ends, positive_rows=rows, positive_texts=texts,
        known_offsets=ends, known_rows=rows, known_keys=shown_keys,
    )  # fmt: skip
    found = replace(found, positive_scores=candidates.positive_scores[shown])
    return Shown(own, found, known & ~known_positive(own, found), lines)


def hidden_pairs(
    batches: Iterator[tuple[Queries, Candidates]],
    source: VectorSource,
    seed: int,
    most: int,
    cross_encoder: PairScorer | None = None,
) -> Pairs | None:
    """Return labelled pairs of hidden positives, ``None`` where no query has two positives.

    Args:
        batches: all candidates as they were retrieved.
        source: the retriever.
        seed: of which positive is shown, and of the sample.
        most: pairs that are kept; of more, those with the lowest hash of seed, query and document.
        cross_encoder: as in :func:`~hf_hardneg.risk_signals.signals_of`.
    """
    kept: Pairs | None = None
    marks = np.zeros(0, dtype=np.uint64)
    for queries, candidates in batches:
        shown = one_shown(queries, candidates, source.corpus.document_keys, seed)
        if not len(shown.lines):
            continue
        queries, candidates = shown.queries, shown.candidates
        signals = signals_of(queries, candidates, source, cross_encoder)
        usable = candidates.filled & ~known_positive(queries, candidates)
        usable &= candidates.document_keys != queries.keys[:, None]
        lines, slots = np.nonzero(usable)
        here = Pairs(
            signals.names,
            signals.values[lines, slots],
            shown.hidden[lines, slots].astype(np.float64),
            np.ones(len(lines)),
            queries.keys[lines],
            signals.cross_encoder,
        )
        drawn = mix(seed, SALT + 1, queries.keys[lines], candidates.document_keys[lines, slots])
        kept = here if kept is None else _joined(kept, here)
        marks = np.concatenate([marks, drawn])
        if len(marks) > most:
            lowest = np.argsort(marks, kind="stable")[:most]
            kept, marks = kept.of(lowest), marks[lowest]
    return kept


def _joined(one: Pairs, other: Pairs) -> Pairs:
    return Pairs(
        one.signals,
        np.concatenate([one.values, other.values]),
        np.concatenate([one.labels, other.labels]),
        np.concatenate([one.weights, other.weights]),
        np.concatenate([one.groups, other.groups]),
        one.cross_encoder,
    )
