"""Search over vectors: bare faiss, hf-hardneg, and sentence-transformers' miner."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray

from benchmarks.child import Measured
from hf_hardneg import CallableEncoder, Corpus, DenseRetriever, OfflineMiner
from hf_hardneg.queries import query_texts
from hf_hardneg.testing import make_queries
from hf_hardneg.vector_search import exact_search

__all__ = ["approximate", "bare", "build", "exact", "large_exact", "mine", "peer"]

CENTRES = 2_000


def structured(number: int, dimension: int, seed: int, start: int = 0) -> NDArray[np.float32]:
    """Return unit vectors in clusters on a falling spectrum, as those of real models lie.

    Vectors of other numbers do not depend on how many are asked for.
    """
    rng = np.random.default_rng(seed)
    spectrum = (np.arange(1, dimension + 1, dtype=np.float32) ** -0.4)[None]
    centres = rng.normal(size=(CENTRES, dimension)).astype(np.float32) * spectrum
    own = np.random.default_rng([seed, start])
    points = centres[own.integers(0, CENTRES, number)]
    points += 0.6 * own.normal(size=(number, dimension)).astype(np.float32) * spectrum
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return np.ascontiguousarray(points)


def _digest(scores: NDArray[np.float32]) -> float:
    return round(float(scores.astype(np.float64).sum()), 1)


def bare(queries: int, documents: int, dimension: int, k: int) -> Measured:
    """Search with a flat faiss index in memory."""
    asked, vectors = structured(queries, dimension, 0, 1), structured(documents, dimension, 0)
    index = faiss.IndexFlatIP(dimension)
    started = time.perf_counter()
    index.add(vectors)
    scores, _ = index.search(asked, k)
    seconds = time.perf_counter() - started
    return Measured({"seconds": round(seconds, 3), "digest": _digest(scores)})


def exact(queries: int, documents: int, dimension: int, k: int) -> Measured:
    """Search the same arrays with ours."""
    asked, vectors = structured(queries, dimension, 0, 1), structured(documents, dimension, 0)
    started = time.perf_counter()
    _, scores = exact_search(asked, [(0, vectors)], k, "dot")
    seconds = time.perf_counter() - started
    return Measured({"seconds": round(seconds, 3), "digest": _digest(scores)})


# -- a large corpus on disk ------------------------------------------------------------------


def _encoder(dimension: int) -> CallableEncoder:
    """An encoder whose vectors are made from the number in the text, a shard at a time."""

    def encode(texts: list[str], kind: int) -> NDArray[np.float32]:
        return structured(len(texts), dimension, 0, 2 + 2 * int(texts[0].split()[1]) + kind)

    return CallableEncoder(
        lambda texts: encode(texts, 0), query=lambda texts: encode(texts, 1), name="structured"
    )


def _retriever(corpus: str, dimension: int, k: int, cache_dir: str, index: str) -> DenseRetriever:
    documents = Corpus(corpus, cache_dir=cache_dir)
    return DenseRetriever(
        documents, model=_encoder(dimension), top_k=k, index=index, cache_dir=cache_dir
    )


def build(corpus: str, documents: int, dimension: int, cache_dir: str) -> Measured:
    """Write a corpus of so many short texts, and its vectors."""
    with Path(corpus).open("w", encoding="utf-8") as out:
        out.writelines(f'{{"_id": "{n}", "text": "document {n}"}}\n' for n in range(documents))
    started = time.perf_counter()
    _retriever(corpus, dimension, 64, cache_dir, "exact").prepare()
    return Measured({"seconds": round(time.perf_counter() - started, 2)})


def _searched(retriever: DenseRetriever, queries: int, keep: str) -> Measured:
    times = [time.perf_counter()]
    retriever.prepare()
    times.append(time.perf_counter())
    texts = [f"query {number}" for number in range(queries)]
    retriever.prepare_queries(texts)
    batch = make_queries(retriever.corpus, texts, [["document 0"]] * queries)
    times.append(time.perf_counter())
    rows, scores = retriever.search(batch)
    times.append(time.perf_counter())

    def after() -> dict[str, Any]:
        np.save(keep, rows)
        return {"digest": _digest(scores), "notes": list(retriever.notes())}

    names = ("index_seconds", "queries_seconds", "seconds")
    parts = zip(names, times[:-1], times[1:], strict=True)
    return Measured({name: round(end - start, 2) for name, start, end in parts}, after)


def large_exact(
    corpus: str, dimension: int, queries: int, k: int, cache_dir: str, keep: str
) -> Measured:
    """Search everything."""
    return _searched(_retriever(corpus, dimension, k, cache_dir, "exact"), queries, keep)


def approximate(
    corpus: str, dimension: int, queries: int, k: int, cache_dir: str, keep: str
) -> Measured:
    """Search with the index that ``auto`` chooses."""
    return _searched(_retriever(corpus, dimension, k, cache_dir, "auto"), queries, keep)


# -- bookkeeping -----------------------------------------------------------------------------


class _Stub:
    """What sentence-transformers' miner needs of a model: vectors that are there already."""

    device = torch.device("cpu")

    def __init__(self, vectors: dict[str, NDArray[np.float32]]) -> None:
        self._vectors = vectors

    def similarity(self, one: Any, two: Any) -> Any:
        return torch.as_tensor(one) @ torch.as_tensor(two).T

    def similarity_pairwise(self, one: Any, two: Any) -> Any:
        return (torch.as_tensor(one) * torch.as_tensor(two)).sum(dim=1)

    def get_embedding_dimension(self) -> int:
        return len(next(iter(self._vectors.values())))

    def encode(self, texts: list[str], **_: Any) -> Any:
        return np.stack([self._vectors[text] for text in texts])

    encode_query = encode_document = encode


def _pairs(queries: int, documents: int, dimension: int) -> tuple[Dataset, list[str], Any]:
    texts = [f"document {number}" for number in range(documents)]
    asked = [f"query {number}" for number in range(queries)]
    vectors = np.concatenate(
        [structured(documents, dimension, 0), structured(queries, dimension, 0, 1)]
    )
    table = dict(zip([*texts, *asked], vectors, strict=True))
    rows = Dataset.from_dict(
        {"query": asked, "positive": [texts[n % documents] for n in range(queries)]}
    )
    return rows, texts, table


def mine(queries: int, documents: int, dimension: int, n: int, k: int, cache_dir: str) -> Measured:
    """Mine n-tuples with ours from vectors that are there already."""
    rows, texts, table = _pairs(queries, documents, dimension)
    encoder = CallableEncoder(
        lambda asked: np.stack([table[text] for text in asked]), name="stub", similarity="dot"
    )
    started = time.perf_counter()
    miner = OfflineMiner(
        f"dense@{k}", model=encoder, corpus=texts, num_negatives=n, cache_dir=cache_dir
    )
    mined = miner.mine(rows, "n-tuple")
    seconds = time.perf_counter() - started
    assert len(query_texts(rows, miner._columns)) == queries
    return Measured({"seconds": round(seconds, 2), "rows_out": len(mined)})


def peer(queries: int, documents: int, dimension: int, n: int, k: int, faiss_too: bool) -> Measured:
    """The same with sentence-transformers' miner."""
    from sentence_transformers.util import mine_hard_negatives

    rows, texts, table = _pairs(queries, documents, dimension)
    options: dict[str, Any] = {"use_faiss": True, "faiss_batch_size": 512} if faiss_too else {}
    started = time.perf_counter()
    mined = mine_hard_negatives(
        rows, _Stub(table), corpus=texts, num_negatives=n, range_max=k, output_format="n-tuple",
        verbose=False, **options,
    )  # type: ignore[arg-type]  # fmt: skip
    seconds = time.perf_counter() - started
    return Measured({"seconds": round(seconds, 2), "rows_out": len(mined)})
