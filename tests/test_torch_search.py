"""Search by torch against brute force and, bit for bit, against faiss; on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from hf_hardneg.candidates import NO_ROW
from hf_hardneg.errors import ParameterError
from hf_hardneg.torch_search import (
    Tiles,
    by_torch,
    full_float32,
    nearest_on,
    refuse_short_floats,
    with_less_memory,
)
from hf_hardneg.vector_search import by_faiss, exact_search

SIMILARITIES = ("cosine", "dot", "euclidean")
Floats = NDArray[np.float32]
# From tiles of one vector and one query to all at once.
memories = st.sampled_from([0, 300, 2_000, 20_000, 1 << 29])
shapes = st.tuples(st.integers(1, 6), st.integers(1, 60), st.integers(1, 5))


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


def drawn(data: st.DataObject, shape: tuple[int, int], elements: Any) -> Floats:
    return data.draw(hnp.arrays(np.float32, shape, elements=elements))


@settings(max_examples=60)
@given(
    shapes, st.integers(1, 70), st.integers(1, 60), st.sampled_from(SIMILARITIES), memories,
    st.data(),
)  # fmt: skip
def test_whole_numbers_with_many_ties(
    shape: tuple[int, int, int], k: int, size: int, similarity: str, memory: int,
    data: st.DataObject,
) -> None:  # fmt: skip
    """By value, with k beyond the vectors and vectors that are equal."""
    asked, documents, dimension = shape
    whole = st.integers(-2, 2).map(float)
    queries = drawn(data, (asked, dimension), whole)
    vectors = drawn(data, (documents, dimension), whole)
    search = by_torch("cpu", memory)
    numbers, scores = exact_search(queries, blocks(vectors, size), k, similarity, search)
    want, values = best(brute_force(queries, vectors, similarity), k)
    assert numbers.tolist() == want.tolist()
    np.testing.assert_allclose(scores, values, rtol=1e-6)


reals = st.floats(-4, 4, width=32) | st.sampled_from([0.0, 1.0, 1e-30, 1e-42, 1.0000001])


@settings(max_examples=60)
@given(
    shapes, st.integers(1, 30), st.integers(1, 60), st.sampled_from(SIMILARITIES), memories,
    st.data(),
)  # fmt: skip
def test_the_same_bits_as_by_faiss(
    shape: tuple[int, int, int], k: int, size: int, similarity: str, memory: int,
    data: st.DataObject,
) -> None:  # fmt: skip
    asked, documents, dimension = shape
    queries = drawn(data, (asked, dimension), reals)
    vectors = drawn(data, (documents, dimension), reals)
    want = exact_search(queries, blocks(vectors, size), k, similarity, by_faiss)
    search = by_torch("cpu", memory)
    got = exact_search(queries, blocks(vectors, size), k, similarity, search)
    assert got[0].tolist() == want[0].tolist()
    assert got[1].tobytes() == want[1].tobytes()


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("memory", [None, 1_000_000])
def test_many_dimensions_and_near_ties(similarity: str, memory: int | None) -> None:
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(150, 192)).astype(np.float32)
    vectors = rng.normal(size=(3000, 192)).astype(np.float32)
    vectors[100:160] = vectors[7]
    vectors[400:500] = vectors[9] + rng.normal(size=(100, 192)).astype(np.float32) * 1e-6
    queries[3], queries[4] = vectors[7], vectors[9]
    want = exact_search(queries, blocks(vectors, 3000), 50, similarity)
    for size in (3000, 700):
        search = by_torch("cpu", memory)
        got = exact_search(queries, blocks(vectors, size), 50, similarity, search)
        assert got[0].tolist() == want[0].tolist()
        assert got[1].tobytes() == want[1].tobytes()


def test_what_it_returns_by_itself() -> None:
    """Best first; empty slots where there are fewer vectors than k; nothing from nothing."""
    queries, vectors = np.eye(2, 3, dtype=np.float32), np.eye(3, dtype=np.float32) * 2
    vectors.setflags(write=False)
    search = by_torch("cpu", 0)
    scores, places = search(queries, vectors, 5, "euclidean")
    assert scores.tolist() == [[-1, -5, -5, -np.inf, -np.inf]] * 2
    assert places[:, 0].tolist() == [0, 1]
    assert sorted(places[0].tolist()) == [-1, -1, 0, 1, 2]
    assert (scores.dtype, places.dtype) == (np.float32, np.int64)
    for one, two in ((queries[:0], vectors), (queries, vectors[:0])):
        scores, places = search(one, two, 4, "dot")
        assert scores.shape == places.shape == (len(one), 4)
        assert (places == NO_ROW).all()


@given(
    st.integers(0, 1 << 40), st.integers(1, 10**6), st.integers(1, 10**8), st.integers(1, 5000),
    st.integers(1, 2000),
)  # fmt: skip
@example(10**9, 16_384, 8_800_000, 384, 108)
def test_tiles_stay_within_the_memory(
    memory: int, queries: int, vectors: int, dimension: int, k: int
) -> None:
    tiles = Tiles.within(memory, queries, vectors, dimension, k)
    assert 1 <= tiles.queries <= tiles.group <= queries
    assert 1 <= tiles.vectors <= vectors
    group = tiles.group * (2 * 4 * dimension + 2 * 12 * k)
    piece = tiles.vectors * (2 * 4 * dimension + 4)
    scores = tiles.vectors * tiles.queries * 12
    assert group <= memory / 4 or tiles.group == 1
    assert piece <= memory / 4 or tiles.vectors == 1
    assert scores <= memory / 2 or tiles.queries == 1
    assert tiles.vectors == vectors or piece > memory / 4 - 2 * (2 * 4 * dimension + 4)


# -- full float32 ----------------------------------------------------------------------------


@pytest.fixture
def short_products() -> Iterator[None]:
    """As a program that trains may have it; bfloat16 where the processor has it."""
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision("highest")


@pytest.mark.usefixtures("short_products")
def test_short_products_are_switched_off_and_come_back() -> None:
    rng = np.random.default_rng(1)
    queries = rng.normal(size=(200, 64)).astype(np.float32)
    vectors = rng.normal(size=(2000, 64)).astype(np.float32)
    before = torch.backends.mkldnn.matmul.fp32_precision
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough, places = by_torch("cpu")(queries, vectors, 20, "dot")
        assert torch.is_autocast_enabled("cpu")
    true = np.take_along_axis(brute_force(queries, vectors, "dot"), places, axis=1)
    assert np.abs(rough - true).max() < 1e-4
    assert torch.get_float32_matmul_precision() == "medium"
    assert torch.backends.mkldnn.matmul.fp32_precision == before


@pytest.mark.usefixtures("short_products")
def test_settings_come_back_after_an_error_too() -> None:
    before = torch.backends.cuda.matmul.fp32_precision
    seen = []

    def fail() -> None:
        with full_float32("cpu"):
            seen.append(torch.backends.cuda.matmul.fp32_precision)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert seen == ["ieee"]
    assert torch.backends.cuda.matmul.fp32_precision == before


def shortened(bits: int) -> Any:
    """Products of floats with so many bits, as some hardware has them: bfloat16 8, TF32 11."""

    def short(tensor: torch.Tensor) -> torch.Tensor:
        mantissa, exponent = torch.frexp(tensor)
        return torch.ldexp((mantissa * 2**bits).round() / 2**bits, exponent)

    return lambda one, two: short(one) @ short(two)


def test_a_device_with_short_products_is_refused() -> None:
    for bits in (8, 11, 16, 22):
        with pytest.raises(ParameterError, match="'cpu' multiplies float32 in fewer bits"):
            refuse_short_floats(shortened(bits), "cpu")
    refuse_short_floats(shortened(24), "cpu")


# -- memory and devices ----------------------------------------------------------------------


def test_it_makes_do_with_less_memory() -> None:
    tried = []

    def attempt(memory: int) -> str:
        tried.append(memory)
        if memory > 100_000_000:
            raise torch.OutOfMemoryError("no")
        return "found"

    assert with_less_memory(attempt, 350_000_000, "cpu") == "found"
    assert tried == [350_000_000, 175_000_000, 87_500_000]

    def never(memory: int) -> str:
        raise torch.OutOfMemoryError("no")

    with pytest.raises(ParameterError, match="'cpu' has no memory left for a search, not even 22"):
        with_less_memory(never, 350_000_000, "cpu")


def test_which_search_a_device_means() -> None:
    assert nearest_on("cpu", 1) is by_faiss
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        assert nearest_on("auto", 1) is by_faiss
        with pytest.raises(ParameterError, match=r"search_device='cuda:7': torch .* sees no such"):
            nearest_on("cuda:7", 1)
