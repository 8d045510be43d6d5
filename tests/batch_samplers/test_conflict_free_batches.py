"""Conflict-free batches: every row once, no conflict, a length that holds for every epoch."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from batch_rows import Row, conflicts, dataset, distinct_pairs, every_row, rows
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from hf_hardneg import ConflictFreeBatchSampler
from hf_hardneg.errors import ColumnError, ParameterError


def batches(sampler: ConflictFreeBatchSampler, epoch: int = 0) -> list[list[int]]:
    sampler.set_epoch(epoch)
    return list(sampler)


@given(rows(), st.integers(1, 9), st.integers(0, 5))
def test_every_row_once_and_no_conflict(given_rows: list[Row], size: int, seed: int) -> None:
    sampler = ConflictFreeBatchSampler(dataset(given_rows), size, seed=seed)
    for epoch in range(6):
        found = batches(sampler, epoch)
        assert every_row(found) == list(range(len(given_rows)))
        assert conflicts(given_rows, found) == []
        assert len(found) == len(sampler)
        full = [len(batch) == size for batch in found]
        assert full == sorted(full, reverse=True)  # smaller ones last
        assert all(1 <= len(batch) <= size for batch in found)


@given(rows(), st.integers(1, 9), st.integers(0, 5))
def test_without_the_last(given_rows: list[Row], size: int, seed: int) -> None:
    sampler = ConflictFreeBatchSampler(dataset(given_rows), size, drop_last=True, seed=seed)
    for epoch in range(6):
        found = batches(sampler, epoch)
        used = every_row(found)
        assert len(used) == len(set(used)) == size * len(found) == size * len(sampler)
        assert all(len(batch) == size for batch in found)
        assert conflicts(given_rows, found) == []


def test_rows_without_conflicts_fill_their_batches() -> None:
    sampler = ConflictFreeBatchSampler(distinct_pairs(70, negatives=5), 32)
    assert [len(batch) for batch in sampler] == [32, 32, 6]
    assert [len(batch) for batch in ConflictFreeBatchSampler(distinct_pairs(70), 32, True)] == [
        32, 32,
    ]  # fmt: skip


def test_seed_and_epoch_decide_the_order() -> None:
    data = distinct_pairs(100)
    first = ConflictFreeBatchSampler(data, 8, seed=3)
    again = ConflictFreeBatchSampler(data, 8, seed=3)
    orders = [batches(first, epoch) for epoch in range(4)]
    # Asked for in another sequence, and without the epochs before.
    assert [batches(again, epoch) for epoch in (3, 0, 2, 1)] == [orders[i] for i in (3, 0, 2, 1)]
    assert len({str(order) for order in orders}) == 4
    assert batches(ConflictFreeBatchSampler(data, 8, seed=4)) != orders[0]
    copied = pickle.loads(pickle.dumps(first))
    assert batches(copied, 2) == orders[2]


def test_who_changes_a_batch_changes_no_other_epoch() -> None:
    """Accelerate appends to a batch that it has been given."""
    sampler = ConflictFreeBatchSampler(distinct_pairs(10), 4)
    before = [list(batch) for batch in sampler]
    for batch in sampler:
        batch.clear()
    assert list(sampler) == before


def test_all_queries_equal() -> None:
    given_rows: list[Row] = [("same", [f"p{row}"], []) for row in range(9)]
    assert sorted(ConflictFreeBatchSampler(dataset(given_rows), 4)) == [[row] for row in range(9)]
    alone = ConflictFreeBatchSampler(dataset(given_rows), 4, drop_last=True)
    assert (len(alone), list(alone)) == (0, [])


def test_how_no_duplicates_of_sentence_transformers_differs() -> None:
    """What the docstring says of it."""
    from sentence_transformers.base.sampler import NoDuplicatesBatchSampler

    shared = distinct_pairs(64).map(lambda _: {"negative_1": "of all rows"})
    other = NoDuplicatesBatchSampler(shared, 32, False)
    assert len(other) == 2
    assert len(list(other)) == 64
    own = ConflictFreeBatchSampler(shared, 32)
    assert len(own) == len(list(own)) == 2
    spelt = Dataset.from_dict({"q": ["a", "b"], "p": ["The  answer", "the answer"]})
    assert len(list(NoDuplicatesBatchSampler(spelt, 2, False))) == 1
    assert len(list(ConflictFreeBatchSampler(spelt, 2))) == 2
    queries = Dataset.from_dict({"q": ["a", "b"], "p": ["c", "a"]})
    assert len(list(NoDuplicatesBatchSampler(queries, 2, False))) == 2
    assert len(list(ConflictFreeBatchSampler(queries, 2))) == 1


def test_a_data_loader_gives_the_rows() -> None:
    data = distinct_pairs(20)
    sampler = ConflictFreeBatchSampler(data, 8)
    for workers in (0, 2):
        loader = DataLoader(data, batch_sampler=sampler, num_workers=workers)
        assert len(loader) == 3
        read = [batch["query"] for batch in loader]
        assert read == [[f"query {row}" for row in batch] for batch in sampler]


def test_columns_by_name_and_labels() -> None:
    data = Dataset.from_dict(
        {"rank": [1, 2], "hard": [["x"], ["p"]], "question": ["a", "b"], "pos": ["p", "r"]}
    )
    named: dict[str, Any] = {"query_column": "question", "positive_columns": "pos"}
    assert len(ConflictFreeBatchSampler(data, 2, negative_columns="hard", **named)) == 2
    assert len(ConflictFreeBatchSampler(data, 2, negative_columns=[], **named)) == 1
    labelled = Dataset.from_dict({"grade": [1, 1], "q": ["a", "b"], "p": ["p", "r"]})
    assert len(ConflictFreeBatchSampler(labelled, 2, valid_label_columns=["grade"])) == 1
    with pytest.raises(ColumnError, match="column 'grade', row 0"):
        ConflictFreeBatchSampler(labelled, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size=0; expected a whole number of at least 1"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": None}, "seed=None"),
        ({"drop_last": 1}, "drop_last=1; expected True or False"),
    ],
)
def test_bad_parameters(options: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        ConflictFreeBatchSampler(distinct_pairs(3), **options)


def test_bad_data_and_epochs() -> None:
    with pytest.raises(ParameterError, match="no rows"):
        ConflictFreeBatchSampler(distinct_pairs(3).select([]))
    with pytest.raises(ParameterError, match="expected a Dataset"):
        ConflictFreeBatchSampler([("q", "p")])
    with pytest.raises(ParameterError, match="epoch=-1"):
        ConflictFreeBatchSampler(distinct_pairs(3)).set_epoch(-1)


def test_how_it_shows_itself() -> None:
    sampler = ConflictFreeBatchSampler(distinct_pairs(3), 2)
    assert repr(sampler) == (
        "ConflictFreeBatchSampler(3 rows, batch_size=2, drop_last=False, seed=0)"
    )
