"""The table of known positives, against a dictionary of sets."""

from __future__ import annotations

import multiprocessing
import pickle
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_hardneg.positives import KnownPositives, ragged_indices

KEYS = st.one_of(st.integers(0, 4), st.integers(0, 2**64 - 1))
ROWS = st.one_of(st.integers(-1, 4), st.integers(2**31, 2**33))
TRIPLES = st.lists(st.tuples(KEYS, ROWS, KEYS), max_size=40)
Triple = tuple[int, int, int]


def build(triples: list[Triple], home: Path) -> KnownPositives:
    return KnownPositives.build(
        np.array([query for query, _, _ in triples], dtype=np.uint64),
        np.array([row for _, row, _ in triples], dtype=np.int64),
        np.array([key for _, _, key in triples], dtype=np.uint64),
        home,
    )


def asked(table: KnownPositives, queries: list[int]) -> list[list[tuple[int, int]]]:
    """Return the (row, document key) pairs of each query."""
    offsets, rows, keys = table.of(np.array(queries, dtype=np.uint64))
    assert (offsets.dtype, rows.dtype, keys.dtype) == (np.int64, np.int64, np.uint64)
    assert len(offsets) == len(queries) + 1
    assert offsets[-1] == len(rows) == len(keys)
    pairs = list(zip(rows.tolist(), keys.tolist(), strict=True))
    return [pairs[start:end] for start, end in pairwise(offsets.tolist())]


@given(TRIPLES, st.lists(KEYS, max_size=12))
def test_against_sets(
    tmp_path_factory: pytest.TempPathFactory, triples: list[Triple], others: list[int]
) -> None:
    """The positives of all rows of a query together, each once; none for a query not there."""
    want: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for query, row, key in triples:
        want[query].add((row, key))
    queries = [*others, *(query for query, _, _ in triples), *others]
    got = asked(build(triples, tmp_path_factory.mktemp("known")), queries)
    assert [set(pairs) for pairs in got] == [want.get(query, set()) for query in queries]
    assert all(len(pairs) == len(set(pairs)) for pairs in got)


@given(TRIPLES, st.randoms(use_true_random=False))
def test_same_content_same_fingerprint(
    tmp_path_factory: pytest.TempPathFactory, triples: list[Triple], random: object
) -> None:
    home = tmp_path_factory.mktemp("known")
    first = build(triples, home)
    again = triples + triples[: len(triples) // 2]
    random.shuffle(again)  # type: ignore[attr-defined]
    assert build(again, home).fingerprint == first.fingerprint
    assert len([path for path in home.iterdir() if path.is_dir()]) == 1
    more = build([*triples, (9, 9, 9)], home)
    assert (more.fingerprint == first.fingerprint) == ((9, 9, 9) in triples)


def test_every_part_of_the_content_is_in_the_fingerprint(tmp_path: Path) -> None:
    tables = [[(1, 2, 3)], [(1, 2, 4)], [(1, 3, 3)], [(2, 2, 3)], [], [(1, 2, 3), (1, 3, 3)]]
    assert len({build(triples, tmp_path).fingerprint for triples in tables}) == len(tables)


def test_thousands_of_positives_of_one_query(tmp_path: Path) -> None:
    many = [(7, row, row) for row in range(20_000)]
    table = build([*many, (3, 1, 1), (8, -1, 5)], tmp_path)
    few, most, none, last = asked(table, [3, 7, 5, 8])
    assert few == [(1, 1)]
    assert sorted(most) == [(row, row) for row in range(20_000)]
    assert none == []
    assert last == [(-1, 5)]


def test_only_the_folder_is_pickled(tmp_path: Path) -> None:
    table = build([(query, query, query) for query in range(10_000)], tmp_path)
    asked(table, [1])
    packed = pickle.dumps(table)
    assert len(packed) < 1000
    assert asked(pickle.loads(packed), [5]) == [[(5, 5)]]
    assert repr(pickle.loads(packed)) == f"KnownPositives(fingerprint={table.fingerprint!r})"


def test_processes_that_build_the_same_table_at_once(tmp_path: Path) -> None:
    triples = [(query % 50, query, query) for query in range(2000)]
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=build, args=(triples, tmp_path)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    [folder] = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert len(asked(KnownPositives(folder), [0])[0]) == 40


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=10))
def test_ranges_one_after_the_other(ranges: list[tuple[int, int]]) -> None:
    starts = np.array([start for start, _ in ranges], dtype=np.int64)
    lengths = np.array([length for _, length in ranges], dtype=np.int64)
    offsets, indices = ragged_indices(starts, lengths)
    want = [list(range(start, start + length)) for start, length in ranges]
    assert indices.tolist() == [index for part in want for index in part]
    assert np.diff(offsets).tolist() == lengths.tolist()
    assert offsets[0] == 0
