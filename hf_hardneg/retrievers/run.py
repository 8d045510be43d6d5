"""Candidates that exist already: a TREC run file, or the pool of an earlier mining."""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, load_from_disk
from numpy.typing import NDArray

from hf_hardneg.arrow import save_array
from hf_hardneg.cache import cache_root, content_hash, published_folder
from hf_hardneg.candidates import NO_ROW, Queries, order_by_score
from hf_hardneg.checks import whole_number
from hf_hardneg.columns import QUERY_NAMES
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import ColumnError, FormatError, PoolError, QueryError, listing
from hf_hardneg.hashing import exact_key, text_keys
from hf_hardneg.positives import ragged_indices
from hf_hardneg.readers import open_text
from hf_hardneg.retrievers.base import Hits, Retriever
from hf_hardneg.workload import Trial, Workload

__all__ = ["RunRetriever", "read_trec_run"]

TABLE_VERSION = 1
CONTENT = "run_content"
ARRAYS = ("keys", "offsets", "rows", "scores")
IDS = "candidate_ids"
CANDIDATES = ("candidate_rows", IDS)
SCORES = "candidate_scores"
FIELDS = 6
LARGEST = float(np.finfo(np.float32).max)

Listed = Iterator[tuple[int, NDArray[Any], NDArray[Any]]]


def read_trec_run(path: Path) -> Iterator[tuple[str, str, float]]:
    """Yield (query id, document id, score) of a TREC run: ``qid Q0 docid rank score tag``.

    The rank field is not used: as in trec_eval, the score alone decides the order.

    Raises:
        FormatError: a line has not six fields, or a score that is not a number, or the file is
            damaged. Names the line.
    """
    number = 0
    try:
        with open_text(path) as lines:
            for number, line in enumerate(lines, start=1):
                fields = line.split()
                if fields:
                    yield _trec_line(fields, f"{path}, line {number}")
    except (UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
        raise FormatError(f"{path}, after line {number}: cannot be read ({error}).") from error


def _trec_line(fields: list[str], where: str) -> tuple[str, str, float]:
    if len(fields) != FIELDS:
        raise FormatError(
            f"{where}: {len(fields)} fields; expected the six of a TREC run: "
            "qid Q0 docid rank score tag."
        )
    try:
        score = float(fields[4])
    except ValueError:
        score = math.nan
    if not abs(score) <= LARGEST:
        raise FormatError(
            f"{where}: the score is {fields[4]!r}; expected a finite number that float32 can hold."
        )
    return fields[0], fields[2], score


class RunRetriever(Retriever):
    """Candidates of an earlier retrieval, by anything that can write a run.

    Args:
        corpus: the documents.
        run: path of a TREC run file (``.gz`` too; queries are matched by id), of a saved pool, or
            a pool data set as :meth:`OfflineMiner.retrieve` returns it (queries are matched by
            text). A document that a query lists twice counts once, with its best score.
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

    def __getstate__(self) -> dict[str, Any]:
        """Return the parameters and what says whether the run is still the same."""
        return {**super().__getstate__(), CONTENT: _identity(self.run)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the retriever anew."""
        super().__setstate__({name: value for name, value in state.items() if name != CONTENT})

    def trial(self, work: Workload) -> Trial:
        """Say that reading the run is not foreseen; see :meth:`Retriever.trial`."""
        return Trial((), notes=(f"{self.name}: the time to read it is not in these figures.",))

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


def _identity(run: str | Dataset) -> list[object]:
    """Return what changes when the content of a run does."""
    if isinstance(run, str) and Path(run).is_file():
        stat = Path(run).stat()
        return ["trec", str(Path(run).resolve()), stat.st_size, stat.st_mtime_ns]
    pool = run if isinstance(run, Dataset) else _saved_pool(run)
    return ["pool", pool._fingerprint]


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
            key = content_hash(TABLE_VERSION, _identity(run), corpus.fingerprint)
            return cls(
                published_folder(
                    home / key,
                    lambda folder: _write(folder, _joined(_trec_lists(Path(run), corpus))),
                ),
                by_id=True,
            )
        pool = run if isinstance(run, Dataset) else _saved_pool(run)
        if not isinstance(pool, Dataset):
            raise PoolError(f"{run!r} holds several splits; give one of them as the pool.")
        key = content_hash(TABLE_VERSION, _identity(pool), corpus.fingerprint)
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


def _saved_pool(folder: str) -> Any:  # noqa: ANN401
    try:
        return load_from_disk(folder)
    except (OSError, ValueError) as error:
        raise PoolError(
            f"the folder {folder!r} cannot be opened as a pool: {error}. Give a TREC run file, or "
            "a folder written by pool.save_to_disk(folder)."
        ) from error


def _trec_lists(path: Path, corpus: Corpus) -> Listed:
    """Yield (query key, rows, scores); the lines of a query may stand in several pieces."""
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


def _joined(lists: Listed) -> Listed:
    """Yield each query once, with all of its pieces."""
    pieces: dict[int, list[tuple[NDArray[Any], NDArray[Any]]]] = {}
    for key, rows, scores in lists:
        pieces.setdefault(key, []).append((rows, scores))
    for key, own in pieces.items():
        rows, scores = zip(*own, strict=True)
        yield key, np.concatenate(rows), np.concatenate(scores)


def _pool_lists(pool: Dataset, corpus: Corpus) -> Listed:
    """Yield (query key, rows, scores) of a pool data set with ids or rows."""
    names = pool.column_names
    query = next((name for name in QUERY_NAMES if name in names), None)
    listing_column = next((name for name in CANDIDATES if name in names), None)
    if query is None or listing_column is None or SCORES not in names:
        raise ColumnError(
            f"a pool needs a query column ({listing(QUERY_NAMES)}), candidate_rows or "
            f"candidate_ids, and candidate_scores; found {listing(names)}."
        )
    for row in pool.select_columns([query, listing_column, SCORES]):
        listed, scored = row[listing_column] or [], row[SCORES] or []
        if len(listed) != len(scored):
            raise PoolError(
                f"in the pool, the query {row[query]!r} has {len(listed)} candidates and "
                f"{len(scored)} scores. Columns of different minings were mixed: retrieve again."
            )
        if listing_column == IDS:
            listed = corpus.rows_of_ids(listed)
        rows = np.asarray(listed, dtype=np.int64)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(corpus)):
            raise PoolError(
                f"the pool names documents that the corpus of {len(corpus)} documents does not "
                "have. Give the corpus that the pool was made on."
            )
        yield int(text_keys([row[query]])[0]), rows, np.array(scored, dtype=np.float32)


def _best_first(
    rows: NDArray[np.int64], scores: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return a list in order, each document once; without scores it is in order already."""
    if not np.isnan(scores).any():
        rows, scores = (part[0] for part in order_by_score(rows[None], scores[None]))
    first = np.sort(np.unique(rows, return_index=True)[1])
    return rows[first], scores[first]


def _write(folder: Path, lists: Listed) -> None:
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
    ordered = [_best_first(rows, scores) for _, rows, scores in collected]
    offsets = np.concatenate([[0], np.cumsum([len(rows) for rows, _ in ordered])])
    values = (
        keys,
        offsets.astype(np.int64),
        np.concatenate([rows for rows, _ in ordered]),
        np.concatenate([scores for _, scores in ordered]),
    )
    for name, value in zip(ARRAYS, values, strict=True):
        save_array(folder / f"{name}.npy", value)
