"""Mining over made collections of any size."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from benchmarks.child import Measured
from benchmarks.sides.vectors import structured
from hf_hardneg import CallableEncoder, Corpus, OfflineMiner

__all__ = ["mine"]

DIMENSION = 384
VOCABULARY = 50_000
BLOCK = 4_096


def _texts(number: int, words: int, seed: int) -> list[str]:
    """Return texts of words by Zipf's law, each with its number in front."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(words // 2, 2 * words, number)
    ends = np.cumsum(lengths)
    ranks = np.exp(draw.random(ends[-1]) * math.log(VOCABULARY)).astype(np.int64)
    names = [f"w{rank:x}" for rank in range(VOCABULARY + 1)]
    starts = ends - lengths
    return [
        f"n{place} " + " ".join(names[rank] for rank in ranks[start:end])
        for place, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def _encoder() -> CallableEncoder:
    """An encoder that gives a text with the number n the n-th made vector."""

    def encode(texts: list[str], seed: int) -> NDArray[np.float32]:
        places = np.array([int(text.split(" ", 1)[0][1:]) for text in texts])
        out = np.empty((len(texts), DIMENSION), np.float32)
        for block in np.unique(places // BLOCK):
            made = structured(BLOCK, DIMENSION, 0, 2 * int(block) + seed)
            own = places // BLOCK == block
            out[own] = made[places[own] % BLOCK]
        return out

    return CallableEncoder(
        lambda texts: encode(texts, 0), query=lambda texts: encode(texts, 1), name="made"
    )


def mine(documents: int, queries: int, strategy: str, cache_dir: str) -> Measured:
    """Mine; the corpus is on disk, and so are all vectors, when the clock starts."""
    corpus = Corpus(_texts(documents, 30, 1), cache_dir=cache_dir)
    asked = _texts(queries, 6, 2)
    draw = np.random.default_rng(3).integers(0, documents, queries)
    rows = Dataset.from_dict({"query": asked, "positive_ids": [[str(row)] for row in draw]})
    path = Path(cache_dir).with_name("rows.parquet")
    rows.to_parquet(str(path))
    rows = Dataset.from_parquet(str(path), cache_dir=str(path.parent))
    lists = 2 ** round(math.log2(4 * math.sqrt(documents)))
    options: dict[str, Any] = {"model": _encoder()} if "dense" in strategy else {}
    strategy = strategy.format(f"IVF{lists},SQ8")

    def miner(text: str) -> OfflineMiner:
        return OfflineMiner(text, corpus=corpus, num_negatives=5, cache_dir=cache_dir, **options)

    if options:  # the vectors of a model that costs nothing
        retriever = miner("dense@64").knowing(rows)._need_strategy().retriever
        retriever.prepare()
        retriever.prepare_queries(list(dict.fromkeys(asked)))
    started = time.perf_counter()
    mined = miner(strategy).mine(rows)
    seconds = round(time.perf_counter() - started, 2)
    return Measured(
        {"seconds": seconds, "documents": documents, "queries": queries, "rows_out": len(mined)}
    )
