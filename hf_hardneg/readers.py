"""Files of records: JSONL, CSV, TSV, Parquet and Arrow, one dict at a time."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from hf_hardneg.errors import FormatError, listing

__all__ = [
    "arrow_records", "file_kind", "open_text", "read_json_lines", "read_json_lists", "read_lines",
    "read_records",
]  # fmt: skip

JSON_LINES = (".jsonl", ".ndjson", ".json")
DELIMITERS = {".csv": ",", ".tsv": "\t"}
KINDS = (*JSON_LINES, *DELIMITERS, ".parquet", ".arrow")
PARQUET_BATCH = 8192

Record = Mapping[str, Any]


def open_text(path: Path) -> IO[str]:
    """Open a text file, gzip or plain, as UTF-8 without touching its line ends."""
    if path.suffix == ".gz":
        return cast(IO[str], gzip.open(path, "rt", encoding="utf-8-sig", newline="\n"))
    return path.open(encoding="utf-8-sig", newline="\n")


def _open_bytes(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":  # buffered once more: gzip gives single lines slowly
        return io.BufferedReader(cast(Any, gzip.open(path)))
    return path.open("rb")


def read_lines(path: Path) -> Generator[str, None, None]:
    """Yield the lines of a UTF-8 text file, gzip or plain, with their line ends.

    Raises:
        FormatError: the file is damaged. Names the line, which a decoder that reads ahead cannot.
    """
    number = 0
    try:
        with _open_bytes(path) as lines:
            for number, line in enumerate(lines, start=1):
                # The mark that some programs put at the beginning is no part of the text.
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}, line {number}: not UTF-8 text ({error}).") from error
    except (OSError, EOFError, zlib.error) as error:
        raise FormatError(f"{path}, after line {number}: cannot be read ({error}).") from error


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSONL file (gzip if it ends in .gz); blank lines are skipped.

    Raises:
        FormatError: a line is not a JSON object, or the file is damaged. Names file and line.
    """
    for number, record in _json_values(path):
        if not isinstance(record, dict):
            raise FormatError(
                f"{path}, line {number}: expected a JSON object, got {type(record).__name__}."
            )
        yield record


def read_json_lists(path: Path) -> Iterator[list[Any]]:
    """Yield the lists of a file with one JSON list a line, likewise.

    Raises:
        FormatError: a line is not a JSON list, or the file is damaged. Names file and line.
    """
    for number, record in _json_values(path):
        if not isinstance(record, list):
            raise FormatError(
                f"{path}, line {number}: expected a JSON list, got {type(record).__name__}."
            )
        yield record


def _json_values(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield (line number, value) of each line that is not blank."""
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except json.JSONDecodeError as error:
            raise FormatError(
                f"{path}, line {number}: not valid JSON ({error.msg}, column {error.colno}). "
                "Each line must be one complete JSON object."
            ) from error
        except (ValueError, RecursionError) as error:  # a number too long, brackets too deep
            raise FormatError(
                f"{path}, line {number}: cannot be read as JSON ({error})."
            ) from error


def read_delimited(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a CSV or TSV file with a header as dicts.

    TSV is read without quoting, as retrieval collections write it.

    Raises:
        FormatError: a row has more or fewer fields than the header, or a quote is not closed, or
            the file is damaged. Names file and line.
    """
    csv.field_size_limit(2**31 - 1)
    delimiter = DELIMITERS[file_kind(path)]
    quoting: Any = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    lines = read_lines(path)
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)
    try:
        header = next(reader, None)
        if header is None:
            raise FormatError(f"{path} is empty; expected a header line and documents.")
        for fields in reader:
            if not fields:
                continue
            if len(fields) != len(header):
                raise FormatError(
                    f"{path}, line {reader.line_num}: {len(fields)} fields where the header "
                    f"({listing(header)}) has {len(header)}."
                )
            yield dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise FormatError(
            f"{path}, line {reader.line_num}: not valid {delimiter!r}-separated text ({error}). "
            "Look for a quote that is not closed, or a carriage return inside a field."
        ) from error
    finally:
        lines.close()


def arrow_records(batches: Iterable[pa.RecordBatch]) -> Iterator[Record]:
    """Yield the rows of Arrow batches as dicts."""
    for batch in batches:
        yield from batch.to_pylist()


def read_arrow_file(path: Path) -> Iterator[Record]:
    """Yield the rows of an Arrow file, in the file format or the streaming format."""
    with pa.memory_map(str(path)) as source:
        try:
            reader: Any = pa.ipc.open_file(source)
            batches: Iterable[pa.RecordBatch] = (
                reader.get_batch(i) for i in range(reader.num_record_batches)
            )
        except pa.ArrowInvalid:
            source.seek(0)
            batches = pa.ipc.open_stream(source)
        yield from arrow_records(batches)


def file_kind(path: Path) -> str:
    """Return the file kind by its name, a trailing .gz aside."""
    return path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix


def read_records(path: Path) -> Iterator[Record]:
    """Yield the rows of one file: JSONL, Parquet, Arrow, CSV or TSV.

    Raises:
        FormatError: the kind of file is not known, or the file is damaged.
    """
    kind = file_kind(path)
    try:
        if kind in JSON_LINES:
            yield from read_json_lines(path)
        elif kind in DELIMITERS:
            yield from read_delimited(path)
        elif kind == ".parquet":
            yield from arrow_records(pq.ParquetFile(path).iter_batches(PARQUET_BATCH))
        elif kind == ".arrow":
            yield from read_arrow_file(path)
        else:
            raise FormatError(
                f"{path}: files of kind {kind or 'without a suffix'!r} are not read. Known: "
                ".jsonl, .jsonl.gz, .parquet, .arrow, .csv, .tsv, or a folder in BEIR layout."
            )
    except (pa.ArrowException, OSError) as error:
        raise FormatError(f"{path} cannot be read as {kind}: {error}") from error
