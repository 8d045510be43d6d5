"""Queries and judgements in BEIR layout, and judgements in TREC form."""

from __future__ import annotations

import csv
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from hf_hardneg.errors import FormatError, QueryError, did_you_mean, listing
from hf_hardneg.readers import open_text, read_records

__all__ = [
    "default_split",
    "join_judgements",
    "judged_queries",
    "queries_file",
    "read_qrels",
    "read_queries",
    "split_names",
]

TREC_FIELDS = 4
BEIR_FIELDS = 3
HEADER = "query-id\tcorpus-id\tscore"
SPLIT_ORDER = ("train", "dev", "test")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _judgement(path: Path, number: int, fields: list[str], form: int) -> tuple[str, str, float]:
    where = f"{path}, line {number}"
    if len(fields) != form:
        raise FormatError(f"{where}: {len(fields)} fields; expected {form} as in the lines before.")
    query, document, grade = fields[0], fields[form - 2], fields[-1]
    if not query or not document:
        raise FormatError(f"{where}: an id is empty; expected two ids and a score.")
    if not (_is_number(grade) and math.isfinite(float(grade))):
        raise FormatError(f"{where}: the score is {grade!r}; expected a number.")
    return query, document, float(grade)


def _fields(line: str) -> list[str]:
    """Split a line at its tabs, else at white space; an id may be quoted, as BEIR reads it."""
    fields = next(csv.reader([line], delimiter="\t")) if '"' in line else line.split("\t")
    return fields if len(fields) >= BEIR_FIELDS else line.split()


def read_qrels(path: Path) -> Iterator[tuple[str, str, float]]:
    """Yield (query id, document id, grade) of a file of judgements.

    Two forms are known: BEIR, three fields separated by tabs WITH a header line, and TREC,
    ``qid 0 docid grade`` separated by white space. A file of three fields without a header is
    refused: other readers take its first judgement for the header and lose it.

    Raises:
        FormatError: no header, a line with another number of fields, or a damaged file. Names the
            line.
    """
    number, form = 0, 0
    try:
        with open_text(path) as lines:
            for number, line in enumerate(lines, start=1):
                fields = _fields(line.rstrip("\r\n"))
                if not any(fields):
                    continue
                if not form:
                    form = _form(path, number, fields)
                    if form == BEIR_FIELDS:
                        continue
                yield _judgement(path, number, fields, form)
    except (UnicodeDecodeError, OSError, EOFError, zlib.error, csv.Error) as error:
        raise FormatError(f"{path}, after line {number}: cannot be read ({error}).") from error
    if not form:
        raise FormatError(f"{path} holds no judgements; expected a header and judgements.")


def _form(path: Path, number: int, fields: list[str]) -> int:
    """Return the number of fields of the file's form, judged by its first line."""
    if len(fields) == TREC_FIELDS and _is_number(fields[-1]):
        return TREC_FIELDS
    if len(fields) != BEIR_FIELDS:
        raise FormatError(
            f"{path}, line {number}: {len(fields)} fields; expected three with a header "
            f"({HEADER!r}, BEIR) or four (qid 0 docid grade, TREC)."
        )
    if _is_number(fields[-1]):
        raise FormatError(
            f"{path} has no header: its first line is a judgement, {' '.join(fields)!r}. Add the "
            f"line {HEADER!r} at the top, so that no reader loses the first judgement."
        )
    return BEIR_FIELDS


def queries_file(folder: Path) -> Path | None:
    """Return the queries file of a folder in BEIR layout, or ``None``."""
    paths = (folder / "queries.jsonl", folder / "queries.jsonl.gz")
    return next((path for path in paths if path.exists()), None)


def split_names(folder: Path) -> list[str]:
    """Return the splits that a BEIR folder has judgements for."""
    return sorted(path.stem for path in (folder / "qrels").glob("*.tsv"))


def default_split(folder: Path, split: str | None = None) -> Path:
    """Return the judgements of a split: the one asked for, else train, dev, or test.

    Raises:
        FormatError: the folder has no such split, or none at all.
    """
    names = split_names(folder)
    if not names:
        raise FormatError(
            f"{folder} has no judgements: expected qrels/train.tsv or qrels/test.tsv. Name a file "
            "of judgements with --qrels."
        )
    if split is None:
        split = next((name for name in SPLIT_ORDER if name in names), names[0])
    if split not in names:
        raise FormatError(
            f"{folder} has no judgements for the split {split!r}.{did_you_mean(split, names)} "
            f"It has: {listing(names)}."
        )
    return folder / "qrels" / f"{split}.tsv"


def read_queries(path: Path) -> dict[str, str]:
    """Return the texts of a file of ``{"_id", "text"}`` records by their ids.

    Raises:
        FormatError: a field is missing, an id stands twice, or the file is damaged.
    """
    texts: dict[str, str] = {}
    for number, record in enumerate(read_records(path), start=1):
        identity = record.get("_id", record.get("query_id", record.get("id")))
        text = record.get("text", record.get("query"))
        if identity is None or not isinstance(text, str):
            raise FormatError(
                f"{path}, query {number}: expected the fields _id and text, found "
                f"{listing(record)}."
            )
        if str(identity) in texts:
            raise FormatError(f"{path}, query {number}: the id {identity!r} stands twice.")
        texts[str(identity)] = text
    return texts


def judged_queries(queries: Path, qrels: Path) -> tuple[dict[str, list[object]], list[str]]:
    """Join queries with their positives, the documents with a grade above 0.

    Args:
        queries: a file of queries, with the fields ``_id`` and ``text``.
        qrels: a file of judgements.

    Returns:
        Columns ``query_id``, ``query`` and ``positive_ids``, in the order of the queries file;
        and notes that count what was left out.

    Raises:
        QueryError: a judged query is not in the queries file, or no query has a positive.
    """
    texts = read_queries(queries)
    return join_judgements(texts, read_qrels(qrels), str(queries), str(qrels), short=qrels.name)


def join_judgements(
    texts: Mapping[str, str],
    judgements: Iterable[tuple[str, str, float]],
    queries: str,
    qrels: str,
    *,
    short: str = "",
) -> tuple[dict[str, list[object]], list[str]]:
    """Join the texts of queries with their positives, the documents with a grade above 0.

    Args:
        texts: of the queries, by id.
        judgements: (query id, document id, grade).
        queries: what the queries are called in an error.
        qrels: what the judgements are called.
        short: what they are called in a note; by default the same.

    Returns:
        Columns and notes, as :func:`judged_queries`.

    Raises:
        QueryError: a judged query has no text, or no query has a positive.
    """
    positives: dict[str, list[str]] = {}
    missing: dict[str, None] = {}
    not_relevant = 0
    for query, document, grade in judgements:
        if query not in texts:
            missing[query] = None
        elif grade > 0:
            positives.setdefault(query, []).append(document)
        else:
            not_relevant += 1
    if missing:
        raise QueryError(
            f"{qrels} judges {len(missing)} queries that are not in {queries}, for example "
            f"{listing(map(repr, missing), limit=3)}. Give the queries that were judged."
        )
    if not positives:
        raise QueryError(
            f"{qrels} has no judgement above 0, so no query has a positive. Expected at least one."
        )
    ids = [query for query in texts if query in positives]
    notes = []
    if len(ids) < len(texts):
        notes.append(
            f"{len(texts) - len(ids):,} of {len(texts):,} queries have no positive in "
            f"{short or qrels} and were left out."
        )
    if not_relevant:
        notes.append(f"{not_relevant:,} judgements of score 0 or below are no positives.")
    columns: dict[str, list[object]] = {
        "query_id": list(ids),
        "query": [texts[query] for query in ids],
        "positive_ids": [list(dict.fromkeys(positives[query])) for query in ids],
    }
    return columns, notes
