"""Texts on disk that come as they come, in parts that are whole or absent, found by content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.cache import DONE, content_hash, published_folder
from hf_hardneg.errors import OutputError

__all__ = ["TextParts", "open_array"]

Keys = NDArray[np.uint64]


def open_array(folder: Path, name: str) -> NDArray[Any]:
    """Open an array of a part without reading it.

    Raises:
        OutputError: it is not there, or not whole.
    """
    try:
        return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r"))
    except (OSError, ValueError, EOFError) as error:
        raise not_whole(folder, f"{name}.npy cannot be read") from error


def not_whole(folder: Path, reason: str) -> OutputError:
    """Return the error for a part that something else has written or cut."""
    return OutputError(
        f"the folder {str(folder)!r} is not as this library writes it: {reason}. Delete it and "
        "run again."
    )


class TextParts:
    """What is known of texts, each found by its content.

    A part is a folder that is written whole; ``keys.npy`` in it says which texts it is about.

    Args:
        folder: of all parts.

    Attributes:
        per_part: texts in a part, what a kill can lose.
    """

    per_part: ClassVar[int] = 4096

    def __init__(self, folder: Path) -> None:
        """Read the keys that are there."""
        self._folder = folder
        self.refresh()

    def refresh(self) -> None:
        """Look at parts that this or another process has written since."""
        self._parts = sorted(mark.parent for mark in self._folder.glob(f"*/{DONE}"))
        keys = [open_array(part, "keys") for part in self._parts]
        flat = np.concatenate([np.zeros(0, np.uint64), *keys])
        owner = np.repeat(np.arange(len(keys)), [len(part) for part in keys])
        row = np.concatenate([np.zeros(0, np.int64), *(np.arange(len(part)) for part in keys)])
        self._keys, first = np.unique(flat, return_index=True)
        self._owner, self._row = owner[first], row[first]

    def _places(self, keys: Keys) -> NDArray[np.int64]:
        """Return the place of each key among the sorted keys, -1 where it is not there."""
        if not len(self._keys):
            return np.full(len(keys), -1, dtype=np.int64)
        place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[place] == keys, place, -1)

    def missing(self, keys: Keys) -> list[Keys]:
        """Return which of some keys are not there, in the parts that they will make.

        They are sorted, so what is made does not depend on the order of the rows.
        """
        if (self._places(keys) < 0).any():
            self.refresh()
        keys = np.unique(keys)
        fresh = keys[self._places(keys) < 0]
        return [
            fresh[start : start + self.per_part] for start in range(0, len(fresh), self.per_part)
        ]

    def publish(self, keys: Keys, write: Callable[[Path], None]) -> None:
        """Write a part of :meth:`missing`; ``write`` is given its folder.

        Raises:
            OutputError: the disk is full, or the folder cannot be written.
        """
        published_folder(self._folder / content_hash(keys.tolist()), write)
