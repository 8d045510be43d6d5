"""What was worked out about a set, one entry a row, kept on disk while it is worked out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from hf_hardneg.arrow import hash_column
from hf_hardneg.cache import cache_root, content_hash, explain_os_error
from hf_hardneg.mined_set import MinedSet

__all__ = ["KeptRows", "kept_folder", "set_key"]

VERSION = 1
SEEN = "seen"


def set_key(mined: MinedSet) -> str:
    """Return what tells the rows of a set from those of others, 32 hexadecimal digits.

    It is made of the fingerprint that ``datasets`` keeps, which for a file has its path and the
    time of its last change in it, of the first and the last row, and of the corpus.
    """
    digest = xxhash.xxh3_128()
    for row in (0, len(mined) - 1):
        table = mined.stored.at(row).table
        for name in sorted(table.column_names):
            digest.update(name.encode())
            hash_column(table[name], digest)
    corpus = "" if mined.corpus is None else mined.corpus.fingerprint
    return content_hash(VERSION, mined.rows._fingerprint, len(mined), digest.hexdigest(), corpus)


def kept_folder(key: str) -> Path:
    """Return the folder of the cache for what is known of a set."""
    return cache_root() / "inspected" / key


class KeptRows:
    """Values of rows, from the first on, as a file that grows with them.

    A row that was written is marked, so that whatever a killed process left is taken up where it
    ends. Two processes that look at the same set write the same bytes to the same places.

    Args:
        path: of the file; a file of another length or kind must have another name.
        rows: of the set.
        fields: (name, type) of the values of a row, as NumPy has them.

    Attributes:
        values: of all rows, structured; those from ``done`` on are not worked out yet.
        done: rows that are, from the first on.
    """

    def __init__(self, path: Path, rows: int, fields: Sequence[tuple[str, str]]) -> None:
        """Read what is there."""
        self._path = path
        self.values: NDArray[Any] = np.zeros(rows, np.dtype([(SEEN, "u1"), *fields]))
        self.done = 0
        if path.is_file():
            found = np.fromfile(path, self.values.dtype)[:rows]
            lacking = np.flatnonzero(found[SEEN] != 1)
            self.done = int(lacking[0]) if len(lacking) else len(found)
            self.values[: self.done] = found[: self.done]

    @property
    def complete(self) -> bool:
        """Whether all rows are worked out."""
        return self.done == len(self.values)

    def put(self, start: int, **columns: NDArray[Any]) -> None:
        """Keep the values of further rows.

        Args:
            start: number of the first of them; all before it are there.
            columns: values by name, one a row.

        Raises:
            OutputError: the cache cannot be written.
        """
        stop = start + len(next(iter(columns.values())))
        part = self.values[start:stop]
        for name, values in columns.items():
            part[name] = values
        part[SEEN] = 1
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Not by np.memmap: a full disk would end the process instead of raising.
            with self._path.open("r+b" if self._path.exists() else "w+b") as stream:
                stream.seek(start * part.dtype.itemsize)
                stream.write(part.tobytes())
        except OSError as error:
            raise explain_os_error(error, self._path) from error
        self.done = max(self.done, stop)
