"""The made set of the audit's benchmark: the defects that are planted are those that are found."""

from __future__ import annotations

from pathlib import Path

from conftest import shared

from benchmarks.sides.audit import audit, make, planted

ROWS = 5_000


def test_what_is_planted_is_found(tmp_path: Path) -> None:
    corpus = shared("data", "debian-packages", "corpus.jsonl.gz")
    path = tmp_path / "made.arrow"
    make(str(corpus), ROWS, str(path))
    values = audit(str(path), ROWS, 0).values
    assert values["counts"] == planted(ROWS)
    assert values["as_planted"]
    assert values["negatives"] == 5 * ROWS - planted(ROWS)["short_row"]
    assert min(planted(ROWS)[name] for name in ("own_positive", "outscores_positive")) > 0
