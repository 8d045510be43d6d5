"""hf-hardneg with BM25: mine, retrieve, select."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from typing import Any

import bm25s  # noqa: F401  (both sides count memory from after the same imports)
import numba  # noqa: F401
import numpy as np
import Stemmer  # noqa: F401
from datasets import Dataset, load_from_disk

from benchmarks.child import Measured
from hf_hardneg import OfflineMiner
from hf_hardneg.query_sources import load_queries

__all__ = ["compare", "mine", "retrieve", "select"]

WARM = [f"a short text with the number {number}" for number in range(200)]
DIGESTED = ("hard_negative_ids", "hard_negative_scores")


def _compile() -> None:
    """Do a small job of the same kind, so that numba has compiled."""
    rows = Dataset.from_dict({"query": ["short text", "number 5"], "positive": [WARM[3], WARM[5]]})
    with tempfile.TemporaryDirectory() as folder:
        OfflineMiner("bm25", corpus=WARM, num_negatives=5, cache_dir=folder).mine(rows)


def _digest(mined: Dataset) -> str:
    """Return a hash of all columns of negatives."""
    names = [
        name for name in mined.column_names if name in DIGESTED or name.startswith("negative_")
    ]
    digest = hashlib.sha256()
    for batch in mined.select_columns(names).iter(5_000):
        digest.update(json.dumps([batch[name] for name in names]).encode())
    return digest.hexdigest()[:32]


def _after(miner: OfflineMiner, mined: Dataset) -> dict[str, Any]:
    report = miner.report(mined)
    return {
        "digest": _digest(mined),
        "rows_in": report.rows_in,
        "rows_out": len(mined),
        "negatives": report.slots_chosen,
        "candidates": report.slots_retrieved,
        "stage_seconds": report.seconds,
    }


def mine(
    corpus: str,
    queries: str,
    judgements: str,
    k: int,
    n: int,
    output_format: str,
    cache_dir: str,
    compiled: bool,
) -> Measured:
    """Mine, from the files to the finished data set.

    Args:
        corpus: a folder in BEIR layout.
        queries: JSONL, perhaps .gz.
        judgements: a TSV file.
        k: candidates for each query.
        n: negatives for each query.
        output_format: of the data set.
        cache_dir: an empty folder.
        compiled: let numba compile before the time is taken.
    """
    if compiled:
        _compile()
    times = [time.perf_counter()]
    rows = load_queries(queries, judgements).rows
    times.append(time.perf_counter())
    miner = OfflineMiner(f"bm25@{k}", corpus=corpus, num_negatives=n, cache_dir=cache_dir)
    times.append(time.perf_counter())
    mined = miner.mine(rows, output_format)
    times.append(time.perf_counter())
    values = {
        "seconds": round(times[3] - times[0], 3),
        "reading_seconds": round(times[2] - times[0], 3),
        "read_queries_seconds": round(times[1] - times[0], 3),
        "read_corpus_seconds": round(times[2] - times[1], 3),
        "mine_seconds": round(times[3] - times[2], 3),
        "documents": len(miner.corpus or ()),
        "queries": len(rows),
    }
    return Measured(values, lambda: _after(miner, mined))


def retrieve(
    corpus: str, queries: str, judgements: str, k: int, n: int, cache_dir: str, pool: str
) -> Measured:
    """Make a pool and save it."""
    started = time.perf_counter()
    rows = load_queries(queries, judgements).rows
    miner = OfflineMiner(f"bm25@{k}", corpus=corpus, num_negatives=n, cache_dir=cache_dir)
    miner.retrieve(rows).save_to_disk(pool)
    return Measured({"seconds": round(time.perf_counter() - started, 3), "queries": len(rows)})


def select(
    corpus: str, pool: str, strategy: str, n: int, output_format: str, cache_dir: str
) -> Measured:
    """Select from a saved pool.

    Args:
        corpus: a folder in BEIR layout, which the cache knows.
        pool: a folder that :func:`retrieve` has written.
        strategy: a strategy string.
        n: negatives for each query.
        output_format: of the data set.
        cache_dir: that of :func:`retrieve`.
    """
    times = [time.perf_counter()]
    rows = load_from_disk(pool)
    miner = OfflineMiner(strategy, corpus=corpus, num_negatives=n, cache_dir=cache_dir)
    times.append(time.perf_counter())
    mined = miner.select(rows, output_format)
    times.append(time.perf_counter())
    values = {
        "seconds": round(times[2] - times[1], 4),
        "opening_seconds": round(times[1] - times[0], 4),
        "queries": len(rows),
    }
    return Measured(values, lambda: _after(miner, mined))


def compare(
    corpus: str, queries: str, judgements: str, k: int, n: int, cache_dir: str, scores: str
) -> Measured:
    """Compare the candidates of a mined cache with the scores of bare bm25s."""
    rows = load_queries(queries, judgements).rows
    miner = OfflineMiner(f"bm25@{k}", corpus=corpus, num_negatives=n, cache_dir=cache_dir)
    pool = miner.retrieve(rows)
    expected = np.load(scores)
    different, largest = 0, 0.0
    for start in range(0, len(pool), 5_000):
        part = pool[start : start + 5_000]["candidate_scores"]
        theirs = -np.sort(-expected[start : start + 5_000], axis=1)
        ours = np.zeros_like(theirs)
        for line, found in enumerate(part):
            # bm25s fills up with documents that share no word with the query: score 0.
            ours[line, : len(found)] = found
        gap = np.abs(ours - theirs).max(axis=1, initial=0.0)
        different += int(np.count_nonzero(gap > 1e-5 * np.abs(theirs).max(axis=1, initial=1.0)))
        largest = max(largest, float(gap.max(initial=0.0)))
    values = {"queries": len(pool), "different_lines": different, "largest_difference": largest}
    return Measured(values)
