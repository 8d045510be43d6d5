"""The value that flows from stage to stage, and the order that every retriever gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hf_hardneg.candidates import NO_ROW, Candidates, Queries, order_by_score

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=7)
FLOATS = st.one_of(
    st.floats(width=32, allow_nan=False),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, 1e-45, -1e-45]),
)
ROWS = st.one_of(
    st.just(NO_ROW),
    st.integers(0, 5),
    st.integers(2**31 - 3, 2**31 + 3),
    st.integers(2**32 - 4, 2**32 - 2),
)


@st.composite
def slots(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(SHAPES)
    rows = draw(hnp.arrays(np.int64, shape, elements=ROWS))
    return rows, draw(hnp.arrays(np.float32, shape, elements=FLOATS))


def by_lexsort(rows: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same order by NumPy's stable sort of several keys."""
    scores = np.where(rows == NO_ROW, -np.inf, scores.astype(np.float64))
    order = np.lexsort((rows, -scores, rows == NO_ROW), axis=1)
    return np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1)


@given(slots())
@example((np.array([[7, 3, -1, 5]]), np.array([[-0.0, 0.0, 9.0, -0.0]], dtype=np.float32)))
@example((np.array([[4, -1, 2]]), np.array([[-np.inf, 5.0, -np.inf]], dtype=np.float32)))
def test_order_is_falling_score_then_rising_row(given_: tuple[np.ndarray, np.ndarray]) -> None:
    rows, scores = given_
    before = rows.copy(), scores.copy()
    got_rows, got_scores = order_by_score(rows, scores)
    want_rows, want_scores = by_lexsort(rows, scores)
    assert np.array_equal(got_rows, want_rows)
    assert np.array_equal(got_scores, want_scores)  # 0.0 equals -0.0 here, as it must
    assert got_scores.dtype == np.float32
    assert got_rows.dtype == np.int64
    assert np.array_equal(rows, before[0])
    assert np.array_equal(scores, before[1])


@given(slots(), st.integers(0, 2**32 - 1))
def test_order_does_not_depend_on_the_order_given(
    given_: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    rows, scores = given_
    places = np.random.default_rng(seed).permutation(rows.shape[1])
    left = order_by_score(rows, scores)
    right = order_by_score(rows[:, places], scores[:, places])
    assert np.array_equal(left[0], right[0])
    assert left[1].tobytes() == right[1].tobytes()


def test_lines_of_no_slots() -> None:
    rows, scores = order_by_score(np.zeros((3, 0), np.int64), np.zeros((3, 0), np.float32))
    assert rows.shape == scores.shape == (3, 0)


def queries(counts: list[int]) -> Queries:
    total = sum(counts)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    keys = np.arange(len(counts), dtype=np.uint64)
    rows, known = np.arange(total, dtype=np.int64), np.arange(total, dtype=np.uint64)
    return Queries(
        [f"q{n}" for n in range(len(counts))], [], keys, offsets, rows, [], offsets, rows, known
    )


def candidates(rows: Any, scores: Any = None, positive_scores: Any = ()) -> Candidates:
    rows = np.asarray(rows, dtype=np.int64)
    filled = rows >= 0
    values = np.zeros(rows.shape) if scores is None else np.asarray(scores)
    return Candidates(
        rows=rows,
        scores=np.where(filled, values, -np.inf).astype(np.float32),
        ranks=np.where(filled, np.arange(1, rows.shape[1] + 1), 0).astype(np.int32),
        sources=np.where(filled, 0, -1).astype(np.int8),
        document_keys=rows.astype(np.uint64),
        positive_scores=np.asarray(positive_scores, dtype=np.float32),
        source_names=("bm25",),
    )


def test_sizes() -> None:
    batch = queries([2, 0, 1])
    assert len(batch) == 3
    assert batch.positives_per_query.tolist() == [2, 0, 1]
    found = candidates([[4, -1], [0, 2]])
    assert found.shape == (2, 2)
    assert found.filled.tolist() == [[True, False], [True, True]]


@given(
    hnp.arrays(np.int64, (4, 5), elements=st.integers(-1, 30)),
    hnp.arrays(np.bool_, (4, 5)),
    hnp.arrays(np.bool_, (4, 5)),
)
def test_keep_empties_slots_and_does_nothing_else(
    rows: np.ndarray, first: np.ndarray, second: np.ndarray
) -> None:
    whole = candidates(rows, np.arange(20.0).reshape(4, 5))
    kept = whole.keep(first)
    assert np.array_equal(kept.filled, whole.filled & first)
    for name, empty in [("rows", NO_ROW), ("scores", -np.inf), ("ranks", 0), ("sources", -1)]:
        left, right = getattr(kept, name), getattr(whole, name)
        assert left.dtype == right.dtype
        assert np.array_equal(left, np.where(first, right, empty))
    assert np.array_equal(kept.keep(first).rows, kept.rows)
    both = whole.keep(first & second)
    assert np.array_equal(kept.keep(second).rows, both.rows)
    assert np.array_equal(kept.keep(second).scores, both.scores)


@given(
    st.lists(
        st.lists(st.one_of(st.just(np.nan), st.floats(-100, 100, width=32)), max_size=4),
        min_size=1,
        max_size=6,
    )
)
def test_the_score_that_stands_for_the_positives_of_each_query(scores: list[list[float]]) -> None:
    flat = [score for line in scores for score in line]
    batch = queries([len(line) for line in scores])
    found = candidates(np.zeros((len(scores), 1)), positive_scores=flat)
    for against, pick in (("min", min), ("max", max), ("mean", np.mean), ("own", min)):
        known = [[float(np.float32(score)) for score in line] for line in scores]
        want = [np.nan if not line or np.isnan(line).any() else pick(line) for line in known]
        got = found.positive_score(batch, against)
        assert np.allclose(got, want, rtol=1e-12, atol=1e-12, equal_nan=True)
        assert got.dtype == np.float64


def test_a_batch_is_not_changed_in_place() -> None:
    with pytest.raises(AttributeError):
        candidates([[1]]).rows = np.zeros((1, 1))  # type: ignore[misc]
