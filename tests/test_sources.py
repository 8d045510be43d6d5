"""Every source of documents gives the same documents, and what cannot be used is refused."""

from __future__ import annotations

import csv
import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict

from hf_hardneg import Corpus, HardNegError
from hf_hardneg.errors import ColumnError, CorpusError, FormatError
from hf_hardneg.sources import DocumentColumns, document_batches

IDS = ["d1", "7", "d 3", "ελ", "e5", "f6"]
TITLES = ["Title", "", None, "  ", "漢字", "None"]
TEXTS = ['says "hi", he', "two  spaces ", "plain\u2028text", " lead", "", "the end"]
# An absent title adds nothing: not a space, and not the word None.
JOINED = ['Title says "hi", he', "two  spaces ", "plain\u2028text", " lead", "漢字", "None the end"]
RECORDS = [
    {"_id": name, "title": title, "text": text}
    for name, title, text in zip(IDS, TITLES, TEXTS, strict=True)
]
TABLE = pa.Table.from_pylist(RECORDS)


def json_lines(path: Path, records: list[dict[str, Any]] = RECORDS) -> Path:
    content = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def delimited(path: Path) -> Path:
    rows = [
        ["_id", "title", "text"],
        *(["" if v is None else v for v in r.values()] for r in RECORDS),
    ]
    with path.open("w", newline="") as file:
        if path.suffix == ".csv":
            csv.writer(file).writerows(rows)
        else:
            file.writelines("\t".join(row) + "\n" for row in rows)
    return path


def arrow(path: Path, make: Any) -> Path:
    with pa.OSFile(str(path), "wb") as sink, make(sink, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=2)
    return path


def parquet(path: Path) -> Path:
    pq.write_table(TABLE, path, row_group_size=2)
    return path


def folder(path: Path, name: str) -> Path:
    path.mkdir()
    json_lines(path / name)
    return path


def saved(path: Path, data: Any) -> Path:
    data.save_to_disk(path)
    return path


def stream() -> IterableDataset:
    return IterableDataset.from_generator(lambda: iter(RECORDS))


def plain() -> Dataset:
    return Dataset.from_list(RECORDS)


SOURCES: dict[str, Callable[[Path], Any]] = {
    "dict": lambda tmp: dict(zip(IDS, JOINED, strict=True)),
    "list of dicts": lambda tmp: RECORDS,
    "generator": lambda tmp: iter(RECORDS),
    "Dataset": lambda tmp: plain(),
    "shuffled Dataset": lambda tmp: plain().select([5, 4, 3, 2, 1, 0]).select([5, 4, 3, 2, 1, 0]),
    "formatted Dataset": lambda tmp: plain().with_format("numpy"),
    "IterableDataset": lambda tmp: stream(),
    "DatasetDict": lambda tmp: DatasetDict(train=plain()),
    "corpus split": lambda tmp: DatasetDict(queries=Dataset.from_dict({"x": [1]}), corpus=plain()),
    "IterableDatasetDict": lambda tmp: IterableDatasetDict(train=stream()),
    "jsonl": lambda tmp: json_lines(tmp / "a.jsonl"),
    "jsonl by name": lambda tmp: str(json_lines(tmp / "a.jsonl")),
    "jsonl.gz": lambda tmp: json_lines(tmp / "a.jsonl.gz"),
    "csv": lambda tmp: delimited(tmp / "a.csv"),
    "tsv": lambda tmp: delimited(tmp / "a.tsv"),
    "parquet": lambda tmp: parquet(tmp / "a.parquet"),
    "arrow file": lambda tmp: arrow(tmp / "a.arrow", pa.ipc.new_file),
    "arrow stream": lambda tmp: arrow(tmp / "a.arrow", pa.ipc.new_stream),
    "BEIR folder": lambda tmp: folder(tmp / "beir", "corpus.jsonl"),
    "packed BEIR folder": lambda tmp: folder(tmp / "beir", "corpus.jsonl.gz"),
    "saved Dataset": lambda tmp: saved(tmp / "saved", plain()),
    "saved DatasetDict": lambda tmp: saved(tmp / "saved", DatasetDict(train=plain())),
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_gives_the_same_corpus(tmp_path: Path, name: str) -> None:
    corpus = Corpus(SOURCES[name](tmp_path))
    assert corpus.ids(range(6)) == IDS
    assert corpus.texts(range(6)) == JOINED
    assert corpus.fingerprint == Corpus(dict(zip(IDS, JOINED, strict=True))).fingerprint


def test_records_may_leave_an_absent_title_out(tmp_path: Path) -> None:
    """The first title comes late here."""
    absent = {None, "", "  "}
    records = [{k: v for k, v in r.items() if k != "title" or v not in absent} for r in RECORDS[1:]]
    assert list(records[0]) == ["_id", "text"]
    for source in (records, json_lines(tmp_path / "a.jsonl", records)):
        assert Corpus(source).texts(range(5)) == JOINED[1:]


# -- columns and values ----------------------------------------------------------------------


def documents(source: Any, **columns: str) -> list[tuple[str, str]]:
    batches = document_batches(source, DocumentColumns(**columns))
    return [pair for ids, texts in batches for pair in zip(ids, texts, strict=True)]


@pytest.mark.parametrize("name", ["_id", "id", "docid", "doc_id", "pid", "passage_id"])
@pytest.mark.parametrize("text", ["text", "passage", "document", "contents", "content", "body"])
def test_usual_names(name: str, text: str) -> None:
    assert documents([{"other": 1, text: "a", name: "x"}]) == [("x", "a")]


def test_named_columns() -> None:
    records = [{"id": "1", "key": "k", "text": "no", "full": "yes", "head": "H", "title": "T"}]
    assert documents(records, id="key", text="full", title="head") == [("k", "H yes")]
    for columns in ({"id": "kee"}, {"text": "ful"}, {"title": "hed"}):
        for source in (records, Dataset.from_list(records)):
            with pytest.raises(ColumnError, match=r"Did you mean '(key|full|head)'.*id, key, text"):
                documents(source, **columns)
    with pytest.raises(ColumnError, match=r"no text column.*passage.*found id, words.*text_column"):
        documents([{"id": 1, "words": "a"}])


@pytest.mark.parametrize("value", [5, np.int64(5), "5"])
def test_ids_that_are_numbers(value: Any) -> None:
    assert documents([{"id": value, "text": "a"}]) == [("5", "a")]
    assert documents({value: "a"}) == [("5", "a")]


def test_without_ids_the_rows_are_numbered() -> None:
    want = [("0", "a"), ("1", "b")]
    for source in (
        ["a", "b"],
        iter(["a", "b"]),
        [{"text": "a"}, {"text": "b"}],
        np.array(["a", "b"]),
    ):
        assert documents(source) == want


def bad(value: Any, column: str, place: int) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = [{"id": str(n), "title": "t", "text": "a"} for n in range(4)]
    records[place][column] = value
    return records


@pytest.mark.parametrize("column", ["id", "text", "title"])
@pytest.mark.parametrize("value", [None, 1.5, True, ["a"], "", 3])
@pytest.mark.parametrize("place", [0, 2])
def test_values_that_cannot_be_used(column: str, value: Any, place: int) -> None:
    good = {"id": ("3",), "text": ("",), "title": ("", None)}
    if str(value) in good[column] or value in good[column]:
        assert len(documents(bad(value, column, place))) == 4
        return
    with pytest.raises(CorpusError, match=f"the {column} of document {place} of the corpus list"):
        documents(bad(value, column, place))


@pytest.mark.parametrize(
    ("source", "error", "said"),
    [
        ([None, "a"], CorpusError, "document 0 of the corpus list is missing"),
        (["a", None], CorpusError, "document 1 of the corpus list is missing"),
        (["a", {"text": "b"}], CorpusError, "document 1 of the corpus list is of type dict"),
        ([{"text": "a"}, "b"], FormatError, "entry 1 of the corpus list is str"),
        ([{"text": "a"}, {"id": 4, "text": "b"}], CorpusError, "document 1 .*the first .*none"),
        ({"a": None}, CorpusError, "document 0 of the corpus dict is missing"),
        ({"": "a"}, CorpusError, "the id of document 0 of the corpus dict is ''"),
        (pd.DataFrame({"text": ["a"]}), CorpusError, "DataFrame is not known.*from_pandas"),
        (pa.table({"text": ["a"]}), CorpusError, "Table is not known"),
        ({"a"}, CorpusError, "set is not known"),
        (7, CorpusError, "int is not known"),
        (b"text", CorpusError, "document 0 of the corpus list is of type int"),
        (DatasetDict(a=plain(), b=plain()), CorpusError, "splits a, b: give one of them"),
        (DatasetDict(), CorpusError, "splits none"),
        ("gone.jsonl", CorpusError, "'gone.jsonl' does not exist"),
        ("gone.txt", CorpusError, "'gone.txt' does not exist"),
        (Path("gone"), CorpusError, "'gone' does not exist"),
        ("./gone", CorpusError, "does not exist"),
        ("a" * 5000, CorpusError, "neither a file nor a folder here"),
        ("org/name-v1.5", CorpusError, "neither a file nor a folder here.*from the Hub failed"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_sources_that_cannot_be_used(source: Any, error: type[HardNegError], said: str) -> None:
    with pytest.raises(error, match=f"(?s){said}"):
        documents(source)


def test_folder_without_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "queries.jsonl").touch()
    with pytest.raises(FormatError, match=r"corpus\.jsonl.*It holds: queries\.jsonl"):
        documents(tmp_path)


def test_damaged_saved_data_set(tmp_path: Path) -> None:
    folder = saved(tmp_path / "saved", plain())
    [table] = folder.glob("*.arrow")
    for spoil in (table.unlink, lambda: (folder / "state.json").write_text("{")):
        spoil()
        with pytest.raises(FormatError, match=r"saved in .* cannot be opened"):
            Corpus(folder)


def test_columns_that_are_not_needed_are_not_read() -> None:
    data = Dataset.from_dict({"text": ["a"], "vector": [[0.0] * 300_000]})
    tracemalloc.start()
    assert documents(data) == [("0", "a")]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000
