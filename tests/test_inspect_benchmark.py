"""The made set of the benchmark of looking: what is planted in it is what is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.sides.inspection import again, first, make, planted

ROWS = 5_000
CORPUS = Path(__file__).resolve().parents[2] / "shared/data/debian-packages/corpus.jsonl.gz"


@pytest.mark.skipif(not CORPUS.exists(), reason="debian-packages is not beside this checkout")
def test_what_is_planted_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.sides.inspection.DOCUMENTS", 300_000)
    make(str(CORPUS), ROWS, str(tmp_path / "set"))
    opened = first(str(tmp_path / "set"), ROWS).values
    assert opened["near_duplicates_known_seconds"] >= opened["scores_known_seconds"]
    values = again(str(tmp_path / "set"), ROWS).values
    assert values["overview_exact"]
    found = {name: values["found"][name]["total"] for name in planted(ROWS)}
    expected = planted(ROWS)
    assert found.pop("near_duplicate") >= expected.pop("near_duplicate") > 0
    assert found == expected
    assert min(found.values()) > 0
    assert values["found"]["word_nowhere_in_all_texts"]["total"] == 0
    assert values["found"]["document"]["total"] > 0
