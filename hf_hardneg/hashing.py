"""Content keys of texts, and the noise that makes sampling independent of everything but content.

A key is a 64-bit hash. Two texts have the same key when they are equal after
:func:`normalize_text`; with 10 million texts the chance that any two different ones share a key
is about 3 in a million, and the cost would be one candidate too few in one row.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import numpy as np
import xxhash
from numpy.typing import NDArray

__all__ = [
    "EMPTY_TEXT_KEY",
    "KeySet",
    "among",
    "exact_key",
    "exact_keys",
    "gumbel_noise",
    "mix",
    "normalize_text",
    "text_key",
    "text_keys",
    "uniform_noise",
]

Keys = NDArray[np.uint64]
MOSTLY_DISTINCT = 0.75


def normalize_text(text: str) -> str:
    """Return ``text`` as it is compared: Unicode NFKC, case folded, white space collapsed."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def exact_key(text: str) -> int:
    """Return the 64-bit key of the exact characters of ``text``."""
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


def text_key(text: str) -> int:
    """Return the 64-bit key of ``text`` after :func:`normalize_text`."""
    return exact_key(normalize_text(text))


EMPTY_TEXT_KEY = np.uint64(text_key(""))


def exact_keys(texts: Iterable[str]) -> Keys:
    """Return the keys of the exact texts, shape (number of texts,)."""
    return np.fromiter(map(exact_key, texts), dtype=np.uint64)


def text_keys(texts: Iterable[str]) -> Keys:
    """Return the keys of the normalised texts, shape (number of texts,)."""
    texts = list(texts)
    distinct = dict.fromkeys(texts, 0)
    if len(distinct) > MOSTLY_DISTINCT * len(texts):
        return np.fromiter(map(text_key, texts), dtype=np.uint64, count=len(texts))
    # The same positive stands in many rows of some data.
    for text in distinct:
        distinct[text] = text_key(text)
    return np.fromiter(map(distinct.__getitem__, texts), dtype=np.uint64, count=len(texts))


def among(known: NDArray[np.generic], values: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Return which values are among the known ones, in the shape of the values.

    Args:
        known: sorted, shape (known,).
        values: of the same type, of any shape.
    """
    if not len(known):
        return np.zeros(values.shape, dtype=np.bool_)
    place = np.minimum(np.searchsorted(known, values), len(known) - 1)
    found: NDArray[np.bool_] = known[place] == values
    return found


class KeySet:
    """A set of keys that is asked about millions of others at a time.

    Keys are hashes, spread evenly: their first bits say where to look, which takes a tenth of the
    time of a binary search. Keys that are not spread are found too, only slower.

    Args:
        keys: shape (keys,), in any order.

    Attributes:
        keys: sorted, each once.
    """

    def __init__(self, keys: Keys) -> None:
        """Sort the keys."""
        in_order = np.sort(keys, axis=None)  # a third of the time of numpy.unique
        self.keys = in_order[
            np.concatenate([[True], in_order[1:] != in_order[:-1]])[: len(in_order)]
        ]
        bits = min(len(self.keys).bit_length() + 1, 27)
        self._shift = np.uint64(64 - bits)
        counts = np.bincount((self.keys >> self._shift).astype(np.int64), minlength=2**bits)
        self._starts = np.zeros(2**bits + 1, np.int32 if len(self.keys) < 2**31 else np.int64)
        np.cumsum(counts, out=self._starts[1:])

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self.keys)

    def holds(self, keys: Keys) -> NDArray[np.bool_]:
        """Return which of the keys are in the set, in their shape."""
        asked = keys.ravel()
        bucket = (asked >> self._shift).astype(np.int64)
        starts, ends = self._starts[bucket], self._starts[bucket + 1]
        found = np.zeros(len(asked), dtype=np.bool_)
        left = np.flatnonzero(starts < ends)
        place = starts[left].astype(np.int64)
        while len(left):
            same = self.keys[place] == asked[left]
            found[left[same]] = True
            on = ~same & (place + 1 < ends[left])
            left, place = left[on], place[on] + 1
        return found.reshape(keys.shape)


def _splitmix64(values: Keys) -> Keys:
    """Finalise 64-bit values so that every input bit moves every output bit.

    Source: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators",
    OOPSLA 2014, function ``mix64variant13``.
    """
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def mix(*parts: NDArray[np.uint64] | int) -> Keys:
    """Return one 64-bit hash of several; the parts are broadcast against each other."""
    with np.errstate(over="ignore"):
        state = np.zeros(1, dtype=np.uint64)
        for part in parts:
            values = np.asarray(part, dtype=np.uint64)
            state = _splitmix64(state ^ _splitmix64(values))
    return state


def uniform_noise(seed: int, query_keys: Keys, document_keys: Keys) -> NDArray[np.float64]:
    """Return numbers in the open interval (0, 1), a hash of (seed, query, document).

    Args:
        seed: the seed of the miner, not negative.
        query_keys: shape (batch,).
        document_keys: shape (batch, k).

    Returns:
        Array of shape (batch, k).
    """
    bits = mix(seed, query_keys[:, None], document_keys)
    # 52 bits and a half are what a double holds exactly; the half keeps 0 and 1 out.
    return ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def gumbel_noise(seed: int, query_keys: Keys, document_keys: Keys) -> NDArray[np.float64]:
    """Return standard Gumbel noise of shape (batch, k), a hash of (seed, query, document).

    Adding it to log-weights and taking the largest n is weighted sampling without replacement
    (W. Kool, H. van Hoof, M. Welling, "Stochastic beams and where to find them", ICML 2019, eq. 6).
    """
    noise: NDArray[np.float64] = -np.log(-np.log(uniform_noise(seed, query_keys, document_keys)))
    return noise
