"""Hide known positives, mine, and count how many come back as negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset, List, Value
from numpy.typing import NDArray

from hf_hardneg.arrow import flat_list
from hf_hardneg.checks import whole_number
from hf_hardneg.columns import find_columns, read_batch
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import QueryError
from hf_hardneg.evaluation.clustered import clustered_interval
from hf_hardneg.hashing import mix, text_keys
from hf_hardneg.mined_set import MinedSet
from hf_hardneg.miner import OfflineMiner
from hf_hardneg.queries import batches_of
from hf_hardneg.rates import Rate, wilson

__all__ = ["FEWEST_QUERIES", "METHOD", "draw_marks", "hidden_positive_rate"]

METHOD = "hidden positives"
FEWEST_QUERIES = 10
SALT = 0x48494445
READ_BATCH = 10_000


@dataclass(frozen=True, slots=True)
class _Positives:
    """Distinct known positives, one entry each, in the order of (query, draw).

    Two documents with the same normalised text are one positive.

    Attributes:
        queries: key of the query.
        rows: corpus row; the first, where several documents have the text.
        texts: key of the normalised text.
        kept: whether the miner may know it.
    """

    queries: NDArray[np.uint64]
    rows: NDArray[np.int64]
    texts: NDArray[np.uint64]
    kept: NDArray[np.bool_]


def hidden_positive_rate(
    miner: OfflineMiner, dataset: Dataset, *, keep: int = 1, seed: int = 0
) -> Rate:
    """Hide all but some known positives of each query, mine, and count the hidden ones chosen.

    For every query with more than ``keep`` known positives (over all its rows, and those the
    miner was given as ``positives``) that many stay known, drawn by a hash of seed, query and
    document. The same strategy then mines for these queries, one row each, knowing the kept ones
    alone; a hidden one among the negatives is a false negative that was known all along.

    What the number is: the share of false negatives in a set mined while ``keep`` positives
    of each query are known, counting relevant documents that anybody marked, for queries with
    several known positives. It says the same of your mined set as far as three things hold, and
    ``assumed`` names them. (1) Other queries are like these. (2) Relevant documents that nobody
    marked are as many as those hidden here; with exhaustive positives there are none, and the
    number is a lower bound for the situation it imitates. (3) The mined set was made with
    ``keep`` known positives a query; one made knowing more has fewer left to find. No correction
    for (2) or (3) is made: how many relevant documents nobody marked is not in the data.

    The interval is the wider one of two at each end; see
    :func:`~hf_hardneg.evaluation.clustered.clustered_interval`.

    Args:
        miner: any miner; it is left as it is.
        dataset: the queries and their positives.
        keep: positives that stay known, at least 1.
        seed: of the draw, not negative.

    Returns:
        The rate over negatives; ``None`` where fewer than 10 queries have enough positives, no
        negatives were found for them, or a stage cannot be fitted to so few known positives.
        ``details`` has the share of queries with at least one false negative and its interval, and
        how many hidden ones the pool held.

    Raises:
        ColumnError, QueryError, CorpusError: data that the miner cannot use.
    """
    whole_number("hidden_positive_rate", "keep", keep, 1)
    whole_number("hidden_positive_rate", "seed", seed, 0)
    knowing = miner.knowing(dataset)
    corpus = knowing.reader().corpus
    keys, first = _queries(knowing, dataset)
    positives = _drawn(knowing, corpus, keys, keep, seed)
    eligible = np.unique(positives.queries)
    details: dict[str, Any] = {
        "keep": keep,
        "queries": len(keys),
        "queries_used": len(eligible),
        "positives_hidden": int((~positives.kept).sum()),
    }
    assumed = _assumed(len(eligible), len(keys), keep)
    if len(eligible) < FEWEST_QUERIES:
        why = (
            f"{len(eligible)} of {len(keys):,} queries have more than {keep} known positives in "
            f"the corpus; at least {FEWEST_QUERIES} are needed"
        )
        return Rate(METHOD, None, None, None, 0, assumed=assumed, why=why, details=details)
    rows = _with_kept(knowing, dataset, first, keys, positives)
    blind = knowing.forgetting()
    pool = blind.retrieve(rows)
    try:
        mined = MinedSet.of(blind.select(pool), corpus=corpus)
    except QueryError as error:
        if not blind.fits:
            raise
        # Such as the risk filter without a model, which learns from several known positives.
        why = f"a stage cannot be fitted where {keep} positives of each query are known: {error}"
        return Rate(METHOD, None, None, None, 0, assumed=assumed, why=why, details=details)
    found = _count(mined, corpus, positives, eligible)
    details |= _in_pool(pool, corpus, rows, knowing, positives)
    return _rate(found, seed, assumed, details)


def draw_marks(
    seed: int, queries: NDArray[np.uint64], texts: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Return by what the positives of a query are drawn: those of the lowest marks stay known.

    Args:
        seed: of the draw.
        queries: keys of the normalised queries.
        texts: keys of the normalised texts of the positives.
    """
    return mix(seed, SALT, queries, texts)


def _queries(miner: OfflineMiner, dataset: Dataset) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the keys of the distinct queries, sorted, and the first row of each."""
    columns = find_columns(dataset.column_names, miner.reader().columns)
    keys = [
        text_keys(read_batch(batch, columns).queries) for batch in batches_of(dataset, READ_BATCH)
    ]
    unique, first = np.unique(np.concatenate(keys), return_index=True)
    return unique, first.astype(np.int64)


def _drawn(
    miner: OfflineMiner, corpus: Corpus, keys: NDArray[np.uint64], keep: int, seed: int
) -> _Positives:
    """Return the positives of the queries that have more than ``keep``, some of them kept."""
    known = miner.known_positives
    if known is None:
        raise QueryError("the miner knows no positives; expected one that has read a data set.")
    offsets, rows, _ = known.of(keys)
    queries = np.repeat(keys, np.diff(offsets))
    # One that is no document of the corpus can be neither found nor missed.
    there = rows >= 0
    queries, rows = queries[there], rows[there]
    texts = np.asarray(corpus.document_keys[rows])
    order = np.lexsort((rows, texts, draw_marks(seed, queries, texts), queries))
    queries, rows, texts = queries[order], rows[order], texts[order]
    fresh = np.ones(len(queries), dtype=np.bool_)
    fresh[1:] = (queries[1:] != queries[:-1]) | (texts[1:] != texts[:-1])
    queries, rows, texts = queries[fresh], rows[fresh], texts[fresh]
    _, starts, counts = np.unique(queries, return_index=True, return_counts=True)
    place = np.arange(len(queries)) - np.repeat(starts, counts)
    several = np.repeat(counts > keep, counts)
    return _Positives(queries[several], rows[several], texts[several], (place < keep)[several])


def _with_kept(
    miner: OfflineMiner,
    dataset: Dataset,
    first: NDArray[np.int64],
    keys: NDArray[np.uint64],
    positives: _Positives,
) -> Dataset:
    """Return one row a query, in the order of their keys, with the kept positives alone.

    Where the strategy decides on rows by what other rows have, the queries with few positives
    stay among them, as they are.
    """
    reader = miner.reader()
    columns = find_columns(dataset.column_names, reader.columns)
    used = np.isin(keys, positives.queries)
    kept = _kept_rows(keys[used], positives)
    if miner.fits:
        used, kept = _with_others(miner, keys, used, kept)
    names = [columns.query, columns.query_id, *reader.further]
    others = list(dict.fromkeys(name for name in names if name is not None))
    rows = dataset.select(first[used]).select_columns(others)
    if columns.positive_ids is not None:
        ids = [reader.corpus.ids(own) for own in kept]
        rows = rows.add_column(columns.positive_ids, ids, feature=List(Value("string")))
    if columns.positive is not None:
        texts = [reader.corpus.texts(own) for own in kept]
        rows = rows.add_column(columns.positive, texts, feature=List(Value("string")))
    return rows


def _kept_rows(keys: NDArray[np.uint64], positives: _Positives) -> list[NDArray[np.int64]]:
    """Return the corpus rows of the positives of each query that stay known."""
    queries, rows = positives.queries[positives.kept], positives.rows[positives.kept]
    starts = np.searchsorted(queries, keys, side="left").tolist()
    ends = np.searchsorted(queries, keys, side="right").tolist()
    return [rows[start:end] for start, end in zip(starts, ends, strict=True)]


def _with_others(
    miner: OfflineMiner,
    keys: NDArray[np.uint64],
    drawn: NDArray[np.bool_],
    kept: list[NDArray[np.int64]],
) -> tuple[NDArray[np.bool_], list[NDArray[np.int64]]]:
    """Add the queries that nothing was hidden of, with all their positives in the corpus."""
    known = miner.known_positives
    if known is None:
        return drawn, kept
    offsets, rows, _ = known.of(keys)
    hidden = iter(kept)
    lists = [
        next(hidden) if own else np.unique(rows[start:end][rows[start:end] >= 0])
        for own, start, end in zip(
            drawn.tolist(), offsets[:-1].tolist(), offsets[1:].tolist(), strict=True
        )
    ]
    used = np.array([len(own) > 0 for own in lists])
    return used, [own for own in lists if len(own)]


# -- counting ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    """By query: hidden positives among the negatives, and negatives."""

    hits: NDArray[np.float64]
    cases: NDArray[np.float64]


def _pairs(positives: _Positives) -> NDArray[np.uint64]:
    hidden = ~positives.kept
    return mix(positives.queries[hidden], positives.texts[hidden])


def _count(
    mined: MinedSet, corpus: Corpus, positives: _Positives, eligible: NDArray[np.uint64]
) -> _Found:
    hidden = _pairs(positives)
    hits, cases = np.zeros(len(eligible)), np.zeros(len(eligible))
    for batch in mined.batches():
        ids = batch.texts("negative_ids")
        rows = corpus.rows_of_ids(ids.flat)
        queries = np.repeat(text_keys(batch.queries()), np.diff(ids.offsets))
        own = np.minimum(np.searchsorted(eligible, queries), len(eligible) - 1)
        used = (eligible[own] == queries) & (rows >= 0)
        found = np.isin(mix(queries, corpus.document_keys[np.maximum(rows, 0)]), hidden)
        np.add.at(cases, own[used], 1)
        np.add.at(hits, own[used & found], 1)
    return _Found(hits, cases)


def _in_pool(
    pool: Dataset, corpus: Corpus, rows: Dataset, miner: OfflineMiner, positives: _Positives
) -> dict[str, Any]:
    """Say how many of the hidden positives were among the candidates."""
    columns = find_columns(rows.column_names, miner.reader().columns)
    hidden = _pairs(positives)
    found = np.zeros(len(hidden), dtype=np.bool_)
    for batch in batches_of(pool, READ_BATCH):
        keys = text_keys(read_batch(batch, columns).queries)
        offsets, values = flat_list(batch["candidate_rows"])
        documents = values.to_numpy(zero_copy_only=False).astype(np.int64)
        pairs = mix(np.repeat(keys, np.diff(offsets)), corpus.document_keys[documents])
        found |= np.isin(hidden, pairs)
    return {"hidden_in_pool": int(found.sum()), "share_in_pool": float(found.mean())}


def _rate(found: _Found, seed: int, assumed: tuple[str, ...], details: dict[str, Any]) -> Rate:
    n, hits = int(found.cases.sum()), int(found.hits.sum())
    mined = int((found.cases > 0).sum())
    struck = int((found.hits > 0).sum())
    details |= {"queries_with_negatives": mined, "negatives": n, "hidden_chosen": hits}
    if not n:
        why = "no negatives were found for the queries with several known positives"
        return Rate(METHOD, None, None, None, 0, assumed=assumed, why=why, details=details)
    clustered = clustered_interval(found.hits, found.cases, n, seed=seed)
    low, high = wilson(struck, mined)
    details |= {
        **clustered.details(),
        "query_chance": {"rate": struck / mined, "low": low, "high": high, "n": mined},
    }
    return Rate(
        METHOD, hits / n, clustered.low, clustered.high, n, assumed=assumed, details=details
    )


def _assumed(used: int, queries: int, keep: int) -> tuple[str, ...]:
    known = "one positive" if keep == 1 else f"{keep} positives"
    return (
        f"Queries with no more than {known} ({queries - used:,} of {queries:,}) are like "
        "those with more.",
        "Relevant documents that nobody marked are not counted: with positives that are not "
        "exhaustive this is a lower bound for the queries looked at.",
        f"The miner knew {known} of each query. A set mined knowing more of them has fewer left to "
        "choose by mistake.",
        "One row a query: a query that stands in several rows counts once.",
    )
