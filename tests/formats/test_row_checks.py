"""Rows that no format takes: scores that are not numbers, and lists that do not fit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from hf_hardneg.errors import FormatError
from hf_hardneg.formats.mined_row import Document, MinedRow
from hf_hardneg.formats.writers import WRITERS, write_rows

CORPUS = [Document("d1", "one"), Document("d2", "two")]
every_format = pytest.mark.parametrize("name", list(WRITERS))


def good_row(**changes: Any) -> MinedRow:
    """Return a row that every format takes, with ``changes``."""
    row = MinedRow("q", "query", ["d1"], ["one"], [1.0], ["d2"], ["two"], [0.5])
    return row._replace(**changes)


@every_format
@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, True, "1.0"])
def test_scores_that_are_not_finite_numbers(tmp_path: Path, name: str, score: Any) -> None:
    for field in ("positive_scores", "negative_scores"):
        with pytest.raises(FormatError, match=r"Row 1 \(query id 'q'\): has the score"):
            write_rows(
                [good_row(**{field: [score]})],
                _new(tmp_path),
                name,
                CORPUS,
                num_negatives=1,
            )


def _new(folder: Path) -> Path:
    """Return a new folder inside ``folder``."""
    new = folder / str(len(list(folder.iterdir())))
    new.mkdir()
    return new


@every_format
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"negative_scores": [0.5, 0.4]}, "1 ids, 1 texts and 2 scores"),
        ({"negatives": []}, "1 ids, 0 texts and 1 scores"),
        ({"positive_ids": [], "positives": [], "positive_scores": []}, "has no positive"),
        ({"negatives": [None]}, "has None"),
        ({"query_id": 7}, "has 7"),
    ],
)
def test_rows_of_the_wrong_shape(
    tmp_path: Path, name: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(FormatError, match=message):
        write_rows([good_row(**changes)], tmp_path, name, CORPUS, num_negatives=1)
