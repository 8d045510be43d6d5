"""Dense retrieval from a Weaviate collection."""

from __future__ import annotations

import os
from typing import Any

from hf_hardneg.checks import whole_number
from hf_hardneg.errors import ParameterError
from hf_hardneg.retrievers.base import Retriever
from hf_hardneg.retrievers.weaviate_store import WeaviateStore
from hf_hardneg.retrievers.weaviate_store_protocol import Address
from hf_hardneg.store_search import StoreStage

__all__ = ["WeaviateRetriever"]


class WeaviateRetriever(StoreStage, Retriever):
    """Candidates from a Weaviate collection, which holds texts and vectors of the documents.

    Scores are the distances of the collection, turned round: cosine, inner product or negative
    Euclidean distance. Where it keeps its vectors compressed, they are as exact as that. A
    positive that was not found is scored by its vector in the collection, or, where it is not
    there, by encoding its text. An approximate search finds what it finds; with equal scores the
    lower row comes first.

    Retrieve with ``num_proc=None``: gRPC does not work in forked processes.

    An API key comes from the environment variable ``WEAVIATE_API_KEY``, and from nowhere else.

    A pool is kept under the corpus and these parameters. When vectors of the collection change
    and its texts do not, mine with ``resume=False``.

    Args:
        corpus: the documents, with ids as in the collection. Without one they are read from the
            collection, all of them each time; pass :attr:`corpus` on to save that.
        url: address of the server, for example ``http://localhost:8080``; version 1.27 or newer.
        collection: its name. It must not be divided among tenants.
        model: what the vectors were made with: a name on the Hub, a path, a loaded
            ``SentenceTransformer``, or an encoder such as
            :class:`~hf_hardneg.encoders.CallableEncoder`.
        top_k: candidates for each query; more than 10,000 only if the server allows it.
        vector_name: which of the named vectors of an object; default: the one without a name, or
            the only one.
        text_field: property with the text.
        id_field: property with the document's id: a text (with the tokenization ``field``), a
            UUID or a whole number; default: the object's UUID.
        grpc_port: of the server's gRPC interface, where it is searched.
        grpc_host: of the gRPC interface; default: that of ``url``. In Weaviate Cloud the two
            differ, and the port is 443.
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
        ParameterError: a parameter out of range, a url that is no address by HTTP, or one with a
            password in it.
        CorpusError: the server gives no answer, there is no such collection, vector or property,
            or the collection and the corpus are of different documents.
        PoolError: vectors that are not of length one, when queries are to be.
        ModelError: the model cannot be had, or gives vectors of another dimension.
        MissingExtraError: ``weaviate-client`` is not installed.
    """

    name = "weaviate"
    costs = "queries are encoded"
    brings_corpus = True

    def __init__(
        self,
        corpus: Any = None,  # noqa: ANN401
        *,
        url: str,
        collection: str,
        model: Any,  # noqa: ANN401
        top_k: int = 100,
        vector_name: str | None = None,
        text_field: str = "text",
        id_field: str | None = None,
        grpc_port: int = 50051,
        grpc_host: str | None = None,
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
        self.grpc_port = whole_number(self.name, "grpc_port", grpc_port, 1)
        if not (grpc_host is None or (isinstance(grpc_host, str) and grpc_host)):
            raise ParameterError(f"weaviate: grpc_host={grpc_host!r}; expected a host's name.")
        self.grpc_host = grpc_host
        Address(url, grpc_host, grpc_port)  # refuses what is none
        super().__init__(
            corpus,
            url=url,
            collection=collection,
            model=model,
            top_k=top_k,
            vector_name=vector_name,
            text_field=text_field,
            id_field=id_field,
            normalize=normalize,
            timeout=timeout,
            retries=retries,
            revision=revision,
            query_prompt=query_prompt,
            document_prompt=document_prompt,
            batch_size=batch_size,
            device=device,
            cache_dir=cache_dir,
        )

    def _connect(self) -> WeaviateStore:
        return WeaviateStore(
            self.url,
            self.collection,
            grpc_host=self.grpc_host,
            grpc_port=self.grpc_port,
            vector_name=self.vector_name,
            text_field=self.text_field,
            id_field=self.id_field,
            timeout=self.timeout,
            retries=self.retries,
            top_k=self.top_k,
        )
