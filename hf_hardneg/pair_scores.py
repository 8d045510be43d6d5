"""Scores of (query, document) pairs, kept on disk as they are made.

Each pair is scored once for a model: not again in another batch, for another threshold, by
another process, or after a kill. A record is 12 bytes, a 64-bit key of the two exact texts and a
float32. Each process appends to a file of its own; a record cut short by a kill is ignored.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.cache import explain_os_error

__all__ = ["PairScores"]

RECORD = np.dtype([("key", "<u8"), ("score", "<f4")])
SUFFIX = ".pairs"
RECENT = 1_000_000


class PairScores:
    """The scores that one model gave.

    Args:
        folder: a folder of the model's own; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        """Read the scores that are there."""
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain_os_error(error, folder) from error
        self._file = self._fresh_file()
        self._keys, self._scores = self._read()
        self._recent: dict[int, float] = {}

    def _fresh_file(self) -> Path:
        return self._folder / f"{os.getpid()}-{os.urandom(4).hex()}{SUFFIX}"

    def _read(self) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
        parts = [np.empty(0, RECORD)]
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            whole = path.stat().st_size // RECORD.itemsize
            parts.append(np.fromfile(path, dtype=RECORD, count=whole))
        records = np.concatenate(parts)
        keys, first = np.unique(records["key"], return_index=True)
        return keys, records["score"][first]

    def get(self, keys: NDArray[np.uint64]) -> NDArray[np.float32]:
        """Return the score of each pair, ``nan`` where it is not known yet."""
        scores = np.full(len(keys), np.nan, dtype=np.float32)
        if len(self._keys):
            place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            known = self._keys[place] == keys
            scores[known] = self._scores[place[known]]
        for unknown in np.flatnonzero(np.isnan(scores)):
            scores[unknown] = self._recent.get(int(keys[unknown]), np.nan)
        return scores

    def add(self, keys: NDArray[np.uint64], scores: NDArray[np.float32]) -> None:
        """Keep the scores of new pairs, on disk before this returns.

        Raises:
            OutputError: the disk is full, or the folder cannot be written.
        """
        records = np.empty(len(keys), RECORD)
        records["key"], records["score"] = keys, scores
        try:
            with self._file.open("ab") as stream:
                stream.write(records.tobytes())
        except OSError as error:
            # The file may end in half a record now; whatever follows goes into another.
            failed, self._file = self._file, self._fresh_file()
            raise explain_os_error(error, failed) from error
        self._recent.update(zip(keys.tolist(), scores.tolist(), strict=True))
        if len(self._recent) >= RECENT:
            self._merge()

    def _merge(self) -> None:
        """Move the recent scores into the sorted arrays, which hold a pair in 12 bytes."""
        recent = np.fromiter(self._recent.items(), dtype=RECORD, count=len(self._recent))
        keys = np.concatenate([self._keys, recent["key"]])
        scores = np.concatenate([self._scores, recent["score"]])
        order = np.argsort(keys, kind="stable")
        self._keys, self._scores = keys[order], scores[order]
        self._recent = {}
