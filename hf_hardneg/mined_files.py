"""Files of rows as one memory-mapped data set, and files of texts by id."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, concatenate_datasets

from hf_hardneg.beir import queries_file
from hf_hardneg.columns import POSITIVE_ID_NAMES, POSITIVE_NAMES, QUERY_ID_NAMES, QUERY_NAMES
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import FormatError
from hf_hardneg.mined_records import kept_parquet, kept_records
from hf_hardneg.mined_set import (
    NEGATIVE_ID_NAMES,
    NEGATIVE_NAMES,
    NUMBERED,
    POSITIVE_SCORE_NAMES,
    SCORE_NAMES,
)
from hf_hardneg.readers import DELIMITERS, Record, file_kind, open_text, read_lines, read_records

__all__ = ["open_file", "query_lookup", "text_lookup"]

HEADERLESS = ("query", "positive", "negative_1")
"""Names of the fields of a TSV file of triples, as MS MARCO gives them; more are negatives."""
LISTS = frozenset((*NEGATIVE_NAMES, *NEGATIVE_ID_NAMES, *POSITIVE_NAMES, *POSITIVE_ID_NAMES,
                   *SCORE_NAMES, *POSITIVE_SCORE_NAMES, "passages", "labels"))  # fmt: skip
NUMBERS = frozenset((*SCORE_NAMES, *POSITIVE_SCORE_NAMES))
HEADER = frozenset((*LISTS, *QUERY_NAMES, *QUERY_ID_NAMES, "label", "score"))
LOOKUP_FIELDS = (2, 3)


def open_file(paths: Sequence[Path]) -> Dataset:
    """Return the rows of files of one kind, one after the other.

    Raises:
        FormatError: a file is damaged, of an unknown kind, or holds no rows.
    """
    kind = file_kind(paths[0])
    stats = [path.stat() for path in paths]
    identity = [
        [str(path.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
        for path, stat in zip(paths, stats, strict=True)
    ]
    where = str(paths[0])
    if kind == ".parquet":
        return kept_parquet(paths, identity)
    if kind == ".arrow":
        return concatenate_datasets([_arrow(path) for path in paths])
    return kept_records(lambda: _records(paths), identity, where)


def _arrow(path: Path) -> Dataset:
    """Open an Arrow file, in the file format or the streaming format, without reading it."""
    try:
        source = pa.memory_map(str(path))
        try:
            table = pa.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            table = pa.ipc.open_stream(source).read_all()
        return Dataset(table)
    except pa.ArrowException as error:
        raise FormatError(f"{path} cannot be read as Arrow: {error}") from error


def _records(paths: Sequence[Path]) -> Iterator[Record]:
    for path in paths:
        if file_kind(path) == ".json" and (whole := _document(path)):
            yield from map(_usual, whole)
            continue
        delimited = file_kind(path) in DELIMITERS
        if delimited and (found := _headerless(path)):
            yield from found
            continue
        for record in read_records(path):
            yield _of_fields(record) if delimited else _usual(record)


def _document(path: Path) -> list[Record]:
    """Return the records of a file that is one JSON list; empty for one with a record a line."""
    with open_text(path) as stream:
        start = stream.read(1)
        while start.isspace():
            start = stream.read(1)
        if start != "[":
            return []
        try:
            whole = json.loads(start + stream.read())
        except ValueError as error:
            raise FormatError(f"{path} is not valid JSON: {error}") from error
    if not all(isinstance(record, dict) for record in whole):
        raise FormatError(f"{path}: expected a JSON list of objects, one for each row.")
    records: list[Record] = whole
    return records


# -- fields of text --------------------------------------------------------------------------------


def _headerless(path: Path) -> Iterator[Record] | None:
    """Return the triples of a TSV file without a header, ``None`` for any other file."""
    if file_kind(path) != ".tsv":
        return None
    with open_text(path) as lines:
        first = lines.readline().rstrip("\r\n").split("\t")
    if len(first) < len(HEADERLESS) or _is_header(first):
        return None
    return _triples(path, len(first))


def _is_header(fields: Sequence[str]) -> bool:
    return any(name in HEADER or NUMBERED.fullmatch(name) for name in fields)


def _triples(path: Path, width: int) -> Iterator[Record]:
    names = [*HEADERLESS, *(f"negative_{place}" for place in range(2, width - 1))]
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.rstrip("\r\n").split("\t")
        if fields == [""]:
            continue
        if len(fields) != width:
            raise FormatError(
                f"{path}, line {number}: {len(fields)} fields where the first line has {width}; "
                "expected query, positive and negatives, separated by tabs."
            )
        yield dict(zip(names, fields, strict=True))


def _of_fields(record: Record) -> Record:
    """Read what the fields of a CSV or TSV file stand for.

    A list stands as JSON. An empty field of a score, or of a numbered negative, is a missing one.
    """
    out: dict[str, Any] = {}
    for name, value in record.items():
        if value == "" and (name in NUMBERS or NUMBERED.fullmatch(name)):
            out[name] = None
        else:
            out[name] = _json_list(value) if name in LISTS else value
    return out


def _json_list(value: str) -> Any:  # noqa: ANN401
    if not (value.startswith("[") and value.endswith("]")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value  # a text in brackets


def _usual(record: Record) -> Record:
    """Return a record with columns of usual names, where its own say otherwise."""
    if "messages" in record and "negative_messages" in record:
        return _ms_swift(record)
    return _contrastors(record)


def _ms_swift(record: Record) -> Record:
    """Read the messages of the three sides: a text is what its messages hold, one below another."""
    return {
        "query": _content(record["messages"]),
        "positives": [_content(one) for one in record.get("positive_messages") or []],
        "negatives": [_content(one) for one in record["negative_messages"] or []],
    }


def _content(messages: object) -> str:
    own = messages if isinstance(messages, list) else []
    parts = [one.get("content") for one in own if isinstance(one, dict)]
    return "\n".join(part for part in parts if isinstance(part, str))


def _contrastors(record: Record) -> Record:
    """Give the columns that a record's own objective names their usual names."""
    metadata = record.get("metadata")
    objective = metadata.get("objective") if isinstance(metadata, dict) else None
    triplets = objective.get("triplet") if isinstance(objective, dict) else None
    if not (triplets and isinstance(triplets[0], list) and len(triplets[0]) == len(HEADERLESS)):
        return record
    usual = dict(zip(triplets[0], ("query", "positive", "negatives"), strict=True))
    return {usual.get(name, name): value for name, value in record.items() if name != "metadata"}


# -- texts by id -----------------------------------------------------------------------------------


def query_lookup(source: object) -> Corpus:
    """Return the texts of queries by id, of anything that :func:`text_lookup` takes.

    Of a folder in BEIR layout, it is the queries that are meant.
    """
    if isinstance(source, str | os.PathLike):
        folder = Path(source).expanduser()
        if os.path.isdir(folder) and (found := queries_file(folder)):
            return text_lookup(found)
    return text_lookup(source)


def text_lookup(source: object) -> Corpus:
    """Return documents, or other texts, by id.

    Args:
        source: what a corpus is made of; besides, data with ``query_id``, and TSV files without a
            header, ``id`` and text (and a title), as ColBERT and MS MARCO have them.
    """
    if isinstance(source, Dataset):
        return Corpus(source, **_columns_of(source.column_names))
    if not isinstance(source, str | os.PathLike) or not os.path.isfile(Path(source).expanduser()):
        return Corpus.of(source)
    path = Path(source).expanduser()
    if file_kind(path) == ".tsv":
        with open_text(path) as lines:
            first = lines.readline().rstrip("\r\n").split("\t")
        if len(first) in LOOKUP_FIELDS and not _names_text(first):
            return Corpus(_pairs(path))
    return Corpus(path, **_columns_of(list(next(iter(read_records(path)), {}))))


def _columns_of(names: Sequence[str]) -> dict[str, str]:
    """Return the columns of data that are named as those of queries are."""
    found = {}
    if "query_id" in names and not {"_id", "id"} & set(names):
        found["id_column"] = "query_id"
    if "query" in names and "text" not in names:
        found["text_column"] = "query"
    return found


def _names_text(fields: Sequence[str]) -> bool:
    return any(name in ("text", "_id", "id", "docid", "document", "passage") for name in fields)


def _pairs(path: Path) -> Iterator[dict[str, str]]:
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.rstrip("\r\n").split("\t")
        if len(fields) not in LOOKUP_FIELDS:
            raise FormatError(
                f"{path}, line {number}: {len(fields)} fields; expected an id and a text, "
                "separated by a tab."
            )
        title = fields[2] if len(fields) == max(LOOKUP_FIELDS) else ""
        yield {"_id": fields[0], "title": title, "text": fields[1]}
