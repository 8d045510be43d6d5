"""Finding the columns of query data and reading their values, however they are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from hf_hardneg.columns import (
    POSITIVE_ID_NAMES,
    POSITIVE_NAMES,
    QUERY_ID_NAMES,
    QUERY_NAMES,
    QueryColumns,
    Ragged,
    RawBatch,
    find_columns,
    read_batch,
)
from hf_hardneg.errors import ColumnError, HardNegError, QueryError

NONE = QueryColumns()
TEXTS = QueryColumns("query", "positive", None, None)
IDS = QueryColumns("query", None, "ids", None)


# -- finding ---------------------------------------------------------------------------------


@pytest.mark.parametrize("query", QUERY_NAMES)
@pytest.mark.parametrize("positive", POSITIVE_NAMES)
def test_usual_names_of_texts(query: str, positive: str) -> None:
    assert find_columns(["x", positive, query], NONE) == QueryColumns(query, positive)


@pytest.mark.parametrize("name", QUERY_ID_NAMES)
@pytest.mark.parametrize("ids", POSITIVE_ID_NAMES)
def test_usual_names_of_ids(name: str, ids: str) -> None:
    assert find_columns([ids, "query", name], NONE) == QueryColumns("query", None, ids, name)


@pytest.mark.parametrize(
    "names",
    [
        ["query", "positive"],
        ["anchor", "positive"],
        ["question", "answer"],
        ["query", "pos", "neg"],
        ["sentence1", "sentence2"],
    ],
)
def test_the_data_sets_that_trainers_publish(names: list[str]) -> None:
    found = find_columns(names, NONE)
    assert [found.query, found.positive, found.positive_ids] == [*names[:2], None]


def test_texts_and_ids_are_both_found_and_naming_one_ignores_the_other() -> None:
    names = ["query", "positive", "positive_ids", "mine", "_id"]
    assert find_columns(names, NONE) == QueryColumns("query", "positive", "positive_ids", "_id")
    for name in ("positive", "mine"):
        found = find_columns(names, QueryColumns(positive=name))
        assert found == QueryColumns("query", name, None, "_id")
    for name in ("positive_ids", "mine"):
        found = find_columns(names, QueryColumns(positive_ids=name))
        assert found == QueryColumns("query", None, name, "_id")
    asked = QueryColumns("mine", "positive", "positive_ids", "query")
    assert find_columns(names, asked) == asked


def test_a_column_is_not_found_for_a_second_meaning() -> None:
    assert find_columns(["text", "answer"], QueryColumns("text")).positive == "answer"
    assert find_columns(["text", "positive_id"], QueryColumns("text")).positive is None
    assert find_columns(["query", "id"], QueryColumns(positive_ids="id")).query_id is None
    assert find_columns(["query", "pos", "pos_id"], QueryColumns(query_id="pos")).positive is None
    with pytest.raises(ColumnError, match="no positive column"):
        find_columns(["text", "label"], QueryColumns("text"))


@pytest.mark.parametrize(
    ("names", "asked", "said"),
    [
        (["qurey", "positive"], NONE, ["no query column", "found qurey, positive", "mean 'query'"]),
        (["query", "postive"], NONE, ["no positive column", "query, postive", "mean 'positive'"]),
        (["query", "label"], NONE, ["positive_column=", "positive_ids_column="]),
        ([], NONE, ["no query column", "found none"]),
        (["query", "positive"], QueryColumns("querry"), ["'querry' (query_column)", "'query'"]),
        (["query", "pos"], QueryColumns(positive="poss"), ["(positive_column)", "mean 'pos'"]),
        (["query", "pos", "gold"], QueryColumns(positive_ids="golds"), ["_ids_column)", "'gold'"]),
        (["query", "pos", "key"], QueryColumns(query_id="keys"), ["(query_id_column)", "'key'"]),
    ],
)
def test_a_missing_column_lists_what_there_is(
    names: list[str], asked: QueryColumns, said: list[str]
) -> None:
    with pytest.raises(ColumnError) as caught:
        find_columns(names, asked)
    for part in [*said, *names]:
        assert part in str(caught.value)


# -- reading ---------------------------------------------------------------------------------


def table(**columns: Any) -> pa.Table:
    return pa.table(columns)


def forms(columns: dict[str, list[Any]]) -> list[Any]:
    """The same batch in every form in which ``datasets`` may hand it over."""
    whole = Dataset.from_dict(columns)
    arrow = pa.table(columns)
    return [
        columns,
        arrow,
        pa.concat_tables([arrow, arrow]).slice(len(arrow)),
        pa.table({name: pa.chunked_array([[v] for v in arrow[name].to_pylist()], arrow[name].type)
                  for name in columns}),
        whole[:],
        whole.with_format("numpy")[:],
        whole.with_format("pandas")[:],
        whole.with_format("arrow")[:],
        next(iter(whole.to_iterable_dataset().with_format("numpy").iter(100))),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "want"),
    [
        (["p", "r"], [["p"], ["r"]]),
        ([["p"], ["r"]], [["p"], ["r"]]),
        ([["p", "s"], ["r"]], [["p", "s"], ["r"]]),
        ([["p", "p"], ["r", "p"]], [["p", "p"], ["r", "p"]]),
    ],
)
def test_one_positive_or_several(values: list[Any], want: list[list[str]]) -> None:
    for batch in forms({"query": ["a", "b"], "positive": values}):
        assert read_batch(batch, TEXTS) == RawBatch(["a", "b"], [], want, None)
    for batch in forms({"query": ["a", "b"], "ids": values}):
        assert read_batch(batch, IDS) == RawBatch(["a", "b"], [], None, want)


@pytest.mark.parametrize("values", [[7, 8], [[7], [8]], [["7"], ["8"]]])
def test_ids_that_are_numbers(values: list[Any]) -> None:
    for batch in forms({"query": ["a", "b"], "ids": values, "n": [1, 2]}):
        got = read_batch(batch, QueryColumns("query", None, "ids", "n"))
        assert got == RawBatch(["a", "b"], ["1", "2"], None, [["7"], ["8"]])
        assert len(got) == 2


def test_texts_with_their_ids() -> None:
    batch = {"query": ["a"], "positive": [["p", "r"]], "ids": [[1, 2]]}
    both = QueryColumns("query", "positive", "ids")
    assert read_batch(batch, both) == RawBatch(["a"], [], [["p", "r"]], [["1", "2"]])
    assert len(read_batch({"query": [], "positive": [], "ids": []}, both)) == 0
    batch = {"query": ["a", "b"], "positive": ["p", ["r", "s"]], "ids": ["1", "2"]}
    with pytest.raises(QueryError, match=r"row 11: 2 texts but 1 ids in 'ids'"):
        read_batch(batch, both, 10)


@pytest.mark.parametrize("value", [None, "", " \n", "\u2003", "\x1c", 5, 1.5, True, ["a"]])
def test_queries_that_cannot_be_used(value: Any) -> None:
    batch = {"query": ["a", value, "b"], "positive": ["p"] * 3}
    with pytest.raises(QueryError, match=r"column 'query', row 1 of the batch: the query is"):
        read_batch(batch, TEXTS)
    with pytest.raises(QueryError, match=r"column 'query', row 20001: the query is"):
        read_batch(batch, TEXTS, 20_000)
    if not isinstance(value, int | float | list):
        with pytest.raises(QueryError, match="column 'query', row 6: the query is"):
            read_batch(table(**batch), TEXTS, 5)


@pytest.mark.parametrize(
    "value", [None, "", "  ", "\x1d", [], [None], [""], ["p", " "], ["p", None]]
)
@pytest.mark.parametrize("columns", [TEXTS, IDS])
def test_positives_that_cannot_be_used(columns: QueryColumns, value: Any) -> None:
    name = columns.positive or columns.positive_ids
    good = ["p"] if isinstance(value, list) else "p"
    batch = {"query": ["a", "b", "c"], name: [good, good, value]}
    for form in (batch, table(**batch)):
        with pytest.raises(
            QueryError, match=rf"column '{name}', row 9: (a|the row has no) positive"
        ):
            read_batch(form, columns, 7)


@pytest.mark.parametrize("value", [5, 1.5, True, {"text": "p"}, [["p"]], b"p"])
def test_positives_of_other_types(value: Any) -> None:
    with pytest.raises(QueryError, match=r"row 0.*\((int|float|bool|dict|list|bytes)\).*texts"):
        read_batch({"query": ["a"], "positive": [value]}, TEXTS)
    if not isinstance(value, bool) and isinstance(value, int):
        return
    with pytest.raises(QueryError, match="whole numbers"):
        read_batch({"query": ["a"], "ids": [value]}, IDS)


@pytest.mark.parametrize("value", [None, ""])
def test_query_ids_that_are_missing_do_not_become_a_word(value: Any) -> None:
    batch = {"query": ["a", "b"], "positive": ["p", "r"], "_id": ["1", value]}
    with pytest.raises(QueryError, match=r"column '_id', row 31: .*query_id_column"):
        read_batch(batch, QueryColumns("query", "positive", None, "_id"), 30)


VALUES = st.one_of(st.none(), st.text(max_size=3), st.text(" \t\x1c\x85\u2003\u200b", max_size=2))


def outcome(batch: Any) -> RawBatch | str:
    try:
        return read_batch(batch, TEXTS, 0)
    except HardNegError as error:
        return str(error)


@given(
    st.lists(st.tuples(VALUES, VALUES, st.lists(VALUES, max_size=3)), min_size=1, max_size=4),
    st.booleans(),
)
def test_a_table_and_a_dict_are_read_alike(rows: list[tuple[Any, Any, Any]], lists: bool) -> None:
    queries = [row[0] for row in rows]
    positives = [row[2] if lists else row[1] for row in rows]
    kind = pa.list_(pa.string()) if lists else pa.string()
    arrow = table(query=pa.array(queries, pa.string()), positive=pa.array(positives, kind))
    assert outcome(arrow) == outcome({"query": queries, "positive": positives})


def test_a_frame_is_read_as_a_dict() -> None:
    frame = pd.DataFrame({"query": ["a"], "positive": [np.array(["p", "r"])]})
    assert read_batch(frame, TEXTS).positives == [["p", "r"]]  # type: ignore[arg-type]


@given(st.lists(st.lists(st.text(max_size=2), max_size=3), max_size=5), st.data())
def test_ragged_is_a_sequence_of_its_lists(lists: list[list[str]], data: st.DataObject) -> None:
    ragged = Ragged.of(lists)
    assert (len(ragged), list(ragged), ragged) == (len(lists), lists, lists)
    assert ragged.flat == [text for texts in lists for text in texts]
    assert Ragged.of(ragged) is ragged
    cut = data.draw(st.slices(len(lists)))
    assert ragged[cut] == lists[cut]
    assert ragged != [*lists, []]
