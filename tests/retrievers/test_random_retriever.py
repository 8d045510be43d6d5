"""Random documents: uniform, distinct, and a function of seed and query alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from hf_hardneg import Corpus, RandomRetriever
from hf_hardneg.candidates import NO_ROW
from hf_hardneg.draws import random_rows
from hf_hardneg.errors import ParameterError
from hf_hardneg.hashing import text_keys
from hf_hardneg.testing import check_retriever, make_queries

CORPUS = [f"document {number}" for number in range(30)]
SURE = 1e-4  # of a fair draw, one in ten thousand looks less fair; seeds are fixed


def keys(number: int) -> np.ndarray:
    return text_keys(f"query {place}" for place in range(number))


@pytest.mark.parametrize("top_k", [1, 5, 20, 30, 50])
def test_keeps_the_contract(top_k: int) -> None:
    corpus = Corpus(CORPUS)
    queries = make_queries(
        corpus, ["one", "two", "three"], [["document 3"], ["elsewhere"], ["document 4", "x"]]
    )
    retriever = RandomRetriever(corpus, top_k=top_k, seed=7)
    check_retriever(retriever, queries)
    found = retriever.retrieve(queries)
    assert np.isnan(found.positive_scores).all()
    assert (found.rows != NO_ROW).sum(axis=1).tolist() == [min(top_k, 30)] * 3


@pytest.mark.parametrize(("k", "documents"), [(1, 40), (5, 40), (5, 21), (5, 20), (8, 12)])
def test_every_document_is_as_likely_at_every_place(k: int, documents: int) -> None:
    """Both ways of drawing: few of many, and many of few."""
    rows = random_rows(keys(4000), k, documents, seed=3)
    for place in range(k):
        counts = np.bincount(rows[:, place], minlength=documents)
        assert chisquare(counts).pvalue > SURE
    assert chisquare(np.bincount(rows.ravel(), minlength=documents)).pvalue > SURE


def test_a_shuffle_of_all_is_uniform_over_permutations() -> None:
    rows = random_rows(keys(6000), 3, 3, seed=0)
    orders = rows @ np.array([9, 3, 1])
    _, counts = np.unique(orders, return_counts=True)
    assert len(counts) == 6
    assert chisquare(counts).pvalue > SURE


@given(st.integers(1, 60), st.integers(1, 300), st.integers(0, 2**63))
def test_rows_are_distinct_and_in_range(k: int, documents: int, seed: int) -> None:
    rows = random_rows(keys(5), k, documents, seed)
    assert rows.shape == (5, min(k, documents))
    assert rows.min() >= 0
    assert rows.max() < documents
    assert all(len(set(line)) == len(line) for line in rows.tolist())


def test_few_of_a_large_corpus() -> None:
    """Draws fall over the whole of it, not over the first rows alone."""
    documents = 2**33
    rows = random_rows(keys(2000), 4, documents, seed=1)
    counts, _ = np.histogram(rows, bins=16, range=(0, documents))
    assert chisquare(counts).pvalue > SURE


def test_where_repeats_leave_too_few_the_draw_falls_back_to_a_shuffle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from hf_hardneg.retrievers import random

    fair = random_rows(keys(3), 4, 100, seed=5)
    real = np.unique

    def poor(values: np.ndarray, **options: bool) -> object:
        unique, first = real(values, **options)
        return unique[:2], first[:2]

    monkeypatch.setattr(random.np, "unique", poor)
    rows = random_rows(keys(3), 4, 100, seed=5)
    assert rows.shape == fair.shape
    assert all(len(set(line)) == 4 for line in rows.tolist())


def test_another_seed_or_query_draws_others() -> None:
    one, same, other = (random_rows(keys(20), 5, 1000, seed) for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert (one != other).any(axis=1).all()
    assert len({tuple(line) for line in one.tolist()}) == 20


def test_the_same_query_in_other_words_of_case_and_space_draws_the_same() -> None:
    corpus = Corpus(CORPUS)
    queries = make_queries(corpus, ["One  query", "one query"], [["x"], ["y"]])
    one, two = RandomRetriever(corpus, top_k=4).retrieve(queries).rows
    assert one.tolist() == two.tolist()


@pytest.mark.parametrize("options", [{"top_k": 0}, {"seed": -1}, {"seed": 1.0}, {"top_k": True}])
def test_parameters_that_cannot_be(options: dict[str, object]) -> None:
    [name] = options
    with pytest.raises(ParameterError, match=f"random: {name}="):
        RandomRetriever(Corpus(CORPUS), **options)  # type: ignore[arg-type]
