"""Words in columns of texts: plain words, never a pattern, compared as all texts are here."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hf_hardneg.hashing import normalize_text

__all__ = ["holding", "words_of"]


def words_of(search: str) -> tuple[str, ...]:
    """Return the words of what somebody searches for, as they are compared; each once."""
    return tuple(dict.fromkeys(normalize_text(search).split()))


def holding(texts: pa.Array | pa.ChunkedArray, words: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return which texts hold all of the words, shape (texts,).

    A word is found within longer ones too. Texts are compared after
    :func:`hf_hardneg.hashing.normalize_text` (Unicode NFKC, case folded). A text in ASCII needs no
    more than lower case for that, which Arrow does for many at once; the others are looked at one
    by one. A text that is missing holds no word.
    """
    array = pa.concat_arrays(texts.chunks) if isinstance(texts, pa.ChunkedArray) else texts
    if not words:
        return np.ones(len(array), np.bool_)
    found = np.zeros(len(array), np.bool_)
    plain = _flags(pc.string_is_ascii(array))
    if plain.any() and all(word.isascii() for word in words):
        lowered = pc.ascii_lower(array)
        found |= plain
        for word in words:
            found &= _flags(pc.match_substring(lowered, word))
    others = np.flatnonzero(~plain)
    if len(others):
        own = array.take(pa.array(others)).to_pylist()
        found[others] = [text is not None and _holds(text, words) for text in own]
    return found


def _holds(text: str, words: tuple[str, ...]) -> bool:
    normal = normalize_text(text)
    return all(word in normal for word in words)


def _flags(values: pa.Array) -> NDArray[np.bool_]:
    flags: NDArray[np.bool_] = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return flags.astype(np.bool_, copy=False)
