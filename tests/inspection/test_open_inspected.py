"""Opening a mined set: every part of it is found, and what is shown is what the files say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from datasets import Dataset

from hf_hardneg import Corpus, OfflineMiner
from hf_hardneg.errors import FormatError, PoolError
from hf_hardneg.inspection import InspectedSet, RowView, open_inspected
from hf_hardneg.inspection.finding_rows import find_rows
from hf_hardneg.inspection.overview import overview_of
from hf_hardneg.inspection.suspicion import Suspicion
from hf_hardneg.inspection.wanted import Wanted
from hf_hardneg.mined_set import MinedSet
from hf_hardneg.outputs import report_sidecars, write_mined
from hf_hardneg.pool_files import pool_files

DOCUMENTS = {
    f"d{place}": f"topic{place % 9} shared words number{place} and topic{place % 5}"
    for place in range(60)
}
QUERIES = 20
STRATEGY = "bm25@12+margin(relative=0.05)"


@pytest.fixture(scope="module")
def miner() -> OfflineMiner:
    return OfflineMiner(STRATEGY, corpus=Corpus(DOCUMENTS), num_negatives=3)


@pytest.fixture(scope="module")
def pairs() -> Dataset:
    return Dataset.from_dict(
        {
            "query_id": [f"q{place}" for place in range(QUERIES)],
            "query": [f"topic{place % 9} number{place}" for place in range(QUERIES)],
            "positive_ids": [[f"d{place + 9 * (place % 2)}"] for place in range(QUERIES)],
        }
    )


@pytest.fixture(scope="module")
def folder(miner: OfflineMiner, pairs: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("mined") / "set"
    pool = miner.retrieve(pairs)
    mined = miner.select(pool)
    report = miner.report(mined)
    write_mined(
        mined,
        place,
        sidecars=lambda _: report_sidecars(report.to_json(), miner.recipe()),
        beside=pool_files(miner, pool),
    )
    return place


@pytest.fixture(scope="module")
def opened(folder: Path) -> InspectedSet:
    return open_inspected(folder)


def test_what_is_known_of_the_set(opened: InspectedSet) -> None:
    assert (len(opened), opened.name, opened.strategy) == (QUERIES, "set", STRATEGY)
    assert opened.pool is not None
    assert len(opened.pool) == QUERIES
    assert opened.corpus is not None
    assert opened.stages[-2:] == ("margin", "duplicate-text")
    assert opened.recipe["num_negatives"] == 3
    assert opened.notes == ()


@pytest.mark.parametrize("number", range(QUERIES))
def test_every_row_is_what_the_pool_and_the_rows_say(
    opened: InspectedSet, miner: OfflineMiner, pairs: Dataset, number: int
) -> None:
    pool = miner.outcomes(miner.retrieve(pairs))[number]
    mined = miner.mine(pairs)[number]
    row = opened.row(number)
    assert (row.number, row.query_id, row.query) == (number, f"q{number}", pairs[number]["query"])
    assert [one.document_id for one in row.negatives] == mined["hard_negative_ids"]
    assert [one.score for one in row.negatives] == mined["hard_negative_scores"]
    assert [one.document_id for one in row.positives] == pairs[number]["positive_ids"]
    assert [one.score for one in row.positives] == pool["positive_scores"]
    for one in (*row.negatives, *row.rejected):
        place = pool["candidate_ids"].index(one.document_id)
        assert one.text == DOCUMENTS[one.document_id]
        assert one.rank == pool["candidate_ranks"][place]
        assert one.score == pool["candidate_scores"][place]
        assert one.outcome == pool["candidate_outcomes"][place]
        assert one.source == "bm25"
    shown = {one.document_id for one in (*row.negatives, *row.rejected)}
    assert shown == set(pool["candidate_ids"])
    assert all(one.outcome == "chosen" for one in row.negatives)
    assert [one.rank for one in row.rejected] == sorted(one.rank or 0 for one in row.rejected)
    assert [one.place for one in row.rejected] == list(range(len(row.rejected)))


def test_the_stages_that_were_passed(opened: InspectedSet) -> None:
    stages = opened.stages
    assert {one.passed for row in rows(opened) for one in row.negatives} == {stages}
    rejected = {one.outcome: one.passed for row in rows(opened) for one in row.rejected}
    assert rejected["margin"] == stages[: stages.index("margin")]
    assert rejected["known-positive"] == ()
    assert rejected["not needed"] == ()


def rows(opened: InspectedSet) -> list[RowView]:
    return [opened.row(number) for number in range(len(opened))]


def test_without_report_or_pool_the_rows_are_shown_alone(
    miner: OfflineMiner, pairs: Dataset, tmp_path: Path
) -> None:
    miner.mine(pairs).to_json(tmp_path / "rows.jsonl")
    opened = open_inspected(tmp_path / "rows.jsonl", corpus=DOCUMENTS)
    assert opened.pool is None
    assert opened.report is None
    assert (opened.strategy, opened.stages) == ("", ())
    assert "no pool" in opened.notes[-1]
    row = opened.row(0)
    assert row.rejected == ()
    assert [one.text for one in row.negatives] == [
        DOCUMENTS[one.document_id] for one in row.negatives
    ]


def test_a_pool_that_is_given(
    miner: OfflineMiner, pairs: Dataset, folder: Path, tmp_path: Path, opened: InspectedSet
) -> None:
    """By the texts alone, when the rows have no ids at all."""
    miner.mine(pairs, output_format="n-tuple").to_json(tmp_path / "rows.jsonl")
    by_text = open_inspected(
        tmp_path / "rows.jsonl", pool=folder / "hardneg" / "pool.parquet", corpus=DOCUMENTS
    )
    for row in rows(by_text):
        same = next(other for other in rows(opened) if other.query == row.query)
        assert [(one.rank, one.outcome) for one in row.negatives] == [
            (one.rank, one.outcome) for one in same.negatives
        ]
        assert {one.document_id for one in row.rejected} == {
            one.document_id for one in same.rejected
        }


def test_a_query_that_the_pool_does_not_have(folder: Path) -> None:
    rows = Dataset.from_dict({"query": ["other"], "positive": ["good"], "negative": ["bad"]})
    opened = open_inspected(rows, pool=folder / "hardneg" / "pool.parquet")
    row = opened.row(0)
    assert "no candidates of this query" in row.notes[0]
    assert row.negatives[0].text == "bad"


def test_a_pool_of_other_queries_with_the_same_ids(
    miner: OfflineMiner, pairs: Dataset, folder: Path, tmp_path: Path
) -> None:
    others = Dataset.from_dict(
        {**pairs.to_dict(), "query": [f"topic{place} shared" for place in range(QUERIES)]}
    )
    pool = miner.outcomes(miner.retrieve(others))
    with pytest.raises(PoolError, match="20 have another query in the pool, under the same id"):
        open_inspected(folder, pool=pool)
    place = shutil.copytree(folder, tmp_path / "copy")
    pool.to_parquet(place / "hardneg" / "pool.parquet")
    opened = open_inspected(place)
    assert opened.pool is None
    assert "is not that of the set" in opened.notes[0]
    assert opened.row(0).rejected == ()


def test_a_pool_of_another_decision_and_one_of_some_queries(
    miner: OfflineMiner, pairs: Dataset, folder: Path
) -> None:
    other = OfflineMiner("bm25@12+rank(range_min=6)", corpus=Corpus(DOCUMENTS), num_negatives=3)
    opened = open_inspected(folder, pool=other.outcomes(other.retrieve(pairs)))
    assert "the pool of another decision" in opened.notes[0]
    some = miner.outcomes(miner.retrieve(pairs)).select(range(5))
    opened = open_inspected(folder, pool=some)
    assert "15 have no candidates in the pool" in opened.notes[0]


@pytest.mark.parametrize("number", [-1, QUERIES, 10**9])
def test_a_row_that_is_not_there(opened: InspectedSet, number: int) -> None:
    with pytest.raises(FormatError, match=f"expected one from 0 to {QUERIES - 1}"):
        opened.row(number)


def test_a_damaged_report_is_named(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "copy"
    Dataset.from_dict({"query": ["a"], "positive": ["b"], "negative": ["c"]}).save_to_disk(place)
    (place / "hardneg").mkdir()
    (place / "hardneg" / "report.json").write_text("{", encoding="utf-8")
    with pytest.raises(FormatError, match=r"hardneg/report\.json of the set cannot be read"):
        open_inspected(place)
    (place / "hardneg" / "report.json").write_text(json.dumps({"a": 1}), encoding="utf-8")
    with pytest.raises(FormatError, match="not one of this version"):
        open_inspected(place)


def test_what_is_no_pool(tmp_path: Path, folder: Path) -> None:
    rows = Dataset.from_dict({"query": ["a"], "positive": ["b"], "negative": ["c"]})
    rows.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(PoolError, match="lacks query_id"):
        open_inspected(folder, pool=tmp_path / "rows.parquet")
    with pytest.raises(FormatError, match="there is no pool"):
        open_inspected(folder, pool=tmp_path / "none.parquet")


def test_a_config_of_what_has_none(folder: Path) -> None:
    with pytest.raises(FormatError, match="no published set"):
        open_inspected(folder, config="ids")
    with pytest.raises(FormatError, match="has no config"):
        open_inspected(folder / "state.json", config="ids")


def test_an_id_never_shows_where_the_folder_lies(opened: InspectedSet, folder: Path) -> None:
    assert str(folder.parent) not in repr(opened.row(0)) + opened.name + " ".join(opened.notes)


def test_line_numbers_of_colbert_are_no_ids_of_the_pool(pairs: Dataset, tmp_path: Path) -> None:
    """The corpus has ids that are numbers too, in another order than the lines."""
    corpus = Corpus({str(59 - int(name[1:])): text for name, text in DOCUMENTS.items()})
    asked = pairs.map(
        lambda row: {"positive_ids": [str(59 - int(name[1:])) for name in row["positive_ids"]]}
    )
    miner = OfflineMiner(STRATEGY, corpus=corpus, num_negatives=3)
    pool = miner.retrieve(asked)
    mined = miner.select(pool)
    report = miner.report(mined)
    for form in ("arrow", "colbert"):
        write_mined(
            mined,
            tmp_path / form,
            form,
            corpus=corpus,
            sidecars=lambda _: report_sidecars(report.to_json(), miner.recipe()),
            beside=pool_files(miner, pool),
        )
    plain, colbert = open_inspected(tmp_path / "arrow"), open_inspected(tmp_path / "colbert")
    queries = {row.query: row for row in rows(plain) if row.negatives}
    assert len(colbert) == len(queries)  # triples of rows without negatives there are none
    for other in rows(colbert):
        one = queries[other.query]
        for side in ("positives", "negatives"):
            ours, theirs = getattr(one, side), getattr(other, side)
            assert [(doc.document_id, doc.text) for doc in ours] == [
                (doc.document_id, doc.text) for doc in theirs
            ]
        assert {doc.outcome for doc in other.negatives} == {"chosen"}
        assert [doc.document_id for doc in other.rejected] == [
            doc.document_id for doc in one.rejected
        ]


def test_a_triplet_is_not_short(miner: OfflineMiner, pairs: Dataset, opened: InspectedSet) -> None:
    rows = miner.mine(pairs, output_format="triplet")
    triplets = InspectedSet("triplets", MinedSet.of(rows), report=opened.report)
    assert (opened.asked, triplets.asked) == (3, 1)
    short = overview_of(triplets).short
    assert (short.asked, short.rows, short.of) == (1, 0, len(rows))
    suspicion = Suspicion(triplets)
    suspicion.start()
    assert suspicion.wait(60)
    assert find_rows(triplets, Wanted(short=True), suspicion).total == 0


def test_positives_without_an_id_have_no_score_of_each_other(miner: OfflineMiner) -> None:
    texts = [["number3 topic3", "words that no document has"] for _ in range(4)]
    rows = Dataset.from_dict(
        {"query": [f"topic{n} number{n}" for n in range(4)], "positive": texts}
    )
    pool = miner.outcomes(miner.retrieve(rows))
    assert pool[3]["positive_ids"] == [None, None]
    assert len(set(pool[3]["positive_scores"])) == 2
    mined = miner.mine(rows).remove_columns("hard_negative_positive_scores")
    views = open_inspected(mined, pool=pool, corpus=DOCUMENTS).row(3).positives
    assert [one.score for one in views] == [None, None]


def test_negatives_that_are_not_found_in_the_pool_are_told(
    miner: OfflineMiner, pairs: Dataset, folder: Path, opened: InspectedSet
) -> None:
    texts = miner.mine(pairs, output_format="n-tuple")
    unnamed = open_inspected(texts, pool=folder / "hardneg" / "pool.parquet")
    for view in rows(unnamed):
        assert "candidates that are no negatives here were chosen" in view.notes[0]
    assert not any(view.notes for view in rows(opened))
