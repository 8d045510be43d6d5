"""Scores of pairs on disk: kept at once, whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_hardneg import pair_scores
from hf_hardneg.errors import OutputError
from hf_hardneg.pair_scores import PairScores

keys = st.integers(0, 2**64 - 1)


def array(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


def floats(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


@given(
    st.lists(st.dictionaries(keys, st.floats(width=32, allow_nan=False), max_size=5), max_size=5)
)
def test_what_was_added_is_found_by_everyone(
    tmp_path_factory: pytest.TempPathFactory, parts: list[dict[int, float]]
) -> None:
    folder = tmp_path_factory.mktemp("scores")
    one = PairScores(folder)
    wanted: dict[int, float] = {}
    for part in parts:
        fresh = {key: score for key, score in part.items() if key not in wanted}
        one.add(array(*fresh), floats(*fresh.values()))
        wanted |= fresh
    asked = array(*wanted, 3)
    scores = floats(*wanted.values(), wanted.get(3, np.nan))
    np.testing.assert_array_equal(one.get(asked), scores)
    np.testing.assert_array_equal(PairScores(folder).get(asked), scores)


def test_many_recent_scores_are_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_scores, "RECENT", 3)
    store = PairScores(tmp_path)
    for start in range(0, 20, 2):
        store.add(array(100 - start, start), floats(start, start + 0.5))
    assert len(store._recent) < 3
    for start in range(0, 20, 2):
        assert store.get(array(start, 100 - start, 7)).tolist()[:2] == [start + 0.5, start]
    assert np.isnan(store.get(array(7))).all()


def test_two_writers_do_not_disturb_each_other(tmp_path: Path) -> None:
    one, two = PairScores(tmp_path), PairScores(tmp_path)
    one.add(array(1, 2), floats(0.1, 0.2))
    two.add(array(2, 3), floats(0.2, 0.3))
    one.add(array(4), floats(0.4))
    found = PairScores(tmp_path).get(array(1, 2, 3, 4, 5))
    np.testing.assert_array_equal(found, floats(0.1, 0.2, 0.3, 0.4, np.nan))


@pytest.mark.parametrize("torn", range(1, 12))
def test_half_a_record_is_ignored(tmp_path: Path, torn: int) -> None:
    PairScores(tmp_path).add(array(1, 2), floats(0.1, 0.2))
    [file] = tmp_path.glob("*.pairs")
    file.write_bytes(file.read_bytes() + b"\xff" * torn)
    store = PairScores(tmp_path)
    np.testing.assert_array_equal(store.get(array(1, 2)), floats(0.1, 0.2))
    store.add(array(3), floats(0.3))
    np.testing.assert_array_equal(PairScores(tmp_path).get(array(1, 2, 3)), floats(0.1, 0.2, 0.3))


def test_a_full_disk_loses_what_was_not_written_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the error the same store may be used again: half a record is not built upon."""
    store = PairScores(tmp_path)
    store.add(array(1), floats(0.1))
    real = Path.open

    def full(path: Path, *options: Any, **more: Any) -> Any:
        with real(path, *options, **more) as stream:
            stream.write(b"\x01" * 7)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OutputError, match="full"):
        store.add(array(2), floats(0.2))
    monkeypatch.setattr(Path, "open", real)
    assert np.isnan(store.get(array(2))).all()
    store.add(array(2, 3), floats(0.2, 0.3))
    found = PairScores(tmp_path).get(array(1, 2, 3))
    np.testing.assert_array_equal(found, floats(0.1, 0.2, 0.3))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        PairScores(tmp_path / "file" / "scores")
