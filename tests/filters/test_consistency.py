"""Rows whose positive is not among the best of its own query."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from mining import assert_same_rows, word_documents, word_rows
from stage_data import Batch, batches, batches_with_twins, make_batch

from hf_hardneg import ConsistencyFilter, OfflineMiner
from hf_hardneg.errors import ParameterError, StrategyError
from hf_hardneg.testing import check_row_filter

DOCUMENTS = word_documents(40)
ROWS = word_rows(DOCUMENTS, 12)
WRONG = [2, 5, 6]
"""Rows whose positive is replaced by a document that shares no word with the query."""


def spoilt() -> Dataset:
    positives = list(ROWS["positive"])
    for line in WRONG:
        words = set(ROWS["query"][line].split())
        positives[line] = next(text for text in DOCUMENTS.values() if not words & set(text.split()))
    return Dataset.from_dict(
        {"query": ROWS["query"], "positive": positives, "number": ROWS["number"]}
    )


def mining(strategy: str, **options: Any) -> OfflineMiner:
    return OfflineMiner(strategy, **{"corpus": DOCUMENTS, "num_negatives": 2, **options})


def brute_force(batch: Batch, top_m: int) -> list[bool]:
    queries, candidates = batch
    flags = []
    for line in range(len(queries)):
        own = slice(queries.offsets[line], queries.offsets[line + 1])
        known = slice(queries.known_offsets[line], queries.known_offsets[line + 1])
        rows = set(queries.known_rows[known].tolist())
        keys = set(queries.known_keys[known].tolist())
        rivals = [
            float(candidates.scores[line, slot])
            for slot in range(candidates.shape[1])
            if candidates.rows[line, slot] >= 0
            and int(candidates.rows[line, slot]) not in rows
            and int(candidates.document_keys[line, slot]) not in keys
        ]
        ranks = [
            1 + sum(rival > score for rival in rivals)
            for score in candidates.positive_scores[own].tolist()
            if not math.isnan(score)
        ]
        flags.append(not any(rank <= top_m for rank in ranks))
    return flags


@settings(max_examples=60)
@given(st.one_of(batches, batches_with_twins), st.integers(1, 6))
def test_by_brute_force(batch: Batch, top_m: int) -> None:
    rule = ConsistencyFilter(top_m=top_m)
    check_row_filter(rule, *batch)
    assert rule.flags(*batch).tolist() == brute_force(batch, top_m)


def flagged(scores: list[float], positives: list[float], top_m: int = 2, **options: Any) -> bool:
    batch = make_batch([list(range(len(scores)))], [scores], [positives], **options)
    return bool(ConsistencyFilter(top_m=top_m).flags(*batch)[0])


def test_the_edges() -> None:
    assert not flagged([3.0, 2.0, 1.0], [2.5])  # rank 2
    assert flagged([3.0, 2.0, 1.0], [1.5])  # rank 3
    assert not flagged([3.0, 2.0, 2.0, 2.0], [2.0])  # ties are in its favour
    assert not flagged([3.0, 2.0, 1.0], [0.0, 2.5])  # one of them is enough
    assert flagged([3.0], [float("nan")])
    assert not flagged([], [1.0])  # nothing scores higher
    assert not flagged([], [-1.0])
    # other known positives above it are not counted
    assert not flagged([4.0, 3.0, 2.0], [4.0, 3.0, 2.0], 1, positive_rows=[[0, 1, 2]])
    assert not flagged([4.0, 3.0, 2.0], [3.5], 1, positive_rows=[[0]])


def test_wrong_positives_are_flagged_and_their_negatives_stay() -> None:
    found = mining("bm25+consistency").mine(spoilt())
    flags = [names == ["consistency"] for names in found["hard_negative_flags"]]
    assert [line for line, flag in enumerate(flags) if flag] == WRONG
    assert all(len(names) == 2 for names in found["hard_negative_ids"])
    right = mining("bm25+consistency").mine(ROWS)
    assert not any(right["hard_negative_flags"])


def test_flags_and_drops_are_counted() -> None:
    flag, drop = (mining(f"bm25+consistency(action={kind!r})") for kind in ("flag", "drop"))
    one, two = flag.mine(spoilt()), drop.mine(spoilt())
    assert (len(one), len(two)) == (12, 9)
    assert two["number"] == [number for number in range(12) if number not in WRONG]
    for miner, mined in ((flag, one), (drop, two)):
        assert miner.report(mined).rows_flagged == {"consistency": 3}
    written = drop.mine(spoilt(), "n-tuple")
    assert len(written) == 9
    assert "hard_negative_flags" not in written.column_names
    assert len(flag.mine(spoilt(), "n-tuple")) == 12


def test_workers_do_the_same() -> None:
    expected = mining("bm25+consistency(action='drop')").mine(spoilt())
    again = mining("bm25+consistency(action='drop')")
    assert_same_rows(again.mine(spoilt(), num_proc=2, resume=False), expected)


def test_a_positive_outside_the_corpus_has_a_rank_too() -> None:
    rows = Dataset.from_dict(
        {
            "query": [ROWS["query"][0]] * 2,
            "positive": [ROWS["query"][0] + " and", "nothing of it"],
        }
    )
    assert [len(names) for names in mining("bm25+consistency(top_m=1)", positives=None).mine(
        rows)["hard_negative_flags"]] == [0, 1]  # fmt: skip


def test_the_list_has_to_be_long_enough() -> None:
    mining("bm25@3+consistency(top_m=3)")
    with pytest.raises(StrategyError, match=r"top_m=4, and 'bm25' retrieves 3.*'bm25@4'"):
        mining("bm25@3+consistency(top_m=4)")
    with pytest.raises(StrategyError, match="'consistency' needs scores"):
        mining("random+consistency")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"top_m": 0}, "top_m=0"),
        ({"top_m": 2.0}, "top_m=2.0"),
        ({"action": "keep"}, "action='keep'; expected one of flag, drop"),
    ],
)
def test_parameters_that_cannot_be(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=f"consistency: .*{said}"):
        ConsistencyFilter(**options)


def test_a_large_batch_is_quick() -> None:
    from stage_data import random_batch

    queries, candidates = random_batch(0, batch=2_000, k=20)
    assert len(ConsistencyFilter().flags(queries, candidates)) == 2_000
    assert np.array_equal(
        ConsistencyFilter().flags(queries, candidates), brute_force((queries, candidates), 2)
    )
