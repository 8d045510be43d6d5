"""Dense mining with a real model: hf-hardneg and sentence-transformers' miner."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import mine_hard_negatives

from benchmarks.child import Measured
from hf_hardneg import Corpus, OfflineMiner
from hf_hardneg.query_sources import load_queries

__all__ = ["agree", "mine", "peer"]


def _data(folder: str, documents: int, cache_dir: str) -> tuple[Dataset, list[str]]:
    """Return pairs (query, positive) and the first documents, with all positives among them."""
    corpus = Corpus(folder, cache_dir=cache_dir)
    size = min(documents, len(corpus)) if documents else len(corpus)
    texts = corpus.texts(range(size))
    queries, positives = [], []
    for row in load_queries(folder).rows:
        own = corpus.rows_of_ids(row["positive_ids"])
        for place in own[(own >= 0) & (own < size)].tolist():
            queries.append(row["query"])
            positives.append(texts[place])
    return Dataset.from_dict({"query": queries, "positive": positives}), texts


def _miner(texts: list[str], model: str, dtype: str, cache_dir: str, more: str) -> OfflineMiner:
    return OfflineMiner(
        f"dense@64{more}", model=model, dtype=dtype, corpus=texts, num_negatives=5,
        cache_dir=cache_dir,
    )  # fmt: skip


def mine(folder: str, documents: int, model: str, dtype: str, cache_dir: str) -> Measured:
    """Mine n-tuples; then once more with a margin and at random, from what is kept."""
    rows, texts = _data(folder, documents, cache_dir)
    times = [time.perf_counter()]
    mined = _miner(texts, model, dtype, cache_dir, "").mine(rows, "n-tuple")
    times.append(time.perf_counter())
    again = _miner(texts, model, dtype, cache_dir, "+margin(relative=0.05)+random")
    second = again.mine(rows, "n-tuple")
    times.append(time.perf_counter())
    values = {"seconds": round(times[1] - times[0], 2), "second_seconds": times[2] - times[1],
              "documents": len(texts), "pairs": len(rows)}  # fmt: skip
    return Measured({**values, "rows_out": len(mined), "second_rows_out": len(second)})


def peer(folder: str, documents: int, model: str, faiss_too: bool, cache_dir: str) -> Measured:
    """The same with sentence-transformers' miner."""
    rows, texts = _data(folder, documents, cache_dir)
    options: dict[str, Any] = {"use_faiss": True, "faiss_batch_size": 512} if faiss_too else {}
    started = time.perf_counter()
    encoder = SentenceTransformer(model, device="cpu")
    mined = mine_hard_negatives(
        rows, encoder, corpus=texts, num_negatives=5, range_max=64, output_format="n-tuple",
        verbose=False, **options,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    values = {"seconds": round(seconds, 2), "documents": len(texts), "pairs": len(rows)}
    return Measured({**values, "rows_out": len(mined)})


def agree(folder: str, documents: int, model: str, cache_dir: str, half: str) -> Measured:
    """Compare the top 64 with a search by hand over sentence-transformers' own vectors.

    Args:
        folder: the collection.
        documents: how many of its documents.
        model: a folder.
        cache_dir: that of :func:`mine` in float32, so that nothing is encoded again.
        half: that of :func:`mine` with ``dtype="auto"``.
    """
    rows, texts = _data(folder, documents, cache_dir)
    rows = rows.select(range(0, len(rows), max(len(rows) // 200, 1)))
    encoder = SentenceTransformer(model, device="cpu")
    options: dict[str, Any] = {"normalize_embeddings": True, "show_progress_bar": False}
    one = encoder.encode_query(rows["query"][:], **options)
    two = encoder.encode_document(texts, **options)
    exact = np.asarray(one, np.float64) @ np.asarray(two, np.float64).T
    best = -np.sort(-exact, axis=1)[:, :64]
    full = _miner(texts, model, "float32", cache_dir, "").retrieve(rows)
    found = np.array([scores[:64] for scores in full["candidate_scores"]])
    short = _miner(texts, model, "auto", half, "").retrieve(rows)
    pairs = zip(full["candidate_rows"], short["candidate_rows"], strict=True)
    same = [len(set(a[:10]) & set(b[:10])) / 10 for a, b in pairs]
    by_row = np.array(
        [exact[line, own] for line, own in enumerate(full["candidate_rows"])], dtype=np.float64
    )
    return Measured(
        {
            "largest_difference": float(np.abs(found - best).max()),
            "largest_difference_by_row": float(np.abs(found - by_row).max()),
            "auto_top_10_agreement": round(float(np.mean(same)), 4),
        }
    )
