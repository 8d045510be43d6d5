"""The made set of the audit's benchmark: the defects that are planted are those that are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.sides.audit import audit, make, planted

ROWS = 5_000
CORPUS = Path(__file__).resolve().parents[2] / "shared/data/debian-packages/corpus.jsonl.gz"


@pytest.mark.skipif(not CORPUS.exists(), reason="debian-packages is not beside this checkout")
def test_what_is_planted_is_found(tmp_path: Path) -> None:
    path = tmp_path / "made.arrow"
    make(str(CORPUS), ROWS, str(path))
    values = audit(str(path), ROWS, 0).values
    assert values["counts"] == planted(ROWS)
    assert values["as_planted"]
    assert values["negatives"] == 5 * ROWS - planted(ROWS)["short_row"]
    assert min(planted(ROWS)[name] for name in ("own_positive", "outscores_positive")) > 0
