r"""Tevatron's training files, with the texts inline or by document id.

Both forms are read by ``tevatron.retriever.dataset.TrainDataset``. Inline, ``train.jsonl``::

    {"query_id":"1","query":"q","positive_passages":[{"docid":"d1","title":"","text":"p"}],
     "negative_passages":[{"docid":"d2","title":"","text":"n"}]}

(on one line). By id, ``train.jsonl`` and ``corpus.jsonl``::

    {"query_id":"1","query_text":"q","positive_document_ids":["d1"],"negative_document_ids":["d2"]}
    {"docid":"d1","text":"p"}

The title is the empty string, never ``null``: Tevatron adds it to the text as it is. Tevatron
has no place for scores. A row without negatives is written with an empty list and counted;
Tevatron trains on it only with ``train_group_size`` 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hf_hardneg.formats.output_file import write_json_lines
from hf_hardneg.formats.request import WriteRequest
from hf_hardneg.formats.row_ids import numbered_documents, rows_with_document_ids

__all__ = ["write_tevatron", "write_tevatron_ids"]


def write_tevatron(request: WriteRequest) -> list[Path]:
    """Write ``train.jsonl`` with the texts in each line."""
    return [write_json_lines(request.folder / "train.jsonl", _inline_lines(request))]


def write_tevatron_ids(request: WriteRequest) -> list[Path]:
    """Write ``train.jsonl`` with document ids, and ``corpus.jsonl`` with all documents."""
    numbers: dict[str, int] = {}
    corpus = write_json_lines(
        request.folder / "corpus.jsonl",
        (
            {"docid": document.id, "text": document.text}
            for _, document in numbered_documents(request.documents, numbers)
        ),
    )
    train = write_json_lines(request.folder / "train.jsonl", _id_lines(request, numbers))
    return [train, corpus]


def _inline_lines(request: WriteRequest) -> Iterator[dict[str, Any]]:
    for row in request.rows:
        request.tally.rows_written += 1
        yield {
            "query_id": row.query_id,
            "query": row.query,
            "positive_passages": _passages(row.positive_ids, row.positives),
            "negative_passages": _passages(row.negative_ids, row.negatives),
        }


def _passages(ids: list[str], texts: list[str]) -> list[dict[str, str]]:
    return [
        {"docid": document_id, "title": "", "text": text}
        for document_id, text in zip(ids, texts, strict=True)
    ]


def _id_lines(request: WriteRequest, numbers: dict[str, int]) -> Iterator[dict[str, Any]]:
    for row in rows_with_document_ids(request.rows, "tevatron-ids", numbers):
        request.tally.rows_written += 1
        yield {
            "query_id": row.query_id,
            "query_text": row.query,
            "positive_document_ids": row.positive_ids,
            "negative_document_ids": row.negative_ids,
        }
