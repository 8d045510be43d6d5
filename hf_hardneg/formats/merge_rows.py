"""One row for each query, for the formats that rank the documents of a query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from hf_hardneg.errors import FormatError
from hf_hardneg.formats.mined_row import MinedRow
from hf_hardneg.formats.row_ids import QueryNumbers

__all__ = ["one_row_per_query"]

_Scored = dict[str, tuple[str, float | None]]


def one_row_per_query(rows: Iterable[MinedRow], format_name: str) -> Iterator[MinedRow]:
    """Yield the rows, those of one query that follow each other made into one.

    A data set often has a row for each positive of a query. Their documents are joined, each
    document once, with the score that it has first; a positive of one row is no negative of
    another. No more than the rows of one query are held.

    Raises:
        FormatError: rows of one query are apart, or have different texts.
    """
    queries = QueryNumbers()
    for query_id, group in groupby(rows, key=lambda row: row.query_id):
        members = list(group)
        if not queries.add(members[0])[1]:
            raise FormatError(
                f"The rows of query {query_id!r} are apart. The format {format_name!r} lists the "
                "documents of a query together. Sort the rows by query id."
            )
        for member in members[1:]:
            queries.add(member)
        yield _merged(members)


def _merged(rows: list[MinedRow]) -> MinedRow:
    positives: _Scored = {}
    negatives: _Scored = {}
    for row in rows:
        _add(positives, row.positive_ids, row.positives, row.positive_scores)
        _add(negatives, row.negative_ids, row.negatives, row.negative_scores)
    for document_id in positives:
        negatives.pop(document_id, None)
    return MinedRow(
        query_id=rows[0].query_id,
        query=rows[0].query,
        positive_ids=list(positives),
        positives=[text for text, _ in positives.values()],
        positive_scores=[score for _, score in positives.values()],
        negative_ids=list(negatives),
        negatives=[text for text, _ in negatives.values()],
        negative_scores=[score for _, score in negatives.values()],
    )


def _add(into: _Scored, ids: list[str], texts: list[str], scores: list[float | None]) -> None:
    for document_id, text, score in zip(ids, texts, scores, strict=True):
        into.setdefault(document_id, (text, score))
