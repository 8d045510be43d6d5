"""Keep documents that answer held-out queries out of the negatives, or say that they are in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.checks import one_of
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import CorpusError
from hf_hardneg.filters.base import Filter
from hf_hardneg.hashing import among
from hf_hardneg.held_out_data import held_out_documents, source_name, source_of

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["HeldOutFilter"]

CHOICES = ("out", "in")


class HeldOutFilter(Filter):
    """Keeps the relevant documents of held-out queries out of the negatives.

    A document that answers a query of the evaluation, and is a negative in training, is seen and
    pushed away there: the evaluation is no longer of documents that training did not touch. With
    ``documents="out"`` such documents are dropped, by id and by normalised text, so that a copy
    under another id is dropped too. The other choice is legitimate as well: where the corpus is
    shared (BEIR and MS MARCO test on the corpus that they train on) taking out exactly what
    answers the test queries tells training which documents these are. With ``documents="in"``
    nothing is dropped. Either way the report states the choice and the number of documents.

    Not from a paper. The queries themselves are held out by ``held-out-queries``.

    Args:
        corpus: the documents; the miner gives its own.
        judgements: the path of a file of judgements in BEIR form (TSV with a header) or TREC form,
            whose documents with a grade above 0 are held out; or a Dataset with positives by
            text, by id, or both. Read at construction, once. In a strategy string a path stands
            as it was given; a Dataset stands by its fingerprint, which names it and cannot be
            read again.
        documents: ``out`` drops them, the default; ``in`` leaves them in.

    Raises:
        QueryError: ids that the corpus does not have, counted; or nothing is held out.
        FormatError: the file cannot be read.
        ParameterError: a parameter is out of range.
    """

    name = "held-out"
    source = "practice: a firewall against contamination"

    def __init__(
        self, corpus: Corpus, judgements: str | Dataset, *, documents: str = "out"
    ) -> None:
        """Read the judgements and look their documents up."""
        self.documents = one_of(self.name, "documents", documents, CHOICES)
        source = source_of(self.name, "judgements", judgements)
        if not isinstance(corpus, Corpus):
            raise CorpusError(
                f"held-out: the corpus is of type {type(corpus).__name__}; expected a Corpus, the "
                "one that is mined."
            )
        self.corpus = corpus
        self.judgements = source_name(source)
        self._rows, self._keys = held_out_documents(self.name, source, corpus)

    def mask(self, queries: Queries, candidates: Candidates) -> NDArray[np.bool_]:
        """Keep what is not held out, or everything."""
        if self.documents == "in":
            return np.ones(candidates.shape, dtype=np.bool_)
        return ~(among(self._rows, candidates.rows) | among(self._keys, candidates.document_keys))

    def notes(self) -> tuple[str, ...]:
        """State the choice."""
        what = f"{len(self._rows):,} documents that are positives of held-out queries"
        choice = (
            "are kept out of the negatives"
            if self.documents == "out"
            else "are left in and may be negatives"
        )
        return (f"{self.name}: documents={self.documents!r}: {what} ({self.judgements}) {choice}.",)

    def __eq__(self, other: object) -> bool:
        """Two are equal when their parameters are, and the documents that these mean."""
        return (
            isinstance(other, HeldOutFilter)
            and super().__eq__(other)
            and np.array_equal(self._rows, other._rows)
            and np.array_equal(self._keys, other._keys)
        )

    __hash__ = Filter.__hash__

    def __getstate__(self) -> dict[str, Any]:
        """Return the parameters and what was read: a worker does not read the file again."""
        return {**super().__getstate__(), "rows": self._rows, "keys": self._keys}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what was read."""
        self.corpus, self.judgements = state["corpus"], state["judgements"]
        self.documents = state["documents"]
        self._rows, self._keys = state["rows"], state["keys"]
