"""Which columns are the query, the positives and the negatives, and what is read from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from hf_hardneg import training_rows
from hf_hardneg.errors import ColumnError, ParameterError
from hf_hardneg.hashing import text_key
from hf_hardneg.training_rows import KeyLists, TrainingColumns, read_keys, read_queries, row_count

OWNER = "a sampler"


def lists(keys: KeyLists) -> list[list[int]]:
    return [part.tolist() for part in np.split(keys.keys, keys.offsets[1:-1])]


def keyed(*texts: str) -> list[int]:
    return [text_key(text) for text in texts]


def test_columns_are_read_in_the_order_of_the_losses() -> None:
    data = Dataset.from_dict(
        {
            "anything": ["a", "b"],
            "score": [0.5, 1.0],
            "what": ["p", "P "],
            "n1": ["x", None],
            "n2": [["y", "z"], []],
        }
    )
    keys = read_keys(OWNER, data, TrainingColumns())
    assert keys.queries.tolist() == keyed("a", "b")
    assert lists(keys.positives) == [keyed("p"), keyed("p")]
    assert lists(keys.negatives) == [keyed("x", "y", "z"), []]


def test_columns_by_name() -> None:
    data = Dataset.from_dict({"id": [1, 2], "n": ["x", "y"], "p": ["p", "r"], "q": ["a", "b"]})
    named = TrainingColumns("q", "p", ["n"])
    keys = read_keys(OWNER, data, named)
    assert keys.queries.tolist() == keyed("a", "b")
    assert lists(keys.positives) == [keyed("p"), keyed("r")]
    assert lists(keys.negatives) == [keyed("x"), keyed("y")]
    assert lists(read_keys(OWNER, data, TrainingColumns("q", "p", [])).negatives) == [[], []]
    both = read_keys(OWNER, data, TrainingColumns("q", ["p", "n"], []))
    assert lists(both.positives) == [keyed("p", "x"), keyed("r", "y")]
    # What is named for the negatives is not found for the positives by its place.
    data = data.select_columns(["q", "n", "p"])
    assert lists(read_keys(OWNER, data, TrainingColumns(negatives="n")).positives)[0] == keyed("p")


def test_labels_and_the_name_of_the_data_set_are_no_texts() -> None:
    columns = {"dataset_name": ["d"], "rating": [1], "q": ["a"], "p": ["b"]}
    data = Dataset.from_dict(columns)
    keys = read_keys(OWNER, data, TrainingColumns(labels=["label", "rating"]))
    assert keys.queries.tolist() == keyed("a")
    assert lists(keys.negatives) == [[]]
    assert read_queries(OWNER, data, TrainingColumns(labels=["rating"])) == ["a"]


def test_a_transform_is_read_and_not_what_lies_behind_it() -> None:
    table = {"a": "one", "b": "two"}
    data = Dataset.from_dict({"query_id": ["a", "b"], "n": [1, 2]})
    data.set_transform(
        lambda batch: {
            "query": [table[key] for key in batch["query_id"]],
            "positive": [f"document {key}" for key in batch["query_id"]],
        }
    )
    assert read_queries(OWNER, data, TrainingColumns()) == ["one", "two"]
    keys = read_keys(OWNER, data, TrainingColumns())
    assert lists(keys.positives) == [keyed("document a"), keyed("document b")]


def test_a_format_of_arrays_changes_nothing() -> None:
    data = Dataset.from_dict({"q": ["a", "b"], "p": [["x"], ["y", "z"]]})
    keys = read_keys(OWNER, data.with_format("numpy"), TrainingColumns())
    assert lists(keys.positives) == [keyed("x"), keyed("y", "z")]


def test_reading_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Dataset.from_dict(
        {"q": list("abcde"), "p": ["p", "r", "s", "t", "u"], "n": [["x"], [], ["y", "z"], [], []]}
    )
    whole = read_keys(OWNER, data, TrainingColumns())
    monkeypatch.setattr(training_rows, "ROWS_AT_ONCE", 2)
    parts = read_keys(OWNER, data, TrainingColumns())
    assert parts.queries.tolist() == whole.queries.tolist()
    assert lists(parts.negatives) == lists(whole.negatives)
    assert read_queries(OWNER, data, TrainingColumns()) == list("abcde")


@pytest.mark.parametrize(
    ("columns", "asked", "message"),
    [
        ({"q": [None], "p": ["b"]}, {}, "column 'q', row 0: None"),
        ({"q": ["a", "b"], "p": ["b", None]}, {}, "column 'p', row 1: None"),
        ({"q": ["a"], "p": [[]]}, {}, "expected a text or a list of texts"),
        ({"q": ["a"], "p": ["b"], "n": [3]}, {}, r"column 'n', row 0: 3 \(int\)"),
        ({"q": ["a"], "p": ["b"], "n": [[1.5]]}, {}, "Name the columns of texts"),
        ({"q": ["a"]}, {}, "no column of positives among q"),
        ({"label": [1]}, {}, "no column of texts"),
        ({"query": ["a"], "p": ["b"]}, {"query": "qury"}, "Did you mean 'query'"),
        ({"q": ["a"], "p": ["b"]}, {"negatives": ["m"]}, "negative_columns"),
        ({"q": ["a"], "p": ["b"]}, {"positives": "p", "negatives": "p"}, "two of query"),
        ({"q": ["a"], "p": ["b"]}, {"positives": "q"}, "one role a column"),
    ],
)
def test_what_cannot_be_read(columns: dict[str, Any], asked: Any, message: str) -> None:
    with pytest.raises(ColumnError, match=message):
        read_keys(OWNER, Dataset.from_dict(columns), TrainingColumns(**asked))


def test_what_has_no_rows() -> None:
    data = Dataset.from_dict({"q": ["a"], "p": ["b"]})
    assert row_count(OWNER, data) == 1
    with pytest.raises(ParameterError, match="has no rows"):
        row_count(OWNER, data.select([]))
    with pytest.raises(ParameterError, match="do not apply to streams"):
        row_count(OWNER, data.to_iterable_dataset())
    with pytest.raises(ParameterError, match="expected a Dataset of the library"):
        read_keys(OWNER, [{"q": "a"}], TrainingColumns())
