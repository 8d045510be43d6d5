"""Clusters of queries: found, numbered along a walk, the same again."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from hf_hardneg.errors import ParameterError
from hf_hardneg.query_topics import query_topics


def on_a_line(groups: int, each: int, seed: int = 0) -> tuple[NDArray[np.float32], list[int]]:
    """Groups of points far apart on a line, mixed; and the group of each."""
    random = np.random.default_rng(seed)
    group = random.permutation(np.repeat(np.arange(groups), each))
    points = random.normal(scale=0.01, size=(len(group), 4)).astype(np.float32)
    points[:, 0] += group
    return points, group.tolist()


def test_groups_far_apart_are_the_clusters() -> None:
    points, group = on_a_line(4, 50)
    # With more clusters than groups no cluster has points of two groups.
    topics = query_topics(points, 12, iterations=20, seed=3)
    assert len(set(zip(topics.tolist(), group, strict=True))) == len(set(topics.tolist()))


def test_neighbours_have_numbers_close_by() -> None:
    points = np.arange(30, dtype=np.float32)[:, None].repeat(2, axis=1)
    topics = query_topics(points, 30, iterations=5, seed=0)
    assert sorted(topics.tolist()) == list(range(30))
    # A walk on a line goes to one end, jumps once, and goes to the other end.
    along = points[np.argsort(topics), 0]
    assert np.count_nonzero(np.abs(np.diff(along)) != 1) <= 1


def test_the_same_again_and_with_any_number_of_threads() -> None:
    points = np.random.default_rng(0).normal(size=(3000, 48)).astype(np.float32)
    before = faiss.omp_get_max_threads()
    try:
        found = []
        for threads in (1, 2, 1):
            faiss.omp_set_num_threads(threads)
            found.append(query_topics(points, 15, iterations=10, seed=7))
    finally:
        faiss.omp_set_num_threads(before)
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()
    assert (found[0] != query_topics(points, 15, iterations=10, seed=8)).any()


def test_it_is_a_local_minimum_of_the_squared_distances() -> None:
    points = np.random.default_rng(1).normal(size=(400, 3)).astype(np.float32)
    topics = query_topics(points, 5, iterations=200, seed=0)
    means = np.stack([points[topics == topic].mean(axis=0) for topic in range(5)])
    nearest = ((points[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == topics).all()


@pytest.mark.parametrize("clusters", [1, 7, 50])
def test_degenerate_inputs(clusters: int, capfd: pytest.CaptureFixture[str]) -> None:
    equal = np.ones((6, 3), dtype=np.float32)
    assert len(set(query_topics(equal, clusters, iterations=5, seed=0).tolist())) == 1
    one = np.ones((1, 3), dtype=np.float32)
    assert query_topics(one, clusters, iterations=5, seed=2**40).tolist() == [0]
    points, _ = on_a_line(3, 2)
    topics = query_topics(points, clusters, iterations=5, seed=0)
    assert topics.min() >= 0
    assert topics.max() < min(clusters, 6)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("scale", [1e-30, 1e17])
def test_short_and_long_vectors(scale: float) -> None:
    points, _ = on_a_line(4, 50)
    topics = query_topics(points / 4 * np.float32(scale), 12, iterations=10, seed=0)
    assert len(topics) == 200


def test_vectors_beyond_single_precision() -> None:
    points = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32) * np.float32(1e37)
    with pytest.raises(ParameterError, match="expected at most 1e"):
        query_topics(points, 4, iterations=5, seed=0)
