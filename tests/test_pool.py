"""Pools: candidates as columns of a data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset, concatenate_datasets, load_dataset, load_from_disk
from hypothesis import given, settings
from hypothesis import strategies as st
from mining import (
    MINING,
    Collection,
    assert_same_rows,
    collections,
    negative_ids,
    raw_pool,
    word_documents,
    word_rows,
)
from stage_data import Batch, batches, make_batch

from hf_hardneg import OfflineMiner
from hf_hardneg.candidates import NO_ROW
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import PoolError
from hf_hardneg.pool import (
    POOL_FEATURES,
    candidate_lists,
    candidates_of,
    describe,
    description_of,
    pool_columns,
)

DOCUMENTS = word_documents(60)
ROWS = word_rows(DOCUMENTS, 25)


@pytest.fixture
def corpus() -> Corpus:
    """The documents that the random batches name."""
    return Corpus([f"document {number % 17}" for number in range(24)])


def mining(strategy: str = "bm25@30", **options: Any) -> OfflineMiner:
    return OfflineMiner(strategy, **{"corpus": DOCUMENTS, "num_negatives": 4, **options})


@settings(max_examples=40)
@given(batches)
def test_columns_hold_what_the_candidates_hold(corpus: Corpus, batch: Batch) -> None:
    queries, candidates = batch
    table = pa.table(pool_columns(queries, candidates))
    assert table.schema == POOL_FEATURES.arrow_schema.remove_metadata()
    back = candidates_of(table, queries, corpus, candidates.source_names)
    for line, filled in enumerate(candidates.filled):
        number = int(filled.sum())
        for name in ("rows", "scores", "ranks", "sources", "document_keys"):
            found, expected = getattr(back, name)[line], getattr(candidates, name)[line]
            assert found[:number].tolist() == expected[filled].tolist(), name
        assert set(back.rows[line, number:]) <= {NO_ROW}
        assert set(back.scores[line, number:]) <= {-np.inf}
        assert set(back.ranks[line, number:]) <= {0}
    np.testing.assert_array_equal(back.positive_scores, candidates.positive_scores)
    assert back.positive_scores.dtype == back.scores.dtype == np.float32


def test_missing_scores_are_null_and_come_back_as_nan(corpus: Corpus) -> None:
    queries, candidates = make_batch([[3, 4]], [[np.nan, np.nan]], [[np.nan, 2.0]])
    table = pa.table(pool_columns(queries, candidates))
    assert table["candidate_scores"].to_pylist() == [[None, None]]
    assert table["candidate_positive_scores"].to_pylist() == [[None, 2.0]]
    back = candidates_of(table, queries, corpus, ("random",))
    assert np.isnan(back.scores).all()
    np.testing.assert_array_equal(back.positive_scores, [np.nan, 2.0])


@given(batches, st.integers(1, 3))
def test_ranks_in_several_lists_come_back(corpus: Corpus, batch: Batch, lists: int) -> None:
    queries, candidates = batch
    ranks = np.random.default_rng(lists).integers(0, 9, (*candidates.shape, lists))
    ranks = np.where(candidates.filled[:, :, None], ranks, 0).astype(np.int32)
    names = ("one", "two", "three")[:lists]
    joined = replace(candidates, source_ranks=ranks, source_names=names)
    back = candidates_of(pa.table(pool_columns(queries, joined)), queries, corpus, names)
    assert back.source_ranks is not None
    assert back.source_ranks.dtype == np.int32
    assert back.source_ranks.shape == (*back.shape, lists)
    for line, filled in enumerate(candidates.filled):
        number = int(filled.sum())
        assert back.source_ranks[line, :number].tolist() == ranks[line][filled].tolist()
        assert not back.source_ranks[line, number:].any()


@pytest.mark.parametrize("ranks", [[[[1, 2]], [[1, 2]]], [[[1, 2], [1]], [[1, 2]]]])
def test_ranks_in_several_lists_that_do_not_fit(corpus: Corpus, ranks: list[Any]) -> None:
    queries, candidates = make_batch([[3, 4], [5]], [[2.0, 1.0], [1.0]], [[1.0], [2.0]])
    columns = pool_columns(queries, candidates)
    columns["candidate_source_ranks"] = pa.array(ranks, pa.list_(pa.list_(pa.int32())))
    with pytest.raises(PoolError, match="candidate_source_ranks does not hold one list for each"):
        candidates_of(pa.table(columns), queries, corpus, ("one", "two"))


def test_a_batch_without_any_candidate(corpus: Corpus) -> None:
    queries, candidates = make_batch([[], []], [[], []], [[1.0], [2.0]])
    back = candidates_of(pa.table(pool_columns(queries, candidates)), queries, corpus, ("",))
    assert back.rows.tolist() == [[NO_ROW], [NO_ROW]]
    assert not back.filled.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidate_scores": [[1.0], [2.0, 3.0]]}, "candidate_scores .* different length"),
        ({"candidate_ranks": [[1, 2, 3], [1]]}, "candidate_ranks .* different length"),
        ({"candidate_sources": [[], []]}, "candidate_sources .* different length"),
        ({"candidate_rows": [[3, 24], [5]]}, "row 24 of a corpus of 24 documents"),
        ({"candidate_positive_scores": [[1.0, 1.0], [2.0]]}, "positive scores do not match"),
    ],
)
def test_columns_that_do_not_fit_together(
    corpus: Corpus, change: dict[str, list[list[Any]]], message: str
) -> None:
    queries, candidates = make_batch([[3, 4], [5]], [[2.0, 1.0], [1.0]], [[1.0], [2.0]])
    columns = pool_columns(queries, candidates)
    for name, values in change.items():
        columns[name] = pa.array(values, POOL_FEATURES.arrow_schema.field(name).type)
    with pytest.raises(PoolError, match=message):
        candidates_of(pa.table(columns), queries, corpus, ("",))


@pytest.mark.parametrize("name", POOL_FEATURES)
def test_a_column_that_is_missing(corpus: Corpus, name: str) -> None:
    queries, candidates = make_batch([[3]], [[2.0]], [[1.0]])
    table = pa.table(pool_columns(queries, candidates)).drop_columns([name])
    with pytest.raises(PoolError, match=f"the pool lacks {name}; .*miner.retrieve"):
        candidates_of(table, queries, corpus, ("",))
    with pytest.raises(PoolError, match=f"the pool lacks {name}"):
        mining().select(mining().retrieve(ROWS).remove_columns(name))


@settings(MINING, max_examples=10)
@given(collections, st.sampled_from([3, 50]))
def test_a_pool_is_what_the_retriever_found(collection: Collection, top_k: int) -> None:
    known = OfflineMiner(f"bm25@{top_k}", corpus=collection.documents, num_negatives=2)
    pool = known.retrieve(collection.dataset())
    names = list(collection.documents)
    assert_same_rows(pool, collection.dataset(), ["query", "topic", "positive"])
    for row, rows in zip(pool, candidate_lists(pool), strict=True):
        listed = [names[place] for place in row["candidate_rows"]]
        ranked = list(zip(listed, row["candidate_ranks"], strict=True))
        assert ranked == raw_pool(collection, row["query"], top_k)
        scores = row["candidate_scores"]
        assert scores == sorted(scores, reverse=True)
        assert rows.tolist() == row["candidate_rows"]
    assert {**pool.features, **POOL_FEATURES} == pool.features


def test_the_pool_does_not_depend_on_what_selects_from_it() -> None:
    one = mining("bm25@30").retrieve(ROWS)
    two = mining("bm25@30+margin(relative=0.1)+random", num_negatives=9, seed=3).retrieve(ROWS)
    more = Dataset.from_dict({"query": ROWS["query"][:1], "positive": [DOCUMENTS["d40"]]})
    three = mining("bm25@30", positives=more).retrieve(ROWS)
    for other in (two, three):
        assert_same_rows(one, other)
        assert one._fingerprint == other._fingerprint


def test_the_lists_of_a_pool_in_several_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = mining().retrieve(ROWS)
    whole = [rows.tolist() for rows in candidate_lists(pool)]
    assert whole == pool["candidate_rows"]
    for size in (1, 4, 25):
        monkeypatch.setattr("hf_hardneg.pool.READ_BATCH", size)
        assert [rows.tolist() for rows in candidate_lists(pool)] == whole
    assert list(candidate_lists(pool.select([]))) == []


def test_a_part_of_a_pool_selects_the_same_rows() -> None:
    pool, known = mining().retrieve(ROWS), mining("bm25@30+random", positives=ROWS)
    expected = known.mine(ROWS)
    order = [9, 3, 17]
    assert_same_rows(known.select(pool.select(order)), expected.select(order))
    both = concatenate_datasets([pool.select(range(20)), pool.select(range(20, 25))])
    assert_same_rows(known.select(both), expected)
    with pytest.raises(PoolError, match="other documents"):
        mining(corpus={**DOCUMENTS, "d9": "another"}).select(pool.select(order))


def test_a_pool_survives_parquet(tmp_path: Path) -> None:
    known = mining("bm25@30+random")
    known.retrieve(ROWS).to_parquet(tmp_path / "pool.parquet")
    pool = load_dataset(
        "parquet", data_files=str(tmp_path / "pool.parquet"), split="train",
        cache_dir=str(tmp_path / "cache"),
    )  # fmt: skip
    assert_same_rows(known.select(pool), known.mine(ROWS))


def test_a_pool_is_a_run_too(tmp_path: Path) -> None:
    expected = negative_ids(mining("bm25@30+random").mine(ROWS))
    pool = mining("bm25@30").retrieve(ROWS)
    pool.save_to_disk(tmp_path / "pool")
    again = mining(f"run@30(run={str(tmp_path / 'pool')!r})+random").mine(ROWS)
    assert negative_ids(again) == expected


def test_changed_positives_are_noticed() -> None:
    pool = mining().retrieve(ROWS)
    more = [[text, "another positive"] for text in pool["positive"]]
    changed = pool.remove_columns("positive").add_column("positive", more)
    with pytest.raises(PoolError, match="positive scores do not match"):
        mining().select(changed)


def test_selecting_from_a_pool_does_not_read_the_positives_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even when it was saved and opened; another pool is read."""
    miner = mining(cache_dir=tmp_path / "cache")
    pool = miner.retrieve(ROWS)
    want = miner.select(pool)
    pool.save_to_disk(tmp_path / "pool")
    monkeypatch.setattr("hf_hardneg.queries._scan", None)
    again = mining("bm25@30+random", cache_dir=tmp_path / "cache")
    assert len(again.select(load_from_disk(tmp_path / "pool"))) == len(want)
    with pytest.raises(TypeError, match="not callable"):
        again.select(pool.select(range(3)))


def test_a_note_is_kept_on_disk_and_leaves_other_descriptions_alone(tmp_path: Path) -> None:
    note = {"kind": "test", "text": "größer", "numbers": [1, 2.5, None]}
    described = describe(Dataset.from_dict({"a": [1]}), note)
    assert description_of(described) == note
    described.save_to_disk(tmp_path / "rows")
    assert description_of(load_from_disk(str(tmp_path / "rows"))) == note
    plain = Dataset.from_dict({"a": [1]})
    for text in ("", "a plain description", "[1, 2]", '{"other": 1}', '{"hf_hardneg": 7}'):
        plain.info.description = text
        assert description_of(plain) == {}
    assert description_of([1, 2]) == {}


def test_describing_a_result_does_not_describe_its_input() -> None:
    rows = word_rows(DOCUMENTS, 5)
    rows.info.description = "mine"
    pool = mining().retrieve(rows)
    mined = mining().select(pool)
    assert rows.info.description == "mine"
    assert description_of(pool)["kind"] == "pool"
    assert description_of(mined)["kind"] == "mined"
