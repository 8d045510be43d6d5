"""The benchmark of publishing on a few rows: what its sides write is what they must."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Dataset, load_dataset
from hub_server import LoopbackHub
from publications import NAME, contents, push

from benchmarks.sides import publishing


def test_what_is_made_is_published_and_has_the_same_digest(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "SHARD_ROWS", 300)
    made = publishing.make(1_000, str(tmp_path / "made")).values
    assert made["bytes"] > 1_000
    publishing._write(Dataset.from_file(str(tmp_path / "made/rows.arrow")), tmp_path / "set")
    push(hub, tmp_path / "set")
    assert hub.files(NAME) == contents(tmp_path / "set")
    shards = sorted(str(path) for path in (tmp_path / "set").rglob("*.parquet"))
    assert len(shards) == 4
    back = load_dataset("parquet", data_files=shards, split="train", streaming=True)
    assert publishing._digest(back.iter(64)) == made["digest"]
    assert publishing._digest(back.skip(1).iter(64)) != made["digest"]
