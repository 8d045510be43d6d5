"""Which words of a document the query, or the positive, has too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import regex
from bm25s.stopwords import STOPWORDS_EN_PLUS

from hf_hardneg.hashing import normalize_text

__all__ = ["Piece", "content_words", "pieces"]

WORD = regex.compile(r"[\p{L}\p{N}_]+")
SHORTEST = 2
"""Letters of a word that is marked at least, in scripts that are written with spaces."""
COMMON = frozenset(STOPWORDS_EN_PLUS)
"""English words without meaning of their own, which would mark every text. Texts of other
languages have theirs marked."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a text.

    Attributes:
        text: the piece; all pieces together are the whole text.
        shared: ``query`` for a word of the query, ``positive`` for one that only the positive has
            too, empty for the rest.
    """

    text: str
    shared: str = ""


def content_words(texts: Iterable[str]) -> frozenset[str]:
    """Return the words of texts, normalised, without those that every text has."""
    found: set[str] = set()
    for text in texts:
        found.update(map(_folded, WORD.findall(text)))
    return frozenset(word for word in found if word not in COMMON and _counts(word))


def pieces(text: str, query: frozenset[str], positive: frozenset[str] = frozenset()) -> list[Piece]:
    """Cut a text where words begin that the query or the positive has too.

    Words are compared after Unicode normalisation and case folding, without stemming.

    Args:
        text: the text.
        query: words of the query, see :func:`content_words`.
        positive: words of the positive.
    """
    found: list[Piece] = []
    start = 0
    for match in WORD.finditer(text):
        word = _folded(match.group())
        shared = "query" if word in query else "positive" if word in positive else ""
        if not shared:
            continue
        if match.start() > start:
            found.append(Piece(text[start : match.start()]))
        found.append(Piece(match.group(), shared))
        start = match.end()
    if start < len(text):
        found.append(Piece(text[start:]))
    return found


def _folded(word: str) -> str:
    return normalize_text(word)


def _counts(word: str) -> bool:
    return len(word) >= SHORTEST or not word.isascii() or word.isdigit()
