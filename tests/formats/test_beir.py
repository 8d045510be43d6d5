"""BEIR's layout, read back with the json and csv modules."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hardneg.errors import FormatError
from hf_hardneg.formats.mined_row import Document, MinedRow

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
IDS = st.text(st.characters(codec="utf-8", exclude_characters="\0\t\n\r"), min_size=1)


def table(path: Path) -> list[list[str]]:
    """Read a TSV file with the reader that BEIR uses."""
    with path.open(encoding="utf-8") as lines:
        return list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_MINIMAL))


def test_corpus_and_queries(
    write: Any, json_lines: Any, rows: list[MinedRow], documents: list[Document]
) -> None:
    written, folder = write("beir", rows, documents)
    assert json_lines(folder / "corpus.jsonl") == [
        {"_id": document.id, "title": "", "text": document.text} for document in documents
    ]
    assert json_lines(folder / "queries.jsonl") == [
        {"_id": row.query_id, "text": row.query} for row in rows
    ]
    assert (written.rows_in, written.rows_written, written.rows_without_negatives) == (4, 4, 1)


def test_qrels_have_the_header_and_only_positives(
    write: Any, rows: list[MinedRow], documents: list[Document]
) -> None:
    _, folder = write("beir", rows, documents)
    header, *lines = table(folder / "qrels" / "train.tsv")
    assert header == ["query-id", "corpus-id", "score"]
    assert lines == [[row.query_id, name, "1"] for row in rows for name in row.positive_ids]


def test_hard_negatives(write: Any, rows: list[MinedRow], documents: list[Document]) -> None:
    _, folder = write("beir", rows, documents)
    header, *lines = table(folder / "hard_negatives.tsv")
    assert header == ["query-id", "corpus-id", "score", "rank"]
    found = [(q, d, float(score) if score else None, int(rank)) for q, d, score, rank in lines]
    assert found == [
        (row.query_id, name, row.negative_scores[place], place + 1)
        for row in rows
        for place, name in enumerate(row.negative_ids)
    ]


def test_rows_of_one_query_become_one(
    write: Any, json_lines: Any, make_row: Callable[..., MinedRow], documents: list[Document]
) -> None:
    rows = [
        make_row("a", {"d1": 1.0}, {"d2": 0.5, "d3": 0.25}),
        make_row("a", {"d3": 1.0}, {"d2": 0.5, "d4": None}),
        make_row("b", {"d1": 1.0}, {"d4": 0.5}),
    ]
    written, folder = write("beir", rows, documents)
    assert [line["_id"] for line in json_lines(folder / "queries.jsonl")] == ["a", "b"]
    assert table(folder / "qrels" / "train.tsv")[1:] == [
        ["a", "d1", "1"],
        ["a", "d3", "1"],
        ["b", "d1", "1"],
    ]
    assert table(folder / "hard_negatives.tsv")[1:] == [
        ["a", "d2", "0.5", "1"],  # d3 is a positive of the other row
        ["a", "d4", "", "2"],
        ["b", "d4", "0.5", "1"],
    ]
    assert (written.rows_in, written.rows_written) == (3, 3)


def test_rows_of_one_query_apart_are_refused(
    write: Any, make_row: Callable[..., MinedRow], documents: list[Document]
) -> None:
    rows = [make_row(name, {"d1": 1.0}, {"d2": 0.5}) for name in ("a", "b", "a")]
    with pytest.raises(FormatError, match="'a' are apart"):
        write("beir", rows, documents)


@pytest.mark.parametrize("name", ["a\tb", "a\nb", "a\rb"])
def test_ids_that_break_a_column_are_refused(write: Any, name: str) -> None:
    row = MinedRow("q", "query", [name], ["p"], [1.0], [], [], [])
    with pytest.raises(FormatError, match="tab"):
        write("beir", [row], [Document(name, "p")])
    row = MinedRow(name, "query", ["p"], ["p"], [1.0], [], [], [])
    with pytest.raises(FormatError, match="tab"):
        write("beir", [row], [Document("p", "p")])


@settings(max_examples=25, deadline=None)
@given(texts=st.lists(TEXT, min_size=3, max_size=3), ids=st.lists(IDS, min_size=3, max_size=3))
def test_any_text_and_id_survive(
    write: Any, json_lines: Any, texts: list[str], ids: list[str]
) -> None:
    query_id, positive_id, negative_id = ids[0], "p" + ids[1], "n" + ids[2]
    row = MinedRow(
        query_id, texts[0], [positive_id], [texts[1]], [2.0], [negative_id], [texts[2]], [1.0]
    )
    corpus = [Document(positive_id, texts[1]), Document(negative_id, texts[2])]
    _, folder = write("beir", [row], corpus)
    by_id = {line["_id"]: line["text"] for line in json_lines(folder / "corpus.jsonl")}
    queries = {line["_id"]: line["text"] for line in json_lines(folder / "queries.jsonl")}
    _, (found_query, found_positive, _) = table(folder / "qrels" / "train.tsv")
    _, (again, found_negative, score, _) = table(folder / "hard_negatives.tsv")
    assert found_query == again
    assert [queries[found_query], by_id[found_positive], by_id[found_negative]] == texts
    assert float(score) == 1.0
