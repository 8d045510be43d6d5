"""Dense retrieval from a faiss index that exists already."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import NO_ROW, Queries
from hf_hardneg.checks import whole_number
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import FormatError, PoolError, listing
from hf_hardneg.readers import open_text
from hf_hardneg.retrievers.base import Hits, Retriever
from hf_hardneg.retrievers.faiss_index_file import IndexFile
from hf_hardneg.text_encoding import EncodingStage
from hf_hardneg.vector_search import pair_similarity

__all__ = ["FaissRetriever"]

CONTENT = "index_content"
SAMPLE = 256


class FaissRetriever(EncodingStage, Retriever):
    """Candidates from a faiss index of the documents' vectors.

    The index is mapped into memory where its type allows that. What an index that compares with
    everything (``Flat``) finds is exact, with ties broken by the lower row. Another (IVF, HNSW,
    PQ, ...) finds what it finds; that is scored and ordered here. The score of a document,
    candidate or positive, is the similarity of the query and the vector that the index gives
    back for it: the inner product, or the negative distance for a METRIC_L2 index. Documents
    that are not in the index, such as positives outside the corpus, are encoded with the model.

    Args:
        corpus: the documents.
        index: path of a file written by ``faiss.write_index``.
        model: what the vectors were made with: a name on the Hub, a path, a loaded
            ``SentenceTransformer``, or an encoder such as
            :class:`~hf_hardneg.encoders.CallableEncoder`.
        top_k: candidates for each query.
        ids: path of a file with one document id a line: line i (from 0) names the document of
            the vector with the number i. Without it the numbers are the rows of the corpus, and
            in an ``IndexIDMap`` they are ids of documents.
        normalize: whether queries are brought to length one, as the vectors of the index were;
            default: if the model compares by cosine.
        nprobe: inverted lists to search, for an IVF index.
        ef_search: breadth of the search, for an HNSW index.
        revision: branch, tag or commit of a model on the Hub.
        query_prompt: put before each query; default: the model's own.
        document_prompt: put before each text outside the index; default: the model's own.
        batch_size: texts in a forward pass.
        device: where the model runs; default: sentence-transformers' choice.
        cache_dir: where encoded queries are kept; see :func:`hf_hardneg.cache.cache_root`.

    Raises:
        ParameterError: a parameter out of range, or one that the index has not.
        PoolError: the index cannot be read, is of other documents than the corpus, compares in a
            way that is not known, cannot give its vectors back, or holds vectors that are not of
            length one when queries are to be.
        ModelError: the model cannot be had, or gives vectors of another dimension.
        FormatError: the file of ids cannot be read.
    """

    name = "faiss"
    costs = "queries are encoded"
    batch_rows = 16_384
    """Each batch reads all vectors of a flat index once, so large ones are cheaper."""

    def __init__(
        self,
        corpus: Corpus,
        *,
        index: str | os.PathLike[str],
        model: Any,  # noqa: ANN401
        top_k: int = 100,
        ids: str | os.PathLike[str] | None = None,
        normalize: bool | None = None,
        nprobe: int | None = None,
        ef_search: int | None = None,
        revision: str | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        batch_size: int = 32,
        device: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        """Check the parameters; the index is opened when it is first used."""
        self.corpus = Corpus.of(corpus, cache_dir)
        self.index = os.fspath(index)
        self.ids = None if ids is None else os.fspath(ids)
        self.top_k = whole_number(self.name, "top_k", top_k, 1)
        self.nprobe, self.ef_search = (
            None if value is None else whole_number(self.name, name, value, 1)
            for name, value in (("nprobe", nprobe), ("ef_search", ef_search))
        )
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
        for what, path in (("index", self.index), ("file of ids", self.ids)):
            if path is not None and not Path(path).is_file():
                raise PoolError(f"the {what} {path!r} does not exist; expected a file.")

    # -- the recipe --------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Return the parameters and what says whether the files are still the same."""
        files = [path for path in (self.index, self.ids) if path is not None]
        return {**super().__getstate__(), CONTENT: [_identity(path) for path in files]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the retriever anew."""
        super().__setstate__({name: value for name, value in state.items() if name != CONTENT})

    # -- the index ---------------------------------------------------------------------------

    def prepare(self) -> None:
        """Open the index, and check that it, the corpus and the model belong together."""
        self._refresh_model()
        vars(self).pop("_opened", None)
        vars(self).pop("_numbers", None)
        self._check_dimension(self._opened.dimension, f"the faiss index {self.index!r}")
        self._check_lengths()
        _ = self._numbers

    @cached_property
    def _opened(self) -> IndexFile:
        return IndexFile(Path(self.index), nprobe=self.nprobe, ef_search=self.ef_search)

    def _check_lengths(self) -> None:
        """Refuse vectors that are not of length one where queries are brought to that."""
        index = self._opened
        if index.keeps_lengths and len(index):
            places = np.unique(np.linspace(0, len(index) - 1, SAMPLE).astype(np.int64))
            self._check_unit(index.vectors(places), f"the faiss index {self.index!r}")

    @cached_property
    def _numbers(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (rows, places): the documents that have a vector, rising, and where it is."""
        rows = self._rows_by_place()
        places = np.argsort(rows, kind="stable")
        rows = rows[places]
        twice = np.flatnonzero(rows[1:] == rows[:-1])
        if len(twice):
            names = self.corpus.ids(np.unique(rows[twice])[:4])
            raise PoolError(
                f"{len(twice)} vectors of the faiss index {self.index!r} belong to a document "
                f"that has one already, for example {listing(map(repr, names), limit=3)}; expected "
                "one vector a document."
            )
        return rows, places

    def _rows_by_place(self) -> NDArray[np.int64]:
        """Return the corpus row of each vector, in the order of the index."""
        index = self._opened
        if self.ids is None:
            if index.labels is None:
                self._need_length(len(self.corpus), "the corpus has {} documents")
                return np.arange(len(index), dtype=np.int64)
            return self._rows_of([str(label) for label in index.labels], "its IndexIDMap")
        names = _lines(self.ids)
        self._need_length(len(names), f"the file {self.ids!r} has {{}} ids")
        if index.labels is not None:
            outside = (index.labels < 0) | (index.labels >= len(names))
            if outside.any():
                raise PoolError(
                    f"the faiss index {self.index!r} has a vector with the number "
                    f"{index.labels[outside][0]}, and {self.ids!r} has {len(names)} lines."
                )
            names = [names[label] for label in index.labels]
        return self._rows_of(names, repr(self.ids))

    def _need_length(self, expected: int, what: str) -> None:
        if len(self._opened) != expected:
            raise PoolError(
                f"the faiss index {self.index!r} has {len(self._opened)} vectors, and "
                f"{what.format(expected)}. Give the corpus that the index was made of, or a file "
                "that names the document of each vector: ids=..."
            )

    def _rows_of(self, names: list[str], where: str) -> NDArray[np.int64]:
        rows = self.corpus.rows_of_ids(names)
        unknown = np.flatnonzero(rows == NO_ROW)
        if len(unknown):
            shown = listing((repr(names[place]) for place in unknown[:4]), limit=3)
            raise PoolError(
                f"{len(unknown)} of {len(names)} ids of {where} are not in the corpus, for example "
                f"{shown}. Give the corpus that the index was made of, or a file that names the "
                "document of each vector: ids=..."
            )
        return rows

    # -- search ------------------------------------------------------------------------------

    def _vectors(self, texts: Sequence[str], role: str) -> NDArray[np.float32]:
        self._check_dimension(self._opened.dimension, f"the faiss index {self.index!r}")
        return self._opened.transformed(self._encoded(texts, role))

    def search(self, queries: Queries) -> Hits:
        """Return what the index finds; see :meth:`Retriever.search`."""
        rows, places = self._numbers
        shape = (len(queries), self.top_k)
        if not len(queries) or not len(rows):
            return np.full(shape, NO_ROW, np.int64), np.full(shape, -np.inf, np.float32)
        vectors = self._vectors(queries.texts, "query")
        numbers, scores = self._opened.search(vectors, self.top_k, places)
        return np.where(numbers == NO_ROW, NO_ROW, rows[numbers]), scores

    def positive_scores(self, queries: Queries, hits: Hits) -> NDArray[np.float32]:
        """Return the similarity of each positive, in the index or not."""
        owner = np.repeat(np.arange(len(queries)), queries.positives_per_query)
        out = np.empty(len(owner), dtype=np.float32)
        if not len(owner):
            return out
        vectors = self._vectors(queries.texts, "query")
        rows, places = self._numbers
        asked = queries.positive_rows
        number = np.searchsorted(rows, asked)
        inside = np.isin(asked, rows)
        out[inside] = self._opened.scores(vectors, owner[inside], places[number[inside]])
        outside = np.flatnonzero(~inside)
        if len(outside):
            texts = [self._positive_text(queries, int(place)) for place in outside]
            others = self._vectors(texts, "document")
            out[outside] = pair_similarity(
                vectors, owner[outside], others, np.arange(len(outside)), self._opened.similarity
            )
        return out

    def _positive_text(self, queries: Queries, place: int) -> str:
        """Return the text of a positive without a vector; of a document that of the corpus."""
        row = int(queries.positive_rows[place])
        return queries.positive_texts[place] if row == NO_ROW else self.corpus.texts([row])[0]


def _identity(path: str) -> list[object]:
    """Return what changes when the content of a file does."""
    stat = Path(path).stat()
    return [str(Path(path).resolve()), stat.st_size, stat.st_mtime_ns]


def _lines(path: str) -> list[str]:
    """Return the lines of a text file.

    Raises:
        FormatError: the file cannot be read.
    """
    try:
        with open_text(Path(path)) as lines:
            return [line.rstrip("\r\n") for line in lines]
    except (UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
        raise FormatError(f"the file of ids {path!r} cannot be read: {error}.") from error
