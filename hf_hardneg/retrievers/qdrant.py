"""Dense retrieval from a Qdrant collection."""

from __future__ import annotations

from hf_hardneg.retrievers.base import Retriever
from hf_hardneg.retrievers.qdrant_store import QdrantStore
from hf_hardneg.store_search import StoreStage

__all__ = ["QdrantRetriever"]


class QdrantRetriever(StoreStage, Retriever):
    """Candidates from a Qdrant collection, which holds texts and vectors of the documents.

    Scores are those of the collection: cosine, inner product or negative Euclidean distance. A
    positive that was not found is scored by its vector in the collection, or, where it is not
    there, by encoding its text. An approximate search finds what it finds; with equal scores the
    lower row comes first.

    An API key comes from the environment variable ``QDRANT_API_KEY``, and from nowhere else.

    A pool is kept under the corpus and these parameters. When vectors of the collection change
    and its texts do not, mine with ``resume=False``.

    Args:
        corpus: the documents, with ids as in the collection. Without one they are read from the
            collection, all of them each time; pass :attr:`corpus` on to save that.
        url: address of the server, for example ``http://localhost:6333``, or a folder of Qdrant's
            local engine, which one process at a time can open.
        collection: its name.
        model: what the vectors were made with: a name on the Hub, a path, a loaded
            ``SentenceTransformer``, or an encoder such as
            :class:`~hf_hardneg.encoders.CallableEncoder`.
        top_k: candidates for each query.
        vector_name: which of the named vectors of a point; default: the one without a name.
        text_field: field of the payload with the text.
        id_field: field of the payload with the document's id; default: the point's id.
        normalize: whether queries are brought to length one, where the collection does not
            compare by cosine; default: if the model compares by cosine.
        timeout: seconds to wait for an answer; a request is not made anew later than that.
        retries: how often a request that failed is made anew.
        revision: branch, tag or commit of a model on the Hub.
        query_prompt: put before each query; default: the model's own.
        document_prompt: put before each text outside the collection; default: the model's own.
        batch_size: texts in a forward pass.
        device: where the model runs; default: sentence-transformers' choice.
        cache_dir: where corpora and encoded queries are kept; see
            :func:`hf_hardneg.cache.cache_root`.

    Raises:
        ParameterError: a parameter out of range, or a url with a password in it.
        CorpusError: the server gives no answer, there is no such collection, vector or field, or
            the collection and the corpus are of different documents.
        PoolError: vectors that are not of length one, when queries are to be.
        ModelError: the model cannot be had, or gives vectors of another dimension.
        MissingExtraError: ``qdrant-client`` is not installed.
    """

    name = "qdrant"
    costs = "queries are encoded"
    brings_corpus = True

    def _connect(self) -> QdrantStore:
        return QdrantStore(
            self.url,
            self.collection,
            vector_name=self.vector_name,
            text_field=self.text_field,
            id_field=self.id_field,
            timeout=self.timeout,
            retries=self.retries,
        )
