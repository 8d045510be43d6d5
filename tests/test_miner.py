"""The miner's whole jobs: mine, retrieve, select, on every kind of data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, IterableDataset, load_from_disk
from mining import (
    ALL_FORMATS,
    TRAINING_FORMATS,
    assert_same_rows,
    negative_ids,
    word_documents,
    word_rows,
)

from hf_hardneg import (
    BM25Retriever,
    Corpus,
    MarginFilter,
    OfflineMiner,
    RandomSampler,
    RankFilter,
)
from hf_hardneg.errors import PoolError, StrategyError
from hf_hardneg.stages import DecideStage, RetrieveStage, WriteStage

DOCUMENTS = word_documents(60)
TEXTS = list(DOCUMENTS.values())
ROWS = word_rows(DOCUMENTS, 25)


def mining(strategy: Any = "bm25@30", **options: Any) -> OfflineMiner:
    return OfflineMiner(strategy, **{"corpus": DOCUMENTS, "num_negatives": 4, **options})


def test_columns_are_added_and_others_kept() -> None:
    mined = mining().mine(ROWS)
    assert mined.column_names[:6] == [
        "query", "positive", "number", "hard_negatives", "hard_negative_ids",
        "hard_negative_scores",
    ]  # fmt: skip
    assert_same_rows(mined, ROWS, ROWS.column_names)
    for row in mined:
        assert [DOCUMENTS[name] for name in row["hard_negative_ids"]] == row["hard_negatives"]
        scores = row["hard_negative_scores"]
        assert len(scores) == len(row["hard_negatives"]) == 4
        assert scores == sorted(scores, reverse=True)


def test_scores_are_those_of_the_retriever() -> None:
    mined = mining().mine(ROWS)
    pool = mining().retrieve(ROWS)
    for row, candidates in zip(mined, pool, strict=True):
        by_row = dict(
            zip(candidates["candidate_rows"], candidates["candidate_scores"], strict=True)
        )
        places = [int(name[1:]) for name in row["hard_negative_ids"]]
        assert [by_row[place] for place in places] == row["hard_negative_scores"]
        own = by_row.get(row["number"])
        assert own is None or row["hard_negative_positive_scores"] == [own]


@pytest.mark.parametrize("form", ALL_FORMATS)
def test_streams_and_splits_give_the_rows_of_a_dataset(form: str) -> None:
    known = mining("bm25@30+random", positives=ROWS)
    expected = known.mine(ROWS, form)
    stream = known.mine(ROWS.to_iterable_dataset(), form)
    assert stream.features == expected.features
    assert list(stream) == expected.to_list()
    untyped = IterableDataset.from_generator(lambda: iter(ROWS.to_list()))
    assert list(known.mine(untyped, form)) == expected.to_list()
    splits = known.mine(DatasetDict(a=ROWS.select(range(10)), b=ROWS.select(range(10, 25))), form)
    assert [row for split in ("a", "b") for row in splits[split]] == expected.to_list()


def test_the_positives_of_all_splits_count() -> None:
    query, sibling = ROWS["query"][0], mining().mine(ROWS)["hard_negatives"][0][0]
    other = Dataset.from_dict({"query": [query], "positive": [sibling], "number": [0]})
    mined = mining().mine(DatasetDict(train=ROWS, test=other))
    assert sibling not in mined["train"]["hard_negatives"][0]
    assert ROWS["positive"][0] not in mined["test"]["hard_negatives"][0]


def test_an_empty_split_keeps_the_schema() -> None:
    for form in ALL_FORMATS:
        mined = mining().mine(DatasetDict(train=ROWS, test=ROWS.select([])), form)
        assert mined["test"].features == mined["train"].features
        assert len(mined["test"]) == 0
        assert mining().report(mined["test"]).rows_in == 0


def test_every_way_to_name_the_positives() -> None:
    expected = negative_ids(mining().mine(ROWS))
    texts, queries = ROWS["positive"], ROWS["query"]
    ids = [f"d{number}" for number in ROWS["number"]]
    for positives in (
        {"positive": [[text] for text in texts]},
        {"pos": texts},
        {"positive_ids": ids},
        {"positive_ids": [[name] for name in ids]},
        {"positive": texts, "positive_ids": ids},
    ):
        assert negative_ids(mining().mine(Dataset.from_dict({"query": queries, **positives}))) == (
            expected
        )
    numbers = Dataset.from_dict({"question": queries, "gold": [[n] for n in ROWS["number"]]})
    by_number = OfflineMiner("bm25@30", corpus=TEXTS, num_negatives=4, positive_ids_column="gold")
    assert [[f"d{name}" for name in names] for names in negative_ids(by_number.mine(numbers))] == (
        expected
    )


def test_without_a_corpus_the_positives_are_the_corpus() -> None:
    without = OfflineMiner("bm25@10", num_negatives=3)
    mined = without.mine(ROWS)
    assert (
        mined["hard_negatives"]
        == (
            mining("bm25@10", corpus=ROWS["positive"][:], num_negatives=3).mine(ROWS)[
                "hard_negatives"
            ]
        )
    )
    assert list(without.mine(ROWS.to_iterable_dataset())) == mined.to_list()
    assert_same_rows(without.select(without.retrieve(ROWS)), mined)
    assert without.corpus is None
    assert without.report(mined).corpus["documents"] == 25
    known = OfflineMiner("bm25@10", num_negatives=3, positives=ROWS)
    assert ROWS.map(known, batched=True)[:] == mined[:]


def test_knowing_the_positives_before_gives_the_same() -> None:
    assert_same_rows(mining(positives=ROWS).mine(ROWS), mining().mine(ROWS))
    assert_same_rows(mining().knowing(ROWS).mine(ROWS), mining().mine(ROWS))
    part = ROWS.select(range(5))
    assert_same_rows(mining().knowing(ROWS).mine(part), mining().mine(ROWS).select(range(5)))


@pytest.mark.parametrize("form", ALL_FORMATS)
def test_a_pool_from_disk_selects_what_mining_gives(form: str, tmp_path: Path) -> None:
    mining("bm25@30").retrieve(ROWS).save_to_disk(tmp_path / "pool")
    pool = load_from_disk(str(tmp_path / "pool"))
    for stages in ("", "+random", "+margin(relative=0.3)", "+margin(percentile=0.2)+rank"):
        known = mining(f"bm25@30{stages}")
        assert_same_rows(known.select(pool, form), known.mine(ROWS, form))
        assert known.report(known.select(pool, form)).stages == (
            known.report(known.mine(ROWS, form)).stages
        )


def test_a_pool_does_not_ask_the_retriever(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = mining().retrieve(ROWS)
    expected = mining("bm25@30+random").mine(ROWS)

    def refuse(*arguments: object) -> None:
        raise AssertionError("retrieved again")

    for name in ("search", "prepare", "positive_scores"):
        monkeypatch.setattr(BM25Retriever, name, refuse)
    assert_same_rows(mining("bm25@30+random").select(pool), expected)


@pytest.mark.parametrize("strategy", ["bm25@30+random", "bm25@30+margin(percentile=0.3)"])
def test_a_second_run_does_no_work(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = mining(strategy).mine(ROWS)

    def refuse(*arguments: object) -> None:
        raise AssertionError("done again")

    for stage in (RetrieveStage, DecideStage, WriteStage):
        monkeypatch.setattr(stage, "__call__", refuse)
    second = mining(strategy).mine(ROWS)
    assert_same_rows(second, first)
    assert second._fingerprint == first._fingerprint
    for change in ({"seed": 1}, {"num_negatives": 3}, {"corpus": {**DOCUMENTS, "d59": "red"}}):
        with pytest.raises(AssertionError, match="done again"):
            mining(strategy, **change).mine(ROWS)
    with pytest.raises(AssertionError, match="done again"):
        mining(strategy).mine(ROWS, "triplet")


def test_a_pool_of_another_corpus_is_refused() -> None:
    pool = mining().retrieve(ROWS)
    other = mining(corpus={**DOCUMENTS, "d59": "another text"})
    with pytest.raises(PoolError, match=r"other documents.*retrieve again"):
        other.select(pool)
    with pytest.raises(PoolError, match="other documents"):
        OfflineMiner("bm25", num_negatives=3).select(pool)


def test_a_percentile_is_of_the_positives_scores() -> None:
    pool = mining().retrieve(ROWS)
    scores = [score for row in pool["candidate_positive_scores"] for score in row]
    cut = float(np.quantile(np.float32(scores), 0.3, method="lower"))
    known = mining("bm25@30+margin(percentile=0.3)")
    mined = known.mine(ROWS)
    kept = [score for row in mined["hard_negative_scores"] for score in row]
    assert kept
    assert max(kept) < cut
    assert negative_ids(mined) == negative_ids(
        mining(f"bm25@30+score(max_score={cut!r})").mine(ROWS)
    )
    assert f"cut={cut!r}" in known.report(mined).strategy
    assert known.strategy == "bm25@30+margin(percentile=0.3)"


def test_each_split_has_a_percentile_of_its_own() -> None:
    known = mining("bm25@30+margin(percentile=0.5)")
    splits = DatasetDict(one=ROWS.select(range(8)), two=ROWS.select(range(8, 25)))
    mined = known.mine(splits)
    for name, part in splits.items():
        alone = mining("bm25@30+margin(percentile=0.5)", positives=splits).mine(part)
        assert_same_rows(mined[name], alone)
    strategies = {known.report(mined[name]).strategy for name in splits}
    assert len(strategies) == 2


def test_a_stream_cannot_have_a_percentile() -> None:
    known = mining("bm25@30+margin(percentile=0.3)")
    with pytest.raises(StrategyError, match=r"margin has to see.*Dataset"):
        known.mine(ROWS.to_iterable_dataset())
    with pytest.raises(StrategyError, match=r"margin has to see.*Dataset"):
        ROWS.map(known.knowing(ROWS), batched=True)


def test_objects_and_strings_give_the_same() -> None:
    corpus = Corpus(DOCUMENTS)
    objects = OfflineMiner(
        BM25Retriever(corpus, top_k=30, k1=0.9),
        filters=[RankFilter(range_min=3), MarginFilter(margin=0.1)],
        sampler=RandomSampler(),
        num_negatives=4,
    )
    text = "bm25@30(k1=0.9)+rank(range_min=3)+margin(margin=0.1)+random"
    assert objects.strategy == text
    strings = (mining(text), mining(objects.strategy), mining(
        "bm25+rank+margin+random", top_k=30, k1=0.9, range_min=3, margin=0.1))  # fmt: skip
    for known in strings:
        assert_same_rows(known.mine(ROWS), objects.mine(ROWS))
        assert repr(known) == repr(objects)
        assert known.fingerprint() == strings[0].fingerprint()


@pytest.mark.parametrize("form", TRAINING_FORMATS)
def test_other_columns_stand_in_a_training_format_only_if_named(form: str) -> None:
    known, rows = mining(), ROWS.add_column("topic", ["t"] * 25)
    plain = known.mine(rows, form)
    assert not {"number", "topic"} & set(plain.column_names)
    named = known.mine(rows, form, keep_columns=["topic"])
    assert named.column_names == ["topic", *plain.column_names]
    assert known.mine(rows, form, keep_columns="topic").column_names == named.column_names
    every = known.mine(rows, form, keep_columns=True)
    assert {"number", "topic"} < set(every.column_names)
    assert_same_rows(every, plain, plain.column_names)
    assert list(known.mine(rows.to_iterable_dataset(), form, keep_columns=True)) == every.to_list()


def test_columns_that_arrow_cannot_hold_stay_beside_in_a_stream() -> None:
    thing = object()
    rows = [{**row, "thing": thing} for row in ROWS.to_list()]
    stream = IterableDataset.from_generator(lambda: iter(rows))
    found = list(mining().mine(stream))
    assert all(row["thing"] is thing for row in found)
    assert [row["hard_negatives"] for row in found] == mining().mine(ROWS)["hard_negatives"]


def test_a_pickled_miner_keeps_the_positives_it_was_given() -> None:
    import pickle

    docs = ["red car", "red boat", "red train", "red river"]
    rows = Dataset.from_dict({"query": ["red"], "positive": ["red car"]})
    more = Dataset.from_dict({"query": ["red"], "positive": ["red boat"]})
    miner = OfflineMiner("random", corpus=docs, num_negatives=3, positives=more)
    expected = miner.mine(rows)["hard_negatives"][:]
    assert sorted(expected[0]) == ["red river", "red train"]
    assert pickle.loads(pickle.dumps(miner)).mine(rows)["hard_negatives"][:] == expected
