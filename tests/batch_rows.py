"""Training rows for the batch samplers, and what a batch must be, in plain Python."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from datasets import Dataset
from hypothesis import strategies as st

from hf_hardneg.hashing import normalize_text

Row = tuple[str, list[str], list[str]]
TEXTS = ["a", "b", "B ", "c", "\uff23", "d d", "D  d", "e", "f", "g", "h", ""]


def rows(low: int = 1, high: int = 40) -> st.SearchStrategy[list[Row]]:
    """Rows of few texts, so that most of them are in conflict with some others."""
    text = st.sampled_from(TEXTS)
    row = st.tuples(
        st.sampled_from(["p", "q", "Q", "r", "s", "t", "u", "v", "w"]),
        st.lists(text, min_size=1, max_size=3),
        st.lists(text, max_size=4),
    )
    return st.lists(row, min_size=low, max_size=high)


def dataset(given: Sequence[Row]) -> Dataset:
    queries, positives, negatives = zip(*given, strict=True)
    return Dataset.from_dict(
        {"query": list(queries), "positive": list(positives), "negative": list(negatives)}
    )


def distinct_pairs(number: int, negatives: int = 1) -> Dataset:
    """Rows of which no two are in conflict."""
    columns: dict[str, Any] = {
        "query": [f"query {row}" for row in range(number)],
        "positive": [f"document {row}" for row in range(number)],
    }
    for count in range(negatives):
        columns[f"negative_{count + 1}"] = [f"wrong {row} {count}" for row in range(number)]
    return Dataset.from_dict(columns)


def in_conflict(one: Row, other: Row) -> bool:
    """Whether two rows may not meet, as the definition says it."""

    def plain(texts: Iterable[str]) -> set[str]:
        return {normalize_text(text) for text in texts}

    (query, positives, negatives), (query2, positives2, negatives2) = one, other
    return bool(
        normalize_text(query) == normalize_text(query2)
        or plain(positives) & plain(positives2)
        or plain(positives) & plain(negatives2)
        or plain(negatives) & plain(positives2)
    )


def conflicts(given: Sequence[Row], batches: Iterable[Sequence[int]]) -> list[tuple[int, int]]:
    """All pairs of rows that meet and may not."""
    return [
        (one, other)
        for batch in batches
        for place, one in enumerate(batch)
        for other in batch[:place]
        if in_conflict(given[one], given[other])
    ]


def every_row(batches: Iterable[Sequence[int]]) -> list[int]:
    return sorted(row for batch in batches for row in batch)
