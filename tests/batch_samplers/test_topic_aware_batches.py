"""Topic aware batches: from one cluster as far as its rows reach, then from neighbours."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_rows import Row, conflicts, dataset, distinct_pairs, every_row, rows
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chisquare
from tiny_models import save_bi_encoder
from torch.utils.data import DataLoader

from hf_hardneg import CallableEncoder, TopicAwareBatchSampler
from hf_hardneg.errors import ColumnError, ModelError, ParameterError


def vectors_of(number: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(number, 6)).astype(np.float32)


def batches(sampler: TopicAwareBatchSampler, epoch: int = 0) -> list[list[int]]:
    sampler.set_epoch(epoch)
    return list(sampler)


def of_one_topic(sampler: TopicAwareBatchSampler, found: list[list[int]]) -> list[int]:
    """The topic of each batch that has but one."""
    topics = [set(sampler.topics[batch].tolist()) for batch in found]
    return [topic.pop() for topic in topics if len(topic) == 1]


@given(st.integers(1, 120), st.integers(1, 12), st.integers(1, 9), st.booleans(), st.integers(0, 3))
def test_every_row_once_and_topics_as_the_rule_says(
    number: int, clusters: int, size: int, drop_last: bool, seed: int
) -> None:
    sampler = TopicAwareBatchSampler(
        range(number), size, drop_last, seed=seed, vectors=vectors_of(number), clusters=clusters
    )
    whole = Counter({t: n // size for t, n in Counter(sampler.topics.tolist()).items()})
    for epoch in range(3):
        found = batches(sampler, epoch)
        sizes = [len(batch) for batch in found]
        assert len(found) == len(sampler)
        if drop_last:
            assert sizes == [size] * (number // size)
        else:
            assert sizes == [size] * (number // size) + [number % size] * (number % size > 0)
            assert every_row(found) == list(range(number))
        assert len(set(every_row(found))) == sum(sizes)
        # Each cluster has all the full batches that its rows make.
        alone = Counter(of_one_topic(sampler, [batch for batch in found if len(batch) == size]))
        assert all(alone[topic] >= batches for topic, batches in whole.items())
        # What is left over: no row of a cluster comes twice to it, and clusters come in a line.
        if size > 1:
            left = [batch for batch in found if len(set(sampler.topics[batch].tolist())) > 1]
            spans = sorted((min(t), max(t)) for t in (sampler.topics[batch] for batch in left))
            assert all(one[1] <= two[0] for one, two in pairwise(spans))


@given(rows(), st.integers(1, 6), st.integers(1, 7), st.booleans())
def test_conflict_free(given_rows: list[Row], clusters: int, size: int, drop_last: bool) -> None:
    sampler = TopicAwareBatchSampler(
        dataset(given_rows), size, drop_last, vectors=vectors_of(len(given_rows)),
        clusters=clusters, conflict_free=True,
    )  # fmt: skip
    for epoch in range(4):
        found = batches(sampler, epoch)
        assert len(found) == len(sampler)
        assert conflicts(given_rows, found) == []
        if drop_last:
            assert all(len(batch) == size for batch in found)
            assert len(set(every_row(found))) == size * len(found)
        else:
            assert every_row(found) == list(range(len(given_rows)))


def test_conflict_free_batches_are_of_one_topic_too() -> None:
    data = distinct_pairs(400)
    sampler = TopicAwareBatchSampler(
        data, 8, vectors=vectors_of(400), clusters=4, conflict_free=True
    )
    sizes = Counter(sampler.topics.tolist())
    alone = Counter(of_one_topic(sampler, batches(sampler, 1)))
    assert all(alone[topic] >= count // 8 for topic, count in sizes.items())


def test_seed_and_epoch_decide_the_order() -> None:
    def sampler(seed: int) -> TopicAwareBatchSampler:
        return TopicAwareBatchSampler(range(300), 8, seed=seed, vectors=vectors_of(300), clusters=6)

    first, again = sampler(3), sampler(3)
    orders = [batches(first, epoch) for epoch in range(3)]
    assert [batches(again, epoch) for epoch in (2, 0, 1)] == [orders[i] for i in (2, 0, 1)]
    assert len({str(order) for order in orders}) == 3
    assert batches(sampler(4)) != orders[0]
    # Not only the order of the batches is another: their rows are.
    assert not {frozenset(batch) for batch in orders[0]} & {frozenset(batch) for batch in orders[1]}


def test_queries_and_clusters_are_drawn_evenly() -> None:
    """A row's chance to be in the first batch is that of every other row in full batches."""
    vectors = np.repeat(np.eye(2, 3, dtype=np.float32), [40, 80], axis=0)
    sampler = TopicAwareBatchSampler(range(120), 8, vectors=vectors, clusters=2)
    assert sorted(Counter(sampler.topics.tolist()).values()) == [40, 80]
    firsts: Counter[int] = Counter()
    for epoch in range(3000):
        firsts.update(batches(sampler, epoch)[0])
    assert chisquare([firsts[row] for row in range(120)]).pvalue > 1e-3


def test_how_many_clusters() -> None:
    few = TopicAwareBatchSampler(range(1000), vectors=vectors_of(1000))
    assert len(set(few.topics.tolist())) == 5
    one = TopicAwareBatchSampler(range(90), 8, vectors=vectors_of(90), clusters=1)
    assert set(one.topics.tolist()) == {0}
    assert [len(batch) for batch in one] == [8] * 11 + [2]
    many = TopicAwareBatchSampler(range(9), 4, vectors=vectors_of(9), clusters=100)
    assert sorted(many.topics.tolist()) == list(range(9))
    assert [many.topics[batch].tolist() for batch in many if len(batch) == 1] == [[8]]
    equal = TopicAwareBatchSampler(range(9), 4, vectors=np.ones((9, 2)), clusters=3)
    assert len(set(equal.topics.tolist())) == 1
    assert every_row(equal) == list(range(9))


def test_vectors_in_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", vectors_of(50).astype(np.float64))
    options: dict[str, Any] = {"batch_size": 4, "clusters": 5}
    given_directly = TopicAwareBatchSampler(range(50), vectors=vectors_of(50), **options)
    for path in (tmp_path / "vectors.npy", str(tmp_path / "vectors.npy")):
        read = TopicAwareBatchSampler(range(50), vectors=path, **options)
        assert (read.topics == given_directly.topics).all()


def test_an_encoder_gives_the_vectors() -> None:
    asked: list[list[str]] = []

    def encode(texts: list[str]) -> list[list[float]]:
        asked.append(texts)
        return [[float(text.split()[1]), 1.0] for text in texts]

    encoder = CallableEncoder(encode, name="numbers", similarity="dot")
    data = distinct_pairs(40).select([*range(40), *range(40)])
    sampler = TopicAwareBatchSampler(data, 4, model=encoder, clusters=4)
    assert sorted(asked[0]) == sorted(set(data["query"]))  # each text once
    assert (sampler.topics[:40] == sampler.topics[40:]).all()
    # The numbers are cut into four intervals.
    assert np.count_nonzero(np.diff(sampler.topics[:40])) == 3
    named = data.select_columns(["positive", "query"])
    again = TopicAwareBatchSampler(named, 4, model=encoder, clusters=4, query_column="query")
    assert (again.topics == sampler.topics).all()


def test_a_model_by_path_and_loaded(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    path = save_bi_encoder(tmp_path)
    words = ["red car", "red boat", "cold river", "warm river", "one two", "three four"]
    data = distinct_pairs(6).remove_columns("query").add_column("query", words)
    options: dict[str, Any] = {"clusters": 3, "query_column": "query", "device": "cpu"}
    by_path = TopicAwareBatchSampler(data, 2, model=path, **options)
    model = SentenceTransformer(str(path), device="cpu").train()
    loaded = TopicAwareBatchSampler(data, 2, model=model, **options)
    assert (by_path.topics == loaded.topics).all()
    assert model.training  # as it was
    given_vectors = model.encode(words, normalize_embeddings=True)
    same = TopicAwareBatchSampler(data, 2, vectors=given_vectors, clusters=3)
    assert (same.topics == loaded.topics).all()


def test_a_data_loader_gives_the_rows() -> None:
    data = distinct_pairs(20)
    sampler = TopicAwareBatchSampler(data, 8, vectors=vectors_of(20), clusters=2)
    loader = DataLoader(data, batch_sampler=sampler)
    assert [batch["query"] for batch in loader] == [
        [f"query {row}" for row in batch] for batch in sampler
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "none of vectors and model given"),
        ({"vectors": vectors_of(5), "model": "a name"}, "both of vectors and model given"),
        ({"vectors": vectors_of(4)}, "4 vectors for a data set of 5 rows.*evaluation"),
        ({"vectors": np.ones(5)}, r"shape \(5,\)"),
        ({"vectors": np.ones((5, 0))}, r"numbers of shape \(5, dimension\)"),
        ({"vectors": [["a"]] * 5}, "type <U1"),
        ({"vectors": [[1.0], [2.0], [np.nan], [4.0], [np.inf]]}, "2 rows .* row 2"),
        ({"vectors": np.full((5, 2), 1e300)}, "nan or infinite"),
        ({"vectors": np.full((5, 2), 1e30)}, "expected at most 1e"),
        ({"vectors": "nowhere.npy"}, "vectors='nowhere.npy' cannot be read"),
        ({"vectors": __file__}, "as numpy.save writes it"),
        ({"vectors": vectors_of(5), "clusters": 0}, "clusters=0"),
        ({"vectors": vectors_of(5), "clusters": 2.5}, "clusters=2.5"),
        ({"vectors": vectors_of(5), "iterations": 0}, "iterations=0"),
        ({"vectors": vectors_of(5), "batch_size": 0}, "batch_size=0"),
    ],
)
def test_bad_parameters(options: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        TopicAwareBatchSampler(distinct_pairs(5), **options)


def test_bad_data_and_models() -> None:
    with pytest.raises(ParameterError, match="no rows"):
        TopicAwareBatchSampler(range(0), vectors=np.ones((0, 3)))
    with pytest.raises(ParameterError, match="expected a Dataset"):
        TopicAwareBatchSampler(range(3), vectors=np.ones((3, 3)), conflict_free=True)
    broken = CallableEncoder(lambda texts: [[np.nan]] * len(texts), name="broken")
    with pytest.raises(ModelError, match="nan or infinity"):
        TopicAwareBatchSampler(distinct_pairs(3), model=broken)
    with pytest.raises(ColumnError, match="Did you mean 'query'"):
        TopicAwareBatchSampler(distinct_pairs(3), model=broken, query_column="querry")
