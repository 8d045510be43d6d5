r"""ColBERT's training files: a collection, queries, triples, and n-way lines.

As ``colbert.evaluation.loaders`` and ``colbert.data.examples`` of ColBERT read them:

- ``collection.tsv``: ``pid\ttext``, where pid is the index of the line
- ``queries.tsv``: ``qid\ttext``, where qid is the index of the line; each query once
- ``triples.jsonl``: ``[qid,pid+,pid-]``, one line for each positive with each negative
- ``nway.jsonl``: ``[qid,[pid,score],…]``, the positive first; one line for each positive
- ``pids.jsonl``, ``qids.jsonl``: ``{"pid":0,"id":"d1"}`` and ``{"qid":0,"id":"q1"}``, from
  ColBERT's numbers back to the ids of the input

Each tab, newline and carriage return in a text becomes a space, because a text must stay on its
line and in its column.

Triples need no scores and hold every row that has a negative. An n-way line needs all scores of
its row and, with ``num_negatives``, that many negatives: ColBERT takes the first ``nway``
passages of a line and fails on a shorter one, so set ``nway = 1 + num_negatives``. Rows that lack
either are counted. If no row can be an n-way line, there is no ``nway.jsonl``.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from hf_hardneg.errors import FormatError
from hf_hardneg.formats.mined_row import MinedRow
from hf_hardneg.formats.output_file import OutputFile
from hf_hardneg.formats.request import WriteRequest
from hf_hardneg.formats.row_checks import all_known, has_enough_negatives
from hf_hardneg.formats.row_ids import QueryNumbers, numbered_documents, rows_with_document_ids

__all__ = ["write_colbert"]

_ONE_LINE = str.maketrans("\t\n\r", "   ")


@dataclass(frozen=True)
class _Files:
    queries: OutputFile
    qids: OutputFile
    triples: OutputFile
    nway: OutputFile


def write_colbert(request: WriteRequest) -> list[Path]:
    """Write the files of this module's description."""
    pids: dict[str, int] = {}
    folder = request.folder
    collection = _write_collection(request, pids)
    with ExitStack() as stack:
        names = ("queries.tsv", "qids.jsonl", "triples.jsonl", "nway.jsonl")
        files = _Files(*(stack.enter_context(OutputFile(folder / name)) for name in names))
        _write_rows(request, pids, files)
    paths = [collection, files.queries.path, files.triples.path]
    if files.nway.lines:
        paths.append(files.nway.path)
    else:
        files.nway.path.unlink()
    return [*paths, folder / "pids.jsonl", files.qids.path]


def _write_collection(request: WriteRequest, pids: dict[str, int]) -> Path:
    path = request.folder / "collection.tsv"
    with OutputFile(path) as collection, OutputFile(request.folder / "pids.jsonl") as mapping:
        for pid, document in numbered_documents(request.documents, pids):
            collection.write(f"{pid}\t{document.text.translate(_ONE_LINE)}\n")
            mapping.json({"pid": pid, "id": document.id})
    return path


def _write_rows(request: WriteRequest, pids: dict[str, int], files: _Files) -> None:
    queries = QueryNumbers()
    for row in rows_with_document_ids(request.rows, "colbert", pids):
        if not row.negatives:
            continue
        qid, is_new = queries.add(row)
        if is_new:
            _write_query(qid, row, files)
        for positive, negative in product(row.positive_ids, row.negative_ids):
            files.triples.json([qid, pids[positive], pids[negative]])
        request.tally.rows_written += 1
        if has_enough_negatives(row, request):
            _write_nway(request, row, qid, pids, files.nway)


def _write_query(qid: int, row: MinedRow, files: _Files) -> None:
    text = row.query.translate(_ONE_LINE)
    if not text.strip():
        # ColBERT strips the line before it splits it, and stops where the second column is gone
        raise FormatError(
            f"Query {row.query_id!r} has no text but white space. ColBERT cannot read such a "
            "query. Drop the row."
        )
    files.queries.write(f"{qid}\t{text}\n")
    files.qids.json({"qid": qid, "id": row.query_id})


def _write_nway(
    request: WriteRequest, row: MinedRow, qid: int, pids: dict[str, int], nway: OutputFile
) -> None:
    width = request.num_negatives
    scores = row.negative_scores[:width]
    if not (all_known(row.positive_scores) and all_known(scores)):
        request.tally.rows_without_scores += 1
        return
    negatives = [pids[document_id] for document_id in row.negative_ids[:width]]
    scored_negatives = list(zip(negatives, scores, strict=True))
    for document_id, score in zip(row.positive_ids, row.positive_scores, strict=True):
        nway.json([qid, (pids[document_id], score), *scored_negatives])
