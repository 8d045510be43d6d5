"""Rows with fewer negatives than asked: kept, dropped, refused or filled, and always counted."""

from __future__ import annotations

from typing import Any

import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from mining import (
    ALL_FORMATS,
    MINING,
    Collection,
    assert_same_rows,
    available,
    collections,
    forbidden,
    negative_ids,
    raw_pool,
    same,
    word_documents,
    word_rows,
)

from hf_hardneg import OfflineMiner
from hf_hardneg.errors import ParameterError, UnderfilledError

DOCUMENTS = word_documents(60)
ROWS = word_rows(DOCUMENTS, 25)
STRICT = "bm25@30+score(min_score=0.9)"
"""Leaves 4 negatives to some rows and fewer to others."""


def mining(underfilled: str | None = None, strategy: str = STRICT, **options: Any) -> OfflineMiner:
    options = {"corpus": DOCUMENTS, "num_negatives": 4, **options}
    return OfflineMiner(strategy, underfilled=underfilled, **options)


def counts(mined: Dataset) -> list[int]:
    return [len(names) for names in negative_ids(mined)]


def short_rows() -> dict[int, int]:
    """Number of rows by number of negatives, of those with fewer than 4."""
    found = [count for count in counts(mining("keep").mine(ROWS)) if count < 4]
    assert len(set(found)) > 1
    assert 0 < len(found) < len(ROWS)
    return {count: found.count(count) for count in set(found)}


def test_short_rows_are_kept_by_default_and_counted() -> None:
    known = mining()
    mined = known.mine(ROWS)
    report = known.report(mined)
    assert (report.rows_in, report.rows_out, report.rows_dropped) == (25, 25, 0)
    assert report.underfilled == short_rows()
    assert report.slots_filled == 0
    assert_same_rows(mined, mining("keep").mine(ROWS))


@pytest.mark.parametrize("form", ALL_FORMATS)
def test_short_rows_are_dropped_and_counted(form: str) -> None:
    known = mining("drop")
    report = known.report(known.mine(ROWS, form))
    short = sum(short_rows().values())
    assert (report.rows_in, report.rows_dropped) == (25, short)
    per_row = {"triplet": 4, "labeled-pair": 5}.get(form, 1)
    assert report.rows_out == (25 - short) * per_row
    assert report.underfilled == short_rows()


def test_no_row_is_cut_to_the_shortest() -> None:
    expected = [count for count in counts(mining("keep").mine(ROWS)) if count == 4]
    assert counts(mining("drop").mine(ROWS)) == expected
    assert max(counts(mining("keep").mine(ROWS))) == 4


def test_an_n_tuple_drops_short_rows_by_default() -> None:
    assert_same_rows(mining().mine(ROWS, "n-tuple"), mining("drop").mine(ROWS, "n-tuple"))


def test_an_n_tuple_has_no_place_for_short_rows() -> None:
    with pytest.raises(ParameterError, match=r"'keep' does not go with 'n-tuple'.*'fill'"):
        mining("keep").mine(ROWS, "n-tuple")
    with pytest.raises(ParameterError, match="'keep' does not go with 'n-tuple'"):
        mining("keep").select(mining().retrieve(ROWS), "n-tuple")
    with pytest.raises(ParameterError, match="'keep' does not go with 'n-tuple'"):
        mining("keep").mine(ROWS.to_iterable_dataset(), "n-tuple")


def test_a_triplet_cannot_show_a_row_without_negatives() -> None:
    nothing = Dataset.from_dict({"query": ["unheard"], "positive": ["of"], "number": [25]})
    rows = Dataset.from_list([*ROWS.to_list(), *nothing.to_list()])
    known = mining("keep")
    mined = known.mine(rows, "triplet")
    report = known.report(mined)
    empty = report.underfilled[0]
    assert empty >= 1
    assert report.rows_dropped == empty
    assert len(set(mined["anchor"])) == len(rows) - empty


def test_short_rows_are_an_error_that_names_one() -> None:
    with pytest.raises(UnderfilledError, match=r"of 25 queries .* fewer than 4.*for example '"):
        mining("error").mine(ROWS)
    with pytest.raises(UnderfilledError, match="fewer than 4"):
        mining("error", "bm25@2").mine(ROWS, "n-tuple")
    assert_same_rows(mining("error", "bm25@30").mine(ROWS), mining("keep", "bm25@30").mine(ROWS))


def test_fill_is_flagged_and_without_a_score() -> None:
    kept, filled = mining("keep").mine(ROWS), mining("fill").mine(ROWS)
    assert counts(filled) == [4] * 25
    for before, after in zip(kept, filled, strict=True):
        number = len(before["hard_negative_ids"])
        assert after["hard_negative_ids"][:number] == before["hard_negative_ids"]
        assert after["hard_negative_filled"] == [False] * number + [True] * (4 - number)
        assert after["hard_negative_scores"][:number] == before["hard_negative_scores"]
        assert after["hard_negative_scores"][number:] == [None] * (4 - number)
    known = mining("fill")
    report = known.report(filled)
    assert report.slots_filled == sum(map(sum, filled["hard_negative_filled"])) > 0
    assert report.slots_chosen == 100
    assert report.negative_scores.missing == report.slots_filled
    assert len(known.mine(ROWS, "n-tuple")) == 25


def test_fill_depends_on_the_seed_and_the_query_alone() -> None:
    first = mining("fill").mine(ROWS)
    assert_same_rows(mining("fill").mine(ROWS), first)
    assert_same_rows(mining("fill").mine(ROWS.select([7, 3])), first.select([7, 3]))
    assert negative_ids(mining("fill", seed=1).mine(ROWS)) != negative_ids(first)


@settings(MINING, max_examples=20)
@given(collections, st.integers(1, 9))
def test_fill_is_no_positive_query_duplicate_or_refused_candidate(
    collection: Collection, n: int
) -> None:
    strategy = "bm25@6+rank(range_min=3)"
    known = mining("fill", strategy, corpus=collection.documents, num_negatives=n)
    mined = known.mine(collection.dataset())
    for row in mined:
        ids, texts = forbidden(collection, row["query"])
        found = [same(text) for text in row["hard_negatives"]]
        assert not texts & set(found)
        assert not ids & set(row["hard_negative_ids"])
        assert len(set(found)) == len(found)
        flags = dict(zip(found, row["hard_negative_filled"], strict=True))
        pool = {same(collection.documents[name]) for name, _ in raw_pool(
            collection, row["query"], 6)}  # fmt: skip
        assert {text for text, fill in flags.items() if fill}.isdisjoint(pool)
        chosen = [text for text, fill in flags.items() if not fill]
        hard = available(collection, row["query"], 6, (3, None))
        assert len(chosen) == min(n, len(hard))
        free = {same(text) for text in collection.documents.values()} - texts - pool
        assert len(found) == min(n, len(chosen) + len(free))


def test_fill_does_not_depend_on_the_other_rows_of_a_batch() -> None:
    # A query with many positives in the batch must not change how much is drawn for another.
    documents = word_documents(100)
    texts = list(documents.values())
    rows = Dataset.from_dict({"query": ["unheard", "unseen"], "positive": [texts[:1], texts[1:60]]})
    known = mining("fill", "bm25@5", corpus=documents, num_negatives=1)
    together = known.mine(rows)
    assert_same_rows(known.mine(rows.select([0])), together.select([0]))
    assert_same_rows(known.mine(rows.select([1])), together.select([1]))
    assert counts(together) == [1, 1]


def test_fill_finds_the_last_free_document() -> None:
    documents = [*("Red car" for _ in range(400)), "blue boat", "green train"]
    rows = Dataset.from_dict({"query": ["unheard"], "positive": ["red  CAR"]})
    mined = mining("fill", "bm25@5", corpus=documents, num_negatives=3).mine(rows)
    assert sorted(mined["hard_negatives"][0]) == ["blue boat", "green train"]
    assert mined["hard_negative_filled"][0] == [True, True]


def test_fill_is_not_the_query_where_the_retriever_cannot_see_it() -> None:
    documents = ["Of  The", "blue boat", "green train"]  # a query of stop words finds nothing
    rows = Dataset.from_dict({"query": ["of the"], "positive": ["blue boat"]})
    mined = mining("fill", "bm25@5", corpus=documents, num_negatives=2).mine(rows)
    assert mined["hard_negatives"] == [["green train"]]


def test_fill_is_no_copy_of_a_positive_as_the_data_has_it() -> None:
    documents = {"a": "title red car", "b": "Red car", "c": "title RED car", "d": "blue boat"}
    rows = Dataset.from_dict({"query": ["unheard"], "positive": ["red car"], "positive_ids": ["a"]})
    mined = mining("fill", "bm25@5", corpus=documents, num_negatives=3).mine(rows)
    assert negative_ids(mined) == [["d"]]
