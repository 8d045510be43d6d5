"""Words of texts: how many there are, and how many of a query's a passage has."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hf_hardneg.arrow import flat_list
from hf_hardneg.hashing import among

__all__ = ["overlaps", "word_counts"]

BETWEEN_WORDS = r"[^\pL\pM\pN]+"
"""A word is a run of letters, marks and digits, lower case, after Unicode NFKC. A language that
is written without spaces has one long word a phrase: its overlaps mean little."""


def _words(texts: pa.Array) -> tuple[NDArray[np.int64], pa.Array]:
    """Return the owner of each word, in order, and the words."""
    plain = pc.utf8_lower(pc.utf8_normalize(pc.fill_null(texts, ""), form="NFKC"))
    offsets, words = flat_list(pc.split_pattern_regex(plain, BETWEEN_WORDS))
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    there = pc.greater(pc.binary_length(words), 0).to_numpy(zero_copy_only=False)
    return owner[there], words.filter(pa.array(there))


def word_counts(texts: pa.Array) -> NDArray[np.int64]:
    """Return the number of words of each text, shape (texts,)."""
    return np.bincount(_words(texts)[0], minlength=len(texts))


def overlaps(
    queries: pa.Array, passages: pa.Array, owner: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return which share of its query's different words each passage has, shape (passages,).

    ``nan`` where the query has no word.

    Args:
        queries: texts.
        passages: texts.
        owner: which query each passage stands beside, shape (passages,).
    """
    query_of, query_words = _words(queries)
    passage_of, passage_words = _words(passages)
    codes = pa.concat_arrays([query_words, passage_words]).dictionary_encode().indices
    numbers = codes.to_numpy(zero_copy_only=False).astype(np.int64)
    asked, found = numbers[: len(query_of)], numbers[len(query_of) :]
    size = int(numbers.max(initial=0)) + 1
    types = np.unique(query_of * size + asked)
    hit = among(types, owner[passage_of] * size + found)
    matched = np.unique(passage_of[hit] * size + found[hit]) // size
    have = np.bincount(matched, minlength=len(passages)).astype(np.float64)
    wanted = np.bincount(types // size, minlength=len(queries)).astype(np.float64)[owner]
    shares: NDArray[np.float64] = np.divide(
        have, wanted, out=np.full(len(passages), np.nan), where=wanted > 0
    )
    return shares
