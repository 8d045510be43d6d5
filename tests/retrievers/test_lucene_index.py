"""What can be known of a Lucene index without Java: where it is, and what a document holds."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from datasets.fingerprint import Hasher

from hf_hardneg.errors import CorpusError, HardNegError, MissingExtraError
from hf_hardneg.retrievers.lucene import LuceneRetriever
from hf_hardneg.retrievers.lucene_index import commit_of, is_path, record_of

DOCUMENTS = {"d1": "one", "d2": "two"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that looks like an index."""
    home = tmp_path / "index"
    home.mkdir()
    (home / "segments_2").write_bytes(b"two")
    return home


# -- where it is -----------------------------------------------------------------------------


def test_a_path_or_the_name_of_a_prebuilt_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not is_path("msmarco-v1-passage")
    assert not is_path("beir-v1.0.0-scifact.flat")
    (tmp_path / "msmarco-v1-passage").mkdir()
    for path in ("msmarco-v1-passage", "some/index", "./index", "~/index", "/tmp/index"):
        assert is_path(path)


def test_the_last_commit_decides(folder: Path) -> None:
    first = commit_of(folder)
    assert first.startswith("segments_2 ")
    (folder / "segments_10").write_bytes(b"ten")
    second = commit_of(folder)
    assert second.startswith("segments_10 ")
    (folder / "segments_10").write_bytes(b"another")
    assert commit_of(folder) not in (first, second)


def test_what_is_no_index(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"gone' does not exist; expected a folder made by Pys"):
        commit_of(tmp_path / "gone")
    (tmp_path / "index.tar.gz").touch()
    with pytest.raises(CorpusError, match=r"tar.gz' is a file; expected a folder\. Unpack it"):
        commit_of(tmp_path / "index.tar.gz")
    with pytest.raises(CorpusError, match=r"holds no Lucene index: .* It holds: index\.tar\.gz"):
        commit_of(tmp_path)


# -- what a document holds -------------------------------------------------------------------


def record(raw: object, stored: str | None = None, **fields: Any) -> dict[str, str]:
    values = {"text_field": "contents", "title_field": None, **fields}
    text = raw if raw is None or isinstance(raw, str) else json.dumps(raw)
    return record_of(["d1", text, stored], **values, title="the index")


@pytest.mark.parametrize(
    ("raw", "stored", "fields", "text", "title"),
    [
        ({"contents": "a"}, None, {}, "a", ""),
        ({"contents": "a"}, "b", {}, "a", ""),
        ({"text": "a", "title": "t"}, None, {"text_field": "text"}, "a", ""),
        ({"text": "a", "title": "t"}, None, {"text_field": "text", "title_field": "title"}, "a",
         "t"),
        ({"text": "a"}, None, {"text_field": "text", "title_field": "title"}, "a", ""),
        ({"other": "a"}, "b", {}, "b", ""),
        ({"contents": ""}, "b", {}, "", ""),
        (None, "b", {}, "b", ""),
        ("<DOC>a</DOC>", None, {}, "<DOC>a</DOC>", ""),
        ("{no JSON", None, {}, "{no JSON", ""),
        ("[1]", None, {}, "[1]", ""),
    ],
)  # fmt: skip
def test_the_text_of_a_document(
    raw: object, stored: str | None, fields: dict[str, str], text: str, title: str
) -> None:
    assert record(raw, stored, **fields) == {"id": "d1", "text": text, "title": title}


def test_documents_without_a_text() -> None:
    with pytest.raises(CorpusError, match=r"the index has stored no text .* 'd1'\. .*--storeRaw"):
        record(None)
    with pytest.raises(CorpusError, match=r"no text 'contents'; its fields are: body, id\. .*text"):
        record({"id": "d1", "body": "a"})
    with pytest.raises(CorpusError, match="no text 'number'; its fields are: number"):
        record({"number": 3}, text_field="number")
    with pytest.raises(CorpusError, match="the 'title' of the document 'd1' is no text"):
        record({"contents": "a", "title": ["t"]}, title_field="title")
    with pytest.raises(CorpusError, match="has stored no id for the document None"):
        record_of([None, "text", None], "contents", None, "the index")


# -- parameters ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"top_k": 0}, "lucene: top_k=0"),
        ({"k1": -1}, "lucene: k1=-1; expected a finite number of at least 0"),
        ({"k1": float("inf")}, "lucene: k1=inf"),
        ({"b": 1.5}, "lucene: b=1.5"),
        ({"threads": 0}, "lucene: threads=0"),
        ({"language": "english"}, "lucene: language='english'; expected one of en, ar"),
        ({"stemmer": "porters"}, r"lucene: stemmer='porters'; .* Did you mean 'porter'"),
        ({"stopwords": "english"}, "lucene: stopwords='english'; expected True or False"),
        ({"language": "de", "stemmer": None}, "stemmer and stopwords are for language='en'"),
        ({"index": ""}, "lucene: index=''"),
        ({"index": "./gone"}, r"the Lucene index 'gone' does not exist"),
    ],
)
def test_parameters_out_of_range(folder: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(HardNegError, match=said):
        LuceneRetriever(DOCUMENTS, **{"index": folder, **options})


def test_the_recipe_needs_no_java(folder: Path) -> None:
    own = LuceneRetriever(DOCUMENTS, index=folder, k1=1.2, stemmer=None, threads=3)
    said = f"lucene(index={str(folder)!r}, k1=1.2, stemmer=None, threads=3)"
    assert own.expression() == said
    before = Hasher.hash(own)
    again = pickle.loads(pickle.dumps(own))
    assert (again, again.corpus.fingerprint) == (own, own.corpus.fingerprint)
    assert Hasher.hash(again) == before
    (folder / "segments_3").write_bytes(b"three")
    assert Hasher.hash(own) != before


def test_pyserini_is_optional(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyserini", None)
    with pytest.raises(MissingExtraError, match=r"'pyserini'.*hf-hardneg\[lucene\]"):
        LuceneRetriever(index=folder)
    with pytest.raises(MissingExtraError, match="'pyserini'"):
        LuceneRetriever(index="msmarco-v1-passage")
    own = LuceneRetriever(DOCUMENTS, index="msmarco-v1-passage")
    with pytest.raises(MissingExtraError, match="The retriever 'lucene' needs the package"):
        own.prepare()
