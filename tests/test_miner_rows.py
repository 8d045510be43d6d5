"""Rows of query data that cannot be used: one clear error that names the row, before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict, IterableDataset
from mining import word_documents, word_rows

from hf_hardneg import OfflineMiner
from hf_hardneg.errors import ColumnError, HardNegError, QueryError

DOCUMENTS = word_documents(30)
ROWS = word_rows(DOCUMENTS, 8)


def mining(strategy: Any = "bm25", **options: Any) -> OfflineMiner:
    return OfflineMiner(strategy, **{"corpus": DOCUMENTS, "num_negatives": 3, **options})


def data(**columns: list[Any]) -> Dataset:
    return Dataset.from_dict(columns)


BAD_ROWS = {
    "query misspelt": (
        data(qurey=["a"], positive=["b"]),
        {},
        ColumnError,
        r"no query column.*found qurey, positive.*'query'",
    ),
    "positive misspelt": (
        data(query=["a"], positve=["b"]),
        {},
        ColumnError,
        r"no positive column.*found query, positve.*'positive'",
    ),
    "named column misspelt": (
        ROWS,
        {"query_column": "quer"},
        ColumnError,
        r"no column 'quer' \(query_column\).*'query'.*query, positive, number",
    ),
    "named positive misspelt": (
        ROWS,
        {"positive_column": "positives"},
        ColumnError,
        r"no column 'positives'.*Did you mean 'positive'",
    ),
    "named ids missing": (
        ROWS,
        {"positive_ids_column": "gold"},
        ColumnError,
        r"no column 'gold' \(positive_ids_column\)",
    ),
    "named query id missing": (
        ROWS,
        {"query_id_column": "nummer"},
        ColumnError,
        r"no column 'nummer'.*'number'",
    ),
    "no rows": (ROWS.select([]), {}, QueryError, r"no rows; expected at least one"),
    "no splits": (DatasetDict(), {}, QueryError, r"no rows; expected at least one"),
    "query None": (
        data(query=["a", None], positive=["b", "c"]),
        {},
        QueryError,
        r"'query', row 1: the query is None",
    ),
    "query empty": (
        data(query=["a", " \n"], positive=["b", "c"]),
        {},
        QueryError,
        r"'query', row 1: the query is empty",
    ),
    "query a number": (
        data(query=[1, 2], positive=["b", "c"]),
        {},
        QueryError,
        r"'query', row 0: the query is 1 \(int\)",
    ),
    "positive None": (
        data(query=["a", "b"], positive=["b", None]),
        {},
        QueryError,
        r"'positive', row 1: the row has no positive",
    ),
    "positive empty": (
        data(query=["a", "b"], positive=["b", ""]),
        {},
        QueryError,
        r"'positive', row 1: a positive is ''",
    ),
    "no positives": (
        data(query=["a", "b"], positive=[["b"], []]),
        {},
        QueryError,
        r"'positive', row 1: the row has no positive",
    ),
    "positive a number": (
        data(query=["a"], positive=[7]),
        {},
        QueryError,
        r"'positive', row 0: a positive is 7 \(int\)",
    ),
    "one of several empty": (
        data(query=["a"], positive=[["b", None]]),
        {},
        QueryError,
        r"'positive', row 0: a positive is None",
    ),
    "unknown id": (
        data(query=["a", "b"], positive_ids=["d3", "d99"]),
        {},
        QueryError,
        r"1 positive ids are not in the corpus, for example 'd99'.*30 documents",
    ),
    "other lengths": (
        data(query=["a"], positive=[["b", "c"]], positive_ids=[["d1"]]),
        {},
        QueryError,
        r"row 0: 2 texts but 1 ids",
    ),
    "ids of a fraction": (
        data(query=["a"], positive_ids=[1.5]),
        {},
        QueryError,
        r"'positive_ids', row 0: a positive is 1.5 \(float\)",
    ),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_rows_that_cannot_be_used(case: str, cache: Path) -> None:
    rows, options, kind, message = BAD_ROWS[case]
    known = mining(**options)
    for call in (known.mine, known.retrieve, known.knowing):
        if call == known.retrieve and isinstance(rows, DatasetDict):
            continue
        with pytest.raises(kind, match=f"(?s){message}") as caught:
            call(rows)
        assert isinstance(caught.value, HardNegError)
    assert not (cache / "maps").exists()
    if isinstance(rows, Dataset) and len(rows):
        with pytest.raises(kind, match=f"(?s){message}"):
            known.mine(rows.to_iterable_dataset())


def test_a_column_of_mixed_types_in_a_stream() -> None:
    rows = [{"query": "a", "positive": "b"}, {"query": 7, "positive": "c"}]
    stream = IterableDataset.from_generator(lambda: iter(rows))
    with pytest.raises(QueryError, match=r"'query', row 1: the query is 7 \(int\)"):
        mining().mine(stream)
    known = mining(positives=ROWS)
    with pytest.raises(QueryError, match=r"'query', row 1 of the batch: the query is 7 \(int\)"):
        list(stream.map(known, batched=True))


def test_long_texts_work() -> None:
    rows = data(query=["red car " * 50_000, "river"], positive=["blue " * 200_000, "boat"])
    mined = mining().mine(rows)
    assert [len(names) for names in mined["hard_negative_ids"]] == [3, 3]
