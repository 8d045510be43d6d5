"""Plain JSONL, read back with the json module and with datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hardneg.formats.mined_row import MinedRow

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
SCORES = st.none() | st.floats(allow_nan=False, allow_infinity=False)


def expected(row: MinedRow) -> dict[str, Any]:
    """Return the object that stands for ``row``."""
    return {
        "query_id": row.query_id,
        "query": row.query,
        "positives": row.positives,
        "positive_ids": row.positive_ids,
        "hard_negatives": row.negatives,
        "hard_negative_ids": row.negative_ids,
        "hard_negative_scores": row.negative_scores,
    }


def test_values_and_unknown_scores(write: Any, json_lines: Any, rows: list[MinedRow]) -> None:
    written, folder = write("jsonl", rows)
    assert json_lines(folder / "train.jsonl") == [expected(row) for row in rows]
    assert json_lines(folder / "train.jsonl")[2]["hard_negative_scores"] == [0.5, None]
    assert (written.rows_in, written.rows_written, written.rows_without_negatives) == (4, 4, 1)


@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(TEXT, min_size=4, max_size=4),
    ids=st.lists(TEXT, min_size=3, max_size=3),
    score=SCORES,
)
def test_anything_survives(
    write: Any, json_lines: Any, texts: list[str], ids: list[str], score: float | None
) -> None:
    row = MinedRow(ids[0], texts[0], [ids[1]], [texts[1]], [None], [ids[2]], [texts[2]], [score])
    _, folder = write("jsonl", [row])
    assert json_lines(folder / "train.jsonl") == [expected(row)]


def test_datasets_reads_it(write: Any, rows: list[MinedRow], tmp_path: Path) -> None:
    _, folder = write("jsonl", rows)
    table = datasets.load_dataset(
        "json", data_files=str(folder / "train.jsonl"), split="train", cache_dir=str(tmp_path)
    )
    assert list(table) == [expected(row) for row in rows]
