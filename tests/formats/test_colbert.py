"""ColBERT files, read back as ColBERT's loaders read them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hardneg.errors import FormatError
from hf_hardneg.formats.mined_row import Document, MinedRow

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def columns(path: Path) -> list[list[str]]:
    """Split a TSV file as a text file with universal newlines, which is how ColBERT opens it."""
    with path.open(encoding="utf-8") as lines:
        return [line.rstrip("\n").split("\t") for line in lines]


def one_line(text: str) -> str:
    """Return ``text`` without the characters that would break its line or column."""
    return text.replace("\t", " ").replace("\n", " ").replace("\r", " ")


def test_collection_pid_is_the_line_index(
    write: Any, json_lines: Any, rows: list[MinedRow], documents: list[Document]
) -> None:
    _, folder = write("colbert", rows, documents)
    assert columns(folder / "collection.tsv") == [
        [str(index), one_line(document.text)] for index, document in enumerate(documents)
    ]
    assert json_lines(folder / "pids.jsonl") == [
        {"pid": index, "id": document.id} for index, document in enumerate(documents)
    ]


def test_queries_triples_and_counts(
    write: Any, json_lines: Any, rows: list[MinedRow], documents: list[Document]
) -> None:
    written, folder = write("colbert", rows, documents)
    written_rows = rows[:3]  # the fourth has no negatives
    assert columns(folder / "queries.tsv") == [
        [str(index), one_line(row.query)] for index, row in enumerate(written_rows)
    ]
    assert json_lines(folder / "qids.jsonl") == [
        {"qid": index, "id": row.query_id} for index, row in enumerate(written_rows)
    ]
    names = [document.id for document in documents]
    found = [(qid, names[p], names[n]) for qid, p, n in json_lines(folder / "triples.jsonl")]
    assert found == [
        (qid, positive, negative)
        for qid, row in enumerate(written_rows)
        for positive in row.positive_ids
        for negative in row.negative_ids
    ]
    assert (written.rows_in, written.rows_written) == (4, 3)
    assert (written.rows_without_negatives, written.rows_without_scores) == (1, 1)


def test_nway_lines(
    write: Any, json_lines: Any, rows: list[MinedRow], documents: list[Document]
) -> None:
    _, folder = write("colbert", rows, documents)
    assert json_lines(folder / "nway.jsonl") == [
        [0, [0, 9.25], [1, 2.0], [2, -1.5]],
        [1, [1, 1.0], [3, 1e-07], [0, 0.25], [5, 0.1]],
        [1, [4, 0.5], [3, 1e-07], [0, 0.25], [5, 0.1]],
    ]


def test_nway_of_fixed_width(
    write: Any, json_lines: Any, rows: list[MinedRow], documents: list[Document]
) -> None:
    written, folder = write("colbert", rows, documents, num_negatives=3)
    assert [line[0] for line in json_lines(folder / "nway.jsonl")] == [1, 1]
    assert len(json_lines(folder / "triples.jsonl")) == 2 + 6 + 2
    assert written.rows_too_few == 2
    _, folder = write("colbert", rows, documents, num_negatives=1)
    # with one negative, the unknown score of the third row's second one does not matter
    assert [len(line) for line in json_lines(folder / "nway.jsonl")] == [3] * 4


def test_no_nway_file_without_scores(
    write: Any, make_row: Callable[..., MinedRow], documents: list[Document]
) -> None:
    row = make_row("q", {"d1": None}, {"d2": None})
    written, folder = write("colbert", [row], documents)
    assert not (folder / "nway.jsonl").exists()
    assert written.rows_written == written.rows_without_scores == 1


def test_a_query_on_two_rows_is_one_query(
    write: Any, json_lines: Any, make_row: Callable[..., MinedRow], documents: list[Document]
) -> None:
    rows = [
        make_row("a", {"d1": 1.0}, {"d2": 0.5}),
        make_row("b", {"d3": 1.0}, {"d2": 0.5}),
        make_row("b", {"d3": 1.0}, {"d4": 0.5}),
        make_row("a", {"d4": 1.0}, {"d2": 0.5}),
    ]
    _, folder = write("colbert", rows, documents)
    assert [qid for qid, _ in columns(folder / "queries.tsv")] == ["0", "1"]
    assert [line[0] for line in json_lines(folder / "triples.jsonl")] == [0, 1, 1, 0]


def test_one_id_with_two_texts_is_refused(
    write: Any, make_row: Callable[..., MinedRow], documents: list[Document]
) -> None:
    rows = [make_row("a", {"d1": 1.0}, {"d2": 0.5}, query=text) for text in ("one", "two")]
    with pytest.raises(FormatError, match="'a' stands for two texts"):
        write("colbert", rows, documents)


def test_blank_query_is_refused(
    write: Any, make_row: Callable[..., MinedRow], documents: list[Document]
) -> None:
    row = make_row("a", {"d1": 1.0}, {"d2": 0.5}, query="\t \u2003")
    with pytest.raises(FormatError, match="'a' has no text but white space"):
        write("colbert", [row], documents)


@settings(max_examples=25, deadline=None)
@given(texts=st.lists(TEXT, min_size=4, max_size=4))
def test_any_text_stays_on_its_line(
    write: Any, json_lines: Any, text_row: Any, texts: list[str]
) -> None:
    texts[0] = "q" + texts[0]
    row, corpus = text_row(texts)
    _, folder = write("colbert", [row], corpus)
    collection = [text for _, text in columns(folder / "collection.tsv")]
    ((qid, query),) = columns(folder / "queries.tsv")
    ((line_qid, *scored),) = json_lines(folder / "nway.jsonl")
    assert (int(qid), query) == (line_qid, one_line(texts[0]))
    assert [collection[pid] for pid, _ in scored] == [one_line(text) for text in texts[1:]]
    assert [score for _, score in scored] == [2.5, 1.5, -0.5]
