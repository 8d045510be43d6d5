"""A search in a collection of a vector store: it compares vectors of queries and documents."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import NO_ROW, Queries
from hf_hardneg.collection_search import DOCUMENTS_AT_ONCE, Ask, CollectionStage
from hf_hardneg.encoders import unit_vectors
from hf_hardneg.stores import VectorStore
from hf_hardneg.text_encoding import EncodingStage
from hf_hardneg.vector_search import pair_similarity

__all__ = ["StoreStage"]


class StoreStage(CollectionStage[VectorStore], EncodingStage):
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
        self.vector_name = vector_name
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
        self._take_collection(
            url,
            collection,
            top_k=top_k,
            text_field=text_field,
            id_field=id_field,
            timeout=timeout,
            retries=retries,
        )
        self._take_corpus(corpus, cache_dir)

    def prepare(self) -> None:
        """Check that the collection, the corpus and the model belong together."""
        self._refresh_model()
        store = self._opened()
        self._check_dimension(store.dimension, store.title)
        ids = self._first_ids()
        vectors = store.vectors(ids)
        self._refuse_strangers(ids, vectors)
        if store.similarity != "cosine":
            self._check_unit(np.array(list(vectors.values()), dtype=np.float32), store.title)

    def _vectors(self, texts: Sequence[str], role: str) -> NDArray[np.float32]:
        """Return the vectors of texts as the store compares them."""
        store = self._opened()
        self._check_dimension(store.dimension, store.title)
        vectors = self._encoded(texts, role)
        return unit_vectors(vectors) if store.similarity == "cosine" else vectors

    def _asking(self, texts: Sequence[str]) -> Ask:
        store, vectors = self._opened(), self._vectors(texts, "query")
        return lambda lines, k: store.nearest(vectors[lines], k)

    def _scores_of(
        self, queries: Queries, owner: NDArray[np.int64], places: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        return pair_similarity(
            self._vectors(queries.texts, "query"), owner, self._positives(queries, places),
            np.arange(len(places)), self._opened().similarity,
        )  # fmt: skip

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
        texts = self._texts_of(queries, places[~known])
        if texts:
            out[~known] = self._vectors(texts, "document")
        return out
