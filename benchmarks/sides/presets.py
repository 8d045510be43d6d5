"""Selecting with a preset from a pool, and what was chosen."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, load_from_disk

from benchmarks.child import Measured
from hf_hardneg import Corpus, OfflineMiner
from hf_hardneg.query_sources import load_queries

__all__ = ["choose", "make_pool"]


def make_pool(
    corpus: str,
    queries: str,
    judgements: str,
    strategy: str,
    n: int,
    cache_dir: str,
    pool: str,
    number: int = 0,
    hide: bool = False,
    seed: int = 0,
) -> Measured:
    """Retrieve and save the pool.

    Args:
        corpus: a folder in BEIR layout.
        queries: JSONL, perhaps .gz.
        judgements: a TSV file.
        strategy: the retriever, with its depth.
        n: negatives for each query.
        cache_dir: of indexes and vectors.
        pool: where it is saved.
        number: queries, drawn by the seed; 0 for all.
        hide: let all positives of a query but one, drawn by the seed, be unknown.
        seed: of both.
    """
    rows = load_queries(queries, judgements).rows
    rng = np.random.default_rng(seed)
    if number and number < len(rows):
        rows = rows.select(np.sort(rng.choice(len(rows), number, replace=False)))
    if hide:
        rows = _hidden(rows, rng)
    miner = OfflineMiner(strategy, corpus=corpus, num_negatives=n, cache_dir=cache_dir)
    started = time.perf_counter()
    miner.retrieve(rows).save_to_disk(pool)
    return Measured({"seconds": round(time.perf_counter() - started, 3), "queries": len(rows)})


def _hidden(rows: Dataset, rng: np.random.Generator) -> Dataset:
    """Return the rows with one of their positives each; the ids of all stand beside."""
    all_ids = [list(ids) for ids in rows["positive_ids"]]
    chosen = [[ids[int(rng.integers(len(ids)))]] for ids in all_ids]
    bare = rows.remove_columns(["positive_ids"])
    return bare.add_column("positive_ids", chosen).add_column("relevant_ids", all_ids)


def choose(
    corpus: str, pool: str, strategy: str, n: int, cache_dir: str, device: str = "cpu"
) -> Measured:
    """Select from a pool and describe what was chosen.

    Args:
        corpus: a folder in BEIR layout, which the cache knows.
        pool: a folder that :func:`make_pool` has written.
        strategy: a strategy string.
        n: negatives for each query.
        cache_dir: that of :func:`make_pool`.
        device: of a cross-encoder.
    """
    # What another preset has scored is kept too, and would make this one look cheap.
    shutil.rmtree(Path(cache_dir) / "pair_scores", ignore_errors=True)
    rows = load_from_disk(pool)
    miner = OfflineMiner(
        strategy, corpus=corpus, num_negatives=n, cache_dir=cache_dir, underfilled="keep"
    )
    started = time.perf_counter()
    mined = miner.select(rows)
    seconds = round(time.perf_counter() - started, 3)
    report = miner.report(mined)
    assert miner.corpus is not None
    values = {
        "seconds": seconds,
        "rows": len(mined),
        "yield": round(report.slots_chosen / (n * len(mined)), 4),
        "full_rows": round(1 - sum(report.underfilled.values()) / len(mined), 4),
        "asked": sum(stage.asked or 0 for stage in report.stages),
        **_described(rows, mined, miner.corpus),
    }
    return Measured(values)


def _described(pool: Dataset, mined: Dataset, corpus: Corpus) -> dict[str, Any]:
    """Return mean rank, hardness and, where judgements are known, how many are relevant."""
    ranks, ratios, harder, relevant, judged = [], [], 0, 0, 0
    candidates = pool.select_columns(["candidate_rows", "candidate_ranks", "query"])
    for place, row in enumerate(mined):
        own = candidates[place]
        rank_of = dict(zip(own["candidate_rows"], own["candidate_ranks"], strict=True))
        documents = corpus.rows_of_ids(row["hard_negative_ids"])
        ranks += [rank_of[int(document)] for document in documents if int(document) in rank_of]
        positives = [score for score in row["hard_negative_positive_scores"] if score is not None]
        scores = [score for score in row["hard_negative_scores"] if score is not None]
        if positives and min(positives) > 0:
            ratios += [score / min(positives) for score in scores]
            harder += sum(score >= min(positives) for score in scores)
        if "relevant_ids" in row:
            known = set(row["relevant_ids"])
            relevant += sum(name in known for name in row["hard_negative_ids"])
            judged += len(row["hard_negative_ids"])
    values: dict[str, Any] = {
        "mean_rank": round(float(np.mean(ranks)), 2) if ranks else None,
        "mean_hardness": round(float(np.mean(ratios)), 4) if ratios else None,
        "harder_than_positive": round(harder / len(ratios), 4) if ratios else None,
    }
    if judged:
        values["relevant"] = round(relevant / judged, 4)
    return values
