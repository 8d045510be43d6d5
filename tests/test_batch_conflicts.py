"""No two rows that are in conflict meet, and the work does not grow with the square."""

from __future__ import annotations

import time

import numpy as np
import pytest
from batch_rows import Row, conflicts, dataset, every_row, in_conflict, rows
from hypothesis import given
from hypothesis import strategies as st

from hf_hardneg.batch_conflicts import Conflicts
from hf_hardneg.hashing import text_keys
from hf_hardneg.training_rows import KeyLists, RowKeys, TrainingColumns, read_keys


def conflicts_of(given_rows: list[Row]) -> Conflicts:
    return Conflicts(read_keys("a test", dataset(given_rows), TrainingColumns()))


@given(rows(), st.integers(1, 9), st.randoms(use_true_random=False))
def test_no_conflict_and_every_row(given_rows: list[Row], size: int, random: object) -> None:
    order = list(range(len(given_rows)))
    random.shuffle(order)  # type: ignore[attr-defined]
    batches = conflicts_of(given_rows).packed(order, size)
    assert every_row(batches) == sorted(order)
    assert all(1 <= len(batch) <= size for batch in batches)
    assert conflicts(given_rows, batches) == []


@given(rows(2, 2))
def test_two_rows_meet_unless_they_are_in_conflict(given_rows: list[Row]) -> None:
    batches = conflicts_of(given_rows).packed([0, 1], 2)
    assert len(batches) == 1 + in_conflict(*given_rows)


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        (("q", ["a"], ["x"]), ("r", ["b"], ["x"]), True),  # one negative of both
        (("q", ["a"], ["x"]), ("r", ["b"], ["A "]), False),
        (("q", ["a"], ["b"]), ("r", ["B"], ["x"]), False),
        (("q", ["a", "b"], []), ("r", ["c", "b"], []), False),
        (("q", ["a"], []), ("\uff31", ["b"], []), False),  # a wide Q
        (("q", ["r"], []), ("r", ["q"], []), True),  # a query that is a document
        (("q", ["a"], ["a"]), ("r", ["b"], ["b"]), True),  # in conflict with themselves alone
    ],
)
def test_what_a_conflict_is(one: Row, other: Row, meet: bool) -> None:
    for pair in ([one, other], [other, one]):
        assert (len(conflicts_of(pair).packed([0, 1], 2)) == 1) is meet


def test_the_order_is_kept_where_nothing_is_in_the_way() -> None:
    given_rows: list[Row] = [(f"q{row}", [f"p{row}"], ["n"]) for row in range(7)]
    assert conflicts_of(given_rows).packed([3, 1, 0, 6, 2, 5, 4], 3) == [[3, 1, 0], [6, 2, 5], [4]]


def test_who_waits_comes_next() -> None:
    given_rows: list[Row] = [("q" if row in (0, 1, 4) else f"q{row}", [f"p{row}"], [])
                             for row in range(7)]  # fmt: skip
    assert conflicts_of(given_rows).packed(range(7), 2) == [[0, 2], [1, 3], [4, 5], [6]]


def test_batches_are_full_until_there_are_no_fresh_rows() -> None:
    # Fifty queries of ten rows each; a batch of 32 can always be filled until near the end.
    queries = np.arange(500) % 50
    given_rows: list[Row] = [(f"q{query}", [f"p{row}"], []) for row, query in enumerate(queries)]
    order = np.random.default_rng(0).permutation(500).tolist()
    sizes = [len(batch) for batch in conflicts_of(given_rows).packed(order, 32)]
    assert sizes[:14] == [32] * 14
    assert len(sizes) <= 18


def keys(queries: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> RowKeys:
    def lists(table: np.ndarray) -> KeyLists:
        offsets = np.arange(0, table.size + 1, table.shape[1])
        return KeyLists(offsets, table.ravel().astype(np.uint64))

    return RowKeys(queries.astype(np.uint64), lists(positives), lists(negatives))


@pytest.mark.parametrize("kind", ["usual", "one query", "one positive", "few documents"])
def test_no_case_takes_the_square_of_the_rows(kind: str) -> None:
    """With each row tried for each batch, twenty thousand equal queries are 200 million tries."""
    number = 20_000
    random = np.random.default_rng(0)
    queries = np.zeros(number) if kind == "one query" else np.arange(number)
    documents = {"one positive": 1, "few documents": 50}.get(kind, 4 * number)
    table = random.integers(0, documents, (number, 6))
    if kind == "one positive":
        table[:, 1:] = random.integers(2, 10**9, (number, 5))
    start = time.perf_counter()
    batches = Conflicts(keys(queries, table[:, :1], table[:, 1:])).packed(range(number), 32)
    assert time.perf_counter() - start < 10
    assert every_row(batches) == list(range(number))
    if kind.startswith("one"):
        assert len(batches) == number
    if kind == "usual":
        assert len(batches) <= number // 32 + 2


def test_keys_are_those_of_the_normalised_texts() -> None:
    keys_of = read_keys("a test", dataset([("Q  q", ["A"], ["b"])]), TrainingColumns())
    assert keys_of.queries.tolist() == text_keys(["q q"]).tolist()
    assert keys_of.positives.keys.tolist() == text_keys(["a"]).tolist()
