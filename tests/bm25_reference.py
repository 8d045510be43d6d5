"""BM25 by the formulas, without bm25s: slow, in double precision, one document at a time.

Source: C. Kamphuis et al., "Which BM25 do you mean?", ECIR 2020, table 1, with the inverse
document frequency of ``robertson`` not below 0. A document without words counts as one word long.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

SHIFTED = ("bm25l", "bm25+")


def plain_words(text: str) -> list[str]:
    """Words of two characters or more, in lower case."""
    return re.findall(r"\b\w\w+\b", text.lower())


class ReferenceBM25:
    """Scores of a corpus, and of texts outside it by the corpus's statistics."""

    def __init__(
        self,
        documents: Sequence[str],
        *,
        method: str = "lucene",
        k1: float = 1.5,
        b: float = 0.75,
        delta: float = 0.5,
        words: Callable[[str], list[str]] = plain_words,
    ) -> None:
        self._method, self._k1, self._b, self._delta, self._words = method, k1, b, delta, words
        lists = [words(document) for document in documents]
        self._documents = len(lists)
        self._average = sum(max(len(own), 1) for own in lists) / len(lists)
        self._frequency: dict[str, int] = {}
        for own in lists:
            for word in set(own):
                self._frequency[word] = self._frequency.get(word, 0) + 1

    def _rarity(self, word: str) -> float:
        documents, holding = self._documents, self._frequency[word]
        odds = (documents - holding + 0.5) / (holding + 0.5)
        return {
            "robertson": max(math.log(odds), 0.0),
            "lucene": math.log(1 + odds),
            "atire": math.log(documents / holding),
            "bm25l": math.log((documents + 1) / (holding + 0.5)),
            "bm25+": math.log((documents + 1) / holding),
        }[self._method]

    def _weight(self, times: int, length: int) -> float:
        k1, norm = self._k1, 1 - self._b + self._b * length / self._average
        if times == 0 and self._method not in SHIFTED:
            return 0.0
        if self._method == "bm25l":
            shifted = times / norm + self._delta
            return (k1 + 1) * shifted / (k1 + shifted)
        weight = times / (times + k1 * norm) if times else 0.0
        if self._method in ("robertson", "lucene"):
            return weight
        return (k1 + 1) * weight + (self._delta if self._method == "bm25+" else 0.0)

    def score(self, query: str, document: str) -> float:
        """Every word of the query counts, a repeated one again; those of no document do not."""
        own = self._words(document)
        return math.fsum(
            self._rarity(word) * self._weight(own.count(word), max(len(own), 1))
            for word in self._words(query)
            if word in self._frequency
        )

    def eligible(self, query: str, document: str) -> bool:
        """Whether the document's words add anything to the score."""
        floor = self.score(query, "")
        return self.score(query, document) > floor + 1e-9 + 1e-7 * abs(floor)
