"""Query data from files, folders and the Hub."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from datasets import Dataset, DatasetDict
from small_collection import (
    Collection,
    fail,
    succeed,
    write_collection,
    write_lines,
    write_qrels,
)

from hf_hardneg import query_sources
from hf_hardneg.errors import FormatError, HardNegError, QueryError
from hf_hardneg.query_sources import load_queries

ROWS = [{"query": "a b", "positive": "c d"}, {"query": "e f", "positive": "g h"}]


@pytest.fixture
def beir(tmp_path: Path) -> Collection:
    return write_collection(tmp_path / "beir")


def write_arrow(path: Path, *, stream: bool) -> Path:
    table = pa.Table.from_pylist(ROWS)
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as sink, make(sink, table.schema) as writer:
        writer.write_table(table)
    return path


@pytest.mark.parametrize("kind", ["jsonl", "json", "ndjson", "jsonl.gz", "csv", "tsv", "csv.gz",
                                  "parquet", "arrow file", "arrow stream"])  # fmt: skip
def test_every_kind_of_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"pairs.{kind.split()[0]}"
    if kind.startswith("arrow"):
        write_arrow(path, stream=kind.endswith("stream"))
    elif kind == "parquet":
        Dataset.from_list(ROWS).to_parquet(str(path))
    else:
        delimiter = "\t" if kind == "tsv" else ","
        lines = [json.dumps(row) for row in ROWS]
        if kind[1:].startswith("sv"):
            lines = [delimiter.join(row) for row in (ROWS[0], *(row.values() for row in ROWS))]
        text = "".join(line + "\n" for line in lines).encode()
        path.write_bytes(gzip.compress(text) if kind.endswith("gz") else text)
    loaded = load_queries(path)
    assert loaded.rows.to_list() == ROWS
    assert loaded.notes == []


def test_a_field_that_the_first_row_lacks_is_kept(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "pairs.jsonl", [ROWS[0], {**ROWS[1], "topic": "t"}])
    assert load_queries(path).rows["topic"][:] == [None, "t"]


def test_texts_and_lists_of_texts_in_one_column(tmp_path: Path) -> None:
    rows = [{"query": "a", "positive": "b"}, {"query": "c", "positive": ["d", "e"]}]
    path = write_lines(tmp_path / "pairs.jsonl", rows)
    assert load_queries(path).rows["positive"][:] == [["b"], ["d", "e"]]


def test_other_mixtures_are_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "pairs.jsonl", [*ROWS, {"query": 3, "positive": "x"}])
    with pytest.raises(FormatError, match=r"pairs\.jsonl: .*same type in all rows"):
        load_queries(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("pairs.jsonl", b"", "holds no rows"),
        ("pairs.csv", b"query,positive\n", "holds no rows"),
        ("pairs.csv", b"", "is empty"),
        ("pairs.csv", b"query,positive\na,b\nc\n", "line 3: 1 fields"),
        ("pairs.jsonl", b'{"query": "a"}\n{"query": \xff}\n', "line 2: not UTF-8"),
        ("pairs.json", b'[{"query": "a"}]\n', "line 1: expected a JSON object, got list"),
        ("pairs.parquet", b"no parquet", "cannot be read as .parquet"),
        ("pairs.arrow", b"no arrow", "cannot be read as .arrow"),
        ("pairs.jsonl.gz", b"no gzip", "cannot be read"),
        ("pairs.txt", b"a b\n", "files of kind '.txt' are not read"),
    ],
)
def test_damaged_files_are_named(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(HardNegError, match=f"{re.escape(name)}.*{message}"):
        load_queries(tmp_path / name)


def test_a_folder_in_beir_layout(beir: Collection) -> None:
    loaded = load_queries(beir.folder)
    assert loaded.rows.to_list() == beir.rows().to_list()
    assert [note.split(" ")[0] for note in loaded.notes] == ["3", "1"]
    test = load_queries(beir.folder, split="test")
    assert test.rows.to_list() == beir.rows(beir.test).to_list()
    own = write_qrels(beir.folder.parent / "own.tsv", {"q4": ["d7"]})
    assert load_queries(beir.folder, own).rows["positive_ids"][:] == [["d7"]]


def test_the_default_split_by_command_line(beir: Collection, tmp_path: Path) -> None:
    def queries(*more: object) -> int:
        command = ["mine", "--queries", beir.folder, "--dry-run", "--format", "json", *more]
        return int(json.loads(succeed(*command).stdout)["rows_in"])

    assert (queries(), queries("--split", "test")) == (9, 3)
    assert "It has: test, train." in fail(
        "mine", "--queries", beir.folder, "--dry-run", "--split", "validation"
    )
    (beir.folder / "qrels" / "train.tsv").unlink()
    assert queries() == 3
    write_qrels(beir.folder / "qrels" / "dev.tsv", {"q0": ["d0"]})
    assert queries() == 1


def test_columns_of_any_name(beir: Collection, tmp_path: Path) -> None:
    rows = [
        {
            "text": f"not of {row['qid']}",
            "nr": row["qid"],
            "ask": row["question"],
            "say": row["pos"],
        }
        for row in beir.texts()
    ]
    succeed(
        "mine", "--queries", write_lines(tmp_path / "rows.jsonl", rows), "--output",
        tmp_path / "out", "--corpus", beir.folder, "--output-format", "tevatron",
        "--query-column", "ask", "--positive-column", "say", "--query-id-column", "nr",
    )  # fmt: skip
    lines = (tmp_path / "out" / "train.jsonl").read_text().splitlines()
    for row, line in zip(rows, map(json.loads, lines), strict=True):
        assert (line["query_id"], line["query"]) == (row["nr"], row["ask"])
        assert [passage["text"] for passage in line["positive_passages"]] == row["say"]


def test_saved_data_sets(tmp_path: Path) -> None:
    data = Dataset.from_list(ROWS)
    data.save_to_disk(str(tmp_path / "one"))
    DatasetDict({"train": data, "dev": data.select([1])}).save_to_disk(str(tmp_path / "two"))
    DatasetDict({"only": data}).save_to_disk(str(tmp_path / "named"))
    DatasetDict({"dev": data, "test": data}).save_to_disk(str(tmp_path / "without"))
    assert load_queries(tmp_path / "one").rows.to_list() == ROWS
    assert load_queries(tmp_path / "two").rows.to_list() == ROWS
    assert load_queries(str(tmp_path / "two"), split="dev").rows.to_list() == ROWS[1:]
    assert load_queries(tmp_path / "named").rows.to_list() == ROWS
    with pytest.raises(QueryError, match=r"has the splits dev, test; name one .*--split"):
        load_queries(tmp_path / "without")
    with pytest.raises(QueryError, match=r"Did you mean 'dev'"):
        load_queries(tmp_path / "two", split="dew")
    with pytest.raises(QueryError, match=r"no split 'dev'.*single data set"):
        load_queries(tmp_path / "one", split="dev")


def test_folders_that_hold_nothing_of_use(tmp_path: Path) -> None:
    (tmp_path / "readme.md").write_text("x")
    with pytest.raises(FormatError, match=r"neither queries\.jsonl .*holds: readme\.md"):
        load_queries(tmp_path)
    Dataset.from_list(ROWS).save_to_disk(str(tmp_path / "damaged"))
    next((tmp_path / "damaged").glob("*.arrow")).unlink()
    with pytest.raises(FormatError, match="damaged cannot be opened"):
        load_queries(tmp_path / "damaged")


def test_judgements_need_their_queries(beir: Collection) -> None:
    qrels = beir.folder / "qrels" / "train.tsv"
    with pytest.raises(QueryError, match="--qrels needs the queries it judges"):
        load_queries("org/name", qrels)
    with pytest.raises(FormatError, match=r"gone\.tsv' does not exist"):
        load_queries(beir.folder, "gone.tsv")
    for source in (beir.folder, beir.folder / "queries.jsonl"):
        with pytest.raises(QueryError, match="no split 'train' to choose"):
            load_queries(source, qrels, "train")


@pytest.mark.parametrize(
    ("name", "repository", "config"),
    [
        ("org/name", "org/name", None),
        ("org/name:small", "org/name", "small"),
        ("org/name-v1.5:v2.1", "org/name-v1.5", "v2.1"),
        ("squad", "squad", None),
    ],
)
def test_names_on_the_hub(
    name: str, repository: str, config: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def load(*names: Any, **_: Any) -> DatasetDict:
        asked.append(names)
        return DatasetDict({"train": Dataset.from_list(ROWS), "test": Dataset.from_list(ROWS[:1])})

    monkeypatch.setattr(query_sources, "load_dataset", load)
    assert load_queries(name).rows.to_list() == ROWS
    assert load_queries(name, split="test").rows.to_list() == ROWS[:1]
    assert asked == [(repository, config)] * 2


def test_the_hub_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*names: Any, **_: Any) -> DatasetDict:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(query_sources, "load_dataset", load)
    with pytest.raises(QueryError, match=r"'org/name' is neither a file .*failed: no such thing"):
        load_queries("org/name")


@pytest.mark.parametrize(
    "name", ["pairs.jsonl", "data/pairs.csv", "./pairs", "/no/pairs", "~/pairs", "pairs/", "a/b/c",
             "x.txt", "a" * 300 + ".jsonl"]
)  # fmt: skip
def test_files_that_are_not_there_are_not_looked_for_on_the_hub(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_sources, "load_dataset", None)
    with pytest.raises(QueryError, match="does not exist"):
        load_queries(name)
