"""The hash of a miner with a large index behind it."""

from __future__ import annotations

import pickle
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
from datasets import Dataset
from datasets.fingerprint import Hasher

from benchmarks.child import Measured
from hf_hardneg import OfflineMiner
from hf_hardneg.errors import PositivesWarning

__all__ = ["build", "hashes"]

LETTERS = "bcdfghjklmnpqrstvwxz"
WORDS_EACH, AT_ONCE = 500, 1_000
POSTING_BYTES = 8
CALLS = 200
QUERIES = 200


def _vocabulary() -> np.ndarray[Any, Any]:
    """Return 8,000 words without vowels, which a stemmer leaves alone."""
    return np.array([a + b + c for a in LETTERS for b in LETTERS for c in LETTERS], dtype=object)


def _documents(number: int, seed: int) -> Iterator[str]:
    words, noise = _vocabulary(), np.random.default_rng(seed)
    for start in range(0, number, AT_ONCE):
        chosen = noise.integers(0, len(words), (min(AT_ONCE, number - start), WORDS_EACH))
        for line in words[chosen]:
            yield " ".join(line)


def _queries(seed: int) -> Dataset:
    """Return queries of five random words, and positives outside the corpus."""
    words, noise = _vocabulary(), np.random.default_rng(seed)
    texts = [" ".join(line) for line in words[noise.integers(0, len(words), (QUERIES, 5))]]
    return Dataset.from_dict({"query": texts, "positive": [f"the answer to {t}" for t in texts]})


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def build(gigabytes: float, seed: int, cache_dir: str, keep: str) -> Measured:
    """Build the index and pickle the miner.

    Args:
        gigabytes: wanted size of the index on disk.
        seed: of the random words.
        cache_dir: an empty folder.
        keep: file for the pickled miner.
    """
    # A document has fewer distinct words than words: some are drawn twice.
    distinct = len(_vocabulary()) * (1 - (1 - 1 / len(_vocabulary())) ** WORDS_EACH)
    number = max(50, int(gigabytes * 1e9 / (POSTING_BYTES * distinct)) + 1)
    started = time.perf_counter()
    miner = OfflineMiner("bm25", corpus=_documents(number, seed), cache_dir=cache_dir)
    corpus_seconds = time.perf_counter() - started
    started = time.perf_counter()
    miner.mine(_queries(seed).select(range(2)))
    values = {
        "documents": number,
        "corpus_seconds": round(corpus_seconds, 1),
        "index_seconds": round(time.perf_counter() - started, 1),
        "index_bytes": _size(Path(cache_dir) / "bm25"),
        "cache_bytes": _size(Path(cache_dir)),
    }
    Path(keep).write_bytes(pickle.dumps(miner))
    return Measured(values)


def _times(miner: OfflineMiner) -> dict[str, Any]:
    """Return milliseconds of hashing, and what was hashed."""
    each = []
    for _ in range(CALLS):
        started = time.perf_counter()
        value = Hasher.hash(miner)
        each.append(1000 * (time.perf_counter() - started))
    return {
        "first_ms": round(each[0], 3),
        "median_ms": round(median(each), 3),
        "p95_ms": round(quantiles(each, n=20)[-1], 3),
        "pickle_bytes": len(pickle.dumps(miner)),
        "hash": value,
    }


def hashes(miner: str, seed: int, state: str) -> Measured:
    """Hash a miner many times.

    Args:
        miner: file that :func:`build` has written.
        seed: of the queries.
        state: ``fresh``; ``mined``: after it has mined, its index open; ``positives``: made with
            ``positives=`` and mined.
    """
    mining: OfflineMiner = pickle.loads(Path(miner).read_bytes())
    if state == "positives":
        rows = _queries(seed)
        mining = OfflineMiner(
            "bm25", corpus=mining.corpus, cache_dir=mining.cache_dir, positives=rows
        )
    values: dict[str, Any] = {}
    if state != "fresh":
        batch = {name: list(column) for name, column in _queries(seed).to_dict().items()}
        started = time.perf_counter()
        with warnings.catch_warnings():
            # The call that Dataset.map makes: the miner itself opens the index. It says that it
            # has not seen other rows; there are none.
            warnings.simplefilter("ignore", PositivesWarning)
            mining(batch)
        values["mine_seconds"] = round(time.perf_counter() - started, 2)
    return Measured({**values, **_times(mining)})
