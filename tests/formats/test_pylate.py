"""Both PyLate forms, read back with the json module and joined as PyLate joins them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hardneg.errors import FormatError, ParameterError
from hf_hardneg.formats.mined_row import Document, MinedRow

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def test_distillation_values(
    write: Any, json_lines: Any, rows: list[MinedRow], documents: list[Document]
) -> None:
    written, folder = write("pylate", rows, documents)
    assert json_lines(folder / "documents.jsonl") == [
        {"document_id": document.id, "text": document.text} for document in documents
    ]
    assert json_lines(folder / "queries.jsonl") == [
        {"query_id": row.query_id, "text": row.query} for row in rows[:2]
    ]
    assert json_lines(folder / "train.jsonl") == [
        {
            "query_id": row.query_id,
            "document_ids": [positive, *row.negative_ids],
            "scores": [score, *row.negative_scores],
        }
        for row in rows[:2]
        for positive, score in zip(row.positive_ids, row.positive_scores, strict=True)
    ]
    assert (written.rows_in, written.rows_written) == (4, 2)
    assert (written.rows_without_negatives, written.rows_without_scores) == (1, 1)


def test_distillation_lines_of_one_length(
    write: Any, json_lines: Any, rows: list[MinedRow], documents: list[Document]
) -> None:
    written, folder = write("pylate", rows, documents, num_negatives=2)
    lines = json_lines(folder / "train.jsonl")
    assert {len(line["scores"]) for line in lines} == {3}
    assert {len(line["document_ids"]) for line in lines} == {3}
    written, folder = write("pylate", rows, documents, num_negatives=3)
    assert (written.rows_written, written.rows_too_few) == (1, 2)


def test_distillation_writes_a_query_once(
    write: Any, json_lines: Any, make_row: Callable[..., MinedRow], documents: list[Document]
) -> None:
    rows = [make_row("a", {name: 1.0}, {"d2": 0.5}) for name in ("d1", "d3")]
    _, folder = write("pylate", rows, documents)
    assert len(json_lines(folder / "queries.jsonl")) == 1
    assert [line["document_ids"] for line in json_lines(folder / "train.jsonl")] == [
        ["d1", "d2"],
        ["d3", "d2"],
    ]


def test_distillation_without_any_score_is_refused(
    write: Any, make_row: Callable[..., MinedRow], documents: list[Document]
) -> None:
    row = make_row("a", {"d1": None}, {"d2": None})
    with pytest.raises(FormatError, match="pylate-contrastive"):
        write("pylate", [row], documents)


def test_unknown_document_is_refused(
    write: Any, rows: list[MinedRow], documents: list[Document]
) -> None:
    with pytest.raises(FormatError, match="'q1', negative 2: the id 'd3'"):
        write("pylate", rows, documents[:2])


def test_contrastive_values(write: Any, json_lines: Any, rows: list[MinedRow]) -> None:
    written, folder = write("pylate-contrastive", rows, num_negatives=2)
    lines = json_lines(folder / "train.jsonl")
    assert lines == [
        {
            "query": row.query,
            "positive": positive,
            "negative_1": row.negatives[0],
            "negative_2": row.negatives[1],
        }
        for row in rows[:3]
        for positive in row.positives
    ]
    # PyLate takes the columns by their order
    assert {tuple(line) for line in lines} == {("query", "positive", "negative_1", "negative_2")}
    assert (written.rows_in, written.rows_written, written.rows_without_negatives) == (4, 3, 1)


def test_contrastive_counts_rows_with_too_few(
    write: Any, json_lines: Any, rows: list[MinedRow]
) -> None:
    written, folder = write("pylate-contrastive", rows, num_negatives=3)
    assert len(json_lines(folder / "train.jsonl")) == 2  # one row with two positives
    assert (written.rows_in, written.rows_written) == (4, 1)
    assert (written.rows_without_negatives, written.rows_too_few) == (1, 2)


@pytest.mark.parametrize("number", [None, 0, -1])
def test_contrastive_needs_a_number(write: Any, rows: list[MinedRow], number: int | None) -> None:
    with pytest.raises(ParameterError, match="num_negatives"):
        write("pylate-contrastive", rows, num_negatives=number)


@settings(max_examples=25, deadline=None)
@given(texts=st.lists(TEXT, min_size=4, max_size=4))
def test_any_text_survives(write: Any, json_lines: Any, text_row: Any, texts: list[str]) -> None:
    row, corpus = text_row(texts)
    _, folder = write("pylate-contrastive", [row], num_negatives=2)
    (line,) = json_lines(folder / "train.jsonl")
    assert list(line.values()) == texts

    _, folder = write("pylate", [row], corpus)
    (line,) = json_lines(folder / "train.jsonl")
    (query,) = json_lines(folder / "queries.jsonl")
    by_id = {d["document_id"]: d["text"] for d in json_lines(folder / "documents.jsonl")}
    assert [query["text"], *(by_id[name] for name in line["document_ids"])] == texts
    assert line["scores"] == [2.5, 1.5, -0.5]
