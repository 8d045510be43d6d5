"""BM25: documents that share words with the query."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.cache import cache_root, content_hash, published_folder
from hf_hardneg.candidates import NO_ROW, Queries, order_by_score
from hf_hardneg.checks import at_least, fraction, one_of, whole_number
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import ParameterError
from hf_hardneg.retrievers.base import Hits, Retriever
from hf_hardneg.retrievers.bm25_index import BM25Index, BM25Parameters, build, tokenizer
from hf_hardneg.workers import usable_threads

__all__ = ["BM25Retriever"]

INDEX_VERSION = 1
METHODS = ("lucene", "robertson", "atire", "bm25l", "bm25+")


def _words(stopwords: str | Sequence[str] | None) -> str | Sequence[str] | None:
    """Return the stop words if they are a language, a list or tuple of words, or ``None``."""
    listed = isinstance(stopwords, list | tuple)
    if not (
        stopwords is None
        or isinstance(stopwords, str)
        or (listed and all(isinstance(word, str) for word in stopwords))
    ):
        raise ParameterError(
            f"bm25: stopwords={stopwords!r}; expected a language, a list of words, or None."
        )
    return stopwords


class BM25Retriever(Retriever):
    """Candidates by BM25, the ranking of word overlap, through the library bm25s.

    The index is built once, lies in the cache under the corpus's fingerprint and these
    parameters, and is memory-mapped by every process that opens it. A document that shares no
    word with the query is never a candidate, so a query may have fewer than ``top_k``.

    Source: S. Robertson, H. Zaragoza, "The probabilistic relevance framework: BM25 and beyond",
    2009; the variants as compared in C. Kamphuis et al., "Which BM25 do you mean?", ECIR 2020;
    the implementation: X. H. Lu, "BM25S", 2024.

    Args:
        corpus: the documents.
        top_k: candidates for each query.
        k1: saturation of the term frequency, at least 0.
        b: how much a document's length counts, from 0 to 1.
        delta: lower bound of the term weight; ``bm25l`` and ``bm25+`` only.
        method: ``lucene``, ``robertson``, ``atire``, ``bm25l`` or ``bm25+``.
        stemmer: language of the Snowball stemmer, or ``None`` for none.
        stopwords: language of the stop word list, a list of words, or ``None`` for none.
        cache_dir: where the index lies; see :func:`hf_hardneg.cache.cache_root`.

    Raises:
        ParameterError: a parameter out of range, or a language that is not known.
    """

    name = "bm25"
    source = "Robertson and Zaragoza, The probabilistic relevance framework, 2009; bm25s"
    reads_keys = False

    def __init__(
        self,
        corpus: Corpus,
        *,
        top_k: int = 100,
        k1: float = 1.5,
        b: float = 0.75,
        delta: float = 0.5,
        method: str = "lucene",
        stemmer: str | None = "english",
        stopwords: str | Sequence[str] | None = "english",
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        """Check the parameters; the index is built or opened when it is first used."""
        self.corpus = Corpus.of(corpus, cache_dir)
        self.top_k = whole_number("bm25", "top_k", top_k, 1)
        self.k1 = at_least("bm25", "k1", k1, 0)
        self.b = fraction("bm25", "b", b)
        self.delta = at_least("bm25", "delta", delta, 0)
        self.method = one_of("bm25", "method", method, METHODS)
        if self.k1 == 0 and (method == "bm25+" or (method == "bm25l" and self.delta == 0)):
            raise ParameterError(
                f"bm25: k1=0 and delta={delta} make {method!r} 0/0 for a word that a document "
                "lacks; expected k1 above 0, or another method."
            )
        self.stemmer = stemmer
        self.stopwords = _words(stopwords)
        self.cache_dir = cache_dir
        self._index: BM25Index | None = None
        tokenizer(self._parameters)  # refuses an unknown language now, not after an hour

    @property
    def _parameters(self) -> BM25Parameters:
        words = self.stopwords
        if not (words is None or isinstance(words, str)):
            words = tuple(words)
        return BM25Parameters(self.k1, self.b, self.delta, self.method, self.stemmer, words)

    def prepare(self) -> None:
        """Build the index unless it is in the cache. Safe when several processes do it at once."""
        self._open()

    def _open(self) -> BM25Index:
        if self._index is None:
            parameters = self._parameters
            key = content_hash(INDEX_VERSION, self.corpus.fingerprint, repr(parameters))
            home = cache_root(self.cache_dir) / "bm25"
            folder = published_folder(
                home / key, lambda staging: build(self.corpus, parameters, staging, False)
            )
            self._index = BM25Index(folder, parameters)
        return self._index

    def search(self, queries: Queries) -> Hits:
        """Return the best documents by BM25; see :meth:`Retriever.search`."""
        index = self._open()
        rows = np.full((len(queries), self.top_k), NO_ROW, dtype=np.int64)
        scores = np.full((len(queries), self.top_k), -np.inf, dtype=np.float32)
        tokens = index.tokens(queries.texts)
        places = [place for place, words in enumerate(tokens) if words]
        if places:
            found_rows, found_scores = self._top(index, [tokens[place] for place in places])
            width = found_rows.shape[1]
            rows[places, :width], scores[places, :width] = found_rows, found_scores
        return rows, scores

    def _top(self, index: BM25Index, tokens: list[list[int]]) -> Hits:
        """Return the best documents in order, ties at the last place by the lower row.

        bm25s keeps any of the documents that tie for the last place. A few more are asked for,
        and only where the tie goes beyond them are all scores of the query looked at.
        """
        k = min(self.top_k, index.documents)
        wide = min(index.documents, k + max(16, k // 4))
        rows, scores = order_by_score(*index.top(tokens, wide, usable_threads()))
        if wide < index.documents:
            tied = (scores[:, k - 1] == scores[:, -1]) & (rows[:, -1] != NO_ROW)
            for line in np.flatnonzero(tied):
                exact = index.exact_top(tokens[line], k, scores[line, k - 1])
                rows[line, :k], scores[line, :k] = (
                    part[0] for part in order_by_score(exact[0][None], exact[1][None])
                )
        return rows[:, :k], scores[:, :k]

    def positive_scores(self, queries: Queries, hits: Hits) -> NDArray[np.float32]:
        """Return the BM25 score of each positive, in the corpus or not."""
        index = self._open()
        owner = np.repeat(np.arange(len(queries)), queries.positives_per_query)
        scores = np.full(len(owner), np.nan, dtype=np.float32)
        same = hits[0][owner] == queries.positive_rows[:, None]
        found = same.any(axis=1) & (queries.positive_rows != NO_ROW)
        scores[found] = hits[1][owner[found], same[found].argmax(axis=1)]
        missing = np.flatnonzero(~found)
        asked = {int(query) for query in owner[missing]}
        tokens = dict(
            zip(asked, index.tokens([queries.texts[query] for query in asked]), strict=True)
        )
        words = [tokens[int(query)] for query in owner[missing]]
        inside = queries.positive_rows[missing] != NO_ROW
        known = missing[inside]
        scores[known] = index.score_rows(
            [words[place] for place in np.flatnonzero(inside)], queries.positive_rows[known]
        )
        for place in np.flatnonzero(~inside):
            text = queries.positive_texts[int(missing[place])]
            scores[missing[place]] = index.score_text(words[place], text)
        return scores
