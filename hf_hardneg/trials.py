"""Trials of a retriever on a part of the corpus, to say what the whole will take."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import NO_ROW, Queries
from hf_hardneg.corpus import Corpus
from hf_hardneg.workload import Nearest, Phase, Trial, Workload, timed

__all__ = ["Search", "Searcher", "as_queries", "try_on_a_part", "try_search"]

FIRST_DOCUMENTS = 64
SLOW = 4
"""Budgets; what takes longer is tried once."""
MOST_DOCUMENTS = 64_000
GROWTH = 4
NEAREST = 8
"""Candidates of each query that is tried, for vetoes."""
ROUNDS = 16
BYTES_PER_CHARACTER = 4
"""Rough; of what an index and its building take, for a character of the corpus."""


class Searcher(Protocol):
    """What is tried: a retriever."""

    corpus: Corpus

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def encodes_queries(self) -> bool:
        """Whether a model encodes the queries."""

    def prepare(self) -> None:
        """Build the index."""

    def search(self, queries: Queries) -> Any:  # noqa: ANN401
        """Return rows and scores."""


def as_queries(texts: Sequence[str]) -> Queries:
    """Return queries without positives."""
    nothing = np.zeros(len(texts) + 1, np.int64)
    rows, keys = np.zeros(0, np.int64), np.zeros(0, np.uint64)
    own = np.zeros(len(texts), np.uint64)
    return Queries(texts, [], own, nothing, rows, [], nothing, rows, keys)


@dataclass(frozen=True, slots=True)
class Search:
    """What a search takes.

    Attributes:
        begin: seconds of the first call, which may compile and open things.
        query: seconds a query after that.
        nearest: the best documents of each query that was tried.
    """

    begin: float
    query: float
    nearest: Nearest


def try_search(searcher: Searcher, work: Workload) -> Search:
    """Search for a sample of the queries in an index that is there."""
    texts = work.tried
    queries = as_queries(texts)
    begin = timed(lambda: searcher.search(as_queries(texts[:2])))
    found: list[Any] = []
    seconds = 0.0
    # What a model has encoded is kept, so a second round would show less than the work.
    rounds = 1 if searcher.encodes_queries else ROUNDS
    while not found or (seconds < work.budget / 4 and len(found) < rounds):
        seconds += timed(lambda: found.append(searcher.search(queries)))
    nearest = [
        (text, row)
        for text, line in zip(texts, found[0][0][:, :NEAREST].tolist(), strict=True)
        for row in line
        if row != NO_ROW
    ]
    return Search(begin, seconds / len(found) / len(texts), nearest)


def try_on_a_part(
    searcher: Searcher, remake: Callable[[Corpus, Path], Searcher], work: Workload
) -> Trial:
    """Build and search indexes of a few documents; return what the whole corpus would take.

    Building is taken to grow with the characters of the documents, a search with their number,
    and both begin with what they take in any case (imports, compilation, loading a model).

    Args:
        searcher: what is to be done.
        remake: returns the same over another corpus, with another cache folder.
        work: how much of it.
    """
    corpus = searcher.corpus
    lengths = corpus.text_lengths()
    number = min(FIRST_DOCUMENTS, len(corpus))
    with tempfile.TemporaryDirectory() as scratch:
        first = last = _part(corpus, number, remake, work, Path(scratch))
        if first.build < SLOW * work.budget:
            last = _part(corpus, number, remake, work, Path(scratch))
        to_build = max(first.build - last.build, 0.0)
        to_search = max(first.search.begin - last.search.begin, 0.0)
        small = last
        while last.build < work.budget and number < min(MOST_DOCUMENTS, len(corpus)):
            number = min(GROWTH * number, MOST_DOCUMENTS, len(corpus))
            small, last = last, _part(corpus, number, remake, work, Path(scratch))
    characters, part = int(lengths.sum()), max(int(lengths[last.rows].sum()), 1)
    more = len(last.rows) - len(small.rows)
    slope = max(last.search.query - small.search.query, 0.0) / more if more else 0.0
    query = last.search.query + slope * (len(corpus) - len(last.rows))
    basis = f"an index of {len(last.rows):,} of {len(corpus):,} documents"
    index = Phase(
        f"{searcher.name}: index",
        to_build + last.build * characters / part,
        characters * BYTES_PER_CHARACTER,
        last.disk * characters // part,
        basis,
    )
    search = Phase(
        f"{searcher.name}: search",
        to_search + query * len(work.queries),
        basis=f"{len(work.tried)} queries in {basis}",
    )
    nearest = [(text, int(last.rows[row])) for text, row in last.search.nearest]
    return Trial((index, search), work.negatives(nearest))


@dataclass(frozen=True, slots=True)
class _Part:
    """What an index over some documents takes."""

    rows: NDArray[np.int64]
    build: float
    search: Search
    disk: int


def _part(
    corpus: Corpus,
    number: int,
    remake: Callable[[Corpus, Path], Searcher],
    work: Workload,
    scratch: Path,
) -> _Part:
    rows = np.unique(np.linspace(0, len(corpus) - 1, number).astype(np.int64))
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        # The rows for ids: theirs are of no interest here.
        texts = {str(row): text for row, text in zip(rows, corpus.texts(rows), strict=True)}
        part = Corpus(texts, cache_dir=Path(folder) / "corpus")
        searcher = remake(part, Path(folder) / "index")
        build = timed(searcher.prepare)
        found = try_search(searcher, work)
        files = (Path(folder) / "index").rglob("*")
        return _Part(rows, build, found, sum(p.stat().st_size for p in files if p.is_file()))
