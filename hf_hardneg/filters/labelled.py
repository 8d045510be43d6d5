"""Keep out of the negatives what people have called false negatives."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.checks import fraction
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import CorpusError, ParameterError
from hf_hardneg.filters.base import Filter
from hf_hardneg.hashing import exact_keys
from hf_hardneg.labelled_data import labelled_pairs_of, read_marks

__all__ = ["LabelledFilter"]


class LabelledFilter(Filter):
    """Drops candidates that labels call false negatives of their query.

    The labels are those that people made while they looked at an earlier set, drawn or picked by
    hand: a document that is relevant to a query stays relevant whoever mines. Of each annotator
    the last label of a pair counts; a pair is dropped where the mean of those who decided is at
    least the threshold. ``unsure`` decides nothing. Labels of a query that somebody calls bad are
    taken like any other: such a query has no good negatives, and no filter makes any; the report
    counts these queries, and they are best taken out of the data.

    A document is the same by its id or its normalised text, so that a copy under another id is
    dropped too; a query by its normalised text, or by its id where a label has no text.

    Not from a paper.

    Labels that took part in choosing a set say nothing of its rate of false negatives: what they
    call false is not in it. ``audit`` and ``mine`` give no rate by such labels where they can
    tell; draw a new sample from the new set.

    Args:
        corpus: the documents; the miner gives its own.
        labels: the path of a file of labels (JSON lines), as the labels of a set are exported and
            ``hf-hardneg audit --labels`` reads them. Read at construction, once. In a strategy
            string the path stands as it was given; what the labels say is part of what a kept
            result is found by, and its hash stands in the report.
        threshold: the least mean of the labels that drops a pair, above 0 and at most 1; default
            0.5: a split of two drops.

    Raises:
        QueryError: the corpus has none of the documents that are called false.
        FormatError: the file cannot be read.
        ParameterError: there is no such file, or a parameter is out of range.
    """

    name = "labelled"
    source = "practice: labels of an earlier set"

    def __init__(
        self, corpus: Corpus, labels: str | os.PathLike[str], *, threshold: float = 0.5
    ) -> None:
        """Read the labels and look their documents up."""
        self.threshold = fraction(self.name, "threshold", threshold)
        if not self.threshold:
            raise ParameterError("labelled: threshold=0 drops all labelled pairs; expected more.")
        if not isinstance(labels, str | os.PathLike) or not os.path.isfile(
            os.path.expanduser(labels)
        ):
            raise ParameterError(
                f"labelled: labels={labels!r}: there is no such file; expected the path of a file "
                "of labels, as hf-hardneg inspect exports them."
            )
        if not isinstance(corpus, Corpus):
            raise CorpusError(
                f"labelled: the corpus is of type {type(corpus).__name__}; expected a Corpus, the "
                "one that is mined."
            )
        self.corpus, self.labels = corpus, str(os.fspath(labels))
        marks = read_marks(self.name, self.labels)
        self._pairs = labelled_pairs_of(self.name, marks, corpus, self.threshold)

    def mask(self, queries: Queries, candidates: Candidates) -> NDArray[np.bool_]:
        """Keep what is not called a false negative."""
        ids = exact_keys(queries.ids) if len(queries.ids) else None
        return ~self._pairs.called_false(queries.keys, ids, candidates.document_keys)

    def notes(self) -> tuple[str, ...]:
        """Say how many pairs are kept out, and which labels these are."""
        own = self._pairs
        said = [
            f"labelled: {own.called:,} of {own.labelled:,} labelled pairs are called false "
            f"negatives and kept out ({self.labels}, what it says: {own.identity})."
        ]
        if own.elsewhere:
            said.append(
                f"labelled: {own.elsewhere:,} of these have a document that is not in the corpus."
            )
        if own.bad_queries:
            said.append(
                f"labelled: {own.bad_queries:,} queries are called bad; their rows are mined all "
                "the same. Take them out of the data."
            )
        return tuple(said)

    def __eq__(self, other: object) -> bool:
        """Two are equal when their parameters are, and what the labels say."""
        return (
            isinstance(other, LabelledFilter)
            and super().__eq__(other)
            and self._pairs.identity == other._pairs.identity
        )

    __hash__ = Filter.__hash__

    def __getstate__(self) -> dict[str, Any]:
        """Return the parameters and what was read: a worker does not read the file again."""
        return {**super().__getstate__(), "pairs": self._pairs}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what was read."""
        self.corpus, self.labels = state["corpus"], state["labels"]
        self.threshold, self._pairs = state["threshold"], state["pairs"]
