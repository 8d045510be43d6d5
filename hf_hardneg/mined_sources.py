"""Mined sets from anywhere: data sets, files and folders of many trainers, and the Hub."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict

from hf_hardneg.beir import queries_file
from hf_hardneg.columns import (
    POSITIVE_ID_NAMES,
    POSITIVE_NAMES,
    QUERY_ID_NAMES,
    QUERY_NAMES,
)
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import ColumnError, FormatError, did_you_mean, listing
from hf_hardneg.mined_files import open_file, query_lookup, text_lookup
from hf_hardneg.mined_folders import Parts, colbert, first_value, nemo, open_folder, trec
from hf_hardneg.mined_layouts import LAYOUTS, find_layout, is_labeled_pairs, pair_columns
from hf_hardneg.mined_records import kept_records
from hf_hardneg.mined_set import NEGATIVE_ID_NAMES, NEGATIVE_NAMES, SCORE_NAMES, MinedSet
from hf_hardneg.query_sources import hub_rows, one_split, saved_rows
from hf_hardneg.readers import JSON_LINES, KINDS, file_kind
from hf_hardneg.sources import beir_corpus_file

__all__ = ["MinedColumns", "load_mined"]

READ_AT_ONCE = 2_000
RUN_ENDS = (".run", ".trec")


@dataclass(frozen=True, slots=True)
class MinedColumns:
    """Names of the columns of a mined set; ``None`` means: find it by its usual name."""

    query: str | None = None
    query_id: str | None = None
    positive: str | None = None
    positive_ids: str | None = None
    negatives: str | None = None
    negative_ids: str | None = None
    scores: str | None = None


USUAL = {
    "query": QUERY_NAMES, "query_id": QUERY_ID_NAMES, "positive": POSITIVE_NAMES,
    "positive_ids": POSITIVE_ID_NAMES, "negatives": NEGATIVE_NAMES,
    "negative_ids": NEGATIVE_ID_NAMES, "scores": SCORE_NAMES,
}  # fmt: skip


def load_mined(
    source: object,
    *,
    corpus: object = None,
    queries: object = None,
    qrels: str | os.PathLike[str] | None = None,
    split: str | None = None,
    columns: MinedColumns | None = None,
) -> MinedSet:
    """Load a mined set, whatever wrote it.

    Files are read a batch at a time into an Arrow file in the cache, which is used again as long
    as they do not change; nothing but batches is held in memory. (A NeMo file is one JSON
    document and is read whole.)

    Args:
        source: a :class:`MinedSet`, a Dataset, a DatasetDict with one split or a split train; a
            file (JSONL, Parquet, Arrow, CSV, TSV, also ``.gz``; a TREC run; a NeMo JSON); a
            folder of ``hf-hardneg mine``, of ``save_to_disk``, or of a trainer; the name of a
            data set on the Hub (``org/name`` or ``org/name:config``). The layouts are
            :data:`hf_hardneg.mined_layouts.LAYOUTS`.
        corpus: the documents: gives texts to ids, and ids to texts. Default: those beside the
            rows, where the format has them there.
        queries: the queries' texts, for rows with ids alone, likewise.
        qrels: judgements that name the positives of a TREC run.
        split: of a DatasetDict, a BEIR folder, a Hub data set, or a folder of files.
        columns: names of the columns, where they are unusual.

    Raises:
        FormatError: there is no such source, its form is not known, or it is damaged.
        ColumnError: its columns are those of no known layout; lists both.
        QueryError: which split is meant is not clear, or the Hub cannot be reached.
    """
    if isinstance(source, MinedSet):
        return source if corpus is None else source.joined(Corpus.of(corpus))
    columns = columns or MinedColumns()
    judged = None if qrels is None else Path(qrels).expanduser()
    if judged is not None and not judged.is_file():
        raise FormatError(f"the file of judgements {str(judged)!r} does not exist.")
    if isinstance(source, Dataset | DatasetDict):
        _refuse_qrels(judged, Path("the data set"))
        rows = one_split(source, split, "the data set")
        return _mined(rows, "the data set", corpus, queries, columns)
    if not isinstance(source, str | os.PathLike):
        raise FormatError(
            f"a mined set of type {type(source).__name__} is not known; expected a Dataset, a "
            "path, or the name of a data set on the Hub."
        )
    path = Path(source).expanduser()
    if os.path.isdir(path):
        return _from_folder(path, corpus, queries, judged, split, columns)
    if os.path.isfile(path):
        return _from_file(path, corpus, queries, judged, split, columns)
    _refuse_qrels(judged, path)
    return _mined(_from_hub(str(source), split), str(source), corpus, queries, columns)


def _from_hub(name: str, split: str | None) -> Dataset:
    if not name or name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise FormatError(
            f"there is no file or folder {name!r}; expected one, or the name of a data set on the "
            "Hub (org/name)."
        )
    return hub_rows(name, split)


def _from_folder(
    folder: Path,
    corpus: object,
    queries: object,
    qrels: Path | None,
    split: str | None,
    columns: MinedColumns,
) -> MinedSet:
    if (folder / "state.json").exists() or (folder / "dataset_dict.json").exists():
        rows = one_split(saved_rows(folder), split, str(folder))
        return _mined(rows, str(folder), corpus, queries, columns)
    if parts := open_folder(folder, split, qrels):
        return _of_parts(parts, folder, corpus, queries, columns)
    _refuse_qrels(qrels, folder)
    files = _data_files(folder, split)
    documents = folder / "documents.jsonl"
    beside = documents if documents.is_file() else beir_corpus_file(folder)
    named = corpus if corpus is not None else beside
    asked = queries if queries is not None else queries_file(folder)
    return _mined(open_file(files), str(folder), named, asked, columns)


def _data_files(folder: Path, split: str | None) -> list[Path]:
    """Return the files of rows of a folder: those of one split, all of one kind."""
    beside = ("corpus", "documents", "queries")
    found = sorted(path for path in folder.iterdir() if path.is_file() and file_kind(path) in KINDS
                   and path.name.split(".")[0] not in beside)  # fmt: skip
    splits = list(dict.fromkeys(path.name.split(".")[0].split("-")[0] for path in found))
    chosen = split or ("train" if "train" in splits else splits[0] if len(splits) == 1 else None)
    files = [path for path in found if path.name.split(".")[0].split("-")[0] == chosen]
    kinds = {file_kind(path) for path in files}
    if len(kinds) == 1:
        return files
    hint = did_you_mean(split, splits) if split else ""
    raise FormatError(
        f"the folder {folder} holds no mined set that is known. It holds: "
        f"{listing(sorted(entry.name for entry in folder.iterdir()))}. Expected a folder of "
        "save_to_disk, files of one split (train.jsonl, train.parquet, ...; choose one with "
        f"--split), or one of: {listing(LAYOUTS[-3:])}.{hint}"
    )


def _from_file(
    path: Path,
    corpus: object,
    queries: object,
    qrels: Path | None,
    split: str | None,
    columns: MinedColumns,
) -> MinedSet:
    if split is not None:
        raise FormatError(f"{path} is a single file and has no split {split!r}. Leave --split out.")
    kind = file_kind(path)
    if kind in RUN_ENDS:
        return _of_parts(trec(path, qrels), path, corpus, queries, columns)
    _refuse_qrels(qrels, path)
    first = first_value(path) if kind in JSON_LINES else None
    if isinstance(first, list) and not (first and isinstance(first[0], dict)):
        return _of_parts(colbert(path), path, corpus, queries, columns)
    if kind == ".json" and (parts := nemo(path)):
        return _of_parts(parts, path, corpus, queries, columns)
    return _mined(open_file([path]), str(path), corpus, queries, columns)


def _refuse_qrels(qrels: Path | None, path: Path) -> None:
    if qrels is not None:
        raise FormatError(
            f"--qrels names the positives of a TREC run or a BEIR folder; {path} is neither and "
            "names its own. Leave it out."
        )


def _of_parts(
    parts: Parts, path: Path, corpus: object, queries: object, columns: MinedColumns
) -> MinedSet:
    """Return rows by id, with the texts of the files beside them."""
    if columns != MinedColumns():
        raise FormatError(
            f"{path} is of a format without columns of its own, and columns were named. Leave them "
            "out."
        )
    rows = kept_records(parts.records, _identity(parts.files), str(path))
    named = corpus if corpus is not None else parts.corpus
    asked = queries if queries is not None else parts.queries
    return _mined(rows, str(path), named, asked, MinedColumns(), parts.notes)


def _identity(files: Sequence[Path]) -> list[object]:
    stats = [file.stat() for file in files]
    return [
        [str(file.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
        for file, stat in zip(files, stats, strict=True)
    ]


def _mined(
    rows: Dataset,
    where: str,
    corpus: object,
    queries: object,
    columns: MinedColumns,
    notes: Sequence[str] = (),
) -> MinedSet:
    rows = _renamed(rows, columns, where)
    notes = list(notes)
    if is_labeled_pairs(rows.column_names):
        pairs = len(rows)
        rows = _grouped_pairs(rows, where)
        notes.append(
            f"{pairs:,} labelled pairs are {len(rows):,} rows: pairs of the same query that follow "
            "each other are one. A label above 0 is a positive."
        )
    found = find_layout(rows, where, None if queries is None else query_lookup(queries))
    by_id = None if found.by_id is None else MinedSet(rows, found.by_id, name=where,
                                                      query_texts=False)  # fmt: skip
    mined = MinedSet(
        rows, found.layout, name=where, notes=(*notes, *found.notes),
        query_texts=found.query_texts, by_id=by_id, queries=found.queries,
    )  # fmt: skip
    return mined if corpus is None else mined.joined(text_lookup(corpus))


def _renamed(rows: Dataset, columns: MinedColumns, where: str) -> Dataset:
    """Give the columns that were named their usual names, in place of any that have these."""
    asked = asdict(columns)
    for part in fields(columns):
        name = asked[part.name]
        if name is None:
            continue
        if name not in rows.column_names:
            raise ColumnError(
                f"{where} has no column {name!r}.{did_you_mean(name, rows.column_names)} Its "
                f"columns are: {listing(rows.column_names)}."
            )
        others = [own for own in USUAL[part.name] if own in rows.column_names and own != name]
        named = {asked[other.name] for other in fields(columns)}
        rows = rows.remove_columns([own for own in others if own not in named])
        if name != USUAL[part.name][0]:
            rows = rows.rename_column(name, USUAL[part.name][0])
    return rows


def _grouped_pairs(rows: Dataset, where: str) -> Dataset:
    """Return a row for each run of labelled pairs with the same query."""
    query, passage, label = pair_columns(rows.column_names)

    def pairs() -> Iterator[tuple[str, str, Any]]:
        chosen = rows.select_columns([query, passage, label]).with_format("arrow")
        for table in chosen.iter(READ_AT_ONCE):
            yield from zip(*(table[name].to_pylist() for name in (query, passage, label)),
                           strict=True)  # fmt: skip

    def records() -> Iterator[dict[str, Any]]:
        for text, group in groupby(pairs(), key=lambda pair: pair[0]):
            row: dict[str, Any] = {"query": text, "positives": [], "negatives": []}
            for _, document, value in group:
                row["positives" if _relevant(value, where) else "negatives"].append(document)
            yield row

    return kept_records(records, ["pairs", rows._fingerprint, query, passage, label], where)


def _relevant(label: object, where: str) -> bool:
    try:
        return float(str(label)) > 0
    except ValueError as error:
        raise FormatError(
            f"{where} has the label {label!r}; expected a number, above 0 for a positive."
        ) from error
