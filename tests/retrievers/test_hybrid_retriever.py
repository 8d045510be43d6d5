"""Joined retrievers against fusion by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hardneg import (
    BM25Retriever,
    CallableEncoder,
    Corpus,
    DenseRetriever,
    HybridRetriever,
    OfflineMiner,
    RandomRetriever,
)
from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.errors import ParameterError
from hf_hardneg.retrievers import Retriever
from hf_hardneg.testing import check_retriever, make_queries

WORDS = ("red", "blue", "green", "fast", "slow", "car", "boat")
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join)


def lengths(asked: list[str]) -> Any:
    """Nearness by length and number of words: another order than BM25's."""
    return np.array([[len(text), 3.0 * len(text.split()), 1.0] for text in asked])


ENCODER = CallableEncoder(lengths, name="lengths", similarity="euclidean")


def parts(corpus: Corpus, depths: tuple[int, ...]) -> list[Retriever]:
    kinds: list[Retriever] = [
        BM25Retriever(corpus, top_k=depths[0], stemmer=None, stopwords=None),
        DenseRetriever(corpus, model=ENCODER, top_k=depths[1]),
    ]
    return [*kinds, *([RandomRetriever(corpus, top_k=depths[2])] if depths[2] else [])]


def shares(
    joined: HybridRetriever, found: list[Candidates], line: int, row: int, place: int | None = None
) -> float:
    """The fused score of a document, or of a positive, by the formulas."""
    weights = np.array(joined.weights or [1.0] * len(found))
    total = 0.0
    for weight, one in zip(weights, found, strict=True):
        rows = [listed for listed in one.rows[line].tolist() if listed >= 0]
        if joined.by == "rrf":
            total += weight / (joined.rrf_k + 1 + rows.index(row)) if row in rows else 0.0
            continue
        listed = one.scores[line][one.filled[line]].astype(float)
        own = one.positive_scores[place] if place is not None else None
        if own is None:
            own = one.scores[line][rows.index(row)] if row in rows else None
        if own is None or np.isnan(own) or not len(listed):
            continue
        low, high = listed.min(), listed.max()
        if row not in rows and own <= low:
            continue
        value = (own - low) / (high - low) if high > low else float(own >= low)
        total += weight * max(value, 0.0) / weights.sum()
    return total


@settings(max_examples=25)
@given(
    documents=st.lists(texts, min_size=1, max_size=15),
    queries=st.lists(texts, min_size=1, max_size=4),
    depths=st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(0, 4)),
    method=st.sampled_from(["rrf", "weighted"]),
    heavy=st.none() | st.floats(0, 3),
    top_k=st.none() | st.integers(1, 9),
)
def test_equals_fusion_by_hand(
    documents: list[str],
    queries: list[str],
    depths: tuple[int, int, int],
    method: str,
    heavy: float | None,
    top_k: int | None,
) -> None:
    corpus = Corpus(documents)
    depths = (*depths[:2], 0) if method == "weighted" else depths
    own = parts(corpus, depths)
    weights = None if heavy is None else [heavy, *[1.0] * (len(own) - 1)]
    joined = HybridRetriever(own, by=method, weights=weights, top_k=top_k)
    positives = [[documents[-1], "outside"], *[[documents[0]]] * (len(queries) - 1)]
    batch = make_queries(corpus, queries, positives)
    check_retriever(joined, batch)
    found, lists = joined.retrieve(batch), [part.retrieve(batch) for part in own]
    for line in range(len(queries)):
        union = {row for one in lists for row in one.rows[line].tolist() if row >= 0}
        best = sorted(union, key=lambda row: (-np.float32(shares(joined, lists, line, row)), row))
        given_rows = found.rows[line][found.filled[line]].tolist()
        scores = [shares(joined, lists, line, row) for row in given_rows]
        assert set(given_rows) <= union
        assert len(given_rows) == min(len(union), joined.top_k)
        np.testing.assert_allclose(found.scores[line][: len(scores)], scores, rtol=1e-5, atol=1e-6)
        wanted = [shares(joined, lists, line, row) for row in best[: joined.top_k]]
        np.testing.assert_allclose(scores, wanted, rtol=1e-5, atol=1e-6)
        check_provenance(found, lists, line)
    owner = np.repeat(np.arange(len(queries)), batch.positives_per_query)
    wanted = [
        shares(joined, lists, int(line), int(batch.positive_rows[place]), place)
        for place, line in enumerate(owner)
    ]
    np.testing.assert_allclose(found.positive_scores, wanted, rtol=1e-5, atol=1e-6)


def check_provenance(found: Candidates, lists: list[Candidates], line: int) -> None:
    assert found.source_ranks is not None
    for slot, row in enumerate(found.rows[line].tolist()):
        if row < 0:
            assert not found.source_ranks[line, slot].any()
            continue
        own = [one.rows[line].tolist() for one in lists]
        ranks = [listed.index(row) + 1 if row in listed else 0 for listed in own]
        assert found.source_ranks[line, slot].tolist() == ranks
        assert ranks[found.sources[line, slot]] == min(rank for rank in ranks if rank)


DOCUMENTS = [f"{one} {two} {one}" for one in WORDS for two in WORDS]
ROWS = Dataset.from_dict({"query": list(WORDS), "positive": DOCUMENTS[:49:8]})


def test_a_pool_keeps_what_found_each_candidate_and_where() -> None:
    miner = OfflineMiner("bm25@5,dense@4", model=ENCODER, corpus=DOCUMENTS, num_negatives=3)
    pool = miner.retrieve(ROWS)
    joined = miner._need_strategy().retriever
    assert isinstance(joined, HybridRetriever)
    corpus = joined.corpus
    batch: Queries = make_queries(corpus, ROWS["query"][:], [[text] for text in ROWS["positive"]])
    found = joined.retrieve(batch)
    assert found.source_ranks is not None
    for line, row in enumerate(pool):
        own = found.filled[line]
        assert row["candidate_rows"] == found.rows[line][own].tolist()
        assert row["candidate_source_ranks"] == found.source_ranks[line][own].tolist()
        assert row["candidate_sources"] == found.sources[line][own].tolist()
    mined = miner.mine(ROWS)
    assert miner.select(pool).to_dict() == mined.to_dict()
    assert "candidate_source_ranks" not in mined.column_names
    assert mined.to_dict() == miner.mine(ROWS, num_proc=2, resume=False).to_dict()
    assert set(miner.recipe()["models"]) == {"dense"}


def test_parts_that_do_not_fit() -> None:
    corpus = Corpus(DOCUMENTS)
    one = BM25Retriever(corpus)
    for arguments, said in (
        (([one],), "expected two retrievers or more"),
        (([one, "dense"],), "expected two retrievers or more"),
        (([one, BM25Retriever(Corpus(DOCUMENTS[1:]))],), "works on another corpus"),
    ):
        with pytest.raises(ParameterError, match=said):
            HybridRetriever(*arguments)  # type: ignore[arg-type]
    for options, said in (
        ({"by": "sum"}, "by='sum'; expected one of rrf, weighted"),
        ({"weights": [1, -1]}, "weights=-1"),
        ({"weights": [0, 0]}, "expected one above 0"),
        ({"weights": "ab"}, "expected 2 numbers"),
        ({"top_k": 0}, "top_k=0"),
        ({"rrf_k": -1}, "rrf_k=-1"),
    ):
        with pytest.raises(ParameterError, match=said):
            HybridRetriever([one, one], **options)  # type: ignore[arg-type]
