"""The rate by judgements, against counting by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from hf_hardneg import Corpus
from hf_hardneg.errors import ColumnError, FormatError, QueryError
from hf_hardneg.evaluation.false_negatives import judged_rate
from hf_hardneg.evaluation.judgements import Judgements
from hf_hardneg.mined_set import MinedSet
from hf_hardneg.rates import wilson

TEXTS = {"p": "the positive", "a": "first", "b": "second", "c": "third", "a2": "First ", "d": "x"}


def mined(**changes: Any) -> MinedSet:
    columns: dict[str, list[Any]] = {
        "query_id": ["1", "2", "3"],
        "query": ["one", "two", "three"],
        "positive_ids": [["p"], ["p"], ["p"]],
        "hard_negative_ids": [["a", "b"], ["b", "c"], ["a2", "d"]],
        "hard_negative_scores": [[0.9, 0.8], [0.7, None], [0.6, 0.5]],
    }
    columns |= changes
    return MinedSet.of(
        Dataset.from_dict({key: value for key, value in columns.items() if value is not None})
    )


JUDGED = {"1": {"a": 1, "b": 0, "lost": 1}, "2": {"c": 0}, "3": {"a": 2}}


def test_counts_bounds_and_groups() -> None:
    rate = judged_rate(mined(), Judgements(JUDGED))
    assert (rate.rate, rate.n) == (pytest.approx(1 / 3), 3)
    assert (rate.low, rate.high) == wilson(1, 3)
    details = rate.details
    assert details["share_judged"] == 0.5
    assert details["lower_bound"] == pytest.approx(1 / 6)
    assert details["upper_bound"] == pytest.approx(4 / 6)
    assert details["queries"] == 2
    groups = [(g["name"], g["judged"], g["relevant"]) for g in details["by_rank"]]
    assert groups == [("1", 1, 1), ("2", 2, 0)]
    scores = details["by_score"]
    assert scores[-1]["name"] == "no score"
    assert sum(group["judged"] for group in scores) == 3
    assert scores[-2]["relevant"] == 1  # the highest score
    json.dumps(rate.to_dict(), allow_nan=False)


def test_copies_are_judged_too_where_there_is_a_corpus() -> None:
    rate = judged_rate(mined(), Judgements(JUDGED), Corpus(TEXTS))
    assert (rate.rate, rate.n) == (0.5, 4)
    assert rate.details["judged_by_copy"] == 1
    assert rate.details["judged_documents_not_in_corpus"] == 1


def test_complete_judgements_leave_nothing_unjudged() -> None:
    rate = judged_rate(mined(), Judgements(JUDGED, complete=True))
    assert (rate.rate, rate.n) == (pytest.approx(1 / 6), 6)
    assert rate.details["share_judged"] == 1.0
    part = judged_rate(mined(), Judgements({"1": {"a": 1}}, complete=True))
    assert (part.rate, part.n) == (0.5, 2)
    assert part.details["rows_without_judgements"] == 2


def test_judgements_of_relevant_documents_alone_give_no_rate() -> None:
    rate = judged_rate(mined(), Judgements({"1": {"a": 1}}))
    assert rate.rate is None
    assert rate.low is None
    assert "complete=True" in rate.why
    assert rate.details["lower_bound"] == pytest.approx(1 / 6)
    nothing = judged_rate(mined(), Judgements({"1": {"z": 0}}))
    assert nothing.rate is None
    assert "no negative has a judgement" in nothing.why


def test_matched_by_text_and_said_so() -> None:
    texts = [["first", "second"], ["second", "third"], ["nobody", "x"]]
    bare = mined(hard_negative_ids=None, hard_negatives=texts)
    with pytest.raises(ColumnError, match=r"no ids of negatives.*Give the corpus"):
        judged_rate(bare, Judgements(JUDGED))
    rate = judged_rate(bare, Judgements(JUDGED), Corpus(TEXTS))
    assert rate.n == 3
    assert rate.details["negatives_without_id"] == 1
    assert any("matched to the corpus by their texts" in said for said in rate.assumed)


def test_by_the_text_of_the_query() -> None:
    column = Dataset.from_dict({"query": [" ONE"], "judged": [[{"id": "a", "score": 1}]]})
    rate = judged_rate(mined(query_id=None), Judgements.of_column(column, "judged", complete=True))
    assert (rate.rate, rate.n) == (0.5, 2)
    with pytest.raises(ColumnError, match="no ids of queries"):
        judged_rate(mined(query_id=None), Judgements(JUDGED))


def test_judgements_of_something_else_are_refused() -> None:
    with pytest.raises(QueryError, match="none of the 3 rows"):
        judged_rate(mined(), Judgements({"9": {"a": 1}}))
    with pytest.raises(QueryError, match="none of the 1 judged documents is in the corpus"):
        judged_rate(mined(), Judgements({"1": {"zz": 1}}), Corpus(TEXTS))


def test_complete_judgements_of_other_ids_are_no_rate_of_nothing() -> None:
    other = Judgements({"1": {"7": 1}}, complete=True)
    with pytest.raises(QueryError, match=r"name none of the documents.*'7'.*Give the corpus"):
        judged_rate(mined(), other)
    with pytest.raises(QueryError, match="none of the 1 judged documents is in the corpus"):
        judged_rate(mined(), other, Corpus(TEXTS))
    # A known positive that they name shows that the ids are the same.
    rate = judged_rate(mined(), Judgements({"1": {"p": 1, "z": 1}}, complete=True))
    assert (rate.rate, rate.n) == (0, 2)
    assert rate.details["relevant_beyond_positives"] == 1


def test_judgements_that_are_the_positives_cannot_tell() -> None:
    """No negative could be false by them: a rate of 0 would be made by the data alone."""
    for own in ({"1": {"p": 1}}, {"1": {"p": 1}, "2": {"p": 2}}):
        rate = judged_rate(mined(), Judgements(own, complete=True))
        assert (rate.rate, rate.low, rate.high) == (None, None, None)
        assert "but the set's own positives" in rate.why
    graded = judged_rate(mined(), Judgements({"1": {"p": 1, "a": 0, "b": 0}}))
    assert (graded.rate, graded.n) == (0, 2)  # somebody looked at these
    found = judged_rate(mined(hard_negative_ids=[["p", "b"], ["b"], ["c"]],
                              hard_negative_scores=None),
                        Judgements({"1": {"p": 1}}, complete=True))  # fmt: skip
    assert found.rate == 0.5  # a positive among the negatives is found all the same
    # The positives of a query may stand in several of its rows.
    twice = mined(query_id=["1", "1", "3"], positive_ids=[["p"], ["z"], ["p"]])
    assert judged_rate(twice, Judgements({"1": {"p": 1, "z": 1}}, complete=True)).rate is None


@pytest.mark.parametrize("name", ["ranks", "scores"])
def test_lists_left_from_another_mining_are_refused(name: str) -> None:
    short = mined(**{f"hard_negative_{name}": [[1], [2], [3]]})
    with pytest.raises(FormatError, match=f"another number of negative {name}"):
        judged_rate(short, Judgements(JUDGED))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=60))
def test_like_counting_one_by_one(cases: list[tuple[int, int]]) -> None:
    judged = {str(q): {str(d): d % 3 - 1 for d in range(0, 10, 2)} for q in range(4)}
    rows: dict[int, list[str]] = {0: ["0"]}
    for query, document in cases:
        rows.setdefault(query, []).append(str(document))
    data = Dataset.from_dict(
        {
            "query_id": [str(query) for query in rows],
            "query": [f"q{query}" for query in rows],
            "negative_ids": list(rows.values()),
        }
    )
    grades = [judged.get(str(q), {}).get(d) for q, own in rows.items() for d in own]
    known = [grade for grade in grades if grade is not None]
    rate = judged_rate(MinedSet.of(data), Judgements(judged))
    assert rate.n == len(known)
    assert rate.rate == pytest.approx(np.mean([grade > 0 for grade in known]))
    turned = judged_rate(MinedSet.of(data.select(range(len(data))[::-1])), Judgements(judged))
    assert turned.details["bootstrap"] == rate.details["bootstrap"]
