"""The contract of a retriever."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import NO_ROW, Candidates, Queries
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import StrategyError
from hf_hardneg.stage import Stage
from hf_hardneg.trials import try_on_a_part, try_search
from hf_hardneg.workload import Phase, Trial, Workload

__all__ = ["Hits", "JoinedRetriever", "Retriever"]

Hits = tuple[NDArray[np.int64], NDArray[np.float32]]


class Retriever(Stage, ABC):
    """Finds the candidates of a batch of queries.

    A subclass writes :meth:`search` and :meth:`positive_scores`. Its results must not depend on
    the batch, and ties are broken by the lower corpus row.

    Attributes:
        corpus: the documents.
        top_k: candidates to retrieve for each query.
        gives: what other stages may need of it, of :data:`~hf_hardneg.stage_inputs.NEEDS`.
        batch_rows: queries in a call of :meth:`search`; no influence on the result.
        encodes_queries: whether :meth:`prepare_queries` does anything.
        encodes_candidates: whether :meth:`prepare_candidates` does anything.
        reads_keys: whether ``queries.keys`` is looked at; without it they are all 0.
        brings_corpus: whether it reads the documents where it searches, if none are given.
    """

    batch_rows: ClassVar[int] = 2_000
    encodes_queries: ClassVar[bool] = False
    encodes_candidates: ClassVar[bool] = False
    brings_corpus: ClassVar[bool] = False
    reads_keys: ClassVar[bool] = True
    gives: frozenset[str] = frozenset({"scores"})
    corpus: Corpus
    top_k: int

    @property
    def scored(self) -> bool:
        """Whether scores mean anything; margins need a retriever with scores."""
        return "scores" in self.gives

    @property
    def parts(self) -> tuple[Retriever, ...]:
        """The retrievers that it works on; none, unless it joins the lists of others."""
        return ()

    @property
    def unit_vectors(self) -> bool:
        """Whether scores are cosines of vectors; may open a model."""
        return False

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        raise self._no_vectors()

    def scores_are_similarities(self, sources: tuple[str, ...]) -> bool:
        """Return whether :meth:`query_similarity` is the score of candidates of these sources."""
        return False

    def document_similarity(
        self, one: NDArray[np.int64], other: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the similarity of pairs of documents, shape (pairs,)."""
        raise self._no_vectors()

    def query_similarity(
        self, texts: Sequence[str], lines: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the similarity of pairs of a query ``texts[lines]`` and a document, (pairs,)."""
        raise self._no_vectors()

    def _no_vectors(self) -> StrategyError:
        return StrategyError(f"the retriever {self.name!r} keeps no vectors of documents.")

    @property
    def source_names(self) -> tuple[str, ...]:
        """Names of the retrievers that work here: of this one alone, unless it joins several."""
        return (self.name,)

    @property
    def keeps_source_ranks(self) -> bool:
        """Whether a candidate keeps its rank in each list that it comes from."""
        return len(self.source_names) > 1

    def models(self) -> dict[str, dict[str, str]]:
        """Return what identifies the models, by the name of the retriever; empty without any."""
        return {}

    @abstractmethod
    def search(self, queries: Queries) -> Hits:
        """Return rows (int64) and scores (float32) of shape (batch, top_k), best first.

        Empty slots stand at the end: row -1, score ``-inf``.
        """

    @abstractmethod
    def positive_scores(self, queries: Queries, hits: Hits) -> NDArray[np.float32]:
        """Return the score of every positive, ragged as ``queries.offsets``.

        Args:
            queries: the batch; ``positive_texts`` are there for positives without a row.
            hits: what :meth:`search` returned, where many positives are found already.
        """

    def prepare(self) -> None:
        """Build what is needed on disk before workers are started."""

    def prepare_queries(self, texts: Sequence[str]) -> None:
        """Do what all queries need before workers are started, once for all batches."""

    def prepare_candidates(self, batches: Iterable[Queries]) -> None:
        """Do what all candidates and positives need before workers are started.

        Args:
            batches: all queries; may be gone through several times.
        """

    def trial(self, work: Workload) -> Trial:
        """Try a part of the work and say what all of it is expected to take.

        Nothing that the real work would use is left behind. By default indexes over a part of the
        corpus are built in a folder for a while; an index that somebody else made is searched.
        """
        if self.brings_corpus:
            tried = try_search(self, work)
            seconds = tried.query * len(work.queries)
            search = Phase(f"{self.name}: search", seconds, basis=f"{len(work.tried)} queries")
            return Trial((search,), work.negatives(tried.nearest))
        return try_on_a_part(self, self._remade, work)

    def _remade(self, corpus: Corpus, cache_dir: Path) -> Retriever:
        """Return the same retriever over another corpus, with a cache of its own."""
        own = {name: getattr(self, name) for name in self.defaults()}
        place = {"corpus": corpus, "cache_dir": cache_dir}
        return type(self)(**own, **{name: place[name] for name in self.context()})

    def retrieve(self, queries: Queries) -> Candidates:
        """Return the candidates of a batch, with the positives scored by the same scorer."""
        rows, scores = hits = self.search(queries)
        filled = rows != NO_ROW
        ranks = np.where(filled, np.arange(1, rows.shape[1] + 1, dtype=np.int32), np.int32(0))
        return Candidates(
            rows=rows,
            scores=scores,
            ranks=ranks.astype(np.int32),
            sources=np.where(filled, np.int8(0), np.int8(-1)).astype(np.int8),
            document_keys=self.corpus.document_keys[np.maximum(rows, 0)],
            positive_scores=self.positive_scores(queries, hits),
            source_names=self.source_names,
        )


class JoinedRetriever(Retriever):
    """A retriever over the lists of others, its parts.

    In a strategy string it stands right after them: ``bm25,dense+fusion(by='weighted')``. A
    subclass takes its parts as the first parameter of its constructor, keeps them under that
    name, and sets ``corpus`` to theirs.

    Attributes:
        parts_parameter: name of that parameter.
        wants: what stands before it, for messages.
        example: a strategy string with it.
    """

    parts_parameter: ClassVar[str]
    wants: ClassVar[str]
    example: ClassVar[str]

    @property
    @abstractmethod
    def parts(self) -> tuple[Retriever, ...]:
        """The retrievers that it works on."""

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Return the parameters that a strategy string may set; the parts stand before it."""
        own = super().defaults()
        return {name: value for name, value in own.items() if name != cls.parts_parameter}

    def __eq__(self, other: object) -> bool:
        """Two are equal when their parts and parameters are."""
        return (
            super().__eq__(other)
            and isinstance(other, JoinedRetriever)
            and self.parts == other.parts
        )

    __hash__ = Retriever.__hash__

    def __getstate__(self) -> dict[str, Any]:
        """Return the parameters and the parts."""
        return {**super().__getstate__(), self.parts_parameter: getattr(self, self.parts_parameter)}

    @property
    def gives(self) -> frozenset[str]:  # type: ignore[override]
        """Scores of its own, and vectors where a part has them."""
        return frozenset({"scores"}) | {"vectors"} & self._with_vectors().gives

    def _with_vectors(self) -> Retriever:
        """Return the first part that has vectors; the first of all if none has."""
        return next((part for part in self.parts if "vectors" in part.gives), self.parts[0])

    @property
    def dimension(self) -> int:
        """Length of the vectors of the part that has them."""
        return self._with_vectors().dimension

    def document_similarity(
        self, one: NDArray[np.int64], other: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the similarity of pairs of documents by the part that has vectors."""
        return self._with_vectors().document_similarity(one, other)

    def query_similarity(
        self, texts: Sequence[str], lines: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the similarity of queries and documents by the part that has vectors."""
        return self._with_vectors().query_similarity(texts, lines, rows)

    @property
    def batch_rows(self) -> int:  # type: ignore[override]
        """As the part that wants the fewest."""
        return min(part.batch_rows for part in self.parts)

    @property
    def reads_keys(self) -> bool:  # type: ignore[override]
        """Whether any part does."""
        return any(part.reads_keys for part in self.parts)

    @property
    def encodes_queries(self) -> bool:  # type: ignore[override]
        """Whether any part does."""
        return any(part.encodes_queries for part in self.parts)

    @property
    def encodes_candidates(self) -> bool:  # type: ignore[override]
        """Whether any part does."""
        return any(part.encodes_candidates for part in self.parts)

    def prepare(self) -> None:
        """Prepare every part."""
        for part in self.parts:
            part.prepare()

    def prepare_queries(self, texts: Sequence[str]) -> None:
        """Let every part see the queries."""
        for part in self.parts:
            part.prepare_queries(texts)

    def prepare_candidates(self, batches: Iterable[Queries]) -> None:
        """Let every part that wants it see all batches."""
        for part in self.parts:
            if part.encodes_candidates:
                part.prepare_candidates(batches)

    def trial(self, work: Workload) -> Trial:
        """Try every part."""
        trials = [part.trial(work) for part in self.parts]
        return Trial(
            tuple(phase for trial in trials for phase in trial.phases),
            [pair for trial in trials for pair in trial.nearest],
            tuple(note for trial in trials for note in trial.notes),
        )

    def notes(self) -> tuple[str, ...]:
        """Return the notes of all parts."""
        return tuple(note for part in self.parts for note in part.notes())

    def search(self, queries: Queries) -> Hits:
        """Return the candidates and their scores; see :meth:`Retriever.search`."""
        found = self.retrieve(queries)
        return found.rows, found.scores

    def positive_scores(self, queries: Queries, hits: Hits) -> NDArray[np.float32]:
        """Return the score of each positive by the same scorer."""
        return self.retrieve(queries).positive_scores
