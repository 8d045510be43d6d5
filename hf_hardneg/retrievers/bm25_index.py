"""A BM25 index on disk: built once by bm25s, memory-mapped by every process that opens it."""

from __future__ import annotations

import importlib.util
import json
import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
from bm25s.scoring import _select_idf_scorer, _select_tfc_scorer
from bm25s.tokenization import Tokenizer
from numpy.typing import NDArray

from hf_hardneg.arrow import check_arrays, leftmost
from hf_hardneg.candidates import NO_ROW
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import MissingExtraError, ParameterError, listing

__all__ = ["BM25Index", "BM25Parameters"]

VOCABULARY = "vocabulary.json"
STATISTICS = "statistics.json"


@dataclass(frozen=True, slots=True)
class BM25Parameters:
    """What an index is made with; see :class:`~hf_hardneg.retrievers.bm25.BM25Retriever`."""

    k1: float
    b: float
    delta: float
    method: str
    stemmer: str | None
    stopwords: str | tuple[str, ...] | None


def _stemmer(language: str | None) -> Any:  # noqa: ANN401
    """Return a Snowball stemmer of the language."""
    if language is None:
        return None
    if importlib.util.find_spec("Stemmer") is None:
        raise MissingExtraError("PyStemmer", "bm25", "BM25 with a stemmer")
    import Stemmer

    if language not in Stemmer.algorithms():
        raise ParameterError(
            f"bm25: stemmer={language!r}; expected None or one of "
            f"{listing(Stemmer.algorithms(), limit=40)}."
        )
    return Stemmer.Stemmer(language)


def tokenizer(parameters: BM25Parameters) -> Tokenizer:
    """Return a fresh tokenizer: lower case, words of two characters or more, stems.

    Raises:
        ParameterError: a language that the stemmer or the stop word lists do not have.
    """
    words = parameters.stopwords
    stemmer = _stemmer(parameters.stemmer)
    try:
        return Tokenizer(
            stopwords=list(words) if isinstance(words, tuple) else words, stemmer=stemmer
        )
    except ValueError as error:
        raise ParameterError(f"bm25: stopwords={words!r}: {error}") from error


def build(corpus: Corpus, parameters: BM25Parameters, folder: Path, progress: bool) -> None:
    """Tokenise and index the corpus into ``folder``."""
    words = tokenizer(parameters)
    ids = words.tokenize(
        corpus.iter_texts(), length=len(corpus), return_as="ids", show_progress=progress
    )
    vocabulary = words.get_vocab_dict()
    index = bm25s.BM25(
        k1=parameters.k1,
        b=parameters.b,
        delta=parameters.delta,
        method=parameters.method,
        backend=_backend(),
    )
    index.index((ids, vocabulary), show_progress=progress)
    index.save(folder)
    check_arrays(folder)
    length = float(np.mean([len(document) for document in ids]))
    (folder / VOCABULARY).write_text(json.dumps(vocabulary), encoding="utf-8")
    statistics = {"average_length": length, "parameters": asdict(parameters)}
    (folder / STATISTICS).write_text(json.dumps(statistics, indent=1) + "\n", encoding="utf-8")


def _backend() -> str:
    """Return the faster backend of bm25s that is installed; both give the same results."""
    return "numba" if importlib.util.find_spec("numba") else "numpy"


class BM25Index:
    """An open index.

    Args:
        folder: where :func:`build` has written it.
        parameters: the parameters it was built with.
    """

    def __init__(self, folder: Path, parameters: BM25Parameters) -> None:
        """Open the index without reading it."""
        self._parameters = parameters
        self._bm25 = bm25s.BM25.load(folder, mmap=True, load_vocab=False, backend=_backend())
        self._vocabulary: dict[str, int] = json.loads(
            (folder / VOCABULARY).read_text(encoding="utf-8")
        )
        self._average_length: float = json.loads((folder / STATISTICS).read_text())[
            "average_length"
        ]
        self._words = tokenizer(parameters)
        if parameters.stemmer is None:
            self._words.word_to_id = self._vocabulary
        else:
            self._words.stem_to_sid = self._vocabulary
        scores = self._bm25.scores
        self._data, self._indices, self._indptr = (
            scores["data"],
            scores["indices"],
            scores["indptr"],
        )
        # bm25s asks "is this a known token?" of a set; a range answers without holding them all.
        self._bm25.unique_token_ids_set = range(len(self._indptr) - 1)
        # bm25l and bm25+ give every document a score for the words it lacks. bm25s adds these up
        # in float32, in another order with each backend; here they are added once, exactly.
        self._shifts = self._bm25.nonoccurrence_array
        self._bm25.nonoccurrence_array = None
        self.documents = int(scores["num_docs"])

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the known tokens of each text; the empty token never counts."""
        empty = self._vocabulary.get("", -1)
        known = self._words.tokenize(
            list(texts), update_vocab=False, allow_empty=False, show_progress=False
        )
        return [[token for token in tokens if token != empty] for tokens in known]

    def floor(self, tokens: Sequence[int]) -> float:
        """Return the score of a document without any of the query's words."""
        return 0.0 if self._shifts is None else math.fsum(self._shifts[list(tokens)].tolist())

    def top(
        self, queries: list[list[int]], k: int, threads: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return k documents of the highest score for each query, in no order.

        A document to which the query's words add nothing has the row -1.

        Args:
            queries: token lists, none of them empty.
            k: at most the number of documents.
            threads: queries are shared among them; results do not depend on it.
        """
        size = -(-len(queries) // max(threads, 1))
        parts = [queries[start : start + size] for start in range(0, len(queries), size)]

        def search(part: list[list[int]]) -> Any:  # noqa: ANN401
            return self._bm25.retrieve(part, k=k, sorted=False, show_progress=False, n_threads=0)

        if len(parts) == 1:
            found = [search(parts[0])]
        else:
            # Threads of our own, one serial search each: bm25s' parallel kernel breaks when a
            # process that has used it is forked.
            with ThreadPoolExecutor(len(parts)) as pool:
                found = list(pool.map(search, parts))
        added = np.concatenate([part.scores for part in found])
        rows = np.concatenate([part.documents for part in found]).astype(np.int64)
        floors = np.array([self.floor(words) for words in queries], dtype=np.float32)
        return np.where(added > 0, rows, NO_ROW), added + floors[:, None]

    def exact_top(
        self, tokens: list[int], k: int, last: np.float32
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the k best documents of one query, ties by rising row, from all scores.

        Args:
            tokens: the query.
            k: how many; at least so many documents have a score.
            last: the k-th best score, which :meth:`top` has found.
        """
        added = self._bm25.get_scores_from_ids(tokens)
        scores = added + np.float32(self.floor(tokens))
        enough = np.flatnonzero((scores >= last) & (added > 0))
        above = enough[scores[enough] > last]
        ties = enough[scores[enough] == last][: k - len(above)]
        rows = np.concatenate([above, ties])
        return rows, scores[rows]

    def score_rows(
        self, queries: Sequence[Sequence[int]], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the score of one document of the corpus for each query, as the search gives it.

        Args:
            queries: token lists, length pairs.
            rows: the document of each, shape (pairs,).
        """
        lengths = np.fromiter(map(len, queries), dtype=np.int64, count=len(queries))
        tokens = np.fromiter(chain.from_iterable(queries), dtype=np.int64, count=lengths.sum())
        owner = np.repeat(np.arange(len(queries)), lengths)
        end = self._indptr[tokens + 1].astype(np.int64)
        place = leftmost(self._indices, rows[owner], self._indptr[tokens].astype(np.int64), end)
        within = np.minimum(place, len(self._indices) - 1)
        holds = (place < end) & (self._indices[within] == rows[owner])
        totals = np.zeros(len(queries), dtype=np.float32)
        # One by one in the order of the words, as the search adds them up: the same rounding.
        np.add.at(totals, owner[holds], self._data[within[holds]])
        return totals + np.array([self.floor(words) for words in queries], dtype=np.float32)

    def score_text(self, tokens: Sequence[int], text: str) -> np.float32:
        """Return the score of a text outside the corpus, by the statistics of the corpus."""
        words = tokenizer(self._parameters)
        [own] = words.tokenize([text], return_as="ids", show_progress=False)
        names = {number: word for word, number in words.get_vocab_dict().items()}
        frequency = Counter(self._vocabulary.get(names[number], -1) for number in own)
        term = _select_tfc_scorer(self._parameters.method)
        idf = _select_idf_scorer(self._parameters.method)
        total = self.floor([token for token in tokens if token not in frequency])
        for token in tokens:
            if token in frequency:
                documents = int(self._indptr[token + 1] - self._indptr[token])
                weight = term(
                    tf_array=frequency[token],
                    l_d=len(own),
                    l_avg=self._average_length,
                    k1=self._parameters.k1,
                    b=self._parameters.b,
                    delta=self._parameters.delta,
                )
                total += idf(documents, self.documents) * weight
        return np.float32(total)
