"""MaxSim by value: against a double sum by hand and against sentence-transformers."""

from __future__ import annotations

from math import fsum
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_hardneg.token_vectors import EMPTY_DOCUMENT, TokenVectors, max_similarities


def by_hand(query: Any, document: Any, mean: bool = False) -> float:
    if not len(document):
        total = EMPTY_DOCUMENT
    else:
        total = fsum(
            max(
                fsum(float(x) * float(y) for x, y in zip(one, two, strict=True)) for two in document
            )
            for one in query
        )
    return total / max(len(query), 1) if mean else total


def drawn(lengths: list[int], dimension: int, seed: int, scale: float, few: bool) -> list[Any]:
    """Vectors of texts; few different ones, so that many products are equal, or all different."""
    rng = np.random.default_rng(seed)
    made = (rng.standard_normal((sum(lengths) + 1, dimension)) * scale).astype(np.float32)
    if few:
        made = made[rng.integers(0, min(2, len(made)), len(made))]
    return np.split(made[: sum(lengths)], np.cumsum(lengths)[:-1])


@given(
    lengths=st.lists(st.integers(0, 7), min_size=1, max_size=9),
    tokens=st.integers(0, 6),
    dimension=st.sampled_from([1, 3, 8, 33]),
    seed=st.integers(0, 9),
    scale=st.sampled_from([1e-22, 1.0, 1e3]),
    few=st.booleans(),
    mean=st.booleans(),
)
def test_equals_the_formula_whatever_stands_beside(
    lengths: list[int], tokens: int, dimension: int, seed: int, scale: float, few: bool, mean: bool
) -> None:
    query, *texts = drawn([tokens, *lengths], dimension, seed, scale, few)
    documents = TokenVectors.of(texts)
    scores = max_similarities(query, documents, mean=mean)
    wanted = [by_hand(query, text, mean) for text in texts]
    np.testing.assert_allclose(scores, wanted, rtol=1e-6, atol=1e-7 * scale**2 + 1e-44)
    for place in range(len(texts)):
        alone = max_similarities(query, TokenVectors.of([texts[place]]), mean=mean)
        assert alone[0] == scores[place]
    back = np.arange(len(texts))[::-1]
    assert np.array_equal(max_similarities(query, documents.take(back), mean=mean), scores[back])


@pytest.mark.parametrize("name", ["maxsim", "meanmaxsim"])
def test_equals_sentence_transformers(name: str) -> None:
    from sentence_transformers.util import SimilarityFunction

    texts = drawn([5, 9, 0, 1, 40], 16, 3, 1.0, False)
    for query in drawn([4, 1, 32], 16, 4, 1.0, False):
        similarity: Any = SimilarityFunction.to_similarity_fn(name)
        theirs = similarity([query], texts)[0].numpy()
        ours = max_similarities(query, TokenVectors.of(texts), mean=name == "meanmaxsim")
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_products_that_are_too_large_for_a_float32_do_not_hide_the_best() -> None:
    query = np.array([[1e20, -1e20, 1.0]], np.float32)
    texts = [np.array([[1e20, 1e20, -1], [1e20, 1e20, 2]], np.float32)]
    assert max_similarities(query, TokenVectors.of(texts)).tolist() == [2.0]


def test_the_largest_is_found_among_products_that_rounding_makes_equal() -> None:
    """The rounded products differ with the shape of the matrices, the scores do not."""
    rng = np.random.default_rng(0)
    query = rng.standard_normal((32, 128)).astype(np.float32)
    base = rng.standard_normal((1, 128)).astype(np.float32)
    near = base * (1 + rng.integers(-2, 3, (500, 1)) * 1e-7).astype(np.float32)
    texts = np.split(near, 25)
    scores = max_similarities(query, TokenVectors.of(texts))
    wanted = [np.float32(sum((query.astype(float) @ t.astype(float).T).max(axis=1))) for t in texts]
    np.testing.assert_allclose(scores, wanted, rtol=2e-7)
    assert all(
        max_similarities(query, TokenVectors.of([text]))[0] == score
        for text, score in zip(texts, scores, strict=True)
    )
