"""A search in a collection of a vector store, as rows of a corpus.

Texts, ids and vectors of the documents are in the collection already. The corpus is made of what
it holds, unless there is one with the same ids.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.cache import cache_root
from hf_hardneg.candidates import NO_ROW, Queries, order_by_score
from hf_hardneg.checks import at_least, whole_number
from hf_hardneg.corpus import Corpus
from hf_hardneg.encoders import unit_vectors
from hf_hardneg.errors import CorpusError, ParameterError
from hf_hardneg.stores import Found, VectorStore, is_remote
from hf_hardneg.text_encoding import EncodingStage
from hf_hardneg.vector_search import pair_similarity

__all__ = ["StoreStage"]

EXTRA = 16
"""Asked for beyond k, so that a tie at the end can be broken by the lower row."""
WIDEST = 16_384
"""More than this no store gives at once."""
QUERIES_AT_ONCE = 32
DOCUMENTS_AT_ONCE = 256

Hits = tuple[NDArray[np.int64], NDArray[np.float32]]


class StoreStage(EncodingStage):
    """A search in a collection; what retrievers of the different stores have in common.

    A class that derives from this one opens the collection in :meth:`_connect`, and says in its
    docstring what the parameters mean for its store.
    """

    def __init__(
        self,
        corpus: Any = None,  # noqa: ANN401
        *,
        url: str | os.PathLike[str],
        collection: str,
        model: Any,  # noqa: ANN401
        top_k: int = 100,
        vector_name: str | None = None,
        text_field: str = "text",
        id_field: str | None = None,
        normalize: bool | None = None,
        timeout: float = 30.0,
        retries: int = 3,
        revision: str | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        batch_size: int = 32,
        device: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        """Check the parameters; read the documents where no corpus is given."""
        self.vector_name, self.text_field, self.id_field = vector_name, text_field, id_field
        self._take_model(
            model,
            revision=revision,
            query_prompt=query_prompt,
            document_prompt=document_prompt,
            normalize=normalize,
            batch_size=batch_size,
            device=device,
            cache_dir=cache_dir,
        )
        self.url = os.fspath(url) if isinstance(url, os.PathLike) else url
        is_remote(self.name, self.url)
        if not isinstance(collection, str) or not collection:
            raise ParameterError(f"{self.name}: collection={collection!r}; expected its name.")
        self.collection = collection
        self.top_k = whole_number(self.name, "top_k", top_k, 1)
        self.timeout = at_least(self.name, "timeout", timeout, 0.01)
        self.retries = whole_number(self.name, "retries", retries, 0)
        self._store: VectorStore | None = None
        self.corpus = self._collected() if corpus is None else Corpus.of(corpus, cache_dir)

    @abstractmethod
    def _connect(self) -> VectorStore:
        """Open the collection.

        Raises:
            CorpusError: it is not there, or its server gives no answer.
        """

    def _opened(self) -> VectorStore:
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

    def prepare(self) -> None:
        """Check that the collection, the corpus and the model belong together."""
        self._refresh_model()
        store = self._opened()
        self._check_dimension(store.dimension, store.title)
        ids = self.corpus.ids(np.arange(min(len(self.corpus), DOCUMENTS_AT_ONCE)))
        vectors = store.vectors(ids)
        if not vectors:
            raise CorpusError(
                f"{store.title} holds none of the first {len(ids)} documents of the corpus, for "
                f"example {ids[0]!r}. Leave the corpus out to take the collection's own documents, "
                "or name the field with the corpus's ids: id_field=..."
            )
        if store.similarity != "cosine":
            self._check_unit(np.array(list(vectors.values()), dtype=np.float32), store.title)

    # -- search ------------------------------------------------------------------------------

    def _vectors(self, texts: Sequence[str], role: str) -> NDArray[np.float32]:
        """Return the vectors of texts as the store compares them."""
        store = self._opened()
        self._check_dimension(store.dimension, store.title)
        vectors = self._encoded(texts, role)
        return unit_vectors(vectors) if store.similarity == "cosine" else vectors

    def search(self, queries: Queries) -> Hits:
        """Return what the store finds; see :meth:`Retriever.search`."""
        shape = (len(queries), self.top_k)
        if not len(queries):
            return np.full(shape, NO_ROW, np.int64), np.full(shape, -np.inf, np.float32)
        found = self._found(self._vectors(queries.texts, "query"))
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

    def _found(self, vectors: NDArray[np.float32]) -> list[Found]:
        """Return what the store finds, all that ties with the last one included."""
        store, found = self._opened(), list[Found]()
        for start in range(0, len(vectors), QUERIES_AT_ONCE):
            part = vectors[start : start + QUERIES_AT_ONCE]
            width = self.top_k + EXTRA
            own = store.nearest(part, width)
            while width < WIDEST:
                tied = [
                    line
                    for line, hits in enumerate(own)
                    if len(hits) == width and hits[-1][1] == hits[self.top_k - 1][1]
                ]
                if not tied:
                    break
                width = min(2 * width, WIDEST)
                for line, hits in zip(tied, store.nearest(part[tied], width), strict=True):
                    own[line] = hits
            found += own
        return found

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

    def positive_scores(self, queries: Queries, hits: Hits) -> NDArray[np.float32]:
        """Return the similarity of each positive, in the collection or not."""
        owner = np.repeat(np.arange(len(queries)), queries.positives_per_query)
        scores = np.full(len(owner), np.nan, dtype=np.float32)
        same = (hits[0][owner] == queries.positive_rows[:, None]) & (
            queries.positive_rows[:, None] != NO_ROW
        )
        listed = same.any(axis=1)
        # What was found already keeps the score that the store gave it.
        scores[listed] = hits[1][owner[listed], same[listed].argmax(axis=1)]
        open_places = np.flatnonzero(~listed)
        if len(open_places):
            own = self._vectors(queries.texts, "query")
            scores[open_places] = pair_similarity(
                own, owner[open_places], self._positives(queries, open_places),
                np.arange(len(open_places)), self._opened().similarity,
            )  # fmt: skip
        return scores

    def _positives(self, queries: Queries, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return vectors of positives: those of the store, and of the texts that it has not."""
        store = self._opened()
        rows = queries.positive_rows[places]
        inside = rows != NO_ROW
        names = dict(zip(rows[inside].tolist(), self.corpus.ids(rows[inside]), strict=True))
        stored: dict[str, Sequence[float]] = {}
        wanted = list(dict.fromkeys(names.values()))
        for start in range(0, len(wanted), DOCUMENTS_AT_ONCE):
            stored.update(store.vectors(wanted[start : start + DOCUMENTS_AT_ONCE]))
        known = np.array([names.get(row) in stored for row in rows.tolist()], dtype=np.bool_)
        out = np.empty((len(places), store.dimension), dtype=np.float32)
        for line in np.flatnonzero(known):
            out[line] = stored[names[int(rows[line])]]
        if store.similarity == "cosine":
            out[known] = unit_vectors(out[known])
        missing = np.flatnonzero(~known)
        texts = [
            queries.positive_texts[int(places[line])]
            if rows[line] == NO_ROW
            else self.corpus.texts(rows[line : line + 1])[0]
            for line in missing
        ]
        if texts:
            out[missing] = self._vectors(texts, "document")
        return out
