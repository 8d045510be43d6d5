"""The documents on disk: known by content, read by row, written once."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from hf_hardneg import Corpus, corpus, sources
from hf_hardneg.errors import CorpusError
from hf_hardneg.hashing import text_key, text_keys

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
COLLECTIONS = st.one_of(
    st.lists(TEXTS, min_size=1, max_size=30),
    st.lists(st.sampled_from(["A", "a", " a ", "b", "B\n", ""]), min_size=1, max_size=30),
)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "ROWS_PER_CHUNK", 4)
    monkeypatch.setattr(sources, "BATCH", 3)


def folders(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "corpora").iterdir() if path.name != "sources")


# -- content and fingerprint -----------------------------------------------------------------


@pytest.mark.usefixtures("small_chunks")
@given(COLLECTIONS, st.data())
def test_look_ups_against_brute_force(texts: list[str], data: st.DataObject) -> None:
    ids = data.draw(
        st.lists(TEXTS.filter(bool), min_size=len(texts), max_size=len(texts), unique=True)
    )
    documents = Corpus(dict(zip(ids, texts, strict=True)))
    assert len(documents) == len(texts)
    assert list(documents.iter_texts()) == texts
    assert documents.empty_texts == sum(not text.strip() for text in texts)
    rows = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=40))
    assert documents.texts(rows) == [texts[row] for row in rows]
    assert documents.ids(np.array(rows, dtype=np.int32)) == [ids[row] for row in rows]
    assert documents.text_array(rows).type == documents.id_array(rows).type == pa.string()
    asked = data.draw(st.lists(st.one_of(st.sampled_from(ids), TEXTS), max_size=10))
    place = {name: row for row, name in enumerate(ids)}
    assert documents.rows_of_ids(asked).tolist() == [place.get(name, -1) for name in asked]
    assert np.array_equal(documents.document_keys, text_keys(texts))
    first: dict[int, int] = {}
    for row, text in enumerate(texts):
        first.setdefault(text_key(text), row)
    wanted = text_keys([*texts, *data.draw(st.lists(TEXTS, max_size=5))])
    assert documents.rows_of_keys(wanted).tolist() == [first.get(int(k), -1) for k in wanted]


@given(st.dictionaries(TEXTS.filter(bool), TEXTS, min_size=1, max_size=20))
def test_fingerprint_is_that_of_the_content(documents: dict[str, str]) -> None:
    pairs = list(documents.items())
    want = Corpus(documents).fingerprint
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "ROWS_PER_CHUNK", 1)
        patch.setattr(sources, "BATCH", 2)
        assert Corpus([{"id": name, "text": text} for name, text in pairs]).fingerprint == want
        patch.setattr(corpus, "BYTES_PER_CHUNK", 5)
        patch.setattr(corpus, "ROWS_PER_CHUNK", 1000)
        assert (
            Corpus(Dataset.from_list([{"id": n, "text": t} for n, t in pairs])).fingerprint == want
        )
    name, text = pairs[-1]
    others = [
        dict([*pairs[:-1], (name, text + "x")]),
        dict([*pairs[:-1], (name, f" {text}")]),
        dict([*pairs[:-1], ("no such id in there", text)]),
        dict([*pairs, ("one id more than there", "")]),
    ]
    if len(pairs) > 1:
        others.append(dict(reversed(pairs)))
    assert want not in {Corpus(other).fingerprint for other in others}


def test_fingerprint_knows_where_a_text_ends() -> None:
    apart = [
        {"a": "bc", "d": "e"},
        {"a": "b", "d": "ce"},
        {"ad": "bc", "d": "e"},
        {"a": "d", "b": "ce"},
    ]
    assert len({Corpus(documents).fingerprint for documents in apart}) == 4


def test_fingerprint_is_the_same_on_every_machine() -> None:
    assert Corpus({"a": "one", "b": "zwei ü"}).fingerprint == "352663cc135591c36217ae2917789432"


def test_the_same_content_is_kept_once(cache: Path, tmp_path: Path) -> None:
    first = Corpus({"0": "a", "1": "b"})
    assert Corpus.of(first) is first
    assert Corpus.of(["a", "b"]).fingerprint == Corpus(iter("ab")).fingerprint == first.fingerprint
    assert folders(cache) == [first.fingerprint]
    Corpus(["a", "b"], cache_dir=tmp_path / "elsewhere")
    assert folders(tmp_path / "elsewhere") == [first.fingerprint]
    assert repr(first) == f"Corpus(2 documents, fingerprint={first.fingerprint!r})"


def test_processes_that_write_the_same_corpus_at_once(cache: Path) -> None:
    texts = [f"document {number}" for number in range(5000)]
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=Corpus, args=(texts,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    [name] = folders(cache)
    kept = Corpus(texts)
    assert kept.fingerprint == name
    assert kept.texts(range(5000)) == texts


# -- memory ----------------------------------------------------------------------------------


MEASURE = """
import pickle, sys
import pyarrow as pa
documents = pickle.loads(sys.stdin.buffer.read())
documents.ids([0])
before = pa.default_memory_pool().max_memory()
assert documents.texts([7999, 3, 4000, 3]) == [f"{row} " * 500 for row in (7999, 3, 4000, 3)]
print(pa.default_memory_pool().max_memory() - before)
"""


def test_texts_by_row_do_not_load_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "ROWS_PER_CHUNK", 500)
    monkeypatch.setattr(sources, "BATCH", 500)
    documents = Corpus(f"{number} " * 500 for number in range(8000))
    assert (documents._folder / "documents.arrow").stat().st_size > 15_000_000
    run = [sys.executable, "-c", MEASURE]
    done = subprocess.run(run, input=pickle.dumps(documents), capture_output=True, check=True)
    assert int(done.stdout) < 500_000


def test_only_the_folder_is_pickled() -> None:
    small, large = Corpus(["a"]), Corpus(f"document {number}" for number in range(3000))
    large.texts([1])
    large.rows_of_ids(["1"])
    large.rows_of_keys(text_keys(["a"]))
    assert len(pickle.dumps(large)) == len(pickle.dumps(small)) < 1000
    opened = pickle.loads(pickle.dumps(large))
    assert opened.fingerprint == large.fingerprint
    assert opened.texts([2999, 0]) == ["document 2999", "document 0"]
    assert opened.rows_of_ids(["5", "x"]).tolist() == [5, -1]


def test_very_long_text(tmp_path: Path) -> None:
    text = "word \u6f22 " * 600_000
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": text}) + '\n{"text": "short"}\n')
    documents = Corpus(tmp_path / "a.jsonl")
    assert documents.texts([0]) == [text]
    assert documents.rows_of_keys(text_keys([text])).tolist() == [0]


# -- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [[], {}, iter([]), Dataset.from_dict({"text": []}), "jsonl", "csv"],
    ids=lambda value: type(value).__name__,
)
def test_empty_corpus(tmp_path: Path, cache: Path, source: Any) -> None:
    if isinstance(source, str):
        path = tmp_path / f"empty.{source}"
        path.write_text("id,text\n" if source == "csv" else "\n")
        source = path
    with pytest.raises(CorpusError, match="holds no documents; expected at least one"):
        Corpus(source)
    assert folders(cache) == []


@pytest.mark.usefixtures("small_chunks")
def test_ids_that_stand_twice(cache: Path) -> None:
    names = ["a", "b", 5, "c", "d", "5", "a", "a"]
    with pytest.raises(CorpusError) as caught:
        Corpus([{"id": name, "text": "x"} for name in names])
    said = str(caught.value)
    assert said.startswith("2 ids stand more than once")
    assert "'5' (documents 2 and 5)" in said
    assert "'a' (documents 0 and 6)" in said
    assert folders(cache) == []


@pytest.mark.parametrize("document", [("broken", "half \ud83d"), ("half \udc00", "fine")])
def test_half_of_a_surrogate_pair(cache: Path, document: tuple[str, str]) -> None:
    with pytest.raises(CorpusError) as caught:
        Corpus(dict([("first", "fine"), document]))
    assert repr(document[0]) in str(caught.value)
    assert "surrogate pair" in str(caught.value)
    assert folders(cache) == []
