"""From records to a table on disk: the columns take the types that their values have.

A file of a million rows is read a batch at a time, and at no time held as Python objects. The
type of a column is found while it is read; where a later value does not fit, the file is begun
anew with the wider type, which happens a few times at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from hf_hardneg.cache import cache_root, content_hash, published_folder
from hf_hardneg.errors import FormatError
from hf_hardneg.readers import Record

__all__ = ["Records", "kept_parquet", "kept_records"]

VERSION = 1
AT_ONCE = 2_000
ROWS = "rows.arrow"

Records = Callable[[], Iterable[Record]]
"""Gives all records, from the beginning, each time it is called."""

Kind = tuple[bool, str]
"""Whether there are lists, and of what: ``null``, ``int``, ``float``, ``text``, ``passage``, or
``other``, which is left out."""

NOTHING: Kind = (False, "null")
PASSAGE = pa.struct([("docid", pa.string()), ("title", pa.string()), ("text", pa.string())])
TYPES = {"null": pa.string(), "int": pa.int64(), "float": pa.float64(), "text": pa.string(),
         "passage": PASSAGE}  # fmt: skip


def kept_records(records: Records, identity: Sequence[object], where: str) -> Dataset:
    """Return records as a memory-mapped data set, which is kept in the cache.

    Args:
        records: gives them; called again if a column turns out to be of a wider type.
        identity: what tells these records from others; values that JSON can write.
        where: what they are called in messages.

    Raises:
        FormatError: there are none, or whatever reading them raises.
    """
    home = cache_root() / "mined" / content_hash(VERSION, *identity)
    try:
        folder = published_folder(home, lambda staging: _write(records, staging / ROWS, where))
    except UnicodeEncodeError as error:
        raise FormatError(
            f"{where} holds a text that cannot be written as UTF-8 ({error}): half of a surrogate "
            "pair. Clean it, for example with text.encode('utf-8', 'replace').decode()."
        ) from error
    return Dataset.from_file(str(folder / ROWS))


def kept_parquet(paths: Sequence[Path], identity: Sequence[object]) -> Dataset:
    """Return Parquet files as one memory-mapped data set, which is kept in the cache.

    Raises:
        FormatError: a file is damaged, or of other columns than the first.
    """

    def build(staging: Path) -> None:
        with pa.OSFile(str(staging / ROWS), "wb") as sink:
            schema = pq.read_schema(paths[0]).remove_metadata()
            with pa.ipc.new_stream(sink, schema) as writer:
                for path in paths:
                    for batch in pq.ParquetFile(path).iter_batches(AT_ONCE):
                        writer.write_batch(batch.replace_schema_metadata(None))

    home = cache_root() / "mined" / content_hash(VERSION, *identity)
    try:
        return Dataset.from_file(str(published_folder(home, build) / ROWS))
    except pa.ArrowException as error:
        raise FormatError(f"{paths[0]} cannot be read as Parquet: {error}") from error


# -- types -----------------------------------------------------------------------------------------


def _element(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "other"
    if isinstance(value, int):
        return "int" if -(2**63) <= value < 2**63 else "other"
    if isinstance(value, float):
        return "float"
    return "passage" if isinstance(value, Mapping) and "text" in value else "other"


def _wider(one: str, other: str) -> str:
    """Return what holds both: numbers beside texts are ids, and become texts."""
    if one == other or "null" in (one, other):
        return other if one == "null" else one
    if {one, other} == {"int", "float"}:
        return "float"
    return "text" if {one, other} <= {"int", "float", "text"} else "other"


def _kind(values: Iterable[object], known: Kind) -> Kind:
    listed, element = known
    for value in values:
        if isinstance(value, list | tuple):
            listed = True
            for one in value:
                element = _wider(element, _element(one))
        elif value is not None:
            # A dict that is no list of passages is no column of a mined set.
            found = _element(value)
            element = _wider(element, "other" if found == "passage" else found)
    return listed, element


def _as(value: object, element: str) -> object:
    if value is None or element in ("int", "float"):
        return value
    if isinstance(value, Mapping):
        named = {name: value.get(name) for name in ("docid", "title", "text")}
        if named["docid"] is None:
            named["docid"] = value.get("id", value.get("_id"))
        return {name: None if own is None else str(own) for name, own in named.items()}
    return str(value)


def _array(values: Iterable[object], kind: Kind) -> pa.Array:
    listed, element = kind
    if not listed:
        return pa.array([_as(value, element) for value in values], TYPES[element])
    lists = [
        None if value is None
        else [_as(one, element) for one in (value if isinstance(value, list | tuple) else [value])]
        for value in values
    ]  # fmt: skip
    return pa.array(lists, pa.list_(TYPES[element]))


# -- writing ---------------------------------------------------------------------------------------


def _write(records: Records, path: Path, where: str) -> None:
    kinds: dict[str, Kind] = {}
    while True:
        wider = _written(records(), path, kinds)
        if wider is None:
            break
        kinds = wider
    if not kinds:
        raise FormatError(f"{where} holds no rows; expected a mined set.")


def _written(
    records: Iterable[Record], path: Path, kinds: dict[str, Kind]
) -> dict[str, Kind] | None:
    """Write all; return wider types if these are too narrow."""
    batches = _batches(records)
    first = next(batches, None)
    if first is None:
        return None
    kinds.update(_kinds(first, kinds))
    kept = {name: kind for name, kind in kinds.items() if _is_kept(name, kind)}
    fields = [(name, pa.list_(TYPES[kind[1]]) if kind[0] else TYPES[kind[1]])
              for name, kind in kept.items()]  # fmt: skip
    schema = pa.schema(fields)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        batch: list[Record] | None = first
        while batch is not None:
            found = _kinds(batch, kinds)
            if {name: kind for name, kind in found.items() if _differs(kind, kinds.get(name))}:
                return found
            columns = [_array([row.get(name) for row in batch], kept[name]) for name in kept]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            batch = next(batches, None)
    return None


def _is_kept(name: str, kind: Kind) -> bool:
    """Scores of which none is there are none: what needs scores says so, and counts nothing."""
    return kind[1] != "other" and not (kind[1] == "null" and "score" in name)


def _differs(kind: Kind, known: Kind | None) -> bool:
    return known is None or kind != known


def _kinds(batch: Sequence[Record], known: Mapping[str, Kind]) -> dict[str, Kind]:
    names = dict.fromkeys([*known, *(name for row in batch for name in row)])
    return {
        name: _kind((row.get(name) for row in batch), known.get(name, NOTHING)) for name in names
    }


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    iterator = iter(records)
    while batch := list(islice(iterator, AT_ONCE)):
        yield batch
