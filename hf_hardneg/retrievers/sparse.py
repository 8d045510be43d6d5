"""Sparse retrieval: documents that share dimensions with the query, as a sparse encoder sees it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.cache import cache_root
from hf_hardneg.candidates import NO_ROW, Queries
from hf_hardneg.checks import at_least, whole_number
from hf_hardneg.corpus import Corpus
from hf_hardneg.distinct import as_rows
from hf_hardneg.errors import ModelError, ParameterError
from hf_hardneg.models import LoadedModel
from hf_hardneg.retrievers.base import Hits, Retriever
from hf_hardneg.sparse_encoder import SparseModel
from hf_hardneg.sparse_search import document_products, pair_products, sparse_search
from hf_hardneg.sparse_store import SparseDocuments, SparseTexts
from hf_hardneg.sparse_vectors import SparseVectors
from hf_hardneg.workers import usable_threads

__all__ = ["DEFAULT_MODEL", "SparseRetriever"]

DEFAULT_MODEL = "naver/splade-cocondenser-ensembledistil"
WEIGHTS = "weights"
GIGABYTE = 1e9
BYTES_PER_SLOT = 128
"""What a place in the result takes at most while it is found and put in order."""


class SparseRetriever(Retriever):
    """Candidates by the inner product of sparse vectors such as SPLADE's, exact.

    Each distinct text is encoded once. The vectors lie in the cache under the model's weights,
    the settings that change them, and the corpus, as an inverted index in shards that are written
    as they are made and memory-mapped by every process. A document whose score is not above zero,
    because it shares no active dimension with the query, is never a candidate, so a query may
    have fewer than ``top_k``.

    SPLADE gives a weight to every word of its vocabulary for every token of a batch before it
    keeps the largest, which takes ``batch_size`` x tokens x vocabulary x 4 bytes, several times.
    The default model may not be used commercially (CC BY-NC-SA 4.0).

    Source: T. Formal et al., "SPLADE v2: Sparse lexical and expansion model for information
    retrieval", 2021; T. Formal et al., "From distillation to hard negative sampling: Making
    sparse neural IR models more effective", SIGIR 2022 (SPLADE++, whose model is the default).

    Args:
        corpus: the documents.
        model: a name on the Hub, a path, or a loaded ``SparseEncoder``. Its vectors are compared
            by ``dot`` or ``cosine``, as it declares.
        top_k: candidates for each query.
        revision: branch, tag or commit of a model on the Hub.
        max_length: tokens of a text that are used; default: the model's own limit.
        max_active_dims: how many of the largest weights of a text are kept; default: the model's
            own choice, mostly all.
        batch_size: texts in a forward pass.
        device: where the model runs; default: sentence-transformers' choice.
        memory_gb: gigabytes that the results of a search may take while they are worked out,
            whatever the size of the corpus.
        cache_dir: where vectors are kept; see :func:`hf_hardneg.cache.cache_root`.

    Raises:
        ParameterError: a parameter out of range, or a setting of a loaded model, which has its
            own.
        ModelError: the model cannot be had, is no sparse encoder, or gives values that are not
            finite.
    """

    name = "sparse"
    source = "Formal et al., SPLADE v2, 2021"
    costs = "every text is encoded once"
    encodes_queries = True
    batch_rows = 16_384
    """Each batch reads the whole index once, so large ones are cheaper."""

    def __init__(
        self,
        corpus: Corpus,
        *,
        model: Any = DEFAULT_MODEL,  # noqa: ANN401
        top_k: int = 100,
        revision: str | None = None,
        max_length: int | None = None,
        max_active_dims: int | None = None,
        batch_size: int = 32,
        device: str | None = None,
        memory_gb: float = 1.0,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        """Check the parameters; the model is loaded when something has to be encoded."""
        self.corpus = Corpus.of(corpus, cache_dir)
        self.model = os.fspath(model) if isinstance(model, os.PathLike) else model
        self.top_k = whole_number(self.name, "top_k", top_k, 1)
        self.revision, self.device = revision, device
        self.max_length, self.max_active_dims = (
            None if value is None else whole_number(self.name, name, value, 1)
            for name, value in (("max_length", max_length), ("max_active_dims", max_active_dims))
        )
        self.batch_size = whole_number(self.name, "batch_size", batch_size, 1)
        self.memory_gb = at_least(self.name, "memory_gb", memory_gb, 0.01)
        self.cache_dir = cache_dir
        for name in ("revision", "max_length", "device"):
            if getattr(self, name) is not None and not isinstance(self.model, str):
                raise ParameterError(
                    f"sparse: {name}={getattr(self, name)!r} is given with a loaded model, which "
                    "has its own. Set it where the model is loaded, or give the model's name or "
                    "path."
                )
        self._forget()

    # -- the model ---------------------------------------------------------------------------

    def _forget(self) -> None:
        """Begin as if nothing had been used yet."""
        self._encoder = SparseModel(
            self.model,
            revision=self.revision,
            max_length=self.max_length,
            max_active_dims=self.max_active_dims,
            device=self.device,
            batch_size=self.batch_size,
        )
        self._documents: SparseDocuments | None = None
        self._texts: dict[str, SparseTexts] = {}

    def fingerprint(self) -> str:
        """Return the hash of all that decides the vectors."""
        return self._encoder.fingerprint()

    def models(self) -> dict[str, dict[str, str]]:
        """Return the model's name and the hash of what decides its vectors."""
        return {self.name: {"model": self._encoder.name, "weights": self.fingerprint()}}

    def parameters(self) -> dict[str, Any]:
        """Return the parameters; a loaded model stands there by its name."""
        values = super().parameters()
        if "model" in values:
            values["model"] = self._encoder.name
        return values

    def __getstate__(self) -> dict[str, Any]:
        """Return the parameters and the weights' hash; a loaded model goes as its hash alone."""
        state = super().__getstate__()
        if not isinstance(self.model, str):
            state["model"] = LoadedModel(self._encoder.name, self._encoder.weights())
        return {**state, WEIGHTS: self.fingerprint()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the retriever anew; the weights' hash is not worked out again."""
        super().__setstate__({name: value for name, value in state.items() if name != WEIGHTS})
        self._encoder.known(state[WEIGHTS])

    # -- vectors on disk ---------------------------------------------------------------------

    def _home(self) -> Path:
        return cache_root(self.cache_dir) / "sparse"

    def _encode(self, role: str) -> Callable[[list[str]], SparseVectors]:
        return partial(self._encoder.encode, role=role)

    def prepare(self) -> None:
        """Encode the documents that are not in the cache."""
        if not self._encoder.unchanged():
            self._forget()
        self._vectors().build(self._encode("document"))

    def prepare_queries(self, texts: Sequence[str]) -> None:
        """Encode the queries that are not in the cache, in an order that the rows do not decide."""
        self._kept("query").add(texts, self._encode("query"))

    def _vectors(self) -> SparseDocuments:
        if self._documents is None:
            self._documents = SparseDocuments(self._home(), self.corpus, self.fingerprint())
        return self._documents

    def _kept(self, role: str) -> SparseTexts:
        if role not in self._texts:
            self._texts[role] = SparseTexts(self._home() / "texts" / self.fingerprint() / role)
        return self._texts[role]

    def _ready(self) -> SparseDocuments:
        if self._vectors().missing():
            self.prepare()
        return self._vectors()

    def _queries(self, texts: Sequence[str], documents: SparseDocuments) -> SparseVectors:
        """Return the vectors of queries, of the same dimensions as the documents."""
        vectors = self._kept("query").of(texts, self._encode("query"))
        if vectors.dimension != documents.dimension:
            raise ModelError(
                f"the model {self._encoder.name!r} gives queries of {vectors.dimension} "
                f"dimensions, and the documents have {documents.dimension}. Give a model with one "
                "vocabulary for both."
            )
        return vectors

    # -- search ------------------------------------------------------------------------------

    def search(self, queries: Queries) -> Hits:
        """Return the documents of the highest score; see :meth:`Retriever.search`."""
        documents = self._ready()
        rows = np.full((len(queries), self.top_k), NO_ROW, dtype=np.int64)
        scores = np.full((len(queries), self.top_k), -np.inf, dtype=np.float32)
        if not len(queries):
            return rows, scores
        vectors = self._queries(queries.texts, documents)
        portion = max(int(self.memory_gb * GIGABYTE / (BYTES_PER_SLOT * self.top_k)), 1)
        for start in range(0, len(queries), portion):
            own = np.arange(start, min(start + portion, len(queries)))
            found = sparse_search(vectors.take(own), documents, self.top_k, usable_threads())
            rows[own], scores[own] = as_rows(documents, *found)
        return rows, scores

    def positive_scores(self, queries: Queries, hits: Hits) -> NDArray[np.float32]:
        """Return the score of each positive, in the corpus or not; 0 where nothing is shared."""
        documents = self._ready()
        owner = np.repeat(np.arange(len(queries)), queries.positives_per_query)
        scores = np.zeros(len(owner), dtype=np.float32)
        if not len(owner):
            return scores
        vectors = self._queries(queries.texts, documents)
        inside = queries.positive_rows != NO_ROW
        numbers = documents.numbers_of(queries.positive_rows[inside])
        scores[inside] = document_products(vectors, owner[inside], documents, numbers)
        outside = np.flatnonzero(~inside)
        if len(outside):
            texts = [queries.positive_texts[int(place)] for place in outside]
            others = self._kept("document").of(texts, self._encode("document"))
            scores[outside] = pair_products(
                vectors, owner[outside], others, np.arange(len(outside))
            )
        return scores
