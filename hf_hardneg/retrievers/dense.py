"""Dense retrieval: documents whose vectors are near the query's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.approximate import SAMPLE, ApproximateIndex, automatic_index
from hf_hardneg.cache import cache_root
from hf_hardneg.candidates import NO_ROW, Queries
from hf_hardneg.checks import at_least, one_of, whole_number
from hf_hardneg.corpus import Corpus
from hf_hardneg.devices import check_search_device
from hf_hardneg.distinct import as_rows
from hf_hardneg.distributed import world
from hf_hardneg.encoder_cost import (
    PROBE,
    Texts,
    encoding,
    in_places,
    loading,
    near_documents,
)
from hf_hardneg.encoder_facts import measure, notes_of
from hf_hardneg.encoders import (
    SentenceEncoder,
    encode_checked,
)
from hf_hardneg.errors import ModelError, ParameterError
from hf_hardneg.hashing import exact_keys
from hf_hardneg.model_stage import ModelStage
from hf_hardneg.retrievers.base import Hits, Retriever
from hf_hardneg.retrievers.dense_cost import search_rate, searching
from hf_hardneg.torch_search import nearest_on
from hf_hardneg.vector_search import exact_search, pair_similarity
from hf_hardneg.vectors import STORAGES, DocumentVectors, stored_bytes
from hf_hardneg.workers import usable_threads
from hf_hardneg.workload import Trial, Workload

__all__ = ["DEFAULT_MODEL", "DenseRetriever"]

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
GIGABYTE = 1e9
VECTORS_IN_MEMORY = 8
"""Bytes for each number of a vector that a search takes at most: read, and worked on."""
NEAR_QUERIES, NEAR_DOCUMENTS = 64, 256
"""That are compared for candidates to try a veto on."""
SHARE_FOR_BLOCKS = 0.5
"""Of the memory; the rest is for what faiss works with."""


def block_size(memory_gb: float, dimension: int) -> int:
    """Return how many vectors may be in memory at a time."""
    return max(int(memory_gb * GIGABYTE * SHARE_FOR_BLOCKS / (4 * dimension)), 1)


class DenseRetriever(ModelStage, Retriever):
    """Candidates by the similarity of vectors, in bounded memory.

    Each distinct text is encoded once. The vectors lie in the cache under the model's weights,
    the settings that change them, and the corpus, in shards that are written as they are made.
    The search reads them in blocks; its results are those of comparing everything with
    everything, with ties broken by the lower row.

    Source: V. Karpukhin et al., "Dense passage retrieval for open-domain question answering",
    EMNLP 2020; negatives by the model's own ranking: L. Xiong et al., ANCE, ICLR 2021. With a
    stronger model than the one to be trained this is the "teacher" of G. Moreira et al.,
    NV-Retriever, 2024.

    Args:
        corpus: the documents.
        model: a name on the Hub, a path, a loaded ``SentenceTransformer``, or an encoder such as
            :class:`~hf_hardneg.encoders.CallableEncoder`. A static embedding model is one too.
        top_k: candidates for each query.
        revision: branch, tag or commit of a model on the Hub.
        dtype: ``float32``, ``bfloat16``, ``float16``, or ``auto``: bfloat16 where the processor or
            GPU has it. With ``auto`` two machines may give slightly different vectors.
        query_prompt: put before each query; default: the model's own.
        document_prompt: put before each document; default: the model's own.
        max_length: tokens of a text that are used; default: the model's own limit.
        truncate_dim: how many of the first dimensions are used; default: all.
        similarity: ``cosine``, ``dot`` or ``euclidean`` (the negative distance); default: what
            the model declares.
        storage: of the documents' vectors: ``float32``, ``float16`` (half the space) or ``int8``
            (a quarter). Scores are of the stored vectors.
        index: ``exact``; ``auto``, which is exact below half a million distinct texts and
            approximate above; or a faiss factory string such as ``IVF4096,SQ8`` or ``HNSW32``.
            An approximate index proposes candidates and their scores stay exact; the share of
            the true neighbours that it finds is measured and stands in the report.
        backend: ``torch``, ``onnx`` or ``openvino``, as in sentence-transformers.
        batch_size: texts in a forward pass.
        device: where the model runs; default: sentence-transformers' choice. Of several processes
            on a machine each has a GPU of its own.
        search_device: where exact search looks for candidates: ``auto`` for the GPU where torch
            sees one (CUDA, ROCm, Apple's) and else the CPU, ``cpu``, ``cuda``, ``cuda:1`` or
            ``mps``. The results are equal to the last bit. Workers of ``num_proc`` have the CPU.
        memory_gb: gigabytes that the search may take, whatever the size of the corpus.
        cache_dir: where vectors are kept; see :func:`hf_hardneg.cache.cache_root`.

    Raises:
        ParameterError: a parameter out of range, or a setting of a model that brings its own.
        ModelError: the model cannot be had, or gives values that are not finite.
    """

    name = "dense"
    source = "Karpukhin et al., Dense passage retrieval, EMNLP 2020"
    costs = "every text is encoded once"
    settings = (
        "revision", "dtype", "query_prompt", "document_prompt", "max_length", "truncate_dim",
        "similarity", "backend",
    )  # fmt: skip
    gives = frozenset({"scores", "vectors", "unit vectors"})
    reads_keys = False
    batch_rows = 16_384
    """Each batch reads all vectors once, so large ones are cheaper."""

    def __init__(
        self,
        corpus: Corpus,
        *,
        model: Any = DEFAULT_MODEL,  # noqa: ANN401
        top_k: int = 100,
        revision: str | None = None,
        dtype: str = "float32",
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        max_length: int | None = None,
        truncate_dim: int | None = None,
        similarity: str | None = None,
        storage: str = "float32",
        index: str = "exact",
        backend: str = "torch",
        batch_size: int = 32,
        device: str | None = None,
        search_device: str = "auto",
        memory_gb: float = 1.0,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        """Check the parameters; the model is loaded when something has to be encoded."""
        self.corpus = Corpus.of(corpus, cache_dir)
        self.model = os.fspath(model) if isinstance(model, os.PathLike) else model
        self.top_k = whole_number(self.name, "top_k", top_k, 1)
        self.revision, self.dtype, self.device = revision, dtype, device
        self.query_prompt, self.document_prompt = query_prompt, document_prompt
        self.max_length, self.truncate_dim = (
            None if value is None else whole_number(self.name, name, value, 1)
            for name, value in (("max_length", max_length), ("truncate_dim", truncate_dim))
        )
        self.similarity, self.backend = similarity, backend
        if similarity not in (None, "cosine"):
            self.gives = type(self).gives - {"unit vectors"}
        self.storage = one_of(self.name, "storage", storage, STORAGES)
        self.index = index
        if not isinstance(index, str) or not index.strip():
            raise ParameterError(
                f"dense: index={index!r}; expected 'exact', 'auto' or a faiss factory string."
            )
        self.batch_size = whole_number(self.name, "batch_size", batch_size, 1)
        self.search_device = check_search_device(self.name, search_device)
        self.memory_gb = at_least(self.name, "memory_gb", memory_gb, 0.01)
        self.cache_dir = cache_dir
        self._forget()

    # -- vectors on disk ---------------------------------------------------------------------

    def _forget(self) -> None:
        super()._forget()
        self._documents: DocumentVectors | None = None
        self._approximate: ApproximateIndex | None = None
        self._recall: float | None = None

    def prepare(self) -> None:
        """Encode the documents that are not in the cache."""
        nearest_on(self.search_device, 0)  # a GPU that is not there is told before, not after
        self._refresh_model()
        documents = self._vectors()
        everyone = world()
        everyone.wait()
        documents.build(
            self._encode("document"),
            similarity=lambda: self._encoder.similarity,
            part=everyone.rank,
            parts=everyone.size,
        )
        if everyone.main and isinstance(self._encoder, SentenceEncoder):
            measure(self._encoder, documents)
        everyone.wait()
        self._open_index(documents)

    def prepare_queries(self, texts: Sequence[str]) -> None:
        """Encode the queries that are not in the cache, in an order that the rows do not decide."""
        everyone, kept = world(), self._kept("query")
        shards = kept.missing(texts)
        everyone.wait()  # all have looked at the same files before any of them writes
        kept.keep(shards[everyone.rank :: everyone.size], self._encode("query"))
        everyone.wait()
        kept.refresh()
        index = self._open_index(self._vectors())
        if index is not None:
            keys = exact_keys(texts)
            sample = [texts[place] for place in np.argsort(keys)[:SAMPLE]]
            vectors = self._encoded(sample, "query")
            self._recall = index.measure(vectors, self.top_k)

    def notes(self) -> tuple[str, ...]:
        """Say what a reader of the results should know of the vectors and of the search."""
        documents = self._ready()
        index, notes = self._open_index(documents), notes_of(self.name, documents.folder)
        if index is None:
            return notes
        known = "not measured" if self._recall is None else f"{self._recall:.3f}"
        return (
            *notes,
            f"{self.name}: {index.note()}; of the true {self.top_k} nearest of a sample of the "
            f"queries: {known}",
        )

    def _vectors(self) -> DocumentVectors:
        if self._documents is None:
            self._documents = DocumentVectors(
                cache_root(self.cache_dir) / "vectors",
                self.corpus,
                self.fingerprint(),
                self.storage,
            )
        return self._documents

    def _block(self, documents: DocumentVectors) -> int:
        """Return how many vectors may be in memory at a time."""
        return block_size(self.memory_gb, documents.dimension)

    def _open_index(self, documents: DocumentVectors) -> ApproximateIndex | None:
        """Return the approximate index, ``None`` where the search is exact."""
        factory = automatic_index(len(documents)) if self.index == "auto" else self.index
        if factory in (None, "exact"):
            return None
        if self._approximate is None:
            self._approximate = ApproximateIndex(
                documents, str(factory), self._block(documents), usable_threads()
            )
        return self._approximate

    def _ready(self) -> DocumentVectors:
        documents = self._vectors()
        if not documents.complete:
            self.prepare()
            documents = self._vectors()
        return documents

    def trial(self, work: Workload) -> Trial:
        """Time a few texts and a small search; see :meth:`Retriever.trial`."""
        load = loading(self.name, self._encoder)
        probe = encode_checked(self._encoder, [PROBE], "query")
        documents, kept = self._vectors(), self._kept("query")
        missing = documents.missing_numbers()
        rows = documents.first_rows(missing)
        texts = Texts(
            self.corpus.text_lengths()[rows],
            lambda places: self.corpus.texts(rows[places]),
            "document",
        )
        fresh = [text for shard in kept.missing(work.queries) for text in shard]
        dimension = probe.shape[1]
        phases = [
            load,
            encoding(self.name, self._encoder, texts, stored_bytes(dimension, self.storage), work),
            encoding(self.name, self._encoder, in_places(fresh, "query"), 4 * dimension, work),
        ]
        number = -(-len(work.queries) // work.processes)
        rate = search_rate(number, dimension, self.top_k, self._encoder.similarity, work.budget)
        block = block_size(self.memory_gb, dimension)
        search, notes = searching(self.name, self.index, number, len(documents), block, rate)
        room = min(int(self.memory_gb * GIGABYTE), VECTORS_IN_MEMORY * dimension * len(documents))
        search = replace(search, memory=room)
        some = documents.first_rows(
            np.unique(np.linspace(0, len(documents) - 1, NEAR_DOCUMENTS).astype(np.int64))
        )
        texts_of_some = self.corpus.texts(some)
        nearest = near_documents(
            self._encoder, list(work.tried[:NEAR_QUERIES]), texts_of_some, some
        )
        return Trial((*phases, search), work.negatives(nearest), notes)

    # -- search ------------------------------------------------------------------------------

    def search(self, queries: Queries) -> Hits:
        """Return the nearest documents; see :meth:`Retriever.search`."""
        import faiss

        documents = self._ready()
        shape = (len(queries), self.top_k)
        if not len(queries):
            return np.full(shape, NO_ROW, np.int64), np.full(shape, -np.inf, np.float32)
        vectors = self._encoded(queries.texts, "query")
        self._check_dimension(vectors, documents)
        faiss.omp_set_num_threads(usable_threads())
        index = self._open_index(documents)
        if index is not None:
            numbers, scores = index.search(vectors, self.top_k)
        else:
            blocks = documents.blocks(self._block(documents))
            memory = int(self.memory_gb * GIGABYTE * (1 - SHARE_FOR_BLOCKS))
            nearest = nearest_on(self.search_device, memory)
            numbers, scores = exact_search(
                vectors, blocks, self.top_k, documents.similarity, nearest
            )
        return as_rows(documents, numbers, scores)

    def _check_dimension(self, vectors: NDArray[np.float32], documents: DocumentVectors) -> None:
        if vectors.shape[1] != documents.dimension:
            raise ModelError(
                f"the encoder {self._encoder.name!r} gives queries of {vectors.shape[1]} "
                f"dimensions, and the documents have {documents.dimension}. Give the model that "
                "both were made with."
            )

    def positive_scores(self, queries: Queries, hits: Hits) -> NDArray[np.float32]:
        """Return the similarity of each positive, in the corpus or not."""
        documents = self._ready()
        owner = np.repeat(np.arange(len(queries)), queries.positives_per_query)
        scores = np.empty(len(owner), dtype=np.float32)
        if not len(owner):
            return scores
        vectors = self._encoded(queries.texts, "query")
        inside = queries.positive_rows != NO_ROW
        numbers, place = np.unique(
            documents.numbers_of(queries.positive_rows[inside]), return_inverse=True
        )
        scores[inside] = pair_similarity(
            vectors, owner[inside], documents.take(numbers), place, documents.similarity
        )
        outside = np.flatnonzero(~inside)
        if len(outside):
            texts = [queries.positive_texts[int(place)] for place in outside]
            others = self._encoded(texts, "document")
            scores[outside] = pair_similarity(
                vectors, owner[outside], others, np.arange(len(texts)), documents.similarity
            )
        return scores

    # -- what other stages ask ---------------------------------------------------------------

    @property
    def unit_vectors(self) -> bool:
        """Whether scores are cosines, as the vectors on disk say, or else the model.

        Without vectors a model is opened that has to say so itself.
        """
        documents = self._vectors()
        # A model that did not come along to this process cannot be asked; its vectors can.
        told = documents if documents.complete else self._encoder
        return told.similarity == "cosine"

    @property
    def dimension(self) -> int:
        """Length of the documents' vectors."""
        return self._ready().dimension

    def scores_are_similarities(self, sources: tuple[str, ...]) -> bool:
        """Return whether the candidates were found by vectors alone."""
        return sources == self.source_names

    def document_similarity(
        self, one: NDArray[np.int64], other: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the similarity of pairs of documents; see :class:`VectorSource`."""
        documents = self._ready()
        numbers, place = np.unique(
            documents.numbers_of(np.concatenate([one, other])), return_inverse=True
        )
        vectors = documents.take(numbers)
        return pair_similarity(
            vectors, place[: len(one)], vectors, place[len(one) :], documents.similarity
        )

    def query_similarity(
        self, texts: Sequence[str], lines: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the similarity of queries and documents; see :class:`VectorSource`."""
        documents = self._ready()
        numbers, place = np.unique(documents.numbers_of(rows), return_inverse=True)
        vectors = self._encoded(texts, "query")
        return pair_similarity(vectors, lines, documents.take(numbers), place, documents.similarity)
