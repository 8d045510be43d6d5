from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from drawing import DRAWS, assert_drawn, draws, order_of, softmax
from hypothesis import given, settings
from hypothesis import strategies as st
from mining import word_documents, word_rows
from stage_data import DOCUMENTS, Batch, batches

from hf_hardneg import (
    AmbiguousZoneSampler,
    BM25Retriever,
    CallableEncoder,
    Corpus,
    DenseRetriever,
    HybridRetriever,
    OfflineMiner,
    TriangularSampler,
)
from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.errors import ParameterError, StrategyError
from hf_hardneg.hashing import exact_key
from hf_hardneg.log_weights import drawn_positives
from hf_hardneg.retrievers import Retriever
from hf_hardneg.samplers import triangular
from hf_hardneg.testing import check_sampler, make_queries


def directions(texts: list[str]) -> np.ndarray:
    """Four numbers a text; whole numbers of a half, so that sums are exact."""
    return np.array([np.random.default_rng(exact_key(t)).integers(-3, 4, 4) / 2 for t in texts])


def letters(similarity: str = "dot") -> CallableEncoder:
    return CallableEncoder(directions, name="directions", similarity=similarity)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tmp_path_factory.mktemp("vectors")


@pytest.fixture(scope="module")
def dense(home: Any) -> DenseRetriever:
    """Over the documents of random batches."""
    return DenseRetriever(Corpus(DOCUMENTS), model=letters(), top_k=10, cache_dir=home)


def by_vectors(batch: Batch) -> Batch:
    """The same candidates as found by the dense retriever, whose scores they are then."""
    queries, candidates = batch
    return queries, replace(candidates, source_names=("dense",))


def triangle(
    scores: Sequence[float], sides: Sequence[float], positive: float = 0.5
) -> tuple[DenseRetriever, Batch]:
    """One query whose candidates have these s(q, d_i) and s(d+, d_i), by vectors in a plane.

    The query is (1, 0), the positive (positive, 1), and a candidate (score, what is missing).
    """
    places = {"q": (1.0, 0.0), "p": (positive, 1.0)}
    for number, (score, side) in enumerate(zip(scores, sides, strict=True)):
        places[f"c{number}"] = (score, side - positive * score)
    documents = [name for name in places if name != "q"]
    model = CallableEncoder(
        lambda texts: np.array([places[text] for text in texts]),
        name=repr(places),
        similarity="dot",
    )
    dense = DenseRetriever(Corpus(documents), model=model, top_k=len(documents))
    queries = make_queries(dense.corpus, ["q"], [["p"]])
    found = dense.retrieve(queries)
    order = np.argsort(found.rows[0])[1:]  # as given, without the positive
    return dense, (queries, replace(found, **{
        name: getattr(found, name)[:, order]
        for name in ("rows", "scores", "ranks", "sources", "document_keys")
    }))  # fmt: skip


SCORES, SIDES = [0.75, 0.5, 0.25, -0.5], [1.0, 1.5, 0.5, 0.25]


# -- the contract ----------------------------------------------------------------------------


@pytest.mark.parametrize("first", [1, 3, 50])
@settings(max_examples=8)
@given(batch=batches)
def test_keeps_the_contract(dense: DenseRetriever, first: int, batch: Batch) -> None:
    check_sampler(TriangularSampler(first=first).bound(dense), *by_vectors(batch))


@settings(max_examples=2)
@given(batch=batches)
def test_keeps_the_contract_where_vectors_give_the_scores(
    dense: DenseRetriever, batch: Batch
) -> None:
    check_sampler(TriangularSampler(first=3).bound(dense), *batch)


# -- the formulas ----------------------------------------------------------------------------


def test_the_second_stage_alone() -> None:
    dense, batch = triangle(SCORES, SIDES)
    weights = np.maximum(np.array(SIDES) - np.array(SCORES), 0)
    assert_drawn(TriangularSampler().bound(dense), batch, weights / weights.sum())


def test_what_is_nearer_to_the_query_is_never_drawn() -> None:
    dense, batch = triangle([1.0, 0.5, 0.25], [0.5, 0.75, 0.25])
    order = order_of(TriangularSampler().bound(dense), batch)
    assert order.tolist() == [[1, -1, -1]]


def test_the_first_stage_alone() -> None:
    dense, batch = triangle([2.0, 1.0, 0.0, -1.0], [9.0, 9.0, 9.0, 9.0], positive=1.0)
    shares = softmax([-((score - 1.0) ** 2) / 4 for score in (2.0, 1.0, 0.0, -1.0)])
    sampler = TriangularSampler(first=1).bound(dense)
    assert_drawn(sampler, batch, shares)
    assert (draws(sampler, batch)[:, 1:] == -1).all()


def test_both_stages() -> None:
    """The closed form: all sets of the first stage, and the second stage within each."""
    scores = [3.0, 1.5, 0.5, -1.0, -3.0]
    sides = [4.0, 4.5, 1.0, 1.0, 1.0]
    dense, batch = triangle(scores, sides, positive=1.0)
    first = softmax([-((score - 1.0) ** 2) / 4 for score in scores])
    second = np.maximum(np.array(sides) - np.array(scores), 0)
    shares = np.zeros(5)
    for one, other in permutations(range(5), 2):
        pair = first[one] * first[other] / (1 - first[one])
        for slot in (one, other):
            shares[slot] += pair * second[slot] / (second[one] + second[other])
    assert_drawn(TriangularSampler(first=2).bound(dense), batch, shares)


@pytest.mark.parametrize("first", [1, 2, 50])
def test_where_no_side_is_nearer_the_first_stage_stands_alone(first: int) -> None:
    """Which is that of the ambiguous sampler, to the last bit."""
    dense, batch = triangle(SCORES, [-2.0, -2.0, 0.25, -0.5])
    found = TriangularSampler(first=first).bound(dense).keys(*batch, 7)
    assert np.array_equal(found, AmbiguousZoneSampler(a=0.25, b=0).keys(*batch, 7))
    assert np.isfinite(found).all()


@given(batches, st.integers(0, 3), st.booleans())
def test_the_formulas_by_brute_force(
    dense: DenseRetriever, batch: Batch, seed: int, own: bool
) -> None:
    """Candidate by candidate, with several positives, some of them no documents."""
    queries, candidates = by_vectors(batch) if own else batch
    drawn = drawn_positives(queries, seed, queries.positive_rows >= 0)
    found = TriangularSampler().bound(dense).log_weights(queries, candidates, seed)
    for number, text in enumerate(queries.texts):
        place = int(drawn[number])
        wanted = np.full(candidates.shape[1], -np.inf)
        stage_one = wanted.copy()
        query = directions([text])[0]
        if place >= 0:
            positive = directions([DOCUMENTS[queries.positive_rows[place]]])[0]
            s_positive = float(candidates.positive_scores[place]) if own else query @ positive
            for slot in np.flatnonzero(candidates.filled[number] & ~np.isnan(s_positive)):
                document = directions([DOCUMENTS[candidates.rows[number, slot]]])[0]
                score = float(candidates.scores[number, slot]) if own else query @ document
                stage_one[slot] = -((score - s_positive) ** 2) / 4
                if positive @ document > score:
                    wanted[slot] = np.log(positive @ document - score)
        if (wanted == -np.inf).all():
            wanted = stage_one
        filled = candidates.filled[number]
        assert np.allclose(found[number][filled], wanted[filled], rtol=1e-12)


# -- positives -------------------------------------------------------------------------------


def of_two(rows: list[int]) -> tuple[DenseRetriever, Queries, Candidates]:
    """Candidates c0 and c1; two positives, of which some are no documents."""
    dense, (queries, candidates) = triangle([0.5, 0.25], [0.25, 1.0])
    scores = np.repeat(candidates.positive_scores, 2)
    queries = replace(
        queries,
        offsets=np.array([0, 2]),
        positive_rows=np.where(np.array(rows) == 1, queries.positive_rows[0], -1),
        positive_texts=["p" if row else "elsewhere" for row in rows],
    )
    return dense, queries, replace(candidates, positive_scores=scores)


def test_a_positive_that_is_no_document_is_left_out() -> None:
    for rows in ([0, 1], [1, 0]):
        dense, queries, candidates = of_two(rows)
        order = draws(TriangularSampler().bound(dense), (queries, candidates))
        assert len(order) == DRAWS
        assert (order == [1, -1]).all()


def test_a_row_without_a_positive_in_the_corpus_gets_nothing() -> None:
    dense, queries, candidates = of_two([0, 0])
    assert (order_of(TriangularSampler().bound(dense), (queries, candidates)) == -1).all()


# -- the retriever ---------------------------------------------------------------------------


@settings(max_examples=10)
@given(batches)
def test_portions_have_no_influence(dense: DenseRetriever, batch: Batch) -> None:
    sampler = TriangularSampler(first=4).bound(dense)
    for queries, candidates in (batch, by_vectors(batch)):
        whole = sampler.keys(queries, candidates, 0)
        for size in (1, 100, 200):  # a vector has 16 bytes: portions of 1, 3 and 6 pairs
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(triangular, "BYTES_AT_ONCE", size)
                assert np.array_equal(sampler.keys(queries, candidates, 0), whole)


def test_the_retriever_goes_along(dense: DenseRetriever) -> None:
    bound = TriangularSampler(first=4).bound(dense)
    dense.prepare()
    again = pickle.loads(pickle.dumps(bound))
    assert again == TriangularSampler(first=4)
    own, batch = triangle(SCORES, SIDES)
    bound = TriangularSampler().bound(own)
    keys = bound.keys(*batch, 0)
    assert np.array_equal(pickle.loads(pickle.dumps(bound)).keys(*batch, 0), keys)


def test_without_a_retriever() -> None:
    _, batch = triangle(SCORES, SIDES)
    with pytest.raises(
        StrategyError, match=r"'triangular' asks the retriever.*'dense\+triangular'"
    ):
        TriangularSampler().keys(*batch, 0)


@pytest.mark.parametrize("first", [0, -1, 2.0, None, True])
def test_a_set_size_that_is_refused(first: Any) -> None:
    said = f"first={first!r}; expected a whole number of at least 1 .50 by default; the paper's is"
    with pytest.raises(ParameterError, match=said):
        TriangularSampler(first=first)


# -- in strategies ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def documents() -> dict[str, str]:
    return word_documents(60)


@pytest.fixture(scope="module")
def rows(documents: dict[str, str]) -> Dataset:
    """The last has a positive that is no document."""
    plain = word_rows(documents, 20)
    return Dataset.from_dict(
        {"query": plain["query"], "positive": [*plain["positive"][:19], "somewhere else"]}
    )


def mined(strategy: str, corpus: dict[str, str], rows: Dataset, **options: Any) -> Dataset:
    model = letters(options.pop("similarity", "cosine"))
    miner = OfflineMiner(strategy, model=model, corpus=corpus, num_negatives=3)
    return miner.mine(rows, **options)


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_in_a_strategy(documents: dict[str, str], rows: Dataset, similarity: str) -> None:
    want = mined("dense@40+triangular(first=20)", documents, rows, similarity=similarity)
    counts = [len(names) for names in want["hard_negative_ids"]]
    assert counts[19] == 0
    assert np.mean(counts[:19]) > 2
    halves = mined(
        "dense@40+triangular(first=20)", documents, rows,
        similarity=similarity, num_proc=2, resume=False,
    )  # fmt: skip
    assert halves["hard_negative_ids"] == want["hard_negative_ids"]


def test_the_set_is_drawn_from_what_the_filters_leave(
    documents: dict[str, str], rows: Dataset
) -> None:
    """With three candidates left, a set of three has them all, whatever stood before them."""
    few = mined("dense@40+rank(range_min=20, range_max=23)+triangular(first=3)", documents, rows)
    all_of_them = mined("dense@40+rank(range_min=20, range_max=23)+triangular", documents, rows)
    assert few["hard_negative_ids"] == all_of_them["hard_negative_ids"]
    assert any(few["hard_negative_ids"])


def test_a_joined_list_is_weighed_by_vectors(documents: dict[str, str], rows: Dataset) -> None:
    want = mined("bm25@20,dense@20+triangular(first=9)", documents, rows)
    assert np.mean([len(names) for names in want["hard_negative_ids"][:19]]) > 2
    halves = mined(
        "bm25@20,dense@20+triangular(first=9)", documents, rows, num_proc=2, resume=False
    )
    assert halves["hard_negative_ids"] == want["hard_negative_ids"]
    corpus = Corpus(documents)
    parts = [BM25Retriever(corpus, top_k=20), DenseRetriever(corpus, model=letters(), top_k=60)]
    queries = make_queries(corpus, rows["query"][:5], [[text] for text in rows["positive"][:5]])
    joined: Retriever = HybridRetriever(parts)
    found, alone = joined.retrieve(queries), parts[1].retrieve(queries)
    fused = TriangularSampler().bound(joined).log_weights(queries, found, 0)
    plain = TriangularSampler().bound(parts[1]).log_weights(queries, alone, 0)
    for number in range(len(queries)):
        one = dict(zip(found.rows[number].tolist(), fused[number].tolist(), strict=True))
        other = dict(zip(alone.rows[number].tolist(), plain[number].tolist(), strict=True))
        sets = [{row for row, weight in own.items() if row >= 0 and weight > -np.inf}
                for own in (one, other)]  # fmt: skip
        shared = sets[0] & sets[1]
        assert len(shared) > 10
        assert all(one[row] == other[row] for row in shared)


def test_a_retriever_without_vectors(documents: dict[str, str]) -> None:
    with pytest.raises(StrategyError, match="'triangular' needs the documents' vectors; use dense"):
        OfflineMiner("bm25+triangular", corpus=documents)
