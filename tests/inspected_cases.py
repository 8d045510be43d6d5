"""Small mined sets, with and without a pool, for the tests of the inspection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datasets import Dataset, Features, List, Value
from hypothesis import strategies as st

from hf_hardneg.inspection.opened import InspectedSet, open_inspected
from hf_hardneg.outcomes import OUTCOME_FEATURES

ROWS = Features(
    {
        "query_id": Value("string"),
        "query": Value("string"),
        "positive": List(Value("string")),
        "positive_ids": List(Value("string")),
        "hard_negatives": List(Value("string")),
        "hard_negative_ids": List(Value("string")),
        "hard_negative_scores": List(Value("float32")),
        "hard_negative_positive_scores": List(Value("float32")),
    }
)
SENTENCE = "the quick brown fox jumps over the lazy dog and runs far away into the dark green wood"
HOSTILE = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "| a | b |\n|---|---|",
    "\x00\x1b[31m",
    "\u202eright to left", "", "   ", "ﬁne Straße ΣΊΣΥΦΟΣ", "日本語 テキスト", ".*[a-z]+(",
    "100% \\d",
)  # fmt: skip


def mined_row(number: int, **columns: Any) -> dict[str, Any]:
    """One row; what is not given is plain."""
    negatives = columns.get("hard_negatives", [f"negative {number} text", "another"])
    positives = columns.get("positive", [f"positive {number}"])
    row = {
        "query_id": f"q{number}",
        "query": f"query {number}",
        "positive": positives,
        "positive_ids": [f"p{number}-{place}" for place in range(len(positives or []))],
        "hard_negatives": negatives,
        "hard_negative_ids": [f"n{number}-{place}" for place in range(len(negatives or []))],
        "hard_negative_scores": [0.5] * len(negatives or []),
        "hard_negative_positive_scores": [1.0] * len(positives or []),
    }
    return row | columns


def opened(rows: Sequence[dict[str, Any]], **options: Any) -> InspectedSet:
    """The set of some rows; columns that no row has are left out."""
    features = Features({name: kind for name, kind in ROWS.items() if name in rows[0]})
    return open_inspected(Dataset.from_list(list(rows), features=features), **options)


def without(rows: Sequence[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    """The rows without some columns."""
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


def pool_of(rows: Sequence[dict[str, Any]], **further: Any) -> Dataset:
    """A pool whose candidates are the negatives, with their scores, in another order."""
    records = []
    for row in rows:
        ids = list(reversed(row["hard_negative_ids"]))
        records.append(
            {
                "query_id": row["query_id"],
                "query": row["query"],
                "positive_ids": row["positive_ids"],
                "positive_scores": row["hard_negative_positive_scores"],
                "candidate_ids": [*ids, "never chosen"],
                "candidate_scores": [*reversed(row["hard_negative_scores"]), 9.0],
                "candidate_ranks": list(range(1, len(ids) + 2)),
                "candidate_sources": ["bm25"] * (len(ids) + 1),
                "candidate_outcomes": [*["chosen"] * len(ids), "score"],
            }
        )
    features = dict(OUTCOME_FEATURES)
    for name, lists in further.items():
        features[name] = List(Value("float32"))
        for record, values in zip(records, lists, strict=True):
            record[name] = values
    return Dataset.from_list(records, features=Features(features))


scores = st.one_of(st.none(), st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0]))
texts = st.one_of(
    st.sampled_from([SENTENCE, SENTENCE.upper(), f"{SENTENCE} now", "short", *HOSTILE]),
    st.text(st.characters(codec="utf-8"), max_size=12),
)


@st.composite
def mined_rows(draw: st.DrawFn, most: int = 8) -> list[dict[str, Any]]:
    """Rows of any number of positives and negatives, with texts and scores of any kind."""
    rows = []
    for number in range(draw(st.integers(1, most))):
        positives = draw(st.lists(texts, max_size=2))
        negatives = draw(st.lists(texts, max_size=3))
        rows.append(
            mined_row(
                number,
                query=draw(texts),
                positive=positives,
                hard_negatives=negatives,
                hard_negative_scores=[draw(scores) for _ in negatives],
                hard_negative_positive_scores=[draw(scores) for _ in positives],
            )
        )
    return rows
