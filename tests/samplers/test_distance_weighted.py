from __future__ import annotations

import math
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from drawing import SURE, assert_drawn, line, order_of, softmax
from hypothesis import given, settings
from mining import word_documents, word_rows
from scipy.stats import kstest
from stage_data import Batch, batches, make_batch

from hf_hardneg import (
    CallableEncoder,
    Corpus,
    DenseRetriever,
    DistanceWeightedSampler,
    ImportanceSampler,
    OfflineMiner,
)
from hf_hardneg.errors import ParameterError, StrategyError
from hf_hardneg.hashing import exact_key
from hf_hardneg.testing import check_sampler


def directions(texts: list[str]) -> np.ndarray:
    """Five numbers a text, that lie in one half of the space, so that many are near."""
    return np.array([np.random.default_rng(exact_key(text)).normal(0.5, 1, 5) for text in texts])


def encoder(similarity: str = "cosine") -> CallableEncoder:
    return CallableEncoder(directions, name="directions", similarity=similarity)


def cosines(batch: Batch) -> Batch:
    """The same batch with scores from -1 to 1."""
    queries, candidates = batch
    return queries, replace(candidates, scores=candidates.scores / np.float32(2))


def at(*distances: float) -> Batch:
    """One query with candidates at these distances."""
    return line([1 - d**2 / 2 for d in distances])


def weight(d: float, n: int) -> float:
    """The logarithm of the inverse density, by the plain formula."""
    return -((n - 2) * math.log(d) + (n - 3) / 2 * math.log(1 - d * d / 4))


@pytest.mark.parametrize(
    "sampler",
    [
        DistanceWeightedSampler(dimension=2),
        DistanceWeightedSampler(dimension=768),
        DistanceWeightedSampler(dimension=16, cutoff=0.1, nonzero_loss_cutoff=2),
    ],
)
@settings(max_examples=10)
@given(batch=batches.map(cosines))
def test_keeps_the_contract(sampler: DistanceWeightedSampler, batch: Batch) -> None:
    check_sampler(sampler, *batch, largest=1)


@settings(max_examples=5)
@given(batch=batches.map(cosines))
def test_keeps_the_contract_with_a_retriever(batch: Batch) -> None:
    dense = DenseRetriever(Corpus(["a", "b"]), model=encoder(), top_k=1)
    check_sampler(DistanceWeightedSampler().bound(dense), *batch, largest=1)


# -- the formula -----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 5, 9])
def test_the_draws_follow_the_formula(n: int) -> None:
    distances = [0.3, 0.6, 0.9, 1.2, 1.39, 1.41]
    shares = softmax([weight(max(d, 0.5), n) for d in distances[:5]])
    assert_drawn(DistanceWeightedSampler(dimension=n), at(*distances), [*shares, 0])


def test_in_three_dimensions_the_weight_is_one_over_the_distance() -> None:
    distances = np.array([0.5, 0.75, 1.0, 1.25])
    shares = (1 / distances) / (1 / distances).sum()
    assert_drawn(DistanceWeightedSampler(dimension=3), at(*distances), shares)


@pytest.mark.parametrize("n", [3, 768])
def test_all_that_is_nearer_than_the_cutoff_is_as_likely(n: int) -> None:
    assert_drawn(DistanceWeightedSampler(dimension=n), at(0.0, 0.1, 0.3, 0.499, 0.5), [0.2] * 5)


def test_it_takes_back_the_density_of_distances_on_the_sphere() -> None:
    """Of random points, drawn by these weights, all distances are as likely."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200_000, 8))
    scores = points[:, 0] / np.linalg.norm(points, axis=1)
    batch = make_batch([[0] * len(scores)], [scores.tolist()], [[0.0]])
    weights = np.exp(DistanceWeightedSampler(dimension=8).log_weights(*batch, 0)[0])
    d = np.sqrt(2 - 2 * scores)
    kept = (d > 0.6) & (d < 1.4)
    drawn = rng.choice(d[kept], 5_000, p=weights[kept] / weights[kept].sum())
    assert kstest(drawn, "uniform", (0.6, 0.8)).pvalue > SURE
    assert kstest(d[kept][:5_000], "uniform", (0.6, 0.8)).pvalue < SURE  # they were not before


def test_nothing_beyond_the_second_cutoff_is_drawn() -> None:
    batch = at(1.3, 1.39, 1.4, 1.5, 2.0)
    assert order_of(DistanceWeightedSampler(dimension=3), batch)[0].tolist()[2:] == [-1] * 3
    far = DistanceWeightedSampler(dimension=3, nonzero_loss_cutoff=2)
    assert order_of(far, batch)[0].tolist()[4:] == [-1]
    assert (order_of(DistanceWeightedSampler(dimension=3), at(1.5, 1.9)) == -1).all()


def test_many_dimensions_do_not_overflow() -> None:
    for n in (768, 8192, 1_000_000):
        distances = (0.2, 0.5, 0.9, 1.2, 1.39)
        found = DistanceWeightedSampler(dimension=n).log_weights(*at(*distances), 0)[0]
        assert np.isfinite(found).all()
        assert np.allclose(found, [weight(max(d, 0.5), n) for d in distances], rtol=1e-3)


def test_it_is_not_the_softmax() -> None:
    batch = at(0.1, 0.4, 0.8, 1.2)
    own = DistanceWeightedSampler(dimension=3).log_weights(*batch, 0)[0]
    other = ImportanceSampler().log_weights(*batch, 0)[0]
    assert own[0] == own[1]
    assert other[0] > other[1]


# -- what is refused -------------------------------------------------------------------------


def test_scores_that_are_no_cosines() -> None:
    sampler = DistanceWeightedSampler(dimension=3)
    for score in (1.05, -1.5, 30.0, 3e38):
        with pytest.raises(StrategyError, match="expected cosines, from -1 to 1, of vectors of"):
            sampler.keys(*line([0.5, score]), 0)
    rounded = sampler.keys(*line([1 + 2e-7, 1.004, -1 - 2e-7]), 0)
    assert np.isfinite(rounded[0, :2]).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"cutoff": 0},
            r"cutoff=0; expected a finite number above 0 \(that of the paper's code",
        ),
        ({"nonzero_loss_cutoff": -1}, "nonzero_loss_cutoff=-1; .* code is 1.4"),
        ({"cutoff": 1.4}, r"expected cutoff < nonzero_loss_cutoff <= 2.*\(those of the paper's"),
        ({"nonzero_loss_cutoff": 2.1}, "nonzero_loss_cutoff=2.1; expected cutoff <"),
        ({"dimension": 1}, "dimension=1; expected a whole number of at least 2"),
        ({"dimension": 3.0}, "dimension=3.0"),
    ],
)
def test_parameters_that_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        DistanceWeightedSampler(**options)


def test_without_a_retriever_it_needs_the_dimension() -> None:
    with pytest.raises(StrategyError, match="asks the retriever, and is not bound to one"):
        DistanceWeightedSampler().keys(*line([0.5]), 0)


# -- with a retriever ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def documents() -> dict[str, str]:
    return word_documents(60)


@pytest.fixture(scope="module")
def rows(documents: dict[str, str]) -> Dataset:
    return word_rows(documents, 20)


def test_the_dimension_is_that_of_the_retriever(documents: dict[str, str]) -> None:
    dense = DenseRetriever(Corpus(documents), model=encoder(), top_k=9)
    bound = DistanceWeightedSampler().bound(dense)
    batch = at(0.3, 0.6, 0.9, 1.2)
    own = DistanceWeightedSampler(dimension=5).keys(*batch, 0)
    assert np.array_equal(bound.keys(*batch, 0), own)
    assert np.array_equal(DistanceWeightedSampler(dimension=5).bound(dense).keys(*batch, 0), own)
    with pytest.raises(ParameterError, match="dimension=6, and the retriever's vectors have 5"):
        DistanceWeightedSampler(dimension=6).bound(dense).keys(*batch, 0)
    assert np.array_equal(pickle.loads(pickle.dumps(bound)).keys(*batch, 0), own)
    assert bound == DistanceWeightedSampler()


def test_vectors_of_one_dimension() -> None:
    flat = CallableEncoder(lambda texts: np.ones((len(texts), 1)), name="flat")
    dense = DenseRetriever(Corpus(["a", "b"]), model=flat, top_k=1)
    with pytest.raises(StrategyError, match="2 dimensions or more, and these have 1"):
        DistanceWeightedSampler().bound(dense).keys(*at(0.5), 0)


@pytest.mark.parametrize("storage", ["float32", "int8"])
def test_in_a_strategy(documents: dict[str, str], rows: Dataset, storage: str) -> None:
    def mined(strategy: str, **options: Any) -> list[list[str]]:
        miner = OfflineMiner(
            f"dense@40(storage={storage!r})+{strategy}",
            model=encoder(),
            corpus=documents,
            num_negatives=4,
        )
        return list(miner.mine(rows, **options)["hard_negative_ids"])

    want = mined("distance-weighted")
    assert all(len(names) == 4 for names in want)
    assert mined("distance-weighted", num_proc=2, resume=False) == want
    assert mined("distance-weighted(dimension=5)") == want
    assert mined("distance-weighted(nonzero_loss_cutoff=1)") != want


def test_a_row_with_nothing_near_gets_nothing(documents: dict[str, str], rows: Dataset) -> None:
    """Every text in a direction of its own: all distances are the root of two."""
    names: dict[str, int] = {}

    def apart(texts: list[str]) -> np.ndarray:
        return np.eye(128)[[names.setdefault(text, len(names)) for text in texts]]

    miner = OfflineMiner(
        "dense@40+distance-weighted",
        model=CallableEncoder(apart, name="apart"),
        corpus=documents,
        num_negatives=4,
    )
    mined = miner.mine(rows)
    assert mined["hard_negative_ids"] == [[]] * len(rows)


def test_no_model_is_opened_before_the_work(documents: dict[str, str], rows: Dataset) -> None:
    def refused(texts: list[str]) -> np.ndarray:
        raise AssertionError("the model is asked")

    model = CallableEncoder(refused, name="refused")
    miner = OfflineMiner("dense@40+distance-weighted", model=model, corpus=documents)
    assert miner.strategy.endswith("+distance-weighted")
    absent = OfflineMiner("dense(model='no/such-model')+distance-weighted", corpus=documents)
    assert "no/such-model" in absent.strategy


@pytest.mark.parametrize("similarity", ["dot", "euclidean"])
def test_a_retriever_whose_scores_are_no_cosines(
    documents: dict[str, str], rows: Dataset, similarity: str
) -> None:
    said = r"Use dense\(similarity='cosine'\), or a model that declares cosine"
    miner = OfflineMiner(
        "dense@40+distance-weighted", model=encoder(similarity), corpus=documents, positives=rows
    )
    with pytest.raises(StrategyError, match=said):
        miner.mine(rows)
    with pytest.raises(StrategyError, match=said):
        miner(rows[:2])
    with pytest.raises(StrategyError, match="'distance-weighted' needs scores that are cosines"):
        OfflineMiner(f"dense(similarity={similarity!r})+distance-weighted", corpus=documents)
    with pytest.raises(StrategyError, match="'distance-weighted' needs scores that are cosines"):
        OfflineMiner("bm25,dense+distance-weighted", model=encoder(), corpus=documents)
    with pytest.raises(StrategyError, match="'distance-weighted' needs scores that are cosines"):
        OfflineMiner("bm25+distance-weighted", corpus=documents)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_a_retriever_in_another_process_knows_its_similarity(
    documents: dict[str, str], similarity: str
) -> None:
    """Its model stays behind; the vectors on disk say it."""
    dense = DenseRetriever(Corpus(documents), model=encoder(similarity), top_k=9)
    assert dense.unit_vectors == (similarity == "cosine")
    dense.prepare()
    assert pickle.loads(pickle.dumps(dense)).unit_vectors == (similarity == "cosine")
