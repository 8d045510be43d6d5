r"""A TREC run of the hard negatives, and the qrels of the positives.

As ``trec_eval`` reads them, columns separated by one space and without a header:

- ``hard_negatives.run``: ``qid Q0 docid rank score tag``, rank 1 first
- ``qrels.txt``: ``qid 0 docid 1``, one line for each positive

``trec_eval`` orders a run by score and ignores the rank, so the lines of a query are sorted by
score, and rows of equal score keep their order. A run cannot say that a score is unknown. If one
is unknown for a query, its negatives keep the order of the row, the score column counts down from
their number to 1, and the tag is ``hf-hardneg-by-rank`` in place of ``hf-hardneg``.

Ids with white space are refused, because they would shift the columns. Rows of one query must
follow each other, and become one: a run names a document once for a query.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hf_hardneg.errors import FormatError
from hf_hardneg.formats.merge_rows import one_row_per_query
from hf_hardneg.formats.mined_row import MinedRow
from hf_hardneg.formats.output_file import OutputFile
from hf_hardneg.formats.request import WriteRequest
from hf_hardneg.formats.row_checks import all_known
from hf_hardneg.formats.row_ids import rows_with_document_ids

__all__ = ["write_trec"]

_TAG = "hf-hardneg"
_TAG_BY_RANK = "hf-hardneg-by-rank"


def write_trec(request: WriteRequest) -> list[Path]:
    """Write ``hard_negatives.run`` and ``qrels.txt``."""
    rows = rows_with_document_ids(request.rows, "trec")
    with (
        OutputFile(request.folder / "hard_negatives.run") as run,
        OutputFile(request.folder / "qrels.txt") as qrels,
    ):
        for row in one_row_per_query(rows, "trec"):
            query_id = _checked(row.query_id)
            for document_id in row.positive_ids:
                qrels.write(f"{query_id} 0 {_checked(document_id)} 1\n")
            tag = _TAG if all_known(row.negative_scores) else _TAG_BY_RANK
            for rank, (document_id, score) in enumerate(_ranked(row), start=1):
                run.write(f"{query_id} Q0 {_checked(document_id)} {rank} {score!r} {tag}\n")
    request.tally.rows_written = request.tally.rows_in
    return [run.path, qrels.path]


def _ranked(row: MinedRow) -> Iterator[tuple[str, float]]:
    """Yield (document id, score) with scores that never rise."""
    if not all_known(row.negative_scores):
        for place, document_id in enumerate(row.negative_ids):
            yield document_id, float(len(row.negative_ids) - place)
        return
    scores = [float(score) for score in row.negative_scores]
    for place in sorted(range(len(scores)), key=lambda place: -scores[place]):
        yield row.negative_ids[place], scores[place]


def _checked(name: str) -> str:
    if name.split() != [name]:
        raise FormatError(
            f"The id {name!r} has white space. TREC files are columns separated by white space. "
            "Expected an id without it. Rename it, or choose another format."
        )
    return name
