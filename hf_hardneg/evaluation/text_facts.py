"""What an audit knows of each text: keys, lengths, and how it ends."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from hf_hardneg.hashing import EMPTY_TEXT_KEY, exact_keys, normalize_text

__all__ = ["TextFacts", "Texts"]

REMEMBERED = 2**18
"""Texts whose facts are kept, 40 MB; the same documents come back in many rows."""
ENDED = re.compile(
    r"[.!?\u3002\uff01\uff1f\u061f\u0964]"
    r"""(?:[\])}"'\u201d\u2019\u00bb\uff09\u300d\u300f]|\[\d+\])*\s*$"""
)
"""The end of a sentence, with what may close after it."""
TAIL = 16


@dataclass(frozen=True, slots=True)
class Texts:
    """Facts of texts, each an array of shape (texts,).

    Attributes:
        exact: keys of the exact characters.
        keys: keys of the normalised texts.
        characters: length.
        words: length, of what white space separates.
        ended: whether it ends as a sentence does.
        there: ``False`` where the text is missing.
    """

    exact: NDArray[np.uint64]
    keys: NDArray[np.uint64]
    characters: NDArray[np.int64]
    words: NDArray[np.int64]
    ended: NDArray[np.bool_]
    there: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.keys)

    def usable(self) -> NDArray[np.bool_]:
        """Return which texts hold anything but white space."""
        usable: NDArray[np.bool_] = self.keys != EMPTY_TEXT_KEY
        return usable


class TextFacts:
    """Facts of texts, worked out once for each text that is remembered.

    Args:
        limit: texts remembered; when there are more, all are forgotten.
    """

    def __init__(self, limit: int = REMEMBERED) -> None:
        """Start with none."""
        self._limit = limit
        self._slots: dict[int, int] = {}
        self._keys = np.zeros(limit, np.uint64)
        self._characters = np.zeros(limit, np.int32)
        self._words = np.zeros(limit, np.int32)
        self._ended = np.zeros(limit, np.bool_)

    def of(self, values: pa.Array) -> Texts:
        """Return the facts of an array of texts."""
        there = values.is_valid().to_numpy(zero_copy_only=False)
        raw: list[bytes] = pc.fill_null(values, "").cast(pa.binary()).to_pylist()
        exact = np.fromiter(map(xxhash.xxh3_64_intdigest, raw), np.uint64, count=len(raw))
        distinct, first, place = np.unique(exact, return_index=True, return_inverse=True)
        parts = []
        step = self._limit
        for start in range(0, len(distinct), step):
            slots = self._places(distinct[start : start + step], first[start : start + step], raw)
            parts.append([own[slots] for own in self._columns()])
        columns = [np.concatenate(own)[place] for own in zip(*parts, strict=True)] or [
            own[:0] for own in self._columns()
        ]
        keys, characters, words, ended = columns
        return Texts(exact, keys, characters.astype(np.int64), words.astype(np.int64), ended, there)

    def _columns(self) -> tuple[NDArray[np.generic], ...]:
        return self._keys, self._characters, self._words, self._ended

    def _places(
        self, distinct: NDArray[np.uint64], first: NDArray[np.int64], raw: Sequence[bytes]
    ) -> NDArray[np.int64]:
        """Return where the facts of distinct texts stand, at most as many as there is room for."""
        names = distinct.tolist()
        new = [place for place, name in enumerate(names) if name not in self._slots]
        if len(self._slots) + len(new) > self._limit:
            self._slots.clear()
            new = list(range(len(names)))
        size = len(self._slots)
        self._slots.update(zip([names[place] for place in new], range(size, size + len(new)),
                               strict=True))  # fmt: skip
        self._note(slice(size, size + len(new)), [raw[place].decode() for place in first[new]])
        return np.fromiter(map(self._slots.__getitem__, names), np.int64, count=len(names))

    def _note(self, slots: slice, texts: Sequence[str]) -> None:
        normal = list(map(normalize_text, texts))
        self._keys[slots] = exact_keys(normal)
        self._characters[slots] = list(map(len, texts))
        self._words[slots] = [text.count(" ") + (text != "") for text in normal]
        self._ended[slots] = [ENDED.search(text.rstrip()[-TAIL:]) is not None for text in texts]
