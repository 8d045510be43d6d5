"""Bare bm25s: tokenise, index, retrieve."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bm25s
import numba  # noqa: F401  (both sides count memory from after the same imports)
import numpy as np
import Stemmer
from bm25s.tokenization import Tokenizer

from benchmarks.child import Measured

__all__ = ["search"]

WARM = [f"a short text with the number {number}" for number in range(200)]


def _records(path: str) -> Iterator[dict[str, Any]]:
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _job(
    texts: list[str], queries: list[str], k: int, tokenizer: str, csc: str, threads: int
) -> tuple[Any, dict[str, float]]:
    """Do the work and take the time of each part."""
    times = [time.perf_counter()]
    stemmer = Stemmer.Stemmer("english")
    words = Tokenizer(stopwords="english", stemmer=stemmer)
    index = bm25s.BM25(backend="numba", csc_backend=csc)
    if tokenizer == "class":
        ids = words.tokenize(texts, return_as="ids", show_progress=False)
        documents: Any = (ids, words.get_vocab_dict())
    else:
        documents = bm25s.tokenize(texts, stopwords="english", stemmer=stemmer, show_progress=False)
    times.append(time.perf_counter())
    index.index(documents, show_progress=False)
    times.append(time.perf_counter())
    if tokenizer == "class":
        asked: Any = words.tokenize(queries, update_vocab=False, show_progress=False)
    else:
        asked = bm25s.tokenize(queries, stopwords="english", stemmer=stemmer, show_progress=False)
    times.append(time.perf_counter())
    found = index.retrieve(asked, k=min(k, len(texts)), n_threads=threads, show_progress=False)
    times.append(time.perf_counter())
    names = ("tokenise_seconds", "index_seconds", "tokenise_queries_seconds", "retrieve_seconds")
    parts = {
        name: round(end - start, 3)
        for name, start, end in zip(names, times[:-1], times[1:], strict=True)
    }
    return found, parts | {"seconds": round(times[-1] - times[0], 3)}


def search(
    corpus: str,
    queries: str,
    k: int,
    tokenizer: str,
    csc: str,
    threads: int,
    compiled: bool,
    keep: str | None = None,
) -> Measured:
    """Read the texts, then tokenise, index and retrieve.

    Args:
        corpus: JSONL, perhaps .gz.
        queries: JSONL, perhaps .gz.
        k: documents for each query.
        tokenizer: ``class`` or ``function``, the two ways of bm25s.
        csc: bm25s' ``csc_backend``.
        threads: bm25s' ``n_threads``.
        compiled: let numba compile before the time is taken.
        keep: where the scores are written afterwards, for the comparison.
    """
    if compiled:
        _job(WARM, WARM[:9], k, tokenizer, csc, threads)
    started = time.perf_counter()
    texts = [
        " ".join(filter(None, [record.get("title"), record["text"]])) for record in _records(corpus)
    ]
    asked = [record["text"] for record in _records(queries)]
    reading = time.perf_counter() - started
    found, times = _job(texts, asked, k, tokenizer, csc, threads)

    def after() -> dict[str, Any]:
        if keep is not None:
            np.save(Path(keep), found.scores)
        return {}

    values = {
        **times,
        "reading_seconds": round(reading, 3),
        "documents": len(texts),
        "queries": len(asked),
    }
    return Measured(values, after)
