"""Lists of Arrow and padded arrays of NumPy, against Python's own lists."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hf_hardneg.arrow import (
    flat_list,
    hash_column,
    leftmost,
    list_array,
    nullable_floats,
    padded,
    ragged,
)

LINES = st.lists(st.one_of(st.none(), st.lists(st.integers(-5, 5), max_size=4)), max_size=8)
FULL = st.lists(st.lists(st.integers(-5, 5), max_size=4), max_size=8)
KINDS = [pa.list_(pa.int64()), pa.large_list(pa.int64())]


@given(LINES, st.integers(0, 8), st.integers(0, 8), st.sampled_from(KINDS))
def test_flat_list(lines: list[Any], cut: int, end: int, kind: pa.DataType) -> None:
    """Whole, in chunks, and as a slice whose offsets do not begin at 0."""
    array = pa.array(lines, kind)
    left, right = array.slice(0, min(cut, len(lines))), array.slice(min(cut, len(lines)))
    forms = [
        (array, lines),
        (pa.chunked_array([left, right]), lines),
        (pa.chunked_array([left, right]).slice(1, end), lines[1 : 1 + end]),
        (array.slice(1, end) if lines else array, lines[1 : 1 + end]),
        (pa.chunked_array([], kind), []),
    ]
    for form, want in forms:
        offsets, values = flat_list(form)
        assert offsets.tolist() == np.cumsum([0, *(len(line or []) for line in want)]).tolist()
        assert offsets.dtype == np.int64
        assert values.to_pylist() == [value for line in want for value in line or []]


def test_flat_list_of_lists_of_one_size() -> None:
    array = pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int64(), 2))
    offsets, values = flat_list(array.slice(1))
    assert (offsets.tolist(), values.to_pylist()) == ([0, 2, 4], [3, 4, 5, 6])


def flat(lines: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *map(len, lines)]).astype(np.int64)
    return offsets, np.array([value for line in lines for value in line], dtype=np.int64)


@given(FULL, st.integers(0, 3))
@example([[], []], 0)
@example([[1, 2], [3, 4]], 0)
@example([], 0)
def test_padded(lines: list[list[int]], more: int) -> None:
    width = max(map(len, lines), default=0) + more
    got = padded(*flat(lines), width, -9)
    assert got.shape == (len(lines), width)
    assert got.tolist() == [line + [-9] * (width - len(line)) for line in lines]
    assert got.dtype == np.int64


def test_padded_into_too_few_places_is_an_error() -> None:
    with pytest.raises(ValueError, match="NumPy boolean array indexing assignment"):
        padded(*flat([[1, 2, 3], [4]]), 2, -9)


@given(hnp.arrays(np.bool_, st.tuples(st.integers(0, 5), st.integers(0, 5))))
def test_lists_of_the_filled_slots(mask: np.ndarray) -> None:
    numbers = np.arange(mask.size).reshape(mask.shape)
    offsets = ragged(mask)
    assert offsets.dtype == np.int32
    lists = list_array(offsets, pa.array(numbers[mask], pa.int64()))
    assert lists.to_pylist() == [numbers[line][mask[line]].tolist() for line in range(len(mask))]
    back, values = flat_list(lists)
    again = padded(back, values.to_numpy(zero_copy_only=False), mask.shape[1], -1)
    assert sorted(again[again >= 0].tolist()) == numbers[mask].tolist()


@given(hnp.arrays(np.float32, 6, elements=st.floats(width=32)))
def test_no_nan_and_no_infinity_is_written(values: np.ndarray) -> None:
    array = nullable_floats(values)
    assert array.type == pa.float32()
    want = [float(value) if np.isfinite(value) else None for value in values]
    assert array.to_pylist() == want
    assert array.null_count == want.count(None)


@given(st.lists(st.lists(st.integers(0, 9), max_size=6).map(sorted), max_size=5), st.data())
def test_leftmost_against_bisect(ranges: list[list[int]], data: st.DataObject) -> None:
    """Several sorted ranges in one array, each searched for a value of its own."""
    ends = np.cumsum([0, *map(len, ranges)])
    wanted = [data.draw(st.integers(-1, 10)) for _ in ranges]
    flat = np.array([value for part in ranges for value in part] or [0])
    low, high = ends[:-1].copy(), ends[1:].copy()
    got = leftmost(flat, np.array(wanted, dtype=np.int64), low, high)
    pairs = zip(ranges, wanted, ends, strict=False)
    assert got.tolist() == [start + bisect_left(part, value) for part, value, start in pairs]
    assert (low == ends[:-1]).all()
    assert (high == ends[1:]).all()


def digest(column: Any) -> str:
    hasher = xxhash.xxh3_128()
    hash_column(column, hasher)
    return hasher.hexdigest()


VALUES = st.one_of(st.none(), st.sampled_from(["", "a", "b", "ab", "\u00e4", "a\0"]))
HASHED = st.one_of(
    st.tuples(st.just(pa.string()), st.lists(VALUES, max_size=6)),
    st.tuples(st.just(pa.large_string()), st.lists(VALUES, max_size=6)),
    st.tuples(
        st.just(pa.list_(pa.string())),
        st.lists(st.one_of(st.none(), st.lists(VALUES, max_size=3)), max_size=6),
    ),
    st.tuples(st.just(pa.int64()), st.lists(st.one_of(st.none(), st.integers(-2, 2)), max_size=6)),
)


@given(HASHED, HASHED, st.integers(0, 6))
def test_a_hash_is_of_the_values_alone(
    one: tuple[pa.DataType, list[Any]], two: tuple[pa.DataType, list[Any]], cut: int
) -> None:
    kind, values = one
    whole = pa.array(values, kind)
    longer = pa.array([*values[:1], *values, *values[:2]], kind)
    forms = [
        longer.slice(len(values[:1]), len(values)),
        pa.chunked_array([whole.slice(0, cut), whole.slice(cut)], kind),
        longer.take(pa.array(range(len(values[:1]), len(values[:1]) + len(values)), pa.int64())),
    ]
    assert {digest(form) for form in forms} == {digest(whole)}
    assert (digest(pa.array(two[1], two[0])) == digest(whole)) == (one == two)


def test_a_column_that_cannot_be_hashed() -> None:
    with pytest.raises(pa.ArrowException):
        digest(pa.array([{"text": "a"}]))
