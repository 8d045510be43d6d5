"""What is known to be relevant, and the query itself, is never a candidate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage_data import DOCUMENT_KEYS, Batch, batches, make_batch

from hf_hardneg.candidates import Queries
from hf_hardneg.filters.known_positives import (
    ALWAYS_ON,
    KnownPositiveIds,
    KnownPositiveTexts,
    QueryText,
)
from hf_hardneg.hashing import EMPTY_TEXT_KEY, text_key
from hf_hardneg.testing import check_filter

Known = list[list[int]]


def knowing(queries: Queries, rows: Known, keys: Known) -> Queries:
    """Return the queries with other known positives, as rows and as keys of texts."""
    offsets = np.concatenate([[0], np.cumsum([len(own) for own in rows])]).astype(np.int64)
    return replace(
        queries,
        known_offsets=offsets,
        known_rows=np.array([row for own in rows for row in own], dtype=np.int64),
        known_keys=np.array([key for own in keys for key in own], dtype=np.uint64),
    )


@settings(max_examples=20)
@given(batches, st.data())
def test_by_id_and_by_text(batch: Batch, data: st.DataObject) -> None:
    queries, candidates = batch
    rows = [data.draw(st.lists(st.integers(-1, 23), max_size=6)) for _ in queries.texts]
    keys = [[int(DOCUMENT_KEYS[row]) if row >= 0 else 99 for row in own] for own in rows]
    queries = knowing(queries, rows, keys)
    for rule in ALWAYS_ON:
        check_filter(rule, queries, candidates)
    by_id = KnownPositiveIds()(queries, candidates).rows.tolist()
    by_text = KnownPositiveTexts()(queries, candidates).rows.tolist()
    for line, found in enumerate(candidates.rows.tolist()):
        assert by_id[line] == [-1 if row in rows[line] else row for row in found]
        assert by_text[line] == [
            -1 if row < 0 or int(DOCUMENT_KEYS[row]) in keys[line] else row for row in found
        ]


@pytest.mark.parametrize("number", [0, 1, 3000])
def test_any_number_of_positives(number: int) -> None:
    """One query with 3,000 positives beside others with few or none."""
    queries, candidates = make_batch([[3, 5, 7]] * 3, [[3.0, 2.0, 1.0]] * 3, [[0]] * 3)
    many = [*range(100, 99 + number), 5] if number else []
    queries = knowing(queries, [many, [], [7]], [[int(row) for row in many], [], [8]])
    kept = KnownPositiveIds()(queries, candidates)
    assert kept.rows.tolist() == [[3, -1 if number else 5, 7], [3, 5, 7], [3, 5, -1]]


def test_a_text_under_another_id_is_a_positive_too() -> None:
    queries, candidates = make_batch([[0, 17, 1]], [[3.0, 2.0, 1.0]], [[0]])
    queries = knowing(queries, [[0]], [[int(DOCUMENT_KEYS[0])]])
    assert DOCUMENT_KEYS[0] == DOCUMENT_KEYS[17]
    assert KnownPositiveIds()(queries, candidates).rows.tolist() == [[-1, 17, 1]]
    assert KnownPositiveTexts()(queries, candidates).rows.tolist() == [[-1, -1, 1]]


def test_the_query_itself_and_empty_texts() -> None:
    queries, candidates = make_batch([[0, 1, 2]], [[3.0, 2.0, 1.0]], [[0]])
    keys = np.array([[text_key("QUERY\u00a0 0 "), 5, EMPTY_TEXT_KEY]], dtype=np.uint64)
    kept = QueryText()(queries, replace(candidates, document_keys=keys))
    assert kept.rows.tolist() == [[-1, 1, -1]]
    assert text_key(" \n\t ") == int(EMPTY_TEXT_KEY)
