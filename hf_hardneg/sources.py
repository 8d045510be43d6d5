"""Where documents come from: every accepted source as batches of (ids, texts)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from datasets import (
    Dataset,
    DatasetDict,
    IterableDataset,
    IterableDatasetDict,
    load_dataset,
    load_from_disk,
)

from hf_hardneg.errors import ColumnError, CorpusError, FormatError, did_you_mean, listing
from hf_hardneg.readers import KINDS, Record, arrow_records, file_kind, read_records

__all__ = ["DocumentColumns", "document_batches", "source_files"]

ID_NAMES = ("_id", "id", "docid", "doc_id", "document_id", "pid", "passage_id", "corpus-id",
            "corpus_id")  # fmt: skip
USUAL_IDS = frozenset(ID_NAMES)
TEXT_NAMES = ("text", "passage", "document", "contents", "content", "body", "description")
TITLE_NAMES = ("title",)
BATCH = 8192

Batch = tuple[list[str], list[str]]
AnyDataset: TypeAlias = Dataset | DatasetDict | IterableDataset | IterableDatasetDict


@dataclass(frozen=True, slots=True)
class DocumentColumns:
    """Names of the columns of a document source; ``None`` means: find it by its usual name."""

    id: str | None = None
    text: str | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """The columns in use: no id means row numbers, no title adds nothing."""

    id: str | None
    text: str
    title: str | None


def _find_columns(names: Sequence[str], asked: DocumentColumns, where: str) -> _Found:
    """Choose id, text and title among ``names``; a name that was asked for must be there."""

    def find(wanted: str | None, usual: tuple[str, ...]) -> str | None:
        if wanted is None:
            return next((name for name in usual if name in names), None)
        if wanted not in names:
            raise ColumnError(
                f"{where} has no column {wanted!r}.{did_you_mean(wanted, names)} "
                f"Its columns are: {listing(names)}."
            )
        return wanted

    text = find(asked.text, TEXT_NAMES)
    if text is None:
        raise ColumnError(
            f"{where} has no text column: expected one of {listing(TEXT_NAMES)}, found "
            f"{listing(names)}. Name it: Corpus(source, text_column=...)."
        )
    return _Found(find(asked.id, ID_NAMES), text, find(asked.title, TITLE_NAMES))


def _id_of(value: object, row: int, where: str) -> str:
    """Return a document's id as text; only text and whole numbers are ids."""
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return str(value)
    raise CorpusError(
        f"the id of document {row} of {where} is {value!r}: an id is a text that is not empty, "
        "or a whole number. Mend the source, or leave the id column out to number the rows."
    )


def _text_of(value: object, row: int, where: str, what: str = "text") -> str:
    """Return a document's text or title; anything that is not text is refused."""
    if isinstance(value, str):
        return value
    kind = "missing (None)" if value is None else f"of type {type(value).__name__}"
    raise CorpusError(
        f"the {what} of document {row} of {where} is {kind}: expected text. "
        f"Mend or remove such rows, or name another column with {what}_column."
    )


def _joined(record: Record, found: _Found, row: int, where: str) -> str:
    """Return title and text joined by a space; an absent title adds nothing."""
    text = _text_of(record.get(found.text), row, where)
    title = record.get(found.title) if found.title else None
    if title is None or not _text_of(title, row, where, "title").strip():
        return text
    return f"{title} {text}".strip()


def _batched(documents: Iterable[tuple[str, str]]) -> Iterator[Batch]:
    """Group (id, text) pairs into batches of at most :data:`BATCH`."""
    iterator = iter(documents)
    while chunk := list(islice(iterator, BATCH)):
        yield [document[0] for document in chunk], [document[1] for document in chunk]


def _from_records(
    records: Iterable[Record], asked: DocumentColumns, where: str
) -> Iterator[tuple[str, str]]:
    """Yield (id, text) of records; the columns are found on the first one."""
    found: _Found | None = None
    for row, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise FormatError(
                f"entry {row} of {where} is {type(record).__name__}; expected an object with the "
                'fields of a document, for example {"_id": "1", "text": "..."}.'
            )
        if found is None:
            found = _with_late_title(_find_columns(list(record), asked, where), asked)
        elif found.id is None and not USUAL_IDS.isdisjoint(record):
            raise CorpusError(
                f"document {row} of {where} has an id ({listing(USUAL_IDS.intersection(record))}) "
                "and the first document has none. Give every document an id, or none."
            )
        identity = record.get(found.id) if found.id else row
        yield _id_of(identity, row, where), _joined(record, found, row, where)


def _with_late_title(found: _Found, asked: DocumentColumns) -> _Found:
    """Records may leave an absent title out, so that the first one may not show the column."""
    if found.title is None and asked.title is None:
        return replace(found, title=TITLE_NAMES[0])
    return found


def beir_corpus_file(folder: Path) -> Path | None:
    """Return the corpus file of a folder in BEIR layout, or ``None``."""
    candidates = (folder / "corpus.jsonl", folder / "corpus.jsonl.gz")
    return next((path for path in candidates if path.exists()), None)


def source_files(source: object) -> list[Path]:
    """Return the files whose content decides what ``source`` holds; empty for other sources."""
    if not isinstance(source, str | Path):
        return []
    path = Path(source).expanduser()
    if os.path.isfile(path):  # as the methods of Path do, but a name too long is no file either
        return [path]
    corpus_file = beir_corpus_file(path) if os.path.isdir(path) else None
    return [corpus_file] if corpus_file else []


def _saved(path: Path) -> Dataset | DatasetDict:
    try:
        return load_from_disk(str(path))
    except Exception as error:  # a missing file, damaged JSON, a damaged table, ...
        raise FormatError(f"the data set saved in {path} cannot be opened: {error}") from error


def _from_path(path: Path, asked: DocumentColumns) -> Iterator[tuple[str, str]]:
    """Yield the documents of a file, a BEIR folder, or a saved data set."""
    if path.is_dir():
        corpus_file = beir_corpus_file(path)
        if corpus_file is None:
            if (path / "state.json").exists() or (path / "dataset_dict.json").exists():
                yield from _from_dataset(_saved(path), asked, str(path))
                return
            raise FormatError(
                f"the folder {path} holds no corpus.jsonl or corpus.jsonl.gz (BEIR layout) and no "
                f"saved data set. It holds: {listing(sorted(p.name for p in path.iterdir()))}."
            )
        path = corpus_file
    yield from _from_records(read_records(path), asked, str(path))


def _from_dataset(
    data: AnyDataset, asked: DocumentColumns, where: str
) -> Iterator[tuple[str, str]]:
    """Yield the documents of a data set; a DatasetDict must have one split, or a corpus split."""
    if isinstance(data, DatasetDict | IterableDatasetDict):
        if len(data) != 1 and "corpus" not in data:
            raise CorpusError(
                f"{where} is a DatasetDict with the splits {listing(data)}: give one of them, "
                "for example corpus=data['train']."
            )
        data = data["corpus"] if "corpus" in data else next(iter(data.values()))
    if isinstance(data, Dataset):
        found = _find_columns(data.column_names, asked, where)
        needed = [name for name in (found.id, found.text, found.title) if name]
        table = data.select_columns(needed).with_format("arrow")
        records = arrow_records(batch for part in table.iter(BATCH) for batch in part.to_batches())
        yield from _from_records(records, asked, where)
    else:
        yield from _from_records(data, asked, where)


def _from_hub(name: str, asked: DocumentColumns) -> Iterator[tuple[str, str]]:
    """Yield the documents of a data set on the Hub, named ``org/name`` or ``org/name:config``."""
    repository, _, config = name.partition(":")
    try:
        data = load_dataset(repository, config or None)
    except Exception as error:  # the Hub client has no common base for its failures
        raise CorpusError(
            f"the corpus {name!r} is neither a file nor a folder here, and loading it as a data "
            f"set from the Hub failed: {error}"
        ) from error
    yield from _from_dataset(data, asked, name)


def document_batches(source: object, columns: DocumentColumns) -> Iterator[Batch]:
    """Yield (ids, texts) batches of any accepted source.

    Args:
        source: a Dataset (or a DatasetDict with one split), an IterableDataset, a dict
            id -> text, a list of texts or of dicts, or a path: JSONL, Parquet, Arrow, CSV, TSV,
            a BEIR folder, a folder saved by ``save_to_disk``, or the name of a data set on the
            Hub.
        columns: names of the id, text and title columns.

    Raises:
        ColumnError: a column is missing.
        CorpusError: the source is of another type, or an id or text cannot be used.
        FormatError: a file is damaged.
    """
    if isinstance(source, AnyDataset):
        documents = _from_dataset(source, columns, "the corpus data set")
    elif isinstance(source, Mapping):
        where = "the corpus dict"
        documents = (
            (_id_of(key, row, where), _text_of(text, row, where))
            for row, (key, text) in enumerate(source.items())
        )
    elif isinstance(source, str | Path):
        path = Path(source).expanduser()
        there = os.path.exists(path)
        documents = _from_path(path, columns) if there else _from_name(source, columns)
    elif isinstance(source, Iterable) and not _is_table_or_set(source):
        documents = _from_list(source, columns)
    else:
        raise CorpusError(
            f"a corpus of type {type(source).__name__} is not known: give a Dataset (for example "
            "Dataset.from_pandas(...)), a list, a dict id -> text, or a path."
        )
    return _batched(documents)


def _is_table_or_set(source: object) -> bool:
    """A table would give its column names, and a set has another order in each process."""
    return isinstance(source, set | frozenset) or hasattr(source, "columns")


def _from_name(source: str | Path, asked: DocumentColumns) -> Iterator[tuple[str, str]]:
    """Yield the documents of something that is not on this disk."""
    name = str(source)
    kind = file_kind(Path(name))
    # The name of a data set on the Hub may hold a dot: org/name-v1.5
    looks_like_file = kind in KINDS or (kind and "/" not in name) or isinstance(source, Path)
    if looks_like_file or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise CorpusError(f"the corpus file or folder {name!r} does not exist.")
    return _from_hub(name, asked)


def _from_list(source: Iterable[Any], asked: DocumentColumns) -> Iterator[tuple[str, str]]:
    """Yield the documents of a list of texts (ids are row numbers) or of dicts."""
    iterator = iter(source)
    try:
        first = next(iterator)
    except StopIteration:
        return
    where = "the corpus list"
    if isinstance(first, Mapping):
        yield from _from_records(_chain_first(first, iterator), asked, where)
        return
    for row, text in enumerate(_chain_first(first, iterator)):
        yield str(row), _text_of(text, row, where)


def _chain_first(first: Any, rest: Iterator[Any]) -> Iterator[Any]:  # noqa: ANN401
    yield first
    yield from rest
