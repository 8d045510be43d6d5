"""Late interaction: the candidates of another retriever, scored anew token by token."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.backends import DTYPES
from hf_hardneg.cache import cache_root
from hf_hardneg.candidates import NO_ROW, Candidates, Queries
from hf_hardneg.checks import one_of, whole_number
from hf_hardneg.errors import ParameterError
from hf_hardneg.hashing import exact_keys
from hf_hardneg.models import LoadedModel
from hf_hardneg.multi_vector_encoder import MultiVectorModel
from hf_hardneg.retrievers.base import JoinedRetriever, Retriever
from hf_hardneg.retrievers.multi_vector_cost import late_interaction_phases
from hf_hardneg.retrievers.multi_vector_scores import LateInteraction
from hf_hardneg.token_store import STORAGES, TextSource
from hf_hardneg.workload import Trial, Workload

__all__ = ["DEFAULT_MODEL", "MultiVectorRetriever"]

DEFAULT_MODEL = "lightonai/GTE-ModernColBERT-v1"
WEIGHTS = "weights"
MOST_ROWS = 2_000
"""Queries in a batch: the vectors of all of their tokens are in memory."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """What the first retriever lists: arrays of shape (batch, its top_k)."""

    rows: NDArray[np.int64]
    sources: NDArray[np.int8]
    source_ranks: NDArray[np.int32]


class MultiVectorRetriever(JoinedRetriever):
    """The candidates of another retriever in the order of a late-interaction model.

    Such a model (ColBERT and its kind) has a vector for each token. The score is MaxSim: for each
    token of the query the largest inner product with a token of the document, added up. All that
    ``first`` lists is scored, and so is every positive; ranks are those of the new order.
    ``source_ranks`` keeps where each candidate stood in the list of ``first``, or in those of all
    retrievers that ``first`` joins.

    Only the texts that are listed are encoded, and the positives, each distinct one once. The
    vectors lie in the cache under the model's weights, the settings that change them, and the
    text's content, so another strategy over the same texts encodes nothing. They take
    tokens x dimension x 4 bytes: 18 GB for 200,000 documents of 180 tokens and 128 dimensions.
    :class:`~hf_hardneg.miner.OfflineMiner` lets ``first`` search all queries once before the
    mining itself, to know what has to be encoded.

    In a strategy string it stands right after the retrievers, or after their fusion:
    ``"bm25@200+multi-vector(model='...', top_k=100)"``.

    Source: O. Khattab, M. Zaharia, "ColBERT: Efficient and effective passage search via
    contextualized late interaction over BERT", SIGIR 2020, section 3.5 (re-ranking).

    Args:
        first: the retriever whose candidates are scored.
        model: a name on the Hub, a path, or a loaded ``MultiVectorEncoder``. It declares whether
            scores are ``maxsim`` or ``meanmaxsim``, which divides by the query's tokens.
        top_k: how many are kept; default: all that ``first`` lists. Not more than that.
        revision: branch, tag or commit of a model on the Hub.
        dtype: ``float32``, ``bfloat16``, ``float16``, or ``auto``: bfloat16 where the processor or
            GPU has it. With ``auto`` two machines may give slightly different vectors.
        query_prompt: put before each query; default: the model's own.
        document_prompt: put before each document; default: the model's own.
        max_length: tokens of a document that are used; default: the model's own limit. The
            length of queries, and how they are expanded, is the model's.
        storage: of the documents' vectors: ``float32`` or ``float16`` (half the space). Scores
            are of the stored vectors.
        batch_size: texts in a forward pass.
        device: where the model runs; default: sentence-transformers' choice.
        cache_dir: where vectors are kept; see :func:`hf_hardneg.cache.cache_root`.

    Raises:
        ParameterError: ``first`` is no retriever, a parameter out of range, more candidates than
            ``first`` lists, or a setting of a loaded model, which has its own.
        ModelError: the model cannot be had, is no multi-vector model, or gives values that are
            not finite.
    """

    name = "multi-vector"
    source = "Khattab and Zaharia, ColBERT, SIGIR 2020"
    costs = "every candidate is encoded once"
    parts_parameter = "first"
    wants = "scores the candidates of retrievers anew"
    example = "bm25@200+multi-vector(top_k=100)+margin(relative=0.05)"
    encodes_queries = True
    encodes_candidates = True
    keeps_source_ranks = True

    def __init__(
        self,
        first: Retriever,
        *,
        model: Any = DEFAULT_MODEL,  # noqa: ANN401
        top_k: int | None = None,
        revision: str | None = None,
        dtype: str = "float32",
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        max_length: int | None = None,
        storage: str = "float32",
        batch_size: int = 32,
        device: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        """Check the parameters; the model is loaded when something has to be encoded."""
        if not isinstance(first, Retriever):
            raise ParameterError(
                f"{self.name}: first={first!r}; expected a retriever, such as "
                "BM25Retriever(corpus, top_k=200), whose candidates are to be scored."
            )
        self.first, self.corpus = first, first.corpus
        self.top_k = self._checked_depth(top_k)
        self.model = os.fspath(model) if isinstance(model, os.PathLike) else model
        self.revision, self.device = revision, device
        self.dtype = one_of(self.name, "dtype", dtype, DTYPES)
        self.query_prompt, self.document_prompt = query_prompt, document_prompt
        self.max_length = (
            None if max_length is None else whole_number(self.name, "max_length", max_length, 1)
        )
        self.storage = one_of(self.name, "storage", storage, STORAGES)
        self.batch_size = whole_number(self.name, "batch_size", batch_size, 1)
        self.cache_dir = cache_dir
        self._refuse_loading_options()
        self._forget()

    def _checked_depth(self, top_k: int | None) -> int:
        if top_k is None:
            return self.first.top_k
        depth = whole_number(self.name, "top_k", top_k, 1)
        if depth > self.first.top_k:
            raise ParameterError(
                f"{self.name}: top_k={depth}, and {self.first.name!r} lists only "
                f"{self.first.top_k} for each query. Let it list more, such as "
                f"'bm25@{depth}+{self.name}', or ask for fewer."
            )
        return depth

    def _refuse_loading_options(self) -> None:
        """Refuse what a loaded model has already."""
        for name, plain in (("revision", None), ("device", None), ("dtype", "float32")):
            if getattr(self, name) != plain and not isinstance(self.model, str):
                raise ParameterError(
                    f"{self.name}: {name}={getattr(self, name)!r} is given with a loaded model, "
                    "which has its own. Set it where the model is loaded, or give the model's "
                    "name or path."
                )

    # -- the recipe --------------------------------------------------------------------------

    @property
    def parts(self) -> tuple[Retriever, ...]:
        """The retriever whose candidates are scored."""
        return (self.first,)

    @property
    def source_names(self) -> tuple[str, ...]:
        """Names of the retrievers that found the candidates."""
        return self.first.source_names

    @property
    def batch_rows(self) -> int:  # type: ignore[override]
        """As ``first`` wants, and no more than the vectors of the queries have room for."""
        return min(self.first.batch_rows, MOST_ROWS)

    def parameters(self) -> dict[str, Any]:
        """Return the parameters that differ from their defaults; a loaded model by its name."""
        values = super().parameters()
        if self.top_k == self.first.top_k:
            values.pop("top_k", None)
        if "model" in values:
            values["model"] = self._late.encoder.name
        return values

    def __repr__(self) -> str:
        """Return the constructor call."""
        inside = "".join(f", {name}={value!r}" for name, value in self.parameters().items())
        return f"MultiVectorRetriever({self.first!r}{inside})"

    def fingerprint(self) -> str:
        """Return the hash of all that decides the vectors."""
        return self._late.encoder.fingerprint()

    def models(self) -> dict[str, dict[str, str]]:
        """Return what identifies the models: those of ``first``, and its own."""
        models = self.first.models()
        number = sum(name.startswith(self.name) for name in models)
        own = self.name if not number else f"{self.name}-{number + 1}"
        return {**models, own: {"model": self._late.encoder.name, "weights": self.fingerprint()}}

    def __getstate__(self) -> dict[str, Any]:
        """Return the parameters and the weights' hash; a loaded model goes as its hash alone."""
        state = super().__getstate__()
        if not isinstance(self.model, str):
            state["model"] = LoadedModel(self._late.encoder.name, self._late.encoder.weights())
        return {**state, WEIGHTS: self.fingerprint()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the retriever anew; the weights' hash is not worked out again."""
        super().__setstate__({name: value for name, value in state.items() if name != WEIGHTS})
        self._late.encoder.known(state[WEIGHTS])

    def _forget(self) -> None:
        """Begin as if nothing had been used yet."""
        encoder = MultiVectorModel(
            self.model,
            revision=self.revision,
            dtype=self.dtype,
            query_prompt=self.query_prompt,
            document_prompt=self.document_prompt,
            max_length=self.max_length,
            device=self.device,
            batch_size=self.batch_size,
        )
        home = cache_root(self.cache_dir) / "multi-vector"
        self._late = LateInteraction(encoder, home, self.storage)

    # -- vectors on disk ---------------------------------------------------------------------

    def prepare(self) -> None:
        """Prepare ``first``, and look whether the model is still the one that was used."""
        super().prepare()
        if not self._late.encoder.unchanged():
            self._forget()

    def prepare_queries(self, texts: Sequence[str]) -> None:
        """Encode the queries that are not in the cache, in an order that the rows do not decide."""
        super().prepare_queries(texts)
        self._late.encoded("query", TextSource(texts=texts), together=True)

    def prepare_candidates(self, batches: Iterable[Queries]) -> None:
        """Encode the candidates and positives of all queries that are not in the cache."""
        super().prepare_candidates(batches)
        wanted = np.zeros(len(self.corpus), np.bool_)
        others: dict[str, None] = {}
        for queries in batches:
            rows, texts = self._needed(queries, self._listed(queries).rows)
            wanted[rows] = True
            others.update(dict.fromkeys(texts))
        source = TextSource(self.corpus, np.flatnonzero(wanted), others)
        self._late.encoded("document", source, together=True)

    def notes(self) -> tuple[str, ...]:
        """Say which share of the documents the model does not read to their end."""
        cut, number = self._late.too_long
        if not cut:
            return super().notes()
        return (
            *super().notes(),
            f"{self.name}: {cut} of {number} encoded documents ({cut / number:.0%}) are longer "
            "than the model reads: their ends are not seen.",
        )

    def _needed(
        self, queries: Queries, listed: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], list[str]]:
        """Return the rows, and the texts without a row, that are candidates or positives."""
        rows = np.concatenate([listed.ravel(), queries.positive_rows])
        outside = np.flatnonzero(queries.positive_rows == NO_ROW)
        return np.unique(rows[rows != NO_ROW]), [queries.positive_texts[int(at)] for at in outside]

    def trial(self, work: Workload) -> Trial:
        """Try ``first``, then a few texts and scores; see :meth:`Retriever.trial`."""
        before = super().trial(work)
        width = np.dtype(self.storage).itemsize
        own = late_interaction_phases(
            self.name, self._late.encoder.encode, self.corpus, self.first.top_k, width, work
        )
        return replace(before, phases=(*before.phases, *own))

    # -- scores ------------------------------------------------------------------------------

    def _listed(self, queries: Queries) -> _Listed:
        """Return the candidates; positives are not scored by ``first`` where that can be left."""
        if self.first.keeps_source_ranks:
            found = self.first.retrieve(queries)
            if found.source_ranks is not None:
                return _Listed(found.rows, found.sources, found.source_ranks)
        rows, _ = self.first.search(queries)
        filled = rows != NO_ROW
        ranks = np.where(filled, np.arange(1, rows.shape[1] + 1, dtype=np.int32), np.int32(0))
        sources = np.where(filled, np.int8(0), np.int8(-1)).astype(np.int8)
        return _Listed(rows, sources, ranks.astype(np.int32)[:, :, None])

    def retrieve(self, queries: Queries) -> Candidates:
        """Return the candidates of ``first``, best first by the new score."""
        listed = self._listed(queries)
        scores, positive_scores = self._scores(queries, listed.rows)
        order = np.lexsort((listed.rows, -scores), axis=1)[:, : self.top_k]
        rows = np.take_along_axis(listed.rows, order, axis=1)
        filled = rows != NO_ROW
        ranks = np.where(filled, np.arange(1, rows.shape[1] + 1, dtype=np.int32), np.int32(0))
        return Candidates(
            rows=rows,
            scores=np.take_along_axis(scores, order, axis=1),
            ranks=ranks.astype(np.int32),
            sources=np.take_along_axis(listed.sources, order, axis=1),
            document_keys=self.corpus.document_keys[np.maximum(rows, 0)],
            positive_scores=positive_scores,
            source_names=self.source_names,
            source_ranks=np.take_along_axis(listed.source_ranks, order[:, :, None], axis=1),
        )

    def _scores(
        self, queries: Queries, listed: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the scores of the candidates and of the positives, each pair's worked out once."""
        scores = np.full(listed.shape, -np.inf, np.float32)
        rows, texts = self._needed(queries, listed)
        source = TextSource(self.corpus, rows, texts)
        lines, slots = np.nonzero(listed != NO_ROW)
        owner = np.repeat(np.arange(len(queries)), queries.positives_per_query)
        if not len(lines) + len(owner):
            return scores, np.zeros(0, np.float32)
        inside = queries.positive_rows != NO_ROW
        positive_keys = np.zeros(len(owner), np.uint64)
        positive_keys[inside] = source.keys_of(queries.positive_rows[inside])
        positive_keys[~inside] = exact_keys(texts)
        values = self._late.scores(
            queries.texts,
            np.concatenate([lines, owner]),
            source,
            np.concatenate([source.keys_of(listed[lines, slots]), positive_keys]),
        )
        scores[lines, slots] = values[: len(lines)]
        return scores, values[len(lines) :]
