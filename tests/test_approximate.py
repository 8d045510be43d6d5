"""Approximate search: exact scores, a measured choice, and one index for all processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from hf_hardneg import CallableEncoder, Corpus, DenseRetriever, OfflineMiner, approximate
from hf_hardneg.approximate import ApproximateIndex, automatic_index, recall_of
from hf_hardneg.errors import ParameterError
from hf_hardneg.testing import check_retriever, make_queries

NUMBER = 3000
RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(40, 12))
POINTS = CENTRES[RNG.integers(0, 40, NUMBER)] + 0.3 * RNG.normal(size=(NUMBER, 12))
DOCUMENTS = [f"document {number}" for number in range(NUMBER)]


def points(texts: list[str]) -> Any:
    return np.array([POINTS[int(text.split()[1])] for text in texts])


def retriever(index: str, similarity: str = "cosine", **options: Any) -> DenseRetriever:
    encoder = CallableEncoder(points, name="points", similarity=similarity)
    return DenseRetriever(Corpus(DOCUMENTS), model=encoder, index=index, **options)


QUERIES = [f"query {number}" for number in range(0, NUMBER, 60)]


@pytest.mark.parametrize("similarity", ["cosine", "euclidean", "dot"])
@pytest.mark.parametrize("index", ["IVF64,Flat", "IVF64,SQ8", "HNSW16", "PQ6", "Flat"])
def test_scores_are_exact_and_the_contract_holds(index: str, similarity: str) -> None:
    corpus = Corpus(DOCUMENTS)
    batch = make_queries(corpus, QUERIES[:8], [[DOCUMENTS[3]]] * 8)
    found = retriever(index, similarity, top_k=20)
    check_retriever(found, batch)
    hits = found.retrieve(batch)
    exact = retriever("exact", similarity, top_k=NUMBER).retrieve(batch)
    for line in range(8):
        every = dict(zip(exact.rows[line].tolist(), exact.scores[line].tolist(), strict=True))
        own = hits.rows[line][hits.filled[line]].tolist()
        assert hits.scores[line][: len(own)].tolist() == [every[row] for row in own]
    assert hits.positive_scores.tobytes() == exact.positive_scores.tobytes()


@pytest.mark.parametrize("index", ["IVF64,SQ8", "HNSW16"])
def test_the_effort_is_what_the_recall_needs(index: str) -> None:
    rows = Dataset.from_dict({"query": QUERIES, "positive": DOCUMENTS[: len(QUERIES)]})
    encoder = CallableEncoder(points, name="points")
    miner = OfflineMiner("dense@50", model=encoder, index=index, corpus=DOCUMENTS, num_negatives=3)
    pool = miner.retrieve(rows)
    exact = OfflineMiner("dense@50", model=encoder, corpus=DOCUMENTS, num_negatives=3).retrieve(
        rows
    )
    lists = (np.array(one["candidate_rows"][:]) for one in (pool, exact))
    recall = recall_of(*lists)
    assert recall >= 0.93
    for mined in (miner.mine(rows), miner.select(pool)):
        [note] = miner.report(mined).notes
        assert f"approximate search with {index!r}" in note
        assert note.endswith(f"sample of the queries: {recall:.3f}")
    assert (
        not OfflineMiner("dense@50", model=encoder, corpus=DOCUMENTS)
        .report(OfflineMiner("dense@50", model=encoder, corpus=DOCUMENTS).mine(rows))
        .notes
    )


def test_an_index_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    retriever("IVF64,SQ8").prepare()
    monkeypatch.setattr(ApproximateIndex, "_build", None)
    retriever("IVF64,SQ8").prepare()
    with pytest.raises(TypeError):
        retriever("IVF32,SQ8").prepare()


def test_auto() -> None:
    assert automatic_index(499_999) is None
    assert automatic_index(1_000_000) == "IVF4096,SQ8"
    assert automatic_index(8_800_000) == "IVF16384,SQ8"


def test_auto_chooses_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate, "LARGE", NUMBER)
    [note] = retriever("auto").notes()
    assert "'IVF256,SQ8'" in note
    monkeypatch.setattr(approximate, "LARGE", NUMBER + 1)
    assert retriever("auto").notes() == ()


@pytest.mark.parametrize("index", ["IVF0", "nothing", "PQ5", "IVF9999,Flat"])
def test_an_index_that_cannot_be_built(index: str, cache: Path) -> None:
    with pytest.raises(ParameterError, match=f"index='{index}': faiss cannot build it for 3000"):
        retriever(index).prepare()
    assert not list(cache.glob("vectors/index-*/index.faiss"))


@pytest.mark.parametrize("index", ["", None, 3])
def test_an_index_that_is_none(index: Any) -> None:
    with pytest.raises(ParameterError, match="expected 'exact', 'auto' or a faiss factory"):
        retriever(index)
