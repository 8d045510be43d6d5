"""What calibration works on: retrieved candidates, and which of them are known to be relevant."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_hardneg.beir import read_qrels
from hf_hardneg.candidates import NO_ROW, Candidates, Queries
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import QueryError, StrategyError, listing
from hf_hardneg.evaluation.label_cases import LabelCases
from hf_hardneg.evaluation.labels import Labels
from hf_hardneg.hashing import mix, text_keys
from hf_hardneg.miner import OfflineMiner
from hf_hardneg.pool import candidates_of, description_of
from hf_hardneg.retrievers import Retriever
from hf_hardneg.risk_fit import Pairs
from hf_hardneg.risk_hidden import of_lines, one_shown
from hf_hardneg.risk_signals import Signals
from hf_hardneg.samplers import TopSampler
from hf_hardneg.selection import Rules, surviving

__all__ = ["MOST_QUERIES", "CalibrationSet", "calibration_set", "labelled_pairs"]

MOST_QUERIES = 5_000
SALT = 0x43414C49
"""Keeps the sample of queries apart from other draws by the same seed."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CalibrationSet:
    """Queries with their candidates, and what is known of these.

    Attributes:
        queries: one batch.
        candidates: theirs.
        eligible: which candidates a filter would see: no known positives, no query texts.
        relevance: 0 to 1, ``nan`` where nothing is known, shape (batch, k).
        weights: 1 over the chance of having been labelled, 0 where nothing is known.
        complete: whether all of ``relevance`` is known.
        retriever: what found them.
        corpus: the documents.
        origin: ``judgements``, ``labels`` or ``hidden positives``.
        notes: what a reader should know.
    """

    queries: Queries
    candidates: Candidates
    eligible: NDArray[np.bool_]
    relevance: Floats
    weights: Floats
    complete: bool
    retriever: Retriever
    corpus: Corpus
    origin: str
    notes: tuple[str, ...]


def calibration_set(
    strategy: str,
    dataset: Dataset,
    corpus: Any,  # noqa: ANN401
    *,
    labels: str | Path | None = None,
    judgements: str | Path | None = None,
    seed: int = 0,
    num_proc: int | None = None,
    most_queries: int = MOST_QUERIES,
    **options: Any,  # noqa: ANN401
) -> CalibrationSet:
    """Retrieve candidates for a sample of the queries and look up what is known of them.

    Args:
        strategy: the retriever part of a strategy string, such as ``dense@100(model='...')``.
        dataset: queries with their known positives.
        corpus: the documents.
        labels: a file of labelled pairs.
        judgements: a file of judgements that go deeper than the data's positives. Neither: of the
            positives of each query one is shown, and the others are what is to be found.
        seed: of the sample, and of which positive is shown.
        num_proc: worker processes.
        most_queries: queries that are looked at; of more those with the lowest hash.
        options: names of columns and ``cache_dir``, as :class:`~hf_hardneg.miner.OfflineMiner`.

    Raises:
        StrategyError: the strategy has filters or a sampler.
        QueryError: ids that are not known, or nothing to learn from.
    """
    miner = OfflineMiner(strategy, corpus=corpus, num_negatives=1, seed=seed, **options)
    miner = miner.knowing(dataset)
    plan = miner._plan()
    extra = [stage.name for stage in plan.strategy.stages if stage != TopSampler()]
    if extra:
        raise StrategyError(
            f"calibrate: the strategy has {listing(extra)} after its retriever; expected the "
            "retriever part alone, such as 'dense@100'. What stands after it is what is found out."
        )
    rows, notes = _sample(dataset, plan.reader.queries, seed, most_queries)
    pool = miner.retrieve(rows, num_proc=num_proc)
    table = pool.with_format("arrow")[:]
    queries = plan.reader.queries(table)
    names = description_of(pool).get("sources") or plan.strategy.retriever.source_names
    candidates = candidates_of(table, queries, plan.reader.corpus, tuple(names))
    retriever = plan.strategy.retriever
    if labels is not None:
        build: Callable[..., _Known] = _of_labels
        source: Any = Labels.read(labels)
    elif judgements is not None:
        build, source = _of_judgements, judgements
    else:
        build, source = _of_hidden, seed
    known = build(queries, candidates, plan.reader.corpus, source)
    rules = Rules((), (), TopSampler(), 1, seed)
    eligible = surviving(known.queries, known.candidates, rules)
    return CalibrationSet(
        known.queries,
        known.candidates,
        eligible,
        known.relevance,
        np.where(eligible, known.weights, 0.0),
        known.complete,
        retriever,
        plan.reader.corpus,
        known.origin,
        (*notes, *known.notes),
    )


def _sample(
    dataset: Dataset, reader: Callable[..., Queries], seed: int, most: int
) -> tuple[Dataset, tuple[str, ...]]:
    """Return the rows of the queries with the lowest hashes, all rows of a query or none."""
    keys = np.concatenate(
        [reader(table, find=False).keys for table in dataset.with_format("arrow").iter(10_000)]
    )
    unique = np.unique(keys)
    if len(unique) <= most:
        return dataset, ()
    drawn = unique[np.argsort(mix(seed, SALT, unique), kind="stable")[:most]]
    note = f"{most:,} of {len(unique):,} queries were drawn; the rest is not looked at."
    return dataset.select(np.flatnonzero(np.isin(keys, drawn))), (note,)


@dataclass(frozen=True, slots=True)
class _Known:
    queries: Queries
    candidates: Candidates
    relevance: Floats
    weights: Floats
    complete: bool
    origin: str
    notes: tuple[str, ...] = ()


def _of_hidden(queries: Queries, candidates: Candidates, corpus: Corpus, seed: int) -> _Known:
    shown = one_shown(queries, candidates, corpus.document_keys, seed)
    if not len(shown.lines):
        raise QueryError(
            "calibrate: no query has two known positives that differ, so none can be hidden. "
            "Give labels (--labels) or deeper judgements (--judgements)."
        )
    without = len(queries) - len(shown.lines)
    notes = ["Of each query's known positives one was shown; the others count as relevant, and "
             "every document that is no known positive as not relevant."]  # fmt: skip
    if without:
        notes.append(f"{without:,} rows have one known positive alone and were left out.")
    relevance = shown.hidden.astype(np.float64)
    return _Known(
        shown.queries, shown.candidates, relevance, np.ones(relevance.shape), True,
        "hidden positives", tuple(notes),
    )  # fmt: skip


def _of_judgements(
    queries: Queries, candidates: Candidates, corpus: Corpus, path: str | Path
) -> _Known:
    if not len(queries.ids):
        raise QueryError(
            "calibrate: the queries have no ids, and judgements name queries by id. Give data "
            "with a column of ids (--query-id-column)."
        )
    judged = [(q, d, grade) for q, d, grade in read_qrels(Path(path).expanduser())]
    _refuse_unknown(path, "document", [d for _, d, _ in judged],
                    corpus.rows_of_ids([d for _, d, _ in judged]) != NO_ROW)  # fmt: skip
    lines = {name: [] for name in queries.ids}  # type: dict[str, list[int]]
    for line, name in enumerate(queries.ids):
        lines[name].append(line)
    ours = [(q, d, grade) for q, d, grade in judged if q in lines]
    if not ours:
        raise QueryError(
            f"calibrate: {path} judges none of the {len(lines):,} queries, whose ids are such as "
            f"{listing(map(repr, lines), 3)}; it has ids such as "
            f"{listing((repr(q) for q, _, _ in judged), 3)}. Give the judgements of these queries."
        )
    relevant = [(q, d) for q, d, grade in ours if grade > 0]
    keys = corpus.document_keys[corpus.rows_of_ids([d for _, d in relevant])]
    hits = np.zeros(candidates.shape, dtype=np.bool_)
    by_line: dict[int, list[Any]] = {}
    for (name, _), key in zip(relevant, keys, strict=True):
        for line in lines[name]:
            by_line.setdefault(line, []).append(key)
    for line, own in by_line.items():
        hits[line] = np.isin(candidates.document_keys[line], np.array(own, dtype=np.uint64))
    asked = np.isin(np.array(queries.ids), np.array([q for q, _, _ in ours]))
    weights = np.where(asked[:, None], np.ones(candidates.shape), 0.0)
    notes = ["What the judgements do not name counts as not relevant."]
    if not asked.all():
        notes.append(f"{int((~asked).sum()):,} rows have queries without judgements; left out.")
    kept = np.flatnonzero(asked)
    own_queries, found = of_lines(queries, candidates, kept)
    return _Known(
        own_queries, found, (hits & candidates.filled)[kept].astype(np.float64), weights[kept],
        True, "judgements", tuple(notes),
    )  # fmt: skip


def _of_labels(queries: Queries, candidates: Candidates, corpus: Corpus, labels: Labels) -> _Known:
    cases = LabelCases.of(labels)
    if not cases.decided:
        picked = len(cases.hand_picked)
        raise QueryError(
            f"calibrate: {labels.name} holds no labelled pair that was drawn, and {picked:,} that "
            "were picked by hand; expected drawn ones, with their weights: hf-hardneg sample "
            "draws what to label."
        )
    rows = [case.label for case in cases.decided]
    keys = text_keys([row.document for row in rows])
    named = [place for place, row in enumerate(rows) if row.document_id]
    # Of data without ids a sample makes ids of the texts; those are found by the texts beside them.
    places = corpus.rows_of_ids([rows[place].document_id for place in named])
    lost = [rows[place].document_id for place, row in zip(named, places, strict=True)
            if row == NO_ROW and not rows[place].document]  # fmt: skip
    _refuse_unknown(labels.name, "document", lost, np.zeros(len(lost), dtype=np.bool_))
    known = places != NO_ROW
    keys[np.array(named, dtype=np.int64)[known]] = corpus.document_keys[places[known]]
    asked = text_keys([row.query for row in rows])
    if len(queries.ids):
        by_id = dict(zip(queries.ids, queries.keys, strict=True))
        for place, row in enumerate(rows):
            asked[place] = by_id.get(row.query_id, asked[place])
    values = np.array([case.value for case in cases.decided])
    drawn = np.array([case.weight for case in cases.decided])
    relevance = np.full(candidates.shape, np.nan)
    weights = np.zeros(candidates.shape)
    order = np.argsort(mix(asked, keys), kind="stable")
    marks = mix(asked, keys)[order]
    own = mix(queries.keys[:, None], candidates.document_keys)
    found = np.minimum(np.searchsorted(marks, own), len(marks) - 1)
    hit = (marks[found] == own) & candidates.filled
    relevance[hit] = values[order][found[hit]]
    weights[hit] = drawn[order][found[hit]]
    used = len(np.unique(own[hit]))
    if not used:
        raise QueryError(
            f"calibrate: none of the {len(marks):,} labelled pairs of {labels.name} is among the "
            "candidates that the retriever found. Give labels of what this retriever finds, and "
            "the queries that were labelled."
        )
    notes = [f"{used:,} of {len(marks):,} labelled pairs are among the candidates."]
    left_out = {
        "bad query": len(cases.bad_query),
        "known positives mixed in": len(cases.controls),
        "not labelled": len(cases.not_labelled),
        "picked by hand, not drawn": len(cases.hand_picked),
        "unsure": len(cases.unsure),
    }
    notes += [f"{count:,} pairs of the labels left out: {why}."
              for why, count in left_out.items() if count]  # fmt: skip
    if any(len(case.values) > 1 for case in cases.decided):
        notes.append("A pair with labels of several annotators counts with their mean.")
    if len(np.unique(marks)) < len(marks):
        notes.append("Some labelled documents are copies of each other; the first label counts.")
    return _Known(queries, candidates, relevance, weights, False, "labels", tuple(notes))


def _refuse_unknown(
    name: str | Path, what: str, ids: Iterable[str], known: NDArray[np.bool_]
) -> None:
    unknown = [one for one, there in zip(ids, known, strict=True) if not there]
    if unknown:
        raise QueryError(
            f"calibrate: {name} names {len(unknown):,} {what} ids that are not in the corpus, for "
            f"example {listing(map(repr, unknown), 3)}. Give the labels of this corpus."
        )


def labelled_pairs(
    data: CalibrationSet,
    signals: Signals,
    rows: NDArray[np.bool_],
    seed: int = 0,
    most: int | None = None,
) -> Pairs:
    """Return the labelled pairs of some rows.

    Args:
        data: queries, candidates, and what is known of them.
        signals: of the candidates.
        rows: which rows, shape (batch,).
        seed: of the draw.
        most: of more pairs than this, those with the lowest hash.
    """
    lines, slots = np.nonzero((data.weights > 0) & rows[:, None])
    if most is not None and len(lines) > most:
        documents = data.candidates.document_keys[lines, slots]
        marks = mix(seed, SALT + 1, data.queries.keys[lines], documents)
        drawn = np.sort(np.argsort(marks, kind="stable")[:most])
        lines, slots = lines[drawn], slots[drawn]
    return Pairs(
        signals.names,
        signals.values[lines, slots],
        data.relevance[lines, slots],
        data.weights[lines, slots],
        data.queries.keys[lines],
        signals.cross_encoder,
    )
