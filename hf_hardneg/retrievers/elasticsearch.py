"""Retrieval from an Elasticsearch index: by words, or by vectors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import NO_ROW, Queries
from hf_hardneg.checks import whole_number
from hf_hardneg.collection_search import (
    DOCUMENTS_AT_ONCE,
    QUERIES_AT_ONCE,
    Ask,
    CollectionStage,
)
from hf_hardneg.encoders import unit_vectors
from hf_hardneg.errors import ParameterError, listing
from hf_hardneg.retrievers.base import Retriever
from hf_hardneg.retrievers.elasticsearch_store import MOST, ElasticsearchStore, Query
from hf_hardneg.text_encoding import EncodingStage
from hf_hardneg.vector_search import pair_similarity

__all__ = ["ElasticsearchRetriever"]

OF_VECTORS = (
    "vector_field", "exact", "num_candidates", "normalize", "revision", "query_prompt",
    "document_prompt",
)  # fmt: skip


class ElasticsearchRetriever(CollectionStage[ElasticsearchStore], EncodingStage, Retriever):
    """Candidates from an Elasticsearch index, which holds texts, and may hold vectors.

    Without ``model`` the index is searched by words: a match query on ``text_field``, with the
    analyzer and the similarity of the index, and statistics of all shards together, so that equal
    texts have equal scores. A document without a match is never a candidate, so a query may have
    fewer than ``top_k``. A positive is scored by the same query. One that does not match, or is
    not in the index, has the score 0, as any document without a match; a margin then keeps
    nothing.

    With ``model``, the candidates are those of a kNN search in a ``dense_vector`` field, which is
    approximate unless ``exact``. Scores are turned back from Elasticsearch's own: to the cosine
    (for ``cosine`` and ``dot_product``), the inner product (``max_inner_product``) or the negative
    Euclidean distance (``l2_norm``). A positive is scored by the same search, restricted to it;
    one without a vector in the index is encoded. An index that quantizes its vectors may give the
    scores of the quantized ones.

    With equal scores the lower row comes first; where more than 10,000 documents are equal, the
    index chooses among them.

    An API key (the encoded form) comes from the environment variable ``ELASTICSEARCH_API_KEY``,
    and from nowhere else; the file with a certificate of your own from ``SSL_CERT_FILE``. The
    package ``elasticsearch`` must be of the server's main version: 9 does not speak to 8.

    A pool is kept under the corpus and these parameters. When vectors or settings of the index
    change and its texts do not, mine with ``resume=False``.

    Args:
        corpus: the documents, with ids as in the index. Without one they are read from the index,
            all of them each time; pass :attr:`corpus` on to save that.
        url: address of the server with its port, for example ``http://localhost:9200``.
        collection: name of the index, of an alias, or of a data stream.
        model: what the vectors were made with: a name on the Hub, a path, a loaded
            ``SentenceTransformer``, or an encoder such as
            :class:`~hf_hardneg.encoders.CallableEncoder`. Default: search by words.
        top_k: candidates for each query, at most 10,000.
        vector_field: the field with the vectors; default: the only one of type ``dense_vector``.
        text_field: the field with the text.
        id_field: the field with the document's id, a keyword or a number; default: ``_id``.
            Documents are read in its order, and without one as the index holds them.
        exact: compare every document, by a script in the server, instead of the kNN search.
        num_candidates: vectors that the kNN search looks at in each shard, at most 10,000;
            default: 100, or half more than it returns.
        normalize: whether queries are brought to length one, where the index does not compare by
            cosine; default: if the model compares by cosine.
        timeout: seconds to wait for an answer; a request is not made anew later than that.
        retries: how often a request that failed is made anew.
        revision: branch, tag or commit of a model on the Hub.
        query_prompt: put before each query; default: the model's own.
        document_prompt: put before each text outside the index; default: the model's own.
        batch_size: texts in a forward pass.
        device: where the model runs; default: sentence-transformers' choice.
        cache_dir: where corpora and encoded queries are kept; see
            :func:`hf_hardneg.cache.cache_root`.

    Raises:
        ParameterError: a parameter out of range, one for vectors without a model, or a url
            without a port or with a password in it.
        CorpusError: the server gives no answer or is not Elasticsearch, there is no such index or
            field, or the index and the corpus are of different documents.
        PoolError: vectors that are not of length one, when queries are to be.
        ModelError: the model cannot be had, or gives vectors of another dimension.
        MissingExtraError: ``elasticsearch`` is not installed.
    """

    name = "elasticsearch"
    brings_corpus = True
    widest = MOST

    def __init__(
        self,
        corpus: Any = None,  # noqa: ANN401
        *,
        url: str,
        collection: str,
        model: Any = None,  # noqa: ANN401
        top_k: int = 100,
        vector_field: str | None = None,
        text_field: str = "text",
        id_field: str | None = None,
        exact: bool = False,
        num_candidates: int | None = None,
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
        self.vector_field, self.exact, self.num_candidates = vector_field, exact, num_candidates
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
        self._check()
        self._take_corpus(corpus, cache_dir)

    def _check(self) -> None:
        """Refuse parameters that Elasticsearch cannot serve, or that do not go together."""
        for name, value in (("top_k", self.top_k), ("num_candidates", self.num_candidates)):
            if value is not None and whole_number(self.name, name, value, 1) > MOST:
                raise ParameterError(
                    f"{self.name}: {name}={value}; Elasticsearch gives at most {MOST:,}."
                )
        if not isinstance(self.exact, bool):
            raise ParameterError(f"{self.name}: exact={self.exact!r}; expected True or False.")
        given = [name for name in OF_VECTORS if getattr(self, name) != self.defaults()[name]]
        if self.model is None and given:
            raise ParameterError(
                f"{self.name}: {listing(given)} is for a search in vectors, and there is no "
                "model. Give model=..., what the vectors were made with, or leave it out."
            )
        try:
            port = urlsplit(self.url).port
        except ValueError:
            port = None
        if not self.url.startswith(("http://", "https://")) or port is None:
            raise ParameterError(
                f"{self.name}: url={self.url!r}; expected scheme, host and port, for example "
                "http://localhost:9200."
            )

    def _connect(self) -> ElasticsearchStore:
        return ElasticsearchStore(
            self.url,
            self.collection,
            text_field=self.text_field,
            id_field=self.id_field,
            vectors=self.model is not None,
            vector_field=self.vector_field,
            exact=self.exact,
            num_candidates=self.num_candidates,
            timeout=self.timeout,
            retries=self.retries,
        )

    @property
    def encodes_queries(self) -> bool:  # type: ignore[override]
        """Whether there is a model to encode them."""
        return self.model is not None

    def prepare(self) -> None:
        """Check that the index, the corpus and the model belong together."""
        self._refresh_model()
        store = self._opened()
        if store.vector is not None:
            self._check_dimension(store.vector.dimension, store.title)
        ids = self._first_ids()
        held = store.held(ids)
        self._refuse_strangers(ids, held)
        vectors = [vector for vector in held.values() if vector]
        if store.vector is not None and store.vector.similarity != "cosine" and vectors:
            self._check_unit(np.array(vectors, dtype=np.float32), store.title)

    # -- search ------------------------------------------------------------------------------

    def _vectors(self, texts: Sequence[str], role: str) -> NDArray[np.float32]:
        """Return the vectors of texts as the index compares them."""
        store = self._opened()
        field = store.searched()
        self._check_dimension(field.dimension, store.title)
        vectors = self._encoded(texts, role)
        return unit_vectors(vectors) if field.similarity == "cosine" else vectors

    def _asked(self, texts: Sequence[str]) -> list[Query]:
        """Return queries as the index takes them: as words or as vectors."""
        return list(texts) if self.model is None else list(self._vectors(texts, "query"))

    def _asking(self, texts: Sequence[str]) -> Ask:
        store, asked = self._opened(), self._asked(texts)
        return lambda lines, k: store.best([asked[line] for line in lines], k)

    def _scores_of(
        self, queries: Queries, owner: NDArray[np.int64], places: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        rows = queries.positive_rows[places]
        inside = np.flatnonzero(rows != NO_ROW)
        names = dict(zip(inside.tolist(), self.corpus.ids(rows[inside]), strict=True))
        wanted: dict[int, list[str]] = {}
        for slot, name in names.items():
            wanted.setdefault(int(owner[slot]), []).append(name)
        known = self._scored(self._asked(queries.texts), wanted)
        scores = np.zeros(len(places), dtype=np.float32)
        missing = []
        for slot in range(len(places)):
            score = known.get((int(owner[slot]), names.get(slot, "")))
            if score is None:
                missing.append(slot)
            else:
                scores[slot] = score
        if self.model is not None and missing:
            scores[missing] = self._encoded_scores(queries, owner[missing], places[missing])
        return scores

    def _scored(
        self, asked: Sequence[Query], wanted: dict[int, list[str]]
    ) -> dict[tuple[int, str], float]:
        """Return the scores of documents by query and id, of those that the search can find."""
        parts = [
            (line, own[start : start + DOCUMENTS_AT_ONCE])
            for line, names in wanted.items()
            for own in [list(dict.fromkeys(names))]
            for start in range(0, len(own), DOCUMENTS_AT_ONCE)
        ]
        known: dict[tuple[int, str], float] = {}
        for start in range(0, len(parts), QUERIES_AT_ONCE):
            some = parts[start : start + QUERIES_AT_ONCE]
            found = self._opened().scores([asked[line] for line, _ in some], [i for _, i in some])
            for (line, _), own in zip(some, found, strict=True):
                known.update({(line, name): score for name, score in own})
        return known

    def _encoded_scores(
        self, queries: Queries, owner: NDArray[np.int64], places: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the similarities of positives that have no vector in the index."""
        return pair_similarity(
            self._vectors(queries.texts, "query"), owner,
            self._vectors(self._texts_of(queries, places), "document"),
            np.arange(len(places)), self._opened().searched().similarity,
        )  # fmt: skip
