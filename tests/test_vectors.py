"""Vectors on disk: written shard by shard, read in blocks, each text encoded once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hf_hardneg import Corpus, vectors
from hf_hardneg.distinct import distinct_texts
from hf_hardneg.errors import OutputError
from hf_hardneg.vectors import STORAGES, DocumentVectors, TextVectors

TEXTS = ["alpha", "beta", "Alpha", "alpha", "", "gamma", "beta", "delta ", "delta", "epsilon"]


class Letters:
    """Counts letters; remembers what it was asked."""

    def __init__(self, fail_after: int | None = None) -> None:
        self.asked: list[list[str]] = []
        self._left = fail_after

    def __call__(self, texts: list[str]) -> NDArray[np.float32]:
        if self._left is not None:
            if self._left == 0:
                raise KeyboardInterrupt
            self._left -= 1
        self.asked.append(texts)
        letters = "abcdefghijklmnopqrstuvwxyzA "
        return np.array([[text.count(letter) for letter in letters] for text in texts], np.float32)

    @property
    def texts(self) -> list[str]:
        return [text for texts in self.asked for text in texts]


def dot() -> str:
    return "dot"


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "SHARD", 3)


@settings(max_examples=40)
@given(st.lists(st.sampled_from([*TEXTS, "BETA", " beta"]), min_size=1, max_size=12))
def test_distinct_texts(texts: list[str]) -> None:
    first, number = distinct_texts(Corpus(texts))
    unique = list(dict.fromkeys(texts))
    assert [texts[row] for row in first] == unique
    assert first.tolist() == sorted(texts.index(text) for text in unique)
    assert [unique[place] for place in number] == texts


def test_each_distinct_text_is_encoded_once(tmp_path: Path) -> None:
    documents, encode = DocumentVectors(tmp_path, Corpus(TEXTS), "key"), Letters()
    assert not documents.complete
    assert documents.build(encode, similarity=dot) == 8
    assert encode.texts == list(dict.fromkeys(TEXTS))
    assert (documents.complete, documents.dimension, documents.similarity) == (True, 28, "dot")
    again = DocumentVectors(tmp_path, Corpus(TEXTS), "key")
    assert again.build(encode, similarity=dot) == 0
    rows = np.arange(len(TEXTS))
    want = Letters()(TEXTS)
    assert again.take(again.numbers_of(rows)).tolist() == want.tolist()
    counts, members = again.rows_of(np.array([0, 3, 1]), np.array([9, 9, 9]))
    assert (counts.tolist(), members.tolist()) == ([2, 1, 2], [0, 3, 4, 1, 6])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8, 100])
def test_blocks_of_any_size(tmp_path: Path, size: int) -> None:
    documents = DocumentVectors(tmp_path, Corpus(TEXTS), "key")
    documents.build(Letters(), similarity=dot)
    found = [(start, block.copy()) for start, block in documents.blocks(size)]
    assert [start for start, _ in found] == list(range(0, 8, size))
    whole = np.concatenate([block for _, block in found])
    assert whole.tolist() == documents.take(np.arange(8)).tolist()


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_kill_loses_one_shard(tmp_path: Path) -> None:
    want = DocumentVectors(tmp_path / "whole", Corpus(TEXTS), "key")
    want.build(Letters(), similarity=dot)
    documents, cut = DocumentVectors(tmp_path / "cut", Corpus(TEXTS), "key"), Letters(fail_after=2)
    with pytest.raises(KeyboardInterrupt):
        documents.build(cut, similarity=dot)
    assert (documents.complete, documents.missing()) == (False, [2])
    rest = Letters()
    again = DocumentVectors(tmp_path / "cut", Corpus(TEXTS), "key")
    assert again.build(rest, similarity=dot) == 2
    assert rest.texts == ["delta", "epsilon"]
    assert files(again.folder) == files(want.folder)


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_several_processes_make_the_same_files(tmp_path: Path, parts: int) -> None:
    """Also one that has nothing to do."""
    want = DocumentVectors(tmp_path / "one", Corpus(TEXTS), "key")
    want.build(Letters(), similarity=dot)
    made = [DocumentVectors(tmp_path / "many", Corpus(TEXTS), "key") for _ in range(parts)]
    counts = [
        documents.build(Letters(), similarity=dot, part=part, parts=parts)
        for part, documents in enumerate(made)
    ]
    assert sum(counts) == 8
    assert files(made[0].folder) == files(want.folder)


def test_what_decides_the_vectors_has_a_folder_of_its_own(tmp_path: Path) -> None:
    folders = {
        DocumentVectors(tmp_path, Corpus(texts), key, storage).folder
        for texts in (TEXTS, TEXTS[1:])
        for key in ("one", "two")
        for storage in STORAGES
    }
    assert len(folders) == 12


@pytest.mark.parametrize(("storage", "error"), [("float16", 5e-4), ("int8", 4.1e-3)])
def test_smaller_storage(tmp_path: Path, storage: str, error: float) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(7, 20)).astype(np.float32)
    values[3] = 0
    documents = DocumentVectors(tmp_path, Corpus([str(n) for n in range(7)]), "key", storage)

    def encode(texts: list[str]) -> NDArray[np.float32]:
        return values[[int(text) for text in texts]]

    documents.build(encode, similarity=dot)
    largest = np.abs(values).max(axis=1, keepdims=True)
    assert (np.abs(documents.take(np.arange(7)) - values) <= error * largest).all()
    exact = DocumentVectors(tmp_path, Corpus([str(n) for n in range(7)]), "key")
    exact.build(encode, similarity=dot)
    assert exact.take(np.arange(7)).tolist() == values.tolist()


def test_shards_of_different_dimension_are_refused(tmp_path: Path) -> None:
    documents = DocumentVectors(tmp_path, Corpus(TEXTS), "key")
    sizes = iter([4, 4, 5])
    with pytest.raises(OutputError, match="of the dimensions 4, 5 for 8 texts"):
        documents.build(
            lambda texts: np.ones((len(texts), next(sizes)), np.float32), similarity=dot
        )
    assert not documents.complete


# -- texts that come as they come ------------------------------------------------------------


def test_a_text_is_encoded_once_in_any_order(tmp_path: Path) -> None:
    one, two = Letters(), Letters()
    store, other = TextVectors(tmp_path / "one"), TextVectors(tmp_path / "two")
    shards = store.missing(TEXTS)
    assert [len(shard) for shard in shards] == [3, 3, 2]
    assert other.missing(TEXTS[::-1]) == shards
    store.keep(shards, one)
    other.keep(shards[1::2], two)  # as the second of two processes
    other.keep(shards[0::2], two)
    assert store.missing(TEXTS[::-1]) == other.missing(TEXTS) == []
    # The same batches, so the same vectors to the last bit.
    assert sorted(one.asked) == sorted(two.asked) == sorted(shards)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert (
        store.of(["beta", "new", "beta"], one).tolist()
        == Letters()(["beta", "new", "beta"]).tolist()
    )
    assert one.texts.count("new") == 1
    again = TextVectors(tmp_path / "one")
    assert again.of([*TEXTS, "new"], two).tolist() == Letters()([*TEXTS, "new"]).tolist()
    assert len(two.texts) == 8


def test_a_text_that_another_process_encoded_is_found(tmp_path: Path) -> None:
    mine, theirs, encode = TextVectors(tmp_path), TextVectors(tmp_path), Letters()
    theirs.add(["a", "b"], encode)
    assert mine.of(["b"], encode).tolist() == Letters()(["b"]).tolist()
    assert len(encode.texts) == 2


def test_a_shard_without_its_keys_does_not_exist(tmp_path: Path) -> None:
    TextVectors(tmp_path).add(["a"], Letters())
    next(tmp_path.glob("*.keys.npy")).unlink()
    encode = Letters()
    assert TextVectors(tmp_path).of(["a"], encode).tolist() == Letters()(["a"]).tolist()
    assert encode.texts == ["a"]
