"""When a source is read again: files, data sets and databases that changed or did not."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from hf_hardneg import Corpus, corpus
from hf_hardneg.errors import CorpusError

RECORDS = [
    {"_id": "b", "title": "Title", "text": "one"},
    {"_id": "7", "title": None, "text": "two"},
]


# -- the note of sources ---------------------------------------------------------------------


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Every source that was read, in order."""
    seen: list[Any] = []
    read = corpus.document_batches

    def noted(source: Any, columns: Any) -> Any:
        seen.append(source)
        return read(source, columns)

    monkeypatch.setattr(corpus, "document_batches", noted)
    return seen


def test_an_unchanged_file_is_read_once(tmp_path: Path, reads: list[Any]) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"text": "a", "title": "T"}\n')
    first = Corpus(path)
    for same in (path, str(path), tmp_path, tmp_path / ".." / tmp_path.name / "corpus.jsonl"):
        assert Corpus(same).fingerprint == first.fingerprint
    assert len(reads) == 1
    assert Corpus(path, text_column="title").texts([0]) == ["T T"]
    assert len(reads) == 2


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path, times = tmp_path / "a.jsonl", []
    for text in ("a", "b", "longer"):
        path.write_text(json.dumps({"text": text}) + "\n")
        times.append(path.stat().st_mtime_ns)
        # As a copy that keeps the time does: same name, size and time, other content.
        os.utime(path, ns=(times[0], times[0]))
        assert Corpus(path).texts([0]) == [text]


def test_a_note_of_a_corpus_that_is_gone(tmp_path: Path, cache: Path, reads: list[Any]) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n')
    name = Corpus(path).fingerprint
    (cache / "corpora" / name).rename(tmp_path / "gone")
    assert Corpus(path).texts([0]) == ["a"]
    assert len(reads) == 2


def test_data_sets_are_known_by_their_content(reads: list[Any]) -> None:
    first = Dataset.from_dict({"text": ["a", "b"]})
    assert Corpus(first).fingerprint == Corpus(first.with_format("numpy")).fingerprint
    Corpus(first)
    assert len(reads) <= 2
    assert Corpus(Dataset.from_dict({"text": ["a", "c"]})).texts([1]) == ["c"]
    assert Corpus(first.map(lambda row: {"text": row["text"] * 2})).texts([1]) == ["bb"]


# -- SQL -------------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "docs.db")
    connection.execute("create table docs (_id text, title text, text text)")
    connection.executemany("insert into docs values (:_id, :title, :text)", RECORDS)
    connection.commit()
    yield connection
    connection.close()


def test_sql(database: sqlite3.Connection) -> None:
    documents = Corpus.from_sql("select * from docs", database)
    assert documents.fingerprint == Corpus(RECORDS).fingerprint
    swapped = Corpus.from_sql("select _id, text as body from docs", database, text_column="body")
    assert swapped.texts([0, 1]) == ["one", "two"]


def test_sql_sees_what_changed_in_the_database(database: sqlite3.Connection) -> None:
    Corpus.from_sql("select * from docs", database)
    database.execute("update docs set text = 'new', title = null")
    database.commit()
    assert Corpus.from_sql("select * from docs", database).texts([0, 1]) == ["new", "new"]


def test_sql_that_gives_nothing(database: sqlite3.Connection) -> None:
    with pytest.raises(CorpusError, match=r"select \* from nowhere.*no such table"):
        Corpus.from_sql("select * from nowhere", database)
    with pytest.raises(CorpusError):
        Corpus.from_sql("select * from docs where text = 'never'", database)


def test_sql_by_address(tmp_path: Path, database: sqlite3.Connection) -> None:
    address = f"sqlite:///{tmp_path / 'docs.db'}"
    if find_spec("sqlalchemy") is None:
        with pytest.raises(CorpusError, match="sqlalchemy"):
            Corpus.from_sql("select * from docs", address)
    else:
        documents = Corpus.from_sql("select * from docs", address)
        assert documents.fingerprint == Corpus(RECORDS).fingerprint
