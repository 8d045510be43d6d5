"""Query data from files, folders and the Hub, for the command line."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, DatasetDict, Features, List, Value, load_dataset, load_from_disk

from hf_hardneg.beir import default_split, judged_queries, queries_file
from hf_hardneg.errors import FormatError, QueryError, did_you_mean, listing
from hf_hardneg.readers import KINDS, file_kind, read_records

__all__ = ["LoadedQueries", "hub_rows", "load_queries", "one_split", "saved_rows"]

JUDGED = Features(
    {"query_id": Value("string"), "query": Value("string"), "positive_ids": List(Value("string"))}
)


@dataclass(frozen=True, slots=True)
class LoadedQueries:
    """Query data and what was left out of it."""

    rows: Dataset
    notes: list[str] = field(default_factory=list)


def load_queries(
    source: str | Path, qrels: str | Path | None = None, split: str | None = None
) -> LoadedQueries:
    """Load query data.

    Args:
        source: a folder in BEIR layout, a file (JSONL, Parquet, Arrow, CSV, TSV), a folder saved
            by ``save_to_disk``, or the name of a data set on the Hub (``org/name`` or
            ``org/name:config``).
        qrels: a file of judgements that gives the positives; for a BEIR folder the default is the
            split's own.
        split: which split of a BEIR folder, a saved DatasetDict or a Hub data set. Default:
            train, else dev, else test for BEIR; the only one or train elsewhere.

    Raises:
        FormatError: a file is malformed or of an unknown kind.
        QueryError: the data cannot be used.
    """
    path = Path(source).expanduser()
    # As the methods of Path do, but a name too long is no file either.
    is_folder, is_file = os.path.isdir(path), os.path.isfile(path)
    if is_folder and (found := queries_file(path)):
        if qrels is None:
            return _judged(found, default_split(path, split))
        path, is_file = found, True
    if qrels is not None:
        if not is_file:
            raise QueryError(
                "--qrels needs the queries it judges, as a file with ids and texts or a BEIR "
                f"folder, and {str(source)!r} is neither."
            )
        _refuse_split(split, "the judgements are given by --qrels")
        return _judged(path, Path(qrels).expanduser())
    if is_folder:
        return LoadedQueries(one_split(saved_rows(path), split, str(path)))
    if is_file:
        _refuse_split(split, f"{path} is a single file")
        return LoadedQueries(_from_file(path))
    return LoadedQueries(hub_rows(str(source), split))


def _refuse_split(split: str | None, why: str) -> None:
    if split is not None:
        raise QueryError(f"there is no split {split!r} to choose: {why}. Leave --split out.")


def _judged(queries: Path, qrels: Path) -> LoadedQueries:
    if not qrels.is_file():
        raise FormatError(f"the file of judgements {str(qrels)!r} does not exist.")
    columns, notes = judged_queries(queries, qrels)
    # Without the look at every value that Dataset.from_dict takes: these are texts already.
    return LoadedQueries(Dataset(pa.table(columns, JUDGED.arrow_schema)), notes)


def saved_rows(path: Path) -> Dataset | DatasetDict:
    """Open a folder written by ``save_to_disk``.

    Raises:
        FormatError: it is none, or it is damaged.
    """
    if not ((path / "state.json").exists() or (path / "dataset_dict.json").exists()):
        raise FormatError(
            f"the folder {path} holds neither queries.jsonl (BEIR layout) nor a saved data set. It "
            f"holds: {listing(sorted(entry.name for entry in path.iterdir()))}."
        )
    try:
        return load_from_disk(str(path))
    except Exception as error:  # a missing file, damaged JSON, a damaged table, ...
        raise FormatError(f"the data set saved in {path} cannot be opened: {error}") from error


def one_split(data: Dataset | DatasetDict, split: str | None, where: str) -> Dataset:
    """Return the split that was asked for, else train or the only one.

    Raises:
        QueryError: there is no such split, or which one is meant is not clear.
    """
    if isinstance(data, Dataset):
        if split != data.split:
            _refuse_split(split, f"{where} is a single data set")
        return data
    names = list(data)
    chosen = split or ("train" if "train" in names else names[0] if len(names) == 1 else None)
    if chosen is None or chosen not in names:
        hint = did_you_mean(chosen, names) if chosen else ""
        raise QueryError(
            f"{where} has the splits {listing(names)}; name one of them with --split.{hint}"
        )
    return data[chosen]


def _from_file(path: Path) -> Dataset:
    records = list(read_records(path))
    if not records:
        raise QueryError(f"{path} holds no rows; expected queries with positives.")
    names = dict.fromkeys(name for record in records for name in record)
    columns = {name: _all_lists([record.get(name) for record in records]) for name in names}
    try:
        return Dataset.from_dict(columns)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise FormatError(
            f"{path}: a field does not have the same type in all rows: {error}. Expected text, or "
            "lists of text."
        ) from error


def _all_lists(values: list[Any]) -> list[Any]:
    """Make lists of single texts in a column where other rows have lists."""
    kinds = {type(value) for value in values}
    if kinds >= {str, list}:
        return [[value] if isinstance(value, str) else value for value in values]
    return values


def hub_rows(
    name: str, split: str | None, *, revision: str | None = None, public_only: bool = False
) -> Dataset:
    """Load a data set from the Hub, ``org/name`` or ``org/name:config``.

    Args:
        name: its name.
        split: which split; default: train, or the only one.
        revision: branch, tag or commit; default: the newest.
        public_only: ask without any token, as anybody could.

    Raises:
        QueryError: there is none, or which split is meant is not clear.
    """
    kind = file_kind(Path(name))
    # The name of a data set on the Hub may hold a dot: org/name-v1.5
    looks_like_file = kind in KINDS or (kind and "/" not in name)
    looks_like_path = name.startswith((".", "/", "~")) or name.endswith("/") or name.count("/") > 1
    if looks_like_file or looks_like_path:
        raise QueryError(f"the file or folder {name!r} does not exist.")
    repository, _, config = name.partition(":")
    if public_only and os.path.exists(repository):
        # The loader would take the folder, and show what is on this machine to anybody.
        raise QueryError(
            f"{name!r} cannot be opened here: there is a folder of that name. Give the data set "
            "another name on the Hub, or start this from another folder."
        )
    try:
        token = False if public_only else None
        data = load_dataset(repository, config or None, revision=revision, token=token)
    except Exception as error:  # the Hub client has no common base for its failures
        raise QueryError(
            f"{name!r} is neither a file nor a folder here, and loading it as a data set from the "
            f"Hub failed: {error}"
        ) from error
    return one_split(data, split, name)
