"""A cross-encoder asked lazily, and asked about everything first."""

from __future__ import annotations

import json
import random
import time
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import load_from_disk

from benchmarks.child import Measured
from hf_hardneg import BM25Retriever, Corpus, CrossEncoderDenoiser, OfflineMiner
from hf_hardneg.query_sources import load_queries

__all__ = ["everything", "lazily", "make_pool"]

K = 100
PROMOTE = 0.9


def make_pool(
    corpus: str, queries: str, judgements: str, number: int, seed: int, cache_dir: str, pool: str
) -> Measured:
    """Retrieve for a sample of the queries and save the pool."""
    rows = load_queries(queries, judgements).rows
    places = sorted(random.Random(seed).sample(range(len(rows)), min(number, len(rows))))
    retriever = BM25Retriever(Corpus(corpus, cache_dir=cache_dir), top_k=K, cache_dir=cache_dir)
    miner = OfflineMiner(retriever, num_negatives=1, cache_dir=cache_dir)
    miner.retrieve(rows.select(places)).save_to_disk(pool)
    return Measured({"queries": len(places)})


def _denoiser(model: str, threshold: float, depth: int, max_length: int, cache: str) -> Any:
    """Return a denoiser that has loaded its model and scored one pair."""
    veto = CrossEncoderDenoiser(
        model,
        threshold=threshold,
        promote_above=max(PROMOTE, threshold),
        keep_top_k=depth,
        max_length=max_length,
        device="cpu",
        cache_dir=cache,
    )
    veto.score(["a query"], ["a document"])
    return veto


def _negatives(rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    return {"negatives": sum(map(len, rows)), "ids": [list(row) for row in rows]}


def lazily(
    corpus: str,
    pool: str,
    model: str,
    threshold: float,
    n: int,
    depth: int,
    max_length: int,
    cache_dir: str,
    scratch: str,
) -> Measured:
    """Select from the pool, the cross-encoder asked as the library asks it.

    Args:
        corpus: a folder in BEIR layout, which the cache knows.
        pool: a folder that :func:`make_pool` has written.
        model: the cross-encoder.
        threshold: a negative scores below this.
        n: negatives for each query.
        depth: ``keep_top_k``.
        max_length: longest pair in tokens.
        cache_dir: that of :func:`make_pool`.
        scratch: an empty folder for scores and results.
    """
    retriever = BM25Retriever(Corpus(corpus, cache_dir=cache_dir), top_k=K, cache_dir=cache_dir)
    veto = _denoiser(model, threshold, depth, max_length, scratch)
    before = veto.pairs_scored
    miner = OfflineMiner(retriever, num_negatives=n, filters=[veto], cache_dir=scratch)
    rows = load_from_disk(pool)
    started = time.perf_counter()
    mined = miner.select(rows)
    values = {
        "seconds": round(time.perf_counter() - started, 3),
        "pairs": veto.pairs_scored - before,
    }
    return Measured(values, lambda: _negatives(mined["hard_negative_ids"]))


# -- everything first: no code of the library but the model's scores ----------------------------


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _eligible(
    row: Mapping[str, Any], texts: Sequence[str], depth: int, known: set[int]
) -> list[int]:
    """Return the first ``depth`` candidates that may be negatives, in rank order."""
    query = _normal(row["query"])
    refused = {_normal(texts[document]) for document in known} | {query, ""}
    chosen: list[int] = []
    for document in row["candidate_rows"]:
        text = _normal(texts[document])
        if document not in known and text not in refused:
            refused.add(text)
            chosen.append(document)
        if len(chosen) == depth:
            break
    return chosen


def _fewest(
    pairs: Sequence[tuple[str, str]],
    lengths: Sequence[int],
    passed: Sequence[bool],
    n: int,
) -> int:
    """Return the pairs that cannot be done without: up to the n-th that passes, of each query."""
    needed: set[tuple[str, str]] = set()
    place = 0
    for length in lengths:
        found = 0
        for pair in range(place, place + length):
            needed.add(pairs[pair])
            found += passed[pair]
            if found == n:
                break
        place += length
    return len(needed)


def _where_most_pass(lengths: Sequence[int], passed: Sequence[bool], n: int) -> dict[str, int]:
    """Return what the queries need of whose candidates more than half pass: each by itself."""
    counts = {"queries": 0, "pairs": 0, "fewest": 0}
    place = 0
    for length in lengths:
        own = passed[place : place + length]
        place += length
        if 2 * sum(own) <= length:
            continue
        survivors = [pair for pair, passes in enumerate(own) if passes]
        counts["queries"] += 1
        counts["pairs"] += length
        counts["fewest"] += survivors[n - 1] + 1 if len(survivors) >= n else length
    return counts


def everything(
    corpus: str,
    pool: str,
    model: str,
    thresholds: list[float],
    n: int,
    depth: int,
    max_length: int,
    cache_dir: str,
    scratch: str,
    keep: str,
) -> Measured:
    """Score the first ``depth`` eligible candidates of every query, then filter, then take n.

    Args:
        corpus: a folder in BEIR layout.
        pool: a folder that :func:`make_pool` has written.
        model: the cross-encoder.
        thresholds: filter with each of them.
        n: negatives for each query.
        depth: how many candidates of a query are scored.
        max_length: longest pair in tokens.
        cache_dir: that of :func:`make_pool`.
        scratch: an empty folder for scores.
        keep: where the negatives by threshold are written afterwards.
    """
    collection = Corpus(corpus, cache_dir=cache_dir)
    texts, ids = collection.texts(range(len(collection))), collection.ids(range(len(collection)))
    row_of = {identity: row for row, identity in enumerate(ids)}
    veto = _denoiser(model, thresholds[0], depth, max_length, scratch)
    before = veto.pairs_scored
    rows = load_from_disk(pool).to_list()
    started = time.perf_counter()
    known: dict[str, set[int]] = {}
    for row in rows:
        own = {row_of[identity] for identity in row["positive_ids"]}
        known.setdefault(_normal(row["query"]), set()).update(own)
    asked = [_eligible(row, texts, depth, known[_normal(row["query"])]) for row in rows]
    queries = [row["query"] for row, line in zip(rows, asked, strict=True) for _ in line]
    documents = [texts[document] for line in asked for document in line]
    scores = veto.score(queries, documents)
    seconds = time.perf_counter() - started
    pairs, lengths = list(zip(queries, documents, strict=True)), list(map(len, asked))
    values = {
        "seconds": round(seconds, 3),
        "pairs": veto.pairs_scored - before,
        "candidates": len(scores),
        "survival": {str(limit): round(float((scores < limit).mean()), 4) for limit in thresholds},
        "fewest": {
            str(limit): _fewest(pairs, lengths, (scores < limit).tolist(), n)
            for limit in thresholds
        },
        "where_most_pass": {
            str(limit): _where_most_pass(lengths, (scores < limit).tolist(), n)
            for limit in thresholds
        },
    }

    def after() -> dict[str, Any]:
        found = {}
        for limit in thresholds:
            place, lines = 0, []
            for line in asked:
                passed = scores[place : place + len(line)] < limit
                place += len(line)
                lines.append([ids[row] for row, kept in zip(line, passed, strict=True) if kept][:n])
            found[str(limit)] = _negatives(lines)
        Path(keep).write_text(json.dumps(found), encoding="utf-8")
        return {}

    return Measured(values, after)
