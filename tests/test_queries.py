"""From rows of query data to rows of the corpus, and the scan that comes before all work."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, IterableDataset, concatenate_datasets, load_from_disk
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hardneg import Corpus, HardNegError, queries
from hf_hardneg.columns import QueryColumns, RawBatch
from hf_hardneg.errors import ColumnError, CorpusError, QueryError
from hf_hardneg.hashing import text_key, text_keys
from hf_hardneg.positives import KnownPositives
from hf_hardneg.queries import (
    batches_of,
    column_names,
    positives_as_corpus,
    scan_positives,
    to_queries,
)

DOCUMENTS = {"d0": "Alpha", "d1": "beta", "d2": "alpha ", "d3": "gamma", "d4": "Delta delta"}
FIND = QueryColumns()


def stream(rows: list[dict[str, Any]]) -> IterableDataset:
    return IterableDataset.from_generator(lambda: iter(rows))


def known(table: KnownPositives, query: str) -> set[tuple[int, int]]:
    _, rows, keys = table.of(text_keys([query]))
    return set(zip(rows.tolist(), keys.tolist(), strict=True))


def pair(row: int, text: str) -> tuple[int, int]:
    return row, text_key(text)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "SCAN_BATCH", 3)


# -- one batch -------------------------------------------------------------------------------


def test_positives_by_text() -> None:
    raw = RawBatch(["q", "r"], ["1", "2"], [["BETA", "nowhere"], ["Alpha"]], None)
    got = to_queries(raw, Corpus(DOCUMENTS), None)
    assert (got.texts, got.ids) == (["q", "r"], ["1", "2"])
    assert got.keys.tolist() == [text_key("q"), text_key("r")]
    assert got.offsets.tolist() == got.known_offsets.tolist() == [0, 2, 3]
    # The first of two documents with the same text; the key finds the other.
    assert got.positive_rows.tolist() == got.known_rows.tolist() == [1, -1, 0]
    assert got.positive_texts == ["BETA", "nowhere", "Alpha"]
    assert got.known_keys.tolist() == [text_key(text) for text in got.positive_texts]


def test_positives_by_id() -> None:
    raw = RawBatch(["q", "r"], [], None, [["d2"], ["d4", "d1"]])
    got = to_queries(raw, Corpus(DOCUMENTS), None)
    assert got.positive_rows.tolist() == got.known_rows.tolist() == [2, 4, 1]
    assert got.positive_texts == []
    assert got.known_keys.tolist() == [text_key(text) for text in ("alpha", "delta delta", "beta")]


def test_the_text_of_the_data_and_that_of_the_corpus_are_both_known(tmp_path: Path) -> None:
    """The corpus has a title before the text: a copy of either is as relevant."""
    corpus = Corpus([{"id": "a", "title": "Title", "text": "body"}, {"id": "b", "text": "other"}])
    raw = RawBatch(["q", "r"], [], [["other"], ["body", "other"]], [["b"], ["a", "b"]])
    got = to_queries(raw, corpus, None)
    assert got.offsets.tolist() == [0, 1, 3]
    assert got.positive_rows.tolist() == [1, 0, 1]
    want = {0: {pair(1, "other")}, 1: {pair(0, "body"), pair(0, "title body"), pair(1, "other")}}
    pairs = list(zip(got.known_rows.tolist(), got.known_keys.tolist(), strict=True))
    bounds = list(pairwise(got.known_offsets.tolist()))
    assert {line: set(pairs[start:end]) for line, (start, end) in enumerate(bounds)} == want
    rows = Dataset.from_dict({"query": ["r"], "positive": ["body"], "positive_id": ["a"]})
    table = scan_positives([rows], FIND, corpus, tmp_path)
    assert known(table, "R ") == {pair(0, "body"), pair(0, "title body")}


def test_the_known_positives_of_other_rows_are_used(tmp_path: Path) -> None:
    corpus = Corpus(DOCUMENTS)
    rows = Dataset.from_dict({"query": ["q", "Q ", "other"], "positive": ["beta", "gamma", "no"]})
    table = scan_positives([rows], FIND, corpus, tmp_path)
    got = to_queries(RawBatch(["q", "new"], [], [["beta"], ["gamma"]], None), corpus, table)
    assert got.positive_rows.tolist() == [1, 3]
    assert got.known_offsets.tolist() == [0, 2, 2]
    assert sorted(got.known_rows.tolist()) == [1, 3]


# -- the scan --------------------------------------------------------------------------------

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["q", "Q", " q ", "r", "s t", "S  T"]),
        st.lists(st.sampled_from([*DOCUMENTS.values(), "nowhere", "BETA"]), min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.usefixtures("small_batches")
@settings(max_examples=15)
@given(ROWS, st.integers(0, 12))
def test_scan_against_brute_force(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, list[str]]], cut: int
) -> None:
    """Over several parts and batches, of data sets and of streams, in any order."""
    corpus, home = Corpus(DOCUMENTS), tmp_path_factory.mktemp("known")
    first: dict[int, int] = {}
    for row, text in enumerate(DOCUMENTS.values()):
        first.setdefault(text_key(text), row)
    want: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for query, texts in rows:
        want[text_key(query)] |= {(first.get(text_key(t), -1), text_key(t)) for t in texts}
    records = [{"query": query, "positive": texts} for query, texts in rows]
    parts = [part for part in (records[:cut], records[cut:]) if part]
    table = scan_positives([Dataset.from_list(part) for part in parts], FIND, corpus, home)
    for query in ("q", "r", "s t", "never"):
        assert known(table, query) == want.get(text_key(query), set())
    backwards = scan_positives([stream(records[::-1])], FIND, corpus, home)
    assert backwards.fingerprint == table.fingerprint


BAD = [("query", None), ("query", " "), ("positive", None), ("positive", [None]), ("positive", [])]


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize(("column", "value"), BAD)
@pytest.mark.parametrize("make", [Dataset.from_list, stream])
@pytest.mark.parametrize("job", ["scan", "corpus"])
def test_a_bad_row_is_named_by_its_place_in_the_data(
    tmp_path: Path, column: str, value: Any, make: Any, job: str
) -> None:
    rows: list[dict[str, Any]] = [{"query": "q", "positive": ["alpha"]} for _ in range(11)]
    rows[7][column] = value
    parts = [Dataset.from_list(rows[:5]), make(rows)]
    said = pytest.raises(QueryError, match=rf"column '{column}', row 7: ")
    if job == "scan":
        with said:
            scan_positives(parts, FIND, Corpus(DOCUMENTS), tmp_path)
    else:
        with said:
            positives_as_corpus(parts, FIND)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small_batches")
def test_ids_that_are_not_in_the_corpus(tmp_path: Path) -> None:
    ids = ["d1", "x1", "d2", "x2", "x3", "d0", "x4", "x5"]
    rows = Dataset.from_dict({"query": ["q"] * 8, "positive_id": ids})
    with pytest.raises(QueryError) as caught:
        scan_positives([rows], FIND, Corpus(DOCUMENTS), tmp_path)
    for part in (
        "5 positive ids are not",
        "'x1', 'x2', 'x3', and 2 more",
        "d0, d1, d2",
        "has 5 doc",
    ):
        assert part in str(caught.value)
    with pytest.raises(QueryError, match="1 positive ids are not in the corpus, for example 'D1'"):
        to_queries(RawBatch(["q"], [], None, [["D1"]]), Corpus(["a"]), None)
    assert list(tmp_path.iterdir()) == []


def test_no_rows(tmp_path: Path) -> None:
    empty = Dataset.from_dict({"query": [], "positive": []})
    with pytest.raises(QueryError, match="the query data has no rows"):
        scan_positives([empty], FIND, Corpus(DOCUMENTS), tmp_path)
    with pytest.raises(QueryError, match="the query data has no rows"):
        positives_as_corpus([empty], FIND)


def test_each_part_has_columns_of_its_own(tmp_path: Path) -> None:
    parts = [
        Dataset.from_dict({"question": ["q"], "answer": ["beta"]}),
        Dataset.from_dict({"query": ["q", "r"], "positive_ids": [["d3"], ["d4"]]}),
    ]
    table = scan_positives(parts, FIND, Corpus(DOCUMENTS), tmp_path)
    assert known(table, "q") == {pair(1, "beta"), pair(3, "gamma")}
    with pytest.raises(ColumnError, match="'question'"):
        scan_positives(parts, QueryColumns("question"), Corpus(DOCUMENTS), tmp_path)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was scanned, a data set or stream a time."""
    seen: list[Any] = []
    scan = queries._scan

    def watched(part: Any, *arguments: Any) -> Any:
        seen.append(part)
        return scan(part, *arguments)

    monkeypatch.setattr(queries, "_scan", watched)
    return seen


def test_a_data_set_is_read_once_for_each_corpus_and_choice_of_columns(
    tmp_path: Path, reads: list[Any]
) -> None:
    rows = Dataset.from_dict({"query": ["q", "r"], "positive": ["beta", "gamma"], "pos": ["a"] * 2})
    more = Dataset.from_dict({"query": ["q"], "positive": ["gamma"]})
    first = scan_positives([rows, more], FIND, Corpus(DOCUMENTS), tmp_path)
    again = scan_positives([more, rows], FIND, Corpus(DOCUMENTS), tmp_path)
    assert (again.fingerprint, len(reads)) == (first.fingerprint, 2)
    assert known(again, "q") == {pair(1, "beta"), pair(3, "gamma")}
    alone = scan_positives([rows], FIND, Corpus(DOCUMENTS), tmp_path)
    assert (known(alone, "q"), len(reads)) == ({pair(1, "beta")}, 2)
    shorter = scan_positives([rows], FIND, Corpus(["beta", "x"]), tmp_path)
    assert known(shorter, "q") == {pair(0, "beta")}
    other = scan_positives([rows], QueryColumns(positive="pos"), Corpus(DOCUMENTS), tmp_path)
    assert (known(other, "q"), len(reads)) == ({pair(-1, "a")}, 4)


@pytest.mark.usefixtures("small_batches")
def test_the_same_content_is_known_again_in_another_form(tmp_path: Path, reads: list[Any]) -> None:
    corpus, home = Corpus(DOCUMENTS), tmp_path / "known"
    columns = {"query": [f"q {number}" for number in range(8)], "positive": ["beta", "gamma"] * 4}
    rows = Dataset.from_dict(columns)
    want = scan_positives([rows], FIND, corpus, home).fingerprint
    rows.save_to_disk(tmp_path / "saved")
    rows.to_parquet(tmp_path / "rows.parquet")
    forms = [
        load_from_disk(tmp_path / "saved"),
        Dataset.from_parquet(str(tmp_path / "rows.parquet"), cache_dir=str(tmp_path / "cache")),
        concatenate_datasets([rows.select(range(5)), rows.select(range(5, 8))]),
        concatenate_datasets([rows, rows]).select([0, 9, 2, 11, 4, 13, 6, 15]),
        rows.add_column("other", [1] * 8).rename_column("query", "anchor").with_format("numpy"),
    ]
    for form in forms:
        assert scan_positives([form], FIND, corpus, home).fingerprint == want
    assert reads == [rows]


CHANGES: dict[str, list[Any]] = {
    "query": ["r", "q"],
    "positive": [["beta"], ["gamma"]],
    "query_id": [None, "2"],
}


@pytest.mark.parametrize("column", CHANGES)
def test_changed_rows_are_read_again(tmp_path: Path, reads: list[Any], column: str) -> None:
    columns = {"query_id": ["1", "2"], "query": ["q", "r"], "positive": [["beta", "gamma"], ["a"]]}
    corpus = Corpus(DOCUMENTS)
    scan_positives([Dataset.from_dict(columns)], FIND, corpus, tmp_path)
    changed = Dataset.from_dict({**columns, column: CHANGES[column]})
    if column == "query_id":
        with pytest.raises(QueryError, match="the query's id is None"):
            scan_positives([changed], FIND, corpus, tmp_path)
    else:
        want = {pair(-1, "a")} if column == "query" else {pair(1, "beta")}
        assert known(scan_positives([changed], FIND, corpus, tmp_path), "q") == want
    assert len(reads) == 2


def test_a_column_of_another_type_is_explained(tmp_path: Path) -> None:
    rows = Dataset.from_dict({"query": [{"text": "q"}], "positive": ["beta"]})
    with pytest.raises(QueryError, match=r"the query is \{"):
        scan_positives([rows], FIND, Corpus(DOCUMENTS), tmp_path)


def test_a_table_that_is_gone_is_made_again(tmp_path: Path, reads: list[Any]) -> None:
    rows = Dataset.from_dict({"query": ["q"], "positive": ["beta"]})
    table = scan_positives([rows], FIND, Corpus(DOCUMENTS), tmp_path)
    shutil.rmtree(table.folder)
    again = scan_positives([rows], FIND, Corpus(DOCUMENTS), tmp_path)
    assert (known(again, "q"), len(reads)) == ({pair(1, "beta")}, 2)


# -- the positives as the corpus -------------------------------------------------------------


@pytest.mark.usefixtures("small_batches")
def test_distinct_texts_in_the_order_in_which_they_come() -> None:
    texts = ["b", "a", "b", "A", "c", "a", "d"]
    want = {"0": "b", "1": "a", "2": "A", "3": "c", "4": "d"}
    rows = [{"query": "q", "positive": [text]} for text in texts]
    for parts in ([Dataset.from_list(rows)], [stream(rows)], [stream(rows[:3]), stream(rows[3:])]):
        got = positives_as_corpus(parts, FIND)
        assert list(got.items()) == list(want.items())


@pytest.mark.usefixtures("small_batches")
def test_the_ids_that_the_positives_have() -> None:
    rows = Dataset.from_dict(
        {"query": ["q"] * 5, "pos": [["x", "y"], ["z"], ["x"], ["y"], ["z"]],
         "pos_ids": [[5, 6], [7], [5], [6], [7]]}
    )  # fmt: skip
    assert positives_as_corpus([rows], FIND) == {"5": "x", "6": "y", "7": "z"}
    only = rows.remove_columns("pos")
    with pytest.raises(CorpusError, match=r"by id \('pos_ids'\) and there is no corpus"):
        positives_as_corpus([only], FIND)


@pytest.mark.usefixtures("small_batches")
def test_an_id_of_two_texts_loses_neither() -> None:
    rows = {"query": list("abcde"), "pos": list("vwxyz"), "pos_id": [1, 2, 3, 4, 1]}
    with pytest.raises(QueryError, match=r"'1' stands for two texts, 'v'.* and 'z'"):
        positives_as_corpus([Dataset.from_dict(rows)], FIND)


def test_columns_and_batches_of_streams(tmp_path: Path) -> None:
    def rows() -> Iterator[dict[str, str]]:
        yield from ({"query": f"q{n}", "positive": f"p{n}"} for n in range(5))

    data = IterableDataset.from_generator(rows)
    assert column_names(data) == ["query", "positive"]
    assert [len(batch["query"]) for batch in batches_of(data, 2)] == [2, 2, 1]
    mapped = data.map(lambda row: {"question": row["query"]}, remove_columns=["query"])
    assert sorted(column_names(mapped)) == ["positive", "question"]
    shuffled = Dataset.from_list(list(rows())).select([4, 0, 2])
    assert [batch["query"].to_pylist() for batch in batches_of(shuffled, 2)] == [
        ["q4", "q0"],
        ["q2"],
    ]
    with pytest.raises(HardNegError):
        scan_positives([stream([])], FIND, Corpus(DOCUMENTS), tmp_path)
