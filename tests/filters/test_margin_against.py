"""Which of several positives a margin is measured against; ``own`` from end to end."""

from __future__ import annotations

import math
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, Features, IterableDataset, List, Value, load_from_disk
from hypothesis import given, settings
from hypothesis import strategies as st
from mining import same, table_of, word_documents
from stage_data import Batch, batches, make_batch

from hf_hardneg import BM25Retriever, Corpus, MarginFilter, OfflineMiner, SemiHardFilter
from hf_hardneg.errors import ParameterError, StrategyError
from hf_hardneg.filters import Filter
from hf_hardneg.report import Report
from hf_hardneg.testing import check_filter, make_queries

NAN = float("nan")
OWN = "bm25@60+margin(margin=0.4, against='own')"
DOCUMENTS = word_documents(90, words=[f"word{number}" for number in range(14)])
KINDS = ("text", "ids", "both")
FORMATS = ("columns", "n-tuple", "triplet", "ids")


def positive_of(against: str, scores: list[float]) -> float:
    """The score that stands for the positives, in plain Python."""
    if not scores or any(map(math.isnan, scores)):
        return NAN
    return {"min": min, "max": max, "mean": lambda own: sum(own) / len(own)}[against](scores)


@settings(max_examples=30)
@given(
    batches,
    st.sampled_from(["min", "max", "mean"]),
    st.sampled_from([{"margin": 0.0}, {"margin": 1.5}, {"relative": 0.5}, {}]),
)
def test_min_max_and_mean(batch: Batch, against: str, how: dict[str, float]) -> None:
    queries, candidates = batch
    for kind in (MarginFilter, SemiHardFilter):
        check_filter(kind(**how, against=against), queries, candidates)
    found = MarginFilter(**how, against=against)(queries, candidates).rows
    for line, rows in enumerate(candidates.rows.tolist()):
        own = candidates.positive_scores[queries.offsets[line] : queries.offsets[line + 1]]
        positive = positive_of(against, [float(score) for score in own])
        below = how.get("margin", how.get("relative", 0.05) * abs(positive))
        wanted = [
            row if score < positive - below else -1
            for row, score in zip(rows, candidates.scores[line].tolist(), strict=True)
        ]
        assert found[line].tolist() == wanted


def test_which_positive_counts() -> None:
    scores = [9.0, 7.5, 5.5, 4.5, 1.5, 0.5]
    queries, candidates = make_batch([list(range(6))], [scores], [[8.0, 2.0, 5.0]])
    for against, highest in (("min", 0.5), ("max", 5.5), ("mean", 1.5)):
        kept = MarginFilter(margin=1, against=against)(queries, candidates)
        wanted = [score for score in scores if score < {"min": 1, "max": 7, "mean": 4}[against]]
        assert kept.scores[kept.filled].tolist() == wanted
        assert wanted[0] == highest


def test_one_positive_without_a_score_keeps_nothing_and_none_is_no_limit() -> None:
    for against in ("min", "max", "mean", "own"):
        for positives in ([5.0, NAN], [NAN], []):
            queries, candidates = make_batch([[0, 1]], [[1.0, -1.0]], [positives])
            assert not MarginFilter(margin=0, against=against)(queries, candidates).filled.any()


def test_what_cannot_be() -> None:
    with pytest.raises(ParameterError, match=r"against='minimum'.*Did you mean 'min'"):
        MarginFilter(against="minimum")
    with pytest.raises(ParameterError, match="against='own' is given with percentile"):
        MarginFilter(percentile=0.1, against="own")


# -- own, through the miner ------------------------------------------------------------------


QUERIES = ["word1 word5 word9", "word2 word7", "word3 word4 word11 word0", "word8 word6"]


@cache
def best_of(query: str) -> list[str]:
    """The ids of what BM25 finds for a query, best first."""
    corpus = Corpus(DOCUMENTS)
    [rows] = (
        BM25Retriever(corpus, top_k=60).retrieve(make_queries(corpus, [query], [["none"]])).rows
    )
    return corpus.ids(rows[rows >= 0])


def names_of_rows() -> list[list[str]]:
    """Rows of one, two and ten positives; the second and the last row share a query."""
    one, two, three, four = map(best_of, QUERIES)
    return [one[3:4], [two[0], two[7]], three[1:31:3], four[:1], [two[3], two[12]]]


def texts_of_rows() -> list[str]:
    return [*QUERIES, "WORD2  word7"]


def rows_of(kind: str, lists: list[list[str]], queries: list[str]) -> Dataset:
    columns: dict[str, list[Any]] = {"query_id": [], "query": queries, "number": []}
    columns["query_id"] = [f"q{same(query)}" for query in queries]
    columns["number"] = [texts_of_rows().index(query) for query in queries]
    if kind in ("text", "both"):
        columns["positive"] = [[DOCUMENTS[name] for name in own] for own in lists]
    if kind in ("ids", "both"):
        columns["positive_ids"] = lists
    return Dataset.from_dict(columns)


def together(kind: str) -> Dataset:
    return rows_of(kind, names_of_rows(), texts_of_rows())


def apart(kind: str) -> Dataset:
    """The same with a row for each positive, made by hand."""
    pairs = [
        (name, query)
        for own, query in zip(names_of_rows(), texts_of_rows(), strict=True)
        for name in own
    ]
    return rows_of(kind, [[name] for name, _ in pairs], [query for _, query in pairs])


def miner(strategy: str = OWN, **options: Any) -> OfflineMiner:
    options.setdefault("underfilled", None)
    return OfflineMiner(strategy, corpus=DOCUMENTS, num_negatives=3, **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMATS)
def test_own_is_a_row_for_each_positive(kind: str, form: str) -> None:
    mined = miner().mine(together(kind), form)
    wanted = miner("bm25@60+margin(margin=0.4)").mine(apart(kind), form)
    assert mined.features == wanted.features
    assert table_of(mined) == table_of(wanted)
    assert len(mined) > len(names_of_rows())


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_is_measured_against_its_own_positive(kind: str) -> None:
    mined = miner().mine(together(kind))
    flat = [name for own in names_of_rows() for name in own]
    assert len(mined) == len(flat) == 16
    corpus = Corpus(DOCUMENTS)
    siblings: dict[str, set[str]] = {}
    for own, query in zip(names_of_rows(), texts_of_rows(), strict=True):
        siblings.setdefault(same(query), set()).update(own)
    limits = set()
    for row, name in zip(mined, flat, strict=True):
        if kind != "text":
            assert row["positive_ids"] == [name]
        if kind != "ids":
            assert row["positive"] == [DOCUMENTS[name]]
        queries = make_queries(corpus, [row["query"]], [[DOCUMENTS[name]]])
        found = BM25Retriever(corpus, top_k=60).retrieve(queries)
        [score] = found.positive_scores.tolist()
        assert row["hard_negative_positive_scores"] == [score]
        assert all(value < score - 0.4 for value in row["hard_negative_scores"])
        assert not siblings[same(row["query"])] & set(row["hard_negative_ids"])
        allowed = [
            str(corpus.ids([document])[0])
            for document, value in zip(found.rows[0], found.scores[0].tolist(), strict=True)
            if document >= 0 and value < score - 0.4
        ]
        best = [name for name in allowed if name not in siblings[same(row["query"])]][:3]
        assert row["hard_negative_ids"] == best
        limits.add(score)
    assert len(limits) > 8  # the ten positives of one row have scores of their own


@pytest.mark.parametrize("form", FORMATS)
def test_the_report_counts_the_rows_that_were_made(form: str) -> None:
    report = (one := miner()).report(one.mine(together("both"), form))
    assert report.rows_in == 16
    [note] = [note for note in report.notes if "own" in note]
    assert note.startswith("against='own': 3 of 5 input rows have several positives")
    assert "makes 16 rows" in note
    plain = miner("bm25@60+margin(margin=0.4)")
    assert plain.report(plain.mine(together("both"))).notes == []
    assert Report.from_dict(report.to_dict()) == report


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["columns", "triplet"])
def test_select_on_a_saved_pool_gives_the_same(kind: str, form: str, tmp_path: Path) -> None:
    one = miner()
    one.retrieve(together(kind)).save_to_disk(str(tmp_path / "pool"))
    pool = load_from_disk(str(tmp_path / "pool"))
    assert len(pool) == 5  # rows are made when they are decided
    chosen = miner().select(pool, form)
    assert table_of(chosen) == table_of(one.mine(together(kind), form))
    [note] = [note for note in one.report(chosen).notes if "own" in note]
    assert "3 of 5 input rows" in note


def test_processes_are_of_no_influence(tmp_path: Path) -> None:
    for form in ("columns", "n-tuple"):
        alone = miner(cache_dir=tmp_path / "one").mine(together("both"), form)
        two = miner(cache_dir=tmp_path / "two").mine(together("both"), form, num_proc=2)
        assert table_of(alone) == table_of(two)


def test_maps_and_streams_refuse_rows_with_several_positives() -> None:
    rows = together("both")
    for call in (
        lambda: rows.map(miner(positives=rows), batched=True),
        lambda: rows.with_format("arrow").map(miner(positives=rows), batched=True),
        lambda: list(miner().mine(IterableDataset.from_generator(lambda: iter(rows)))),
    ):
        with pytest.raises(
            StrategyError, match=r"against='own' makes a row of each positive.*mine"
        ):
            call()
    single = apart("both")
    mapped = single.map(miner(positives=single), batched=True)
    assert mapped["hard_negative_ids"] == miner().mine(single)["hard_negative_ids"]


def test_one_text_a_row_and_lists_of_a_fixed_length() -> None:
    texts = [DOCUMENTS[own[0]] for own in names_of_rows()]
    rows = Dataset.from_dict({"query": texts_of_rows(), "positive": texts})
    mined = miner().mine(rows)
    assert mined["positive"] == texts
    pairs = [[DOCUMENTS[f"d{2 * place}"], DOCUMENTS[f"d{2 * place + 1}"]] for place in range(5)]
    plain = Dataset.from_dict({"query": texts_of_rows(), "positive": pairs})
    fixed = plain.cast(
        Features({"query": Value("string"), "positive": List(Value("string"), length=2)})
    )
    for form in ("columns", "n-tuple"):
        assert table_of(miner().mine(fixed, form)) == table_of(miner().mine(plain, form))


def test_ids_that_are_numbers_and_columns_of_other_names() -> None:
    texts = list(DOCUMENTS.values())
    rows = Dataset.from_dict({"q": ["word1 word5", "word2 word7"], "gold": [[3, 4], [5]]})
    options = {"query_column": "q", "positive_ids_column": "gold"}
    one = OfflineMiner(OWN, corpus=texts, num_negatives=3, **options)
    mined = one.mine(rows)
    assert mined["gold"] == [[3], [4], [5]]
    assert "2 rows" not in one.report(mined).notes[0]
    assert "1 of 2 input rows" in one.report(mined).notes[0]


def test_own_of_a_semi_hard_filter() -> None:
    strategy = "bm25@60+semi-hard(margin=2, against='own')"
    mined = miner(strategy).mine(together("both"))
    wanted = miner("bm25@60+semi-hard(margin=2)").mine(apart("both"))
    assert table_of(mined) == table_of(wanted)
    for row in mined:
        [positive] = row["hard_negative_positive_scores"]
        assert all(positive - 2 <= score < positive for score in row["hard_negative_scores"])


def test_own_is_pickled_and_stands_in_the_string() -> None:
    rule: Filter = MarginFilter(margin=0.4, against="own")
    assert pickle.loads(pickle.dumps(rule)) == rule
    assert miner().strategy == OWN
