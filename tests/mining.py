"""Random collections for the miner, and what it must do with them, worked out by brute force."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from hypothesis import Phase, settings
from hypothesis import strategies as st
from tiny_models import WORDS

from hf_hardneg.corpus import Corpus
from hf_hardneg.retrievers import BM25Retriever
from hf_hardneg.testing import make_queries

FEW = WORDS[:8]
"""Few words, so that every query meets many documents and many scores tie."""
TRAINING_FORMATS = ("triplet", "n-tuple", "labeled-pair", "labeled-list", "ids")
ALL_FORMATS = ("columns", *TRAINING_FORMATS)


MINING = settings(phases=[Phase.explicit, Phase.reuse, Phase.generate])
"""For tests that mine: collections come from a seed, which has no simpler one to look for."""


def same(text: str) -> str:
    """Return what two texts have in common when they count as the same; not the library's own."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


@dataclass(frozen=True)
class Row:
    """One row of query data: positives are (id, text); the id is None if not in the corpus."""

    query: str
    positives: tuple[tuple[str | None, str], ...]


@dataclass(frozen=True)
class Collection:
    """Documents by id, and rows of queries with their positives."""

    documents: dict[str, str]
    rows: tuple[Row, ...]

    def dataset(self, kind: str = "list") -> Dataset:
        """Return the rows with positives as ``text``, ``list``, ``ids`` or ``both``."""
        columns: dict[str, list[Any]] = {
            "query": [row.query for row in self.rows],
            "topic": [number % 3 for number in range(len(self.rows))],
        }
        if kind == "text":
            columns["positive"] = [row.positives[0][1] for row in self.rows]
        if kind in ("list", "both"):
            columns["positive"] = [[text for _, text in row.positives] for row in self.rows]
        if kind in ("ids", "both"):
            columns["positive_ids"] = [[name for name, _ in row.positives] for row in self.rows]
        return Dataset.from_dict(columns)


def make_collection(seed: int, *, outside: bool = True) -> Collection:
    """Return a small collection with all that goes wrong elsewhere.

    Texts stand under several ids, written differently; a document is empty, another is a query;
    a query stands in several rows, written differently, with other positives; with ``outside``
    some positives are no documents.
    """
    rng = np.random.default_rng(seed)

    def text(longest: int) -> str:
        return " ".join(rng.choice(FEW, rng.integers(1, longest + 1)))

    texts = [text(5) for _ in range(rng.integers(8, 30))]
    queries = [text(3) for _ in range(rng.integers(2, 5))]
    texts += [disguised(rng, texts[rng.integers(len(texts))]) for _ in range(4)]
    texts += ["", disguised(rng, queries[0])]
    order = rng.permutation(len(texts))
    documents = {f"d{number}": texts[place] for number, place in enumerate(order)}
    filled = [name for name, words in documents.items() if words]
    rows = []
    for query in [*queries, *queries[:2]]:
        names = rng.choice(filled, rng.integers(1, 4), replace=False)
        positives: list[tuple[str | None, str]] = [
            (str(name), disguised(rng, documents[str(name)])) for name in names
        ]
        if outside and rng.random() < 0.3:
            positives[-1] = (None, text(6) + " elsewhere")
        rows.append(Row(disguised(rng, query), tuple(positives)))
    return Collection(documents, tuple(rows))


def disguised(rng: np.random.Generator, text: str) -> str:
    """Return a text that counts as the same."""
    return [text, text.upper(), "  ".join(text.split(" ")), f"{text}\n"][rng.integers(4)]


collections = st.builds(make_collection, st.integers(0, 100_000))
inside = st.builds(make_collection, st.integers(0, 100_000), outside=st.just(False))
"""Collections all of whose positives are documents, for data that names them by id."""


def raw_pool(collection: Collection, query: str, top_k: int) -> list[tuple[str, int]]:
    """Return (id, raw rank) of everything BM25 finds for a query, before any filter."""
    corpus = Corpus(collection.documents)
    queries = make_queries(corpus, [query], [["red"]])
    [rows], _ = BM25Retriever(corpus, top_k=top_k).search(queries)
    names = list(collection.documents)
    return [(names[row], rank) for rank, row in enumerate(rows, start=1) if row >= 0]


def forbidden(collection: Collection, query: str) -> tuple[set[str], set[str]]:
    """Return (ids, texts) that no negative of the query may have: positives of all its rows."""
    ids, texts = set(), {same(query), ""}
    for row in collection.rows:
        if same(row.query) == same(query):
            ids |= {name for name, _ in row.positives if name is not None}
            texts |= {same(text) for _, text in row.positives}
    return ids, texts


def available(
    collection: Collection, query: str, top_k: int, window: tuple[int, int | None] = (1, None)
) -> list[str]:
    """Return the ids that may be negatives of a query, best first, one for each text."""
    ids, texts = forbidden(collection, query)
    low, high = window
    allowed = []
    for name, rank in raw_pool(collection, query, top_k):
        text = same(collection.documents[name])
        in_window = rank >= low and (high is None or rank < high)
        if in_window and name not in ids and text not in texts:
            allowed.append(name)
            texts.add(text)
    return allowed


def negative_ids(mined: Any) -> list[list[str]]:
    """Return the ids of the negatives of each row."""
    return [list(names) for names in mined["hard_negative_ids"]]


def table_of(rows: Dataset) -> pa.Table:
    """Return a data set as one Arrow table, to compare bytes and types."""
    return rows.with_format("arrow")[:].combine_chunks()


def assert_same_rows(left: Dataset, right: Dataset, columns: Iterable[str] | None = None) -> None:
    """Assert that two data sets hold the same values of the same types."""
    names = list(columns) if columns is not None else left.column_names
    if columns is None:
        assert left.features == right.features
    assert table_of(left.select_columns(names)) == table_of(right.select_columns(names))


def assert_no_null_types(schema: pa.Schema) -> None:
    """Assert that every column has a type of its own, inside lists and structs too."""

    def check(kind: pa.DataType, name: str) -> None:
        assert not pa.types.is_null(kind), name
        for place in range(kind.num_fields):
            check(kind.field(place).type, name)

    for field in schema:
        check(field.type, field.name)


def word_documents(number: int, seed: int = 0, words: Sequence[str] = WORDS) -> dict[str, str]:
    """Return documents of six words, all different."""
    rng = np.random.default_rng(seed)
    texts: dict[str, None] = {}
    while len(texts) < number:
        texts[" ".join(rng.choice(words, 6))] = None
    return {f"d{place}": text for place, text in enumerate(texts)}


def word_rows(documents: Mapping[str, str], number: int, seed: int = 1) -> Dataset:
    """Return queries of three words of their positive, one row each."""
    rng = np.random.default_rng(seed)
    names = list(documents)[:number]
    queries = [" ".join(rng.permutation(documents[name].split())[:3]) for name in names]
    return Dataset.from_dict(
        {"query": queries, "positive": [documents[name] for name in names], "number": range(number)}
    )


def pairs_on_disk(cache: Path) -> int:
    """Return how many pair scores a cache holds."""
    files = (cache / "pair_scores").rglob("*.pairs")
    return sum(path.stat().st_size for path in files) // 12
