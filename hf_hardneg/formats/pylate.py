r"""PyLate's training files, for knowledge distillation and for contrastive training.

For knowledge distillation, as ``pylate.utils.KDProcessing`` joins them, ``train.jsonl``,
``queries.jsonl`` and ``documents.jsonl``::

    {"query_id":"q1","document_ids":["d1","d2"],"scores":[9.1,2.0]}
    {"query_id":"q1","text":"…"}
    {"document_id":"d1","text":"…"}

One line of ``train.jsonl`` for each positive: the positive first, then the negatives. PyLate
makes one tensor of a batch's scores, so every score must be known, and all lines must be of one
length: give ``num_negatives`` where rows differ. Rows with fewer negatives, and rows with an
unknown score, are left out and counted. All documents given are written. An id that is not among
them is refused, because PyLate would train on an empty text in its place.

For contrastive training, ``train.jsonl``, one line for each positive::

    {"query":"q","positive":"p","negative_1":"n1","negative_2":"n2"}

Every line has exactly ``num_negatives`` negatives, the first ones of the row; rows with fewer are
left out and counted.

Open each file by its name (``data_files=…``): their columns differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hf_hardneg.errors import FormatError
from hf_hardneg.formats.mined_row import MinedRow
from hf_hardneg.formats.output_file import OutputFile, write_json_lines
from hf_hardneg.formats.request import Tally, WriteRequest
from hf_hardneg.formats.row_checks import all_known, has_enough_negatives
from hf_hardneg.formats.row_ids import QueryNumbers, numbered_documents, rows_with_document_ids

__all__ = ["write_pylate", "write_pylate_contrastive"]


def write_pylate(request: WriteRequest) -> list[Path]:
    """Write ``train.jsonl``, ``queries.jsonl`` and ``documents.jsonl``."""
    numbers: dict[str, int] = {}
    folder = request.folder
    documents = write_json_lines(
        folder / "documents.jsonl",
        (
            {"document_id": document.id, "text": document.text}
            for _, document in numbered_documents(request.documents, numbers)
        ),
    )
    with (
        OutputFile(folder / "train.jsonl") as train,
        OutputFile(folder / "queries.jsonl") as queries,
    ):
        _write_rows(request, numbers, train, queries)
    _check_some_scores(request.tally)
    return [train.path, queries.path, documents]


def write_pylate_contrastive(request: WriteRequest) -> list[Path]:
    """Write ``train.jsonl`` with the texts in columns."""
    return [write_json_lines(request.folder / "train.jsonl", _contrastive_lines(request))]


def _write_rows(
    request: WriteRequest, known: dict[str, int], train: OutputFile, queries: OutputFile
) -> None:
    numbers = QueryNumbers()
    for row in rows_with_document_ids(request.rows, "pylate", known):
        if not has_enough_negatives(row, request):
            continue
        negative_scores = row.negative_scores[: request.num_negatives]
        if not (all_known(row.positive_scores) and all_known(negative_scores)):
            request.tally.rows_without_scores += 1
            continue
        if numbers.add(row)[1]:
            queries.json({"query_id": row.query_id, "text": row.query})
        _write_train_lines(row, request.num_negatives, train)
        request.tally.rows_written += 1


def _write_train_lines(row: MinedRow, num_negatives: int | None, train: OutputFile) -> None:
    for positive_id, positive_score in zip(row.positive_ids, row.positive_scores, strict=True):
        train.json(
            {
                "query_id": row.query_id,
                "document_ids": [positive_id, *row.negative_ids[:num_negatives]],
                "scores": [positive_score, *row.negative_scores[:num_negatives]],
            }
        )


def _check_some_scores(tally: Tally) -> None:
    if tally.rows_without_scores and not tally.rows_written:
        raise FormatError(
            f"No row can be written: {tally.rows_without_scores} of {tally.rows_in} have unknown "
            "scores. The format 'pylate' needs the score of every document. Mine with a retriever "
            "that gives scores and without random documents, or write 'pylate-contrastive'."
        )


def _contrastive_lines(request: WriteRequest) -> Iterator[dict[str, str]]:
    for row in request.rows:
        if not has_enough_negatives(row, request):
            continue
        request.tally.rows_written += 1
        negatives = {
            f"negative_{number}": text
            for number, text in enumerate(row.negatives[: request.num_negatives], start=1)
        }
        for positive in row.positives:
            yield {"query": row.query, "positive": positive, **negatives}
