"""Query data from files, folders and the Hub, for the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from datasets import Dataset, DatasetDict, Features, List, Value, load_dataset, load_from_disk

from hf_hardneg.beir import default_split, judged_queries, queries_file
from hf_hardneg.errors import FormatError, QueryError, did_you_mean, listing
from hf_hardneg.readers import file_kind, read_json_lines, read_records

__all__ = ["LoadedQueries", "load_queries"]

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
    if path.is_dir() and (found := queries_file(path)):
        judgements = Path(qrels).expanduser() if qrels else default_split(path, split)
        return _judged(found, judgements)
    if qrels is not None:
        if not path.is_file():
            raise QueryError(
                f"--qrels needs the queries it judges as a JSONL file or a BEIR folder, and "
                f"{str(source)!r} is neither."
            )
        return _judged(path, Path(qrels).expanduser())
    if path.is_dir():
        return LoadedQueries(_one_split(_saved(path), split, str(path)))
    if path.is_file():
        return LoadedQueries(_from_file(path))
    return LoadedQueries(_from_hub(str(source), split))


def _judged(queries: Path, qrels: Path) -> LoadedQueries:
    if not qrels.is_file():
        raise FormatError(f"the file of judgements {str(qrels)!r} does not exist.")
    columns, notes = judged_queries(queries, qrels)
    return LoadedQueries(Dataset.from_dict(columns, features=JUDGED), notes)


def _saved(path: Path) -> Dataset | DatasetDict:
    if not ((path / "state.json").exists() or (path / "dataset_dict.json").exists()):
        raise FormatError(
            f"the folder {path} holds neither queries.jsonl (BEIR layout) nor a saved data set. It "
            f"holds: {listing(sorted(entry.name for entry in path.iterdir()))}."
        )
    return load_from_disk(str(path))


def _one_split(data: Dataset | DatasetDict, split: str | None, where: str) -> Dataset:
    if isinstance(data, Dataset):
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
    if file_kind(path) in (".jsonl", ".ndjson", ".json"):
        records = list(read_json_lines(path))
    else:
        records = [dict(record) for record in read_records(path)]
    if not records:
        raise QueryError(f"{path} holds no rows; expected queries with positives.")
    return Dataset.from_list(records)


def _from_hub(name: str, split: str | None) -> Dataset:
    looks_like_file = bool(file_kind(Path(name))) or name.startswith((".", "/", "~"))
    if looks_like_file or name.count("/") > 1:
        raise QueryError(f"the file or folder {name!r} does not exist.")
    repository, _, config = name.partition(":")
    try:
        data = load_dataset(repository, config or None)
    except Exception as error:  # the Hub client has no common base for its failures
        raise QueryError(
            f"{name!r} is neither a file nor a folder here, and loading it as a data set from the "
            f"Hub failed: {error}"
        ) from error
    return _one_split(data, split, name)
