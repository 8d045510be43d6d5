"""What a mined set must always satisfy, on random collections against brute force."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from mining import (
    ALL_FORMATS,
    MINING,
    Collection,
    assert_no_null_types,
    assert_same_rows,
    available,
    collections,
    forbidden,
    inside,
    negative_ids,
    raw_pool,
    same,
    table_of,
)

from hf_hardneg import OfflineMiner

STRATEGIES = ("bm25@12", "bm25@12+random", "random@9+random", "bm25@50+score(max_score=0.9)+random")
examples = settings(MINING, max_examples=15)
few_examples = settings(MINING, max_examples=6)


def miner(collection: Collection, strategy: str = "bm25@50", **options: Any) -> OfflineMiner:
    return OfflineMiner(
        strategy,
        corpus=collection.documents,
        num_negatives=options.pop("num_negatives", 3),
        **options,
    )


def by_query(mined: Dataset) -> dict[str, Any]:
    """Rows by query and positives, whatever their order."""
    keys = [str((row["query"], row["positive"])) for row in mined]
    return dict(zip(keys, mined.to_list(), strict=True))


@examples
@given(collections, st.sampled_from(STRATEGIES), st.sampled_from(["list", "text"]))
def test_no_positive_of_any_row_and_no_query_is_a_negative(
    collection: Collection, strategy: str, kind: str
) -> None:
    if kind == "text":  # the first positive of each row is all that the data says
        rows = tuple(type(row)(row.query, row.positives[:1]) for row in collection.rows)
        collection = Collection(collection.documents, rows)
    mined = miner(collection, strategy).mine(collection.dataset(kind))
    for row in mined:
        ids, texts = forbidden(collection, row["query"])
        found = [same(text) for text in row["hard_negatives"]]
        assert not texts & set(found)
        assert not ids & set(row["hard_negative_ids"])
        assert len(set(found)) == len(found)
        assert len(set(row["hard_negative_ids"])) == len(found)
        named = [collection.documents[name] for name in row["hard_negative_ids"]]
        assert row["hard_negatives"] == named


@examples
@given(inside, st.sampled_from(["ids", "both"]))
def test_positives_by_id_are_no_negatives(collection: Collection, kind: str) -> None:
    mined = miner(collection).mine(collection.dataset(kind))
    for row in mined:
        ids, texts = forbidden(collection, row["query"])
        assert not ids & set(row["hard_negative_ids"])
        assert not texts & {same(text) for text in row["hard_negatives"]}


@examples
@given(collections, st.integers(1, 6), st.sampled_from([5, 12, 50]))
def test_the_best_n_that_are_available_are_taken(
    collection: Collection, n: int, top_k: int
) -> None:
    mined = miner(collection, f"bm25@{top_k}", num_negatives=n).mine(collection.dataset())
    expected = [available(collection, row.query, top_k)[:n] for row in collection.rows]
    assert negative_ids(mined) == expected


@examples
@given(collections, st.integers(1, 6), st.integers(0, 3))
def test_random_takes_n_of_what_is_available(collection: Collection, n: int, seed: int) -> None:
    mined = miner(collection, "bm25@50+random", num_negatives=n, seed=seed).mine(
        collection.dataset()
    )
    for row, names in zip(collection.rows, negative_ids(mined), strict=True):
        texts = {same(collection.documents[name]) for name in available(collection, row.query, 50)}
        found = {same(collection.documents[name]) for name in names}
        assert found <= texts
        assert len(names) == min(n, len(texts))


@examples
@given(
    collections,
    st.integers(1, 8),
    st.one_of(st.none(), st.integers(1, 8)),
    st.sampled_from(["top", "random"]),
)
def test_every_raw_rank_is_in_the_range(
    collection: Collection, low: int, width: int | None, sampler: str
) -> None:
    high = None if width is None else low + width
    strategy = f"bm25@20+rank(range_min={low}, range_max={high})+{sampler}"
    mined = miner(collection, strategy).mine(collection.dataset())
    for row, names in zip(collection.rows, negative_ids(mined), strict=True):
        ranks = dict(raw_pool(collection, row.query, 20))
        assert all(low <= ranks[name] and (high is None or ranks[name] < high) for name in names)
        assert len(names) == min(3, len(available(collection, row.query, 20, (low, high))))


@few_examples
@given(collections, st.sampled_from(STRATEGIES), st.sampled_from(["keep", "fill"]), st.data())
def test_batches_and_order_of_rows_do_not_matter(
    collection: Collection, strategy: str, underfilled: str, data: st.DataObject
) -> None:
    rows = collection.dataset()
    mining = miner(collection, strategy, underfilled=underfilled, num_negatives=4)
    whole = by_query(mining.mine(rows))
    order = data.draw(st.permutations(range(len(rows))))
    assert by_query(mining.mine(rows.select(order))) == whole
    size = data.draw(st.integers(1, len(rows)))
    mapped = rows.map(mining.knowing(rows), batched=True, batch_size=size)
    assert by_query(mapped) == whole


@few_examples
@given(collections, st.integers(0, 50))
def test_the_seed_decides(collection: Collection, seed: int) -> None:
    rows = collection.dataset()
    first = miner(collection, "bm25@50+random", seed=seed).mine(rows)
    again = miner(collection, "bm25@50+random", seed=seed).mine(rows)
    assert table_of(first) == table_of(again)
    ways = {
        str(negative_ids(miner(collection, "bm25@50+random", seed=seed + step).mine(rows)))
        for step in range(4)
    }
    most = max(len(available(collection, row.query, 50)) for row in collection.rows)
    assert len(ways) > 1 or most <= 3


@examples
@given(
    collections,
    st.sampled_from(
        ["score(min_score=0.4)", "margin(relative=0.1)", "margin(margin=0.2)", "rank(range_min=3)"]
    ),
)
def test_a_filter_only_empties_and_twice_is_once(collection: Collection, filter_: str) -> None:
    rows = collection.dataset()
    everything = miner(collection, "bm25@50", num_negatives=7).mine(rows)
    once = miner(collection, f"bm25@50+{filter_}", num_negatives=7).mine(rows)
    twice = miner(collection, f"bm25@50+{filter_}+{filter_}", num_negatives=7).mine(rows)
    assert negative_ids(once) == negative_ids(twice)
    for row, kept in zip(collection.rows, negative_ids(once), strict=True):
        # By text: where a filter drops one copy of a text by its rank, another may be taken.
        texts = {same(collection.documents[name]) for name in available(collection, row.query, 50)}
        assert {same(collection.documents[name]) for name in kept} <= texts
    counts = zip(negative_ids(once), negative_ids(everything), strict=True)
    assert all(len(kept) <= len(all_) for kept, all_ in counts)


@few_examples
@given(inside)
@pytest.mark.parametrize("form", ALL_FORMATS)
def test_the_schema_is_the_same_when_nothing_survives(form: str, collection: Collection) -> None:
    rows = collection.dataset("both")
    full = miner(collection, num_negatives=1).mine(rows, form)
    none = miner(collection, "bm25@50+score(min_score=1000)", num_negatives=1).mine(rows, form)
    assert none.features == full.features
    assert_no_null_types(none.data.schema)
    assert none.data.schema.remove_metadata() == full.data.schema.remove_metadata()


@few_examples
@given(inside)
def test_a_map_keeps_the_schema_when_nothing_survives(collection: Collection) -> None:
    rows = collection.dataset("both")
    full = rows.map(miner(collection, positives=rows), batched=True)
    strict = miner(collection, "bm25@50+score(min_score=1000)", positives=rows)
    none = rows.map(strict, batched=True, batch_size=2)
    assert none.features == full.features == miner(collection).mine(rows).features
    assert_no_null_types(none.data.schema)


@few_examples
@given(collections)
def test_a_pool_gives_what_mining_gives(collection: Collection) -> None:
    rows = collection.dataset()
    for strategy in STRATEGIES:
        mining = miner(collection, strategy)
        assert_same_rows(mining.select(mining.retrieve(rows)), mining.mine(rows))


@few_examples
@given(collections)
def test_a_batch_alone_still_knows_its_own_positives(collection: Collection) -> None:
    rows = collection.dataset()
    unbound = miner(collection, "bm25@50+random", num_negatives=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mined = [rows.map(unbound, batched=True, batch_size=size) for size in (1, 2, 1000)]
    assert by_query(mined[0]) == by_query(mined[1]) == by_query(mined[2])
    for row, found in zip(collection.rows, mined[0], strict=True):
        own = {same(text) for _, text in row.positives} | {same(row.query), ""}
        assert not own & {same(text) for text in found["hard_negatives"]}
