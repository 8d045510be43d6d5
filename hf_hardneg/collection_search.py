"""A search in a collection that somebody else keeps, as rows of a corpus.

Texts and ids of the documents are in the collection already. The corpus is made of what it holds,
unless there is one with the same ids.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.cache import cache_root
from hf_hardneg.candidates import NO_ROW, Queries, order_by_score
from hf_hardneg.checks import at_least, whole_number
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import CorpusError, ParameterError
from hf_hardneg.stage import Stage
from hf_hardneg.stores import Collection, Found, is_remote

__all__ = ["DOCUMENTS_AT_ONCE", "QUERIES_AT_ONCE", "Ask", "CollectionStage"]

EXTRA = 16
"""Asked for beyond k, so that a tie at the end can be broken by the lower row."""
QUERIES_AT_ONCE = 32
DOCUMENTS_AT_ONCE = 256

Hits = tuple[NDArray[np.int64], NDArray[np.float32]]
Ask = Callable[[NDArray[np.int64], int], list[Found]]
"""Finds the k best documents of the queries with these numbers, best first."""
Opened = TypeVar("Opened", bound=Collection)


class CollectionStage(Stage, Generic[Opened]):
    """A search in a collection; what all of them have in common, whatever they compare by.

    A class that derives from this one hands its parameters to :meth:`_take_collection`, then to
    :meth:`_take_corpus`; it opens the collection in :meth:`_connect`, searches it in
    :meth:`_asking`, and scores the positives that the search did not find in :meth:`_scores_of`.

    Attributes:
        widest: more than this the store does not give at once.
    """

    widest: ClassVar[int] = 16_384
    url: str
    collection: str
    top_k: int
    text_field: str
    id_field: str | None
    timeout: float
    retries: int
    corpus: Corpus
    cache_dir: str | os.PathLike[str] | None

    def _take_collection(
        self,
        url: str | os.PathLike[str],
        collection: str,
        *,
        top_k: int,
        text_field: str,
        id_field: str | None,
        timeout: float,
        retries: int,
    ) -> None:
        """Check and keep the parameters; the collection is opened when it is first used.

        Raises:
            ParameterError: a parameter out of range.
        """
        self.text_field, self.id_field = text_field, id_field
        self.url = os.fspath(url) if isinstance(url, os.PathLike) else url
        is_remote(self.name, self.url)
        if not isinstance(collection, str) or not collection:
            raise ParameterError(f"{self.name}: collection={collection!r}; expected its name.")
        self.collection = collection
        self.top_k = whole_number(self.name, "top_k", top_k, 1)
        self.timeout = at_least(self.name, "timeout", timeout, 0.01)
        self.retries = whole_number(self.name, "retries", retries, 0)
        self._store: Opened | None = None

    def _take_corpus(self, corpus: Any, cache_dir: str | os.PathLike[str] | None) -> None:  # noqa: ANN401
        """Keep the corpus; read the documents where none is given."""
        self.corpus = self._collected() if corpus is None else Corpus.of(corpus, cache_dir)

    @abstractmethod
    def _connect(self) -> Opened:
        """Open the collection.

        Raises:
            CorpusError: it is not there, or its server gives no answer.
        """

    @abstractmethod
    def _asking(self, texts: Sequence[str]) -> Ask:
        """Return what searches for some of these queries."""

    @abstractmethod
    def _scores_of(
        self, queries: Queries, owner: NDArray[np.int64], places: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the scores of positives that the search did not find.

        Args:
            queries: the batch.
            owner: the query of each.
            places: which of all positives they are.
        """

    def _opened(self) -> Opened:
        if self._store is None:
            self._store = self._connect()
        return self._store

    def _collected(self) -> Corpus:
        """Return a corpus of all documents of the collection."""
        records = ({"id": name, "text": text} for name, text in self._opened().documents())
        try:
            return Corpus(
                records, id_column="id", text_column="text", cache_dir=cache_root(self.cache_dir)
            )
        except CorpusError as error:
            title = self._opened().title
            if str(error).startswith(title):
                raise
            raise CorpusError(f"{title}: {error}") from None

    # -- the corpus and the collection -------------------------------------------------------

    def _first_ids(self) -> list[str]:
        """Return ids of the corpus that the collection should know."""
        return self.corpus.ids(np.arange(min(len(self.corpus), DOCUMENTS_AT_ONCE)))

    def _refuse_strangers(self, ids: Sequence[str], found: Iterable[str]) -> None:
        """Refuse a corpus of whose documents the collection has none."""
        if not set(found):
            raise CorpusError(
                f"{self._opened().title} holds none of the first {len(ids)} documents of the "
                f"corpus, for example {ids[0]!r}. Leave the corpus out to take the collection's "
                "own documents, or name the field with the corpus's ids: id_field=..."
            )

    def _rows_of(self, names: list[str]) -> NDArray[np.int64]:
        rows = self.corpus.rows_of_ids(names)
        unknown = np.flatnonzero(rows == NO_ROW)
        if len(unknown):
            raise CorpusError(
                f"{self._opened().title} finds the document {names[unknown[0]]!r}, which is not in "
                f"the corpus of {len(self.corpus)} documents. The collection has changed since, or "
                "is of other documents: leave the corpus out to take its documents as they are "
                "now, or name the field with the corpus's ids: id_field=..."
            )
        return rows

    def _refuse_repeats(self, rows: NDArray[np.int64]) -> None:
        ordered = np.sort(rows, axis=1)
        twice = ordered[:, 1:][(ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NO_ROW)]
        if len(twice):
            raise CorpusError(
                f"{self._opened().title} holds the document {self.corpus.ids(twice[:1])[0]!r} more "
                "than once; expected one record a document. Name a field with ids of the records: "
                "id_field=..."
            )

    # -- search ------------------------------------------------------------------------------

    def search(self, queries: Queries) -> Hits:
        """Return what the store finds; see :meth:`Retriever.search`."""
        shape = (len(queries), self.top_k)
        if not len(queries):
            return np.full(shape, NO_ROW, np.int64), np.full(shape, -np.inf, np.float32)
        found = self._found(len(queries), self._asking(queries.texts))
        width = max(self.top_k, *map(len, found))
        rows = np.full((len(queries), width), NO_ROW, dtype=np.int64)
        scores = np.full(rows.shape, -np.inf, dtype=np.float32)
        flat = self._rows_of([name for own in found for name, _ in own])
        lengths = np.array([len(own) for own in found])
        lines = np.repeat(np.arange(len(found)), lengths)
        slots = np.arange(len(flat)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        rows[lines, slots] = flat
        scores[lines, slots] = [score for own in found for _, score in own]
        self._refuse_repeats(rows)
        ordered, values = order_by_score(rows, scores)
        return ordered[:, : self.top_k], values[:, : self.top_k]

    def _found(self, number: int, ask: Ask) -> list[Found]:
        """Return what the store finds, all that ties with the last one included."""
        found = list[Found]()
        for start in range(0, number, QUERIES_AT_ONCE):
            part = np.arange(start, min(start + QUERIES_AT_ONCE, number))
            width = min(self.top_k + EXTRA, self.widest)
            own = ask(part, width)
            while width < self.widest:
                tied = [
                    line
                    for line, hits in enumerate(own)
                    if len(hits) == width and hits[-1][1] == hits[self.top_k - 1][1]
                ]
                if not tied:
                    break
                width = min(2 * width, self.widest)
                for line, hits in zip(tied, ask(part[tied], width), strict=True):
                    own[line] = hits
            found += own
        return found

    def positive_scores(self, queries: Queries, hits: Hits) -> NDArray[np.float32]:
        """Return the score of each positive, in the collection or not."""
        owner = np.repeat(np.arange(len(queries)), queries.positives_per_query)
        scores = np.full(len(owner), np.nan, dtype=np.float32)
        same = (hits[0][owner] == queries.positive_rows[:, None]) & (
            queries.positive_rows[:, None] != NO_ROW
        )
        listed = same.any(axis=1)
        # What was found already keeps the score that the store gave it.
        scores[listed] = hits[1][owner[listed], same[listed].argmax(axis=1)]
        places = np.flatnonzero(~listed)
        if len(places):
            scores[places] = self._scores_of(queries, owner[places], places)
        return scores

    def _texts_of(self, queries: Queries, places: Iterable[int]) -> list[str]:
        """Return the texts of positives, of the corpus or not."""
        rows = queries.positive_rows
        return [
            queries.positive_texts[place]
            if rows[place] == NO_ROW
            else self.corpus.texts(rows[place : place + 1])[0]
            for place in places
        ]
