"""Exact search against brute force, whatever the blocks, the ties and the rounding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from hf_hardneg.candidates import NO_ROW
from hf_hardneg.vector_search import by_faiss, exact_search, pair_similarity

SIMILARITIES = ("cosine", "dot", "euclidean")
Floats = NDArray[np.float32]


def blocks(vectors: Floats, size: int) -> Iterator[tuple[int, Floats]]:
    for start in range(0, len(vectors), size):
        yield start, np.ascontiguousarray(vectors[start : start + size])


def brute_force(queries: Floats, vectors: Floats, similarity: str) -> NDArray[np.float64]:
    one, two = queries.astype(np.float64), vectors.astype(np.float64)
    if similarity != "euclidean":
        return one @ two.T
    return -np.sqrt(((one[:, None] - two[None]) ** 2).sum(axis=2))


def best(scores: NDArray[Any], k: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """The k best, ties by the lower number; padded."""
    numbers = np.full((len(scores), k), NO_ROW, dtype=np.int64)
    values = np.full((len(scores), k), -np.inf)
    for line, row in enumerate(scores):
        order = np.lexsort((np.arange(len(row)), -row))[:k]
        numbers[line, : len(order)], values[line, : len(order)] = order, row[order]
    return numbers, values


# Small whole numbers have exact products and many ties.
shapes = st.tuples(st.integers(1, 6), st.integers(1, 60), st.integers(1, 5))


@settings(max_examples=60)
@given(shapes, st.integers(1, 30), st.integers(1, 60), st.sampled_from(SIMILARITIES), st.data())
def test_whole_numbers_with_many_ties(
    shape: tuple[int, int, int], k: int, size: int, similarity: str, data: st.DataObject
) -> None:
    asked, documents, dimension = shape
    whole = st.integers(-2, 2).map(float)
    queries = data.draw(hnp.arrays(np.float32, (asked, dimension), elements=whole))
    vectors = data.draw(hnp.arrays(np.float32, (documents, dimension), elements=whole))
    numbers, scores = exact_search(queries, blocks(vectors, size), k, similarity)
    want, values = best(brute_force(queries, vectors, similarity), k)
    assert numbers.tolist() == want.tolist()
    np.testing.assert_allclose(scores, values, rtol=1e-6)
    assert (scores.dtype, numbers.dtype) == (np.float32, np.int64)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("size", [7, 100, 1000])
def test_real_numbers(similarity: str, size: int) -> None:
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(40, 24)).astype(np.float32)
    vectors = rng.normal(size=(300, 24)).astype(np.float32)
    vectors[100:140] = vectors[7]  # equal vectors, more than the margin that is searched beyond k
    numbers, scores = exact_search(queries, blocks(vectors, size), 20, similarity)
    lines = np.repeat(np.arange(40), 300)
    every = pair_similarity(
        queries, lines, vectors, np.tile(np.arange(300), 40), similarity
    ).reshape(40, 300)
    want, values = best(every, 20)
    # Equal to the last bit: the scores of all blocks come from the same kernel.
    assert numbers.tolist() == want.tolist()
    assert scores.tolist() == values.astype(np.float32).tolist()
    np.testing.assert_allclose(
        every, brute_force(queries, vectors, similarity), rtol=2e-5, atol=2e-5
    )


def test_neither_batch_nor_blocks_nor_threads_change_a_bit() -> None:
    rng = np.random.default_rng(1)
    queries = rng.normal(size=(33, 16)).astype(np.float32)
    vectors = rng.normal(size=(500, 16)).astype(np.float32)
    numbers, scores = exact_search(queries, blocks(vectors, 500), 10, "dot")
    for size in (3, 64, 499):
        for part in (np.arange(1), np.arange(5, 30), np.arange(33)[::-1]):
            own = np.ascontiguousarray(queries[part])
            for threads in (1, 2, 3):
                faiss.omp_set_num_threads(threads)
                again = exact_search(own, blocks(vectors, size), 10, "dot")
                assert again[0].tolist() == numbers[part].tolist()
                assert again[1].tobytes() == scores[part].tobytes()


def test_a_search_that_rounds_badly_is_set_right() -> None:
    """As on a GPU with short floats: candidates come in the wrong order, and one too late."""
    rng = np.random.default_rng(2)
    queries = rng.normal(size=(20, 8)).astype(np.float32)
    vectors = rng.normal(size=(200, 8)).astype(np.float32)
    vectors[40:90] = vectors[3] + rng.normal(size=(50, 8)).astype(np.float32) * 1e-7

    def shuffled(one: Floats, two: Floats, k: int, similarity: str) -> Any:
        noise = rng.uniform(-1, 1, size=(len(one), len(two))).astype(np.float32) * 1e-6
        scores = one @ two.T + noise
        places = np.argsort(-scores, axis=1)[:, :k]
        return np.take_along_axis(scores, places, axis=1), places

    want = exact_search(queries, blocks(vectors, 200), 12, "dot", by_faiss)
    got = exact_search(queries, blocks(vectors, 90), 12, "dot", shuffled)
    assert got[0].tolist() == want[0].tolist()
    assert got[1].tobytes() == want[1].tobytes()
