"""Candidates that exist already: a TREC run file, or the pool of an earlier mining."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, load_from_disk
from numpy.typing import NDArray

from hf_hardneg.cache import cache_root, content_hash, published_folder
from hf_hardneg.candidates import NO_ROW, Queries, order_by_score
from hf_hardneg.checks import whole_number
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import ColumnError, FormatError, PoolError, QueryError, listing
from hf_hardneg.hashing import exact_key, text_keys
from hf_hardneg.positives import ragged_indices
from hf_hardneg.readers import open_text
from hf_hardneg.retrievers.base import Hits, Retriever

__all__ = ["RunRetriever", "read_trec_run"]

TABLE_VERSION = 1
ARRAYS = ("keys", "offsets", "rows", "scores")
FIELDS = 6


def read_trec_run(path: Path) -> Iterator[tuple[str, str, float]]:
    """Yield (query id, document id, score) of a TREC run: ``qid Q0 docid rank score tag``.

    The rank field is not used: as in trec_eval, the score alone decides the order.

    Raises:
        FormatError: a line has not six fields, or a score that is not a number. Names the line.
    """
    with open_text(path) as lines:
        for number, line in enumerate(lines, start=1):
            fields = line.split()
            if not fields:
                continue
            if len(fields) != FIELDS:
                raise FormatError(
                    f"{path}, line {number}: {len(fields)} fields; expected the six of a TREC run: "
                    "qid Q0 docid rank score tag."
                )
            try:
                score = float(fields[4])
            except ValueError as error:
                raise FormatError(
                    f"{path}, line {number}: the score is {fields[4]!r}; expected a number."
                ) from error
            if not np.isfinite(score):
                raise FormatError(f"{path}, line {number}: the score {fields[4]!r} is not finite.")
            yield fields[0], fields[2], score


class RunRetriever(Retriever):
    """Candidates of an earlier retrieval, by anything that can write a run.

    Args:
        corpus: the documents.
        run: path of a TREC run file (``.gz`` too; queries are matched by id), of a saved pool, or
            a pool data set as :meth:`OfflineMiner.retrieve` returns it (queries are matched by
            text).
        top_k: candidates used for each query; the best of the list.
        cache_dir: where the run is kept as arrays; see :func:`hf_hardneg.cache.cache_root`.

    A query that is not in the run has no candidates. A positive that is not in its query's list
    has no score, and a margin then keeps nothing: everything listed was ranked above it.

    Raises:
        FormatError: a malformed line.
        PoolError: documents that are not in the corpus, or a pool of another corpus.
    """

    name = "run"

    def __init__(
        self,
        corpus: Corpus,
        *,
        run: str | os.PathLike[str] | Dataset,
        top_k: int = 100,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        """Check the parameters; the run is read when it is first used."""
        self.corpus = Corpus.of(corpus, cache_dir)
        self.run = run if isinstance(run, Dataset) else os.fspath(run)
        self.top_k = whole_number("run", "top_k", top_k, 1)
        self.cache_dir = cache_dir
        self._table: _RunTable | None = None
        if isinstance(self.run, str) and not Path(self.run).exists():
            raise PoolError(f"the run {self.run!r} does not exist; expected a file or folder.")

    def prepare(self) -> None:
        """Convert the run into arrays on disk, unless they are there already."""
        self._open()

    def _open(self) -> _RunTable:
        if self._table is None:
            home = cache_root(self.cache_dir) / "runs"
            self._table = _RunTable.of(self.run, self.corpus, home)
        return self._table

    def parameters(self) -> dict[str, Any]:
        """Return the parameters; a data set stands for itself by its fingerprint."""
        values = super().parameters()
        if isinstance(self.run, Dataset):
            values["run"] = f"dataset:{self.run._fingerprint}"
        return values

    def search(self, queries: Queries) -> Hits:
        """Return the listed documents, best first."""
        table = self._open()
        return table.top(table.keys_of(queries), self.top_k)

    def positive_scores(self, queries: Queries, hits: Hits) -> NDArray[np.float32]:
        """Return the listed score of each positive, ``nan`` for one that is not listed."""
        owner = np.repeat(np.arange(len(queries)), queries.positives_per_query)
        same = hits[0][owner] == queries.positive_rows[:, None]
        found = same.any(axis=1) & (queries.positive_rows != NO_ROW)
        scores = np.full(len(owner), np.nan, dtype=np.float32)
        scores[found] = hits[1][owner[found], same[found].argmax(axis=1)]
        return scores


class _RunTable:
    """A run as sorted arrays on disk."""

    def __init__(self, folder: Path, *, by_id: bool) -> None:
        self._by_id = by_id
        self._keys, self._offsets, self._rows, self._scores = (
            np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS
        )

    @classmethod
    def of(cls, run: str | Dataset, corpus: Corpus, home: Path) -> _RunTable:
        """Open the table of a run; it is written first if it is not there."""
        if isinstance(run, str) and Path(run).is_file():
            stat = Path(run).stat()
            identity = [str(Path(run).resolve()), stat.st_size, stat.st_mtime_ns]
            key = content_hash(TABLE_VERSION, "trec", identity, corpus.fingerprint)
            return cls(
                published_folder(
                    home / key, lambda folder: _write(folder, _trec_lists(Path(run), corpus))
                ),
                by_id=True,
            )
        pool = run if isinstance(run, Dataset) else load_from_disk(run)
        if not isinstance(pool, Dataset):
            raise PoolError(f"{run!r} holds several splits; give one of them as the pool.")
        key = content_hash(TABLE_VERSION, "pool", pool._fingerprint, corpus.fingerprint)
        return cls(
            published_folder(home / key, lambda folder: _write(folder, _pool_lists(pool, corpus))),
            by_id=False,
        )

    def keys_of(self, queries: Queries) -> NDArray[np.uint64]:
        """Return the keys that the run knows the queries by."""
        if not self._by_id:
            return queries.keys
        if not queries.ids:
            raise QueryError(
                "a TREC run names queries by id, and the query data has no id column. Add one "
                "(query_id, qid, ...)."
            )
        return np.fromiter(map(exact_key, queries.ids), np.uint64, count=len(queries))

    def top(self, keys: NDArray[np.uint64], k: int) -> Hits:
        """Return the first k of each list."""
        place = np.minimum(np.searchsorted(self._keys, keys), max(len(self._keys) - 1, 0))
        found = self._keys[place] == keys
        starts = np.where(found, self._offsets[place], 0)
        lengths = np.where(found, np.minimum(self._offsets[place + 1] - starts, k), 0)
        offsets, indices = ragged_indices(starts, lengths)
        line = np.repeat(np.arange(len(keys)), lengths)
        column = np.arange(len(indices)) - np.repeat(offsets[:-1], lengths)
        rows = np.full((len(keys), k), NO_ROW, dtype=np.int64)
        scores = np.full((len(keys), k), -np.inf, dtype=np.float32)
        rows[line, column], scores[line, column] = self._rows[indices], self._scores[indices]
        return rows, scores


def _trec_lists(path: Path, corpus: Corpus) -> Iterator[tuple[int, NDArray[Any], NDArray[Any]]]:
    """Yield (query key, rows, scores); a query must stand in one piece."""
    unknown: list[str] = []
    for query, lines in groupby(read_trec_run(path), key=lambda line: line[0]):
        listed = list(lines)
        names = [name for _, name, _ in listed]
        rows = corpus.rows_of_ids(names)
        unknown += [names[place] for place in np.flatnonzero(rows == NO_ROW)]
        yield exact_key(query), rows, np.array([score for *_, score in listed], dtype=np.float32)
    if unknown:
        raise PoolError(
            f"{path}: {len(unknown)} documents are not in the corpus, for example "
            f"{listing(map(repr, unknown), limit=3)}. Give the corpus that the run was made on."
        )


def _pool_lists(pool: Dataset, corpus: Corpus) -> Iterator[tuple[int, NDArray[Any], NDArray[Any]]]:
    """Yield (query key, rows, scores) of a pool data set with ids or rows."""
    names = pool.column_names
    by_row = "candidate_rows" in names
    if "query" not in names or not (by_row or "candidate_ids" in names):
        raise ColumnError(
            "a pool needs the columns query, candidate_rows or candidate_ids, and "
            f"candidate_scores; found {listing(names)}."
        )
    for row in pool:
        listed = row["candidate_rows"] if by_row else corpus.rows_of_ids(row["candidate_ids"])
        rows = np.asarray(listed, dtype=np.int64)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(corpus)):
            raise PoolError(
                f"the pool names documents that the corpus of {len(corpus)} documents does not "
                "have. Give the corpus that the pool was made on."
            )
        scores = np.array(row["candidate_scores"], dtype=np.float32)
        yield int(text_keys([row["query"]])[0]), rows, scores


def _write(folder: Path, lists: Iterator[tuple[int, NDArray[Any], NDArray[Any]]]) -> None:
    """Write the lists as arrays sorted by query key, each list best first."""
    collected = sorted(lists, key=lambda entry: entry[0])
    keys = np.array([key for key, *_ in collected], dtype=np.uint64)
    if len(keys) == 0:
        raise PoolError("the run holds no queries; expected at least one.")
    repeated = np.flatnonzero(keys[1:] == keys[:-1])
    if len(repeated):
        # Rows of a pool that share their query have the same candidates; keep the first.
        kept = np.concatenate([[True], keys[1:] != keys[:-1]])
        collected = [entry for entry, keep in zip(collected, kept, strict=True) if keep]
        keys = keys[kept]
    ordered = [order_by_score(rows[None], scores[None]) for _, rows, scores in collected]
    offsets = np.concatenate([[0], np.cumsum([rows.shape[1] for rows, _ in ordered])])
    values = (
        keys,
        offsets.astype(np.int64),
        np.concatenate([rows[0] for rows, _ in ordered]),
        np.concatenate([scores[0] for _, scores in ordered]),
    )
    for name, value in zip(ARRAYS, values, strict=True):
        np.save(folder / f"{name}.npy", value)
