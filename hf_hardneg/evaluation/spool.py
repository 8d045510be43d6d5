"""Columns of numbers in temporary files: eight bytes for each document, and none of them held."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["NewSpool", "Spool", "counted", "spools"]

CHUNK = 2**17
PART = 2**19
"""Keys that are sorted at a time: 4 MB, and twice that for the sorting."""


class Spool:
    """A column of numbers that is written once and then read in order, as often as is needed.

    Args:
        path: where; a file that is not there yet.
        dtype: of the numbers.
    """

    def __init__(self, path: Path, dtype: DTypeLike) -> None:
        """Open the file."""
        self._path, self.dtype = path, np.dtype(dtype)
        self._file = path.open("wb")
        self._count = 0

    def __len__(self) -> int:
        """Return how many numbers there are."""
        return self._count

    def add(self, values: NDArray[Any]) -> None:
        """Write more."""
        self._file.write(np.ascontiguousarray(values, self.dtype).tobytes())
        self._count += len(values)

    def chunks(self, size: int = CHUNK) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield (place of the first, numbers) of all, in order."""
        self._file.flush()
        start = 0
        with self._path.open("rb") as stream:
            while len(values := np.fromfile(stream, self.dtype, size)):
                yield start, values
                start += len(values)

    def close(self) -> None:
        """Close the file; the folder that it is in goes later."""
        self._file.close()


NewSpool = Callable[[str, DTypeLike], Spool]
"""Opens a spool, by a name that no other has."""


@contextmanager
def spools() -> Iterator[NewSpool]:
    """Give what opens spools in a temporary folder, which goes at the end with all of them."""
    opened: list[Spool] = []
    with tempfile.TemporaryDirectory(prefix="hf-hardneg-") as folder:

        def new(name: str, dtype: DTypeLike) -> Spool:
            opened.append(Spool(Path(folder) / name, dtype))
            return opened[-1]

        try:
            yield new
        finally:
            for spool in opened:
                spool.close()


def counted(spool: Spool, part: int = PART) -> Iterator[tuple[NDArray[np.uint64], NDArray[Any]]]:
    """Yield (keys, how often each stands in the spool), each key once, a part of them at a time.

    Keys are hashes, so that their last bits spread evenly; the spool is read once for each part.
    Zero stands for no key and is left out.
    """
    parts = 1 << max(0, (-(-len(spool) // part) - 1).bit_length())
    for number in range(parts):
        own = [keys[(keys & np.uint64(parts - 1)) == number] for _, keys in spool.chunks()]
        keys = np.concatenate(own) if own else np.zeros(0, np.uint64)
        yield np.unique(keys[keys != 0], return_counts=True)
