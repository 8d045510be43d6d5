"""What a judge is shown: chosen negatives, known positives, and documents taken for irrelevant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_hardneg.arrow import flat_list
from hf_hardneg.columns import QueryColumns, find_columns, read_batch
from hf_hardneg.corpus import Corpus
from hf_hardneg.draws import random_rows
from hf_hardneg.errors import ColumnError
from hf_hardneg.evaluation.ranks import BINS, places_of
from hf_hardneg.evaluation.strata import in_proportion
from hf_hardneg.hashing import EMPTY_TEXT_KEY, mix, text_keys
from hf_hardneg.mined_set import MinedBatch, MinedSet
from hf_hardneg.pool import check_pool_columns
from hf_hardneg.queries import batches_of

__all__ = ["Pairs", "deep_candidates", "known_positives", "random_documents", "sample_negatives"]

NEGATIVE_SALT, POSITIVE_SALT, RANDOM_SALT, POOL_SALT = 0x4E4547, 0x504F53, 0x524E44, 0x504F4C

Keys = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of a query and a document, one entry each.

    Attributes:
        queries, documents: texts.
        query_keys: keys of the normalised queries.
        weights: how many cases each stands for.
    """

    queries: list[str]
    documents: list[str]
    query_keys: Keys
    weights: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.queries)


@dataclass(frozen=True, slots=True)
class _Slots:
    """All places of a list column, one entry each, as hashes.

    Attributes:
        queries: keys of the normalised queries.
        documents: keys of the normalised documents; the empty text's where there is none.
        strata: number of the stratum.
    """

    queries: Keys
    documents: Keys
    strata: NDArray[np.int64]


def _slots(mined: MinedSet, column: str, places: Callable[..., NDArray[np.int64]]) -> _Slots:
    queries, documents, strata = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)], []
    for batch in mined.batches():
        offsets, keys = batch.keys(column)
        queries.append(np.repeat(text_keys(batch.queries()), np.diff(offsets)))
        documents.append(keys)
        strata.append(BINS.of(places(batch, offsets)))
    return _Slots(np.concatenate(queries), np.concatenate(documents), np.concatenate(strata))


def _texts_at(
    mined: MinedSet, column: str, chosen: NDArray[np.int64]
) -> tuple[list[str], list[str]]:
    """Return the queries and documents at places of a list column, which are sorted."""
    queries: list[str] = []
    documents: list[str] = []
    start = 0
    for batch in mined.batches():
        lists = batch.texts(column)
        stop = start + len(lists.flat)
        low, high = np.searchsorted(chosen, [start, stop])
        if high > low:
            texts = batch.queries()
            own = chosen[low:high] - start
            rows = np.searchsorted(lists.offsets, own, side="right") - 1
            queries += [texts[row] for row in rows]
            documents += [lists.flat[place] for place in own]
        start = stop
    return queries, documents


def _no_stratum(batch: MinedBatch, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.zeros(int(offsets[-1] - offsets[0]), np.int64)


def _lowest(noise: Keys, size: int) -> NDArray[np.int64]:
    """Return the places of the lowest hashes, sorted; ties go by place."""
    return np.sort(np.argsort(noise, kind="stable")[:size])


def sample_negatives(mined: MinedSet, size: int, seed: int) -> tuple[Pairs, dict[str, Any]]:
    """Draw negatives, stratified by rank, in proportion to the strata.

    Each stratum gives its share of the sample, rounded by largest remainders, and at least one; a
    negative stands for as many as its stratum has of it. Within a stratum it is those with the
    lowest hash of (seed, query, document) that are drawn.

    Returns:
        The pairs, and what to say of the draw.
    """
    slots = _slots(mined, "negatives", places_of)
    there = np.flatnonzero(slots.documents != EMPTY_TEXT_KEY)
    noise = mix(seed, NEGATIVE_SALT, slots.queries[there], slots.documents[there])
    strata = slots.strata[there]
    sizes = np.bincount(strata, minlength=len(BINS))
    shares = in_proportion(sizes, size)
    chosen = [
        own[_lowest(noise[own], int(shares[number]))]
        for number in range(len(BINS))
        if len(own := np.flatnonzero(strata == number))
    ]
    drawn = np.sort(np.concatenate([np.zeros(0, np.int64), *chosen]))
    weights = (sizes / np.maximum(shares, 1))[strata[drawn]]
    queries, documents = _texts_at(mined, "negatives", there[drawn])
    said = {
        "negatives": len(slots.documents),
        "negatives_without_text": len(slots.documents) - len(there),
        "sampled": len(drawn),
        "allocation": {
            BINS.names[number]: {"of": int(sizes[number]), "sampled": int(shares[number])}
            for number in np.flatnonzero(sizes)
        },
        "strata": "rank of the retriever" if mined.has("negative_ranks") else "place in the row",
    }
    return Pairs(queries, documents, slots.queries[there][drawn], weights), said


def known_positives(mined: MinedSet, size: int, seed: int) -> tuple[Pairs, Keys]:
    """Draw known positives; each pair of query and document counts once.

    Returns:
        The pairs, and the hashes of all pairs (query, known positive).

    Raises:
        ColumnError: the mined set has no positives.
    """
    if not mined.has("positives"):
        raise ColumnError(
            f"{mined.name} has no positives, and a judge's sensitivity is measured on them. Keep "
            "their column when mining."
        )
    slots = _slots(mined, "positives", _no_stratum)
    pairs = mix(slots.queries, slots.documents)
    _, first = np.unique(pairs, return_index=True)
    first = first[slots.documents[first] != EMPTY_TEXT_KEY]
    noise = mix(seed, POSITIVE_SALT, slots.queries[first], slots.documents[first])
    chosen = np.sort(first[_lowest(noise, size)])
    queries, documents = _texts_at(mined, "positives", chosen)
    drawn = Pairs(queries, documents, slots.queries[chosen], np.ones(len(chosen)))
    return drawn, np.unique(pairs)


def random_documents(mined: MinedSet, corpus: Corpus, size: int, seed: int, known: Keys) -> Pairs:
    """Draw random documents for queries of the mined set, known positives left out.

    Queries are drawn by hash where there are more than ``size``; each gets the same number.
    """
    keys, texts = _some_queries(mined, size, seed)
    each = max(1, size // max(len(keys), 1))
    rows = random_rows(keys, each, len(corpus), seed ^ RANDOM_SALT)
    return _documents(texts, keys, list(rows), corpus, known)


def deep_candidates(
    mined: MinedSet,
    pool: Dataset,
    corpus: Corpus,
    size: int,
    seed: int,
    known: Keys,
    columns: QueryColumns | None = None,
) -> Pairs:
    """Draw candidates from the deeper half of each query's list, known positives left out.

    Args:
        mined: gives the queries.
        pool: what ``miner.retrieve`` returned.
        corpus: the one that the pool was made on.
        size: about how many in all.
        seed: of the draw.
        known: hashes of the pairs (query, known positive).
        columns: names of the pool's columns, where they are unusual.

    Raises:
        PoolError: not a pool.
    """
    check_pool_columns(pool.column_names)
    keys, texts = _some_queries(mined, size, seed)
    each = max(1, size // max(len(keys), 1))
    found: dict[int, NDArray[np.int64]] = {}
    wanted = {int(key) for key in keys}
    names = find_columns(pool.column_names, columns or QueryColumns())
    for batch in batches_of(pool, 2_000):
        own = text_keys(read_batch(batch, names).queries).tolist()
        offsets, values = flat_list(batch["candidate_rows"])
        rows = values.to_numpy(zero_copy_only=False).astype(np.int64)
        for line, key in enumerate(own):
            if key in wanted and key not in found:
                candidates = rows[offsets[line] : offsets[line + 1]]
                deep = candidates[len(candidates) // 2 :]
                noise = mix(seed, POOL_SALT, key, corpus.document_keys[deep])
                found[key] = deep[_lowest(noise, each)] if len(deep) else deep
    nothing = np.zeros(0, np.int64)
    return _documents(texts, keys, [found.get(int(key), nothing) for key in keys], corpus, known)


def _some_queries(mined: MinedSet, size: int, seed: int) -> tuple[Keys, list[str]]:
    """Return keys and texts of the queries, at most ``size``, in the order of their keys."""
    keys = np.unique(np.concatenate([text_keys(batch.queries()) for batch in mined.batches()]))
    keys = keys[_lowest(mix(seed, RANDOM_SALT, keys), size)]
    texts: dict[int, str] = {}
    wanted = set(keys.tolist())
    for batch in mined.batches():
        queries = batch.queries()
        for key, text in zip(text_keys(queries).tolist(), queries, strict=True):
            if key in wanted:
                # Of several spellings one that does not depend on the order of rows.
                texts[key] = min(text, texts.get(key, text))
    return keys, [texts[key] for key in keys.tolist()]


def _documents(
    texts: list[str], keys: Keys, rows: list[NDArray[np.int64]], corpus: Corpus, known: Keys
) -> Pairs:
    owner = np.repeat(np.arange(len(keys)), [len(own) for own in rows])
    flat = np.concatenate([np.zeros(0, np.int64), *rows])
    documents = corpus.document_keys[flat]
    fresh = (documents != EMPTY_TEXT_KEY) & ~np.isin(mix(keys[owner], documents), known)
    owner, flat = owner[fresh], flat[fresh]
    return Pairs(
        [texts[place] for place in owner], corpus.texts(flat), keys[owner], np.ones(len(flat))
    )
