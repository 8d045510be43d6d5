r"""A data set in BEIR's layout, with the hard negatives beside it.

As ``beir.datasets.data_loader.GenericDataLoader`` reads it:

- ``corpus.jsonl``: ``{"_id":"d1","title":"","text":"…"}``, all documents given
- ``queries.jsonl``: ``{"_id":"q1","text":"…"}``
- ``qrels/train.tsv``: ``query-id\tcorpus-id\tscore``, with this header (BEIR skips the first line
  whatever it holds); the positives, each with score 1

BEIR has no place for negatives. They are not written as judgements of score 0, because a mined
negative is not judged. They stand in a file of their own:

- ``hard_negatives.tsv``: ``query-id\tcorpus-id\tscore\trank``, with this header; rank 1 is the
  first negative of the row, and the score is empty where it is unknown

Both TSV files are written by the ``csv`` module, as BEIR reads them: an id with a quotation mark
is quoted. Ids with a tab, newline or carriage return are refused. Rows of one query must follow
each other, and become one.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from hf_hardneg.errors import FormatError, OutputError
from hf_hardneg.formats.merge_rows import one_row_per_query
from hf_hardneg.formats.mined_row import MinedRow
from hf_hardneg.formats.output_file import OutputFile, write_json_lines
from hf_hardneg.formats.request import WriteRequest
from hf_hardneg.formats.row_ids import numbered_documents, rows_with_document_ids

__all__ = ["write_beir"]


def write_beir(request: WriteRequest) -> list[Path]:
    """Write the files of this module's description."""
    folder = request.folder
    numbers: dict[str, int] = {}
    corpus = write_json_lines(
        folder / "corpus.jsonl",
        (
            {"_id": _checked(document.id), "title": "", "text": document.text}
            for _, document in numbered_documents(request.documents, numbers)
        ),
    )
    try:
        (folder / "qrels").mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"Cannot make the folder {folder / 'qrels'}: {error.strerror}. Expected a folder that "
            "can be written. Choose another one."
        ) from error
    with (
        OutputFile(folder / "queries.jsonl") as queries,
        OutputFile(folder / "qrels" / "train.tsv") as qrels,
        OutputFile(folder / "hard_negatives.tsv") as negatives,
    ):
        _write_rows(request, numbers, queries, qrels, negatives)
    return [corpus, queries.path, qrels.path, negatives.path]


def _write_rows(
    request: WriteRequest,
    known: dict[str, int],
    queries: OutputFile,
    qrels: OutputFile,
    negatives: OutputFile,
) -> None:
    qrels_table = csv.writer(qrels, delimiter="\t", lineterminator="\n")
    negatives_table = csv.writer(negatives, delimiter="\t", lineterminator="\n")
    qrels_table.writerow(["query-id", "corpus-id", "score"])
    negatives_table.writerow(["query-id", "corpus-id", "score", "rank"])
    rows = rows_with_document_ids(request.rows, "beir", known)
    for row in one_row_per_query(rows, "beir"):
        queries.json({"_id": _checked(row.query_id), "text": row.query})
        qrels_table.writerows([row.query_id, document_id, 1] for document_id in row.positive_ids)
        negatives_table.writerows(_negative_lines(row))
    request.tally.rows_written = request.tally.rows_in


def _negative_lines(row: MinedRow) -> list[list[Any]]:
    scored = zip(row.negative_ids, row.negative_scores, strict=True)
    return [
        [row.query_id, document_id, "" if score is None else repr(float(score)), rank]
        for rank, (document_id, score) in enumerate(scored, start=1)
    ]


def _checked(name: str) -> str:
    if any(character in name for character in "\t\n\r"):
        raise FormatError(
            f"The id {name!r} has a tab, a newline or a carriage return. BEIR's qrels are columns "
            "separated by tabs. Expected an id without them. Rename it, or choose another format."
        )
    return name
