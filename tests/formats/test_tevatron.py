"""Both Tevatron forms, read back with the json module and with datasets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hardneg.errors import FormatError
from hf_hardneg.formats.mined_row import Document, MinedRow

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def passages(ids: list[str], texts: list[str]) -> list[dict[str, str]]:
    """Return what Tevatron should find."""
    return [{"docid": i, "title": "", "text": t} for i, t in zip(ids, texts, strict=True)]


def test_inline_values(write: Any, json_lines: Any, rows: list[MinedRow]) -> None:
    written, folder = write("tevatron", rows)
    assert json_lines(folder / "train.jsonl") == [
        {
            "query_id": row.query_id,
            "query": row.query,
            "positive_passages": passages(row.positive_ids, row.positives),
            "negative_passages": passages(row.negative_ids, row.negatives),
        }
        for row in rows
    ]
    assert (written.rows_in, written.rows_written, written.rows_without_negatives) == (4, 4, 1)


def test_inline_holds_a_positive_outside_the_corpus(write: Any, json_lines: Any) -> None:
    row = MinedRow("q", "query", [""], ["outside"], [None], ["d1"], ["n"], [1.0])
    _, folder = write("tevatron", [row])
    (line,) = json_lines(folder / "train.jsonl")
    assert line["positive_passages"] == [{"docid": "", "title": "", "text": "outside"}]


def test_by_id_values(
    write: Any, json_lines: Any, rows: list[MinedRow], documents: list[Document]
) -> None:
    written, folder = write("tevatron-ids", rows, documents)
    assert written.files == [folder / "train.jsonl", folder / "corpus.jsonl"]
    assert json_lines(folder / "corpus.jsonl") == [
        {"docid": document.id, "text": document.text} for document in documents
    ]
    assert json_lines(folder / "train.jsonl") == [
        {
            "query_id": row.query_id,
            "query_text": row.query,
            "positive_document_ids": row.positive_ids,
            "negative_document_ids": row.negative_ids,
        }
        for row in rows
    ]


def test_by_id_refuses_an_unknown_document(
    write: Any, make_row: Callable[..., MinedRow], documents: list[Document]
) -> None:
    row = make_row("q7", {"d1": 1.0}, {"d6": 0.5})
    with pytest.raises(FormatError, match="'q7', negative 1: the id 'd6' is not among"):
        write("tevatron-ids", [row], documents[:5])


@settings(max_examples=25, deadline=None)
@given(texts=st.lists(TEXT, min_size=4, max_size=4))
def test_any_text_survives(write: Any, json_lines: Any, text_row: Any, texts: list[str]) -> None:
    row, corpus = text_row(texts)
    _, folder = write("tevatron", [row])
    (line,) = json_lines(folder / "train.jsonl")
    found = line["positive_passages"] + line["negative_passages"]
    assert [line["query"], *(passage["text"] for passage in found)] == texts

    _, folder = write("tevatron-ids", [row], corpus)
    (line,) = json_lines(folder / "train.jsonl")
    by_id = {entry["docid"]: entry["text"] for entry in json_lines(folder / "corpus.jsonl")}
    ids = line["positive_document_ids"] + line["negative_document_ids"]
    assert [line["query_text"], *(by_id[name] for name in ids)] == texts


def load(path: Path, cache: Path) -> Any:
    """Open a JSONL file with datasets."""
    return datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(cache))


def test_datasets_reads_both(
    write: Any, rows: list[MinedRow], documents: list[Document], tmp_path: Path
) -> None:
    _, folder = write("tevatron", rows)
    table = load(folder / "train.jsonl", tmp_path)
    for row, line in zip(rows, table, strict=True):
        assert line["query"] == row.query
        assert line["positive_passages"] == passages(row.positive_ids, row.positives)
        assert line["negative_passages"] == passages(row.negative_ids, row.negatives)

    _, folder = write("tevatron-ids", rows, documents)
    table = load(folder / "train.jsonl", tmp_path)
    assert table["negative_document_ids"][:] == [row.negative_ids for row in rows]
    corpus = load(folder / "corpus.jsonl", tmp_path)
    assert corpus["text"][:] == [document.text for document in documents]
