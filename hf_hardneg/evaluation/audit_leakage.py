"""Training data that is evaluation data too: its queries, and documents relevant to these."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from datasets import Dataset
from numpy.typing import NDArray

from hf_hardneg.beir import queries_file, split_names
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import ColumnError, FormatError
from hf_hardneg.evaluation.audit_check import Check
from hf_hardneg.evaluation.finding import ERROR, INFO
from hf_hardneg.evaluation.keyed_batch import KeyedBatch, Side
from hf_hardneg.hashing import EMPTY_TEXT_KEY, KeySet, exact_keys, text_keys
from hf_hardneg.mined_set import MinedSet, as_lists
from hf_hardneg.query_sources import load_queries
from hf_hardneg.sources import beir_corpus_file

__all__ = ["Evaluation", "EvaluationDocuments", "EvaluationQueries"]

HELD_OUT = ("test", "dev", "validation")
NOT_GIVEN = "no evaluation queries are given (--evaluation)"
QUERY_COLUMNS = ("query", "anchor", "question", "query_text", "sentence1", "claim", "text")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a model is to be evaluated on.

    Attributes:
        name: what it is called in messages.
        queries: keys of the normalised queries.
        texts: keys of the normalised texts of what is relevant to them; empty where not known.
        ids: keys of its ids, likewise.
    """

    name: str
    queries: KeySet
    texts: KeySet
    ids: KeySet

    @classmethod
    def load(cls, source: str | os.PathLike[str] | Dataset, split: str | None = None) -> Evaluation:
        """Load the queries, and what is relevant to them where that is known.

        Args:
            source: a folder in BEIR layout, a file, a saved data set, the name of a data set on
                the Hub, or a Dataset; with a column of queries, and positives if there are any.
            split: default for a BEIR folder: test, else dev, else validation.

        Raises:
            FormatError: a BEIR folder without such a split.
            ColumnError: there is no column of queries.
        """
        if isinstance(source, Dataset):
            return cls._of(source, "the evaluation data", None)
        folder = Path(source).expanduser()
        corpus = None
        if os.path.isdir(folder) and queries_file(folder):
            split = split or _held_out(folder)
            corpus = Corpus(folder) if beir_corpus_file(folder) else None
        rows = load_queries(
            Path(source) if isinstance(source, os.PathLike) else source, split=split
        ).rows
        return cls._of(rows, f"{source}" + (f" ({split})" if split else ""), corpus)

    @classmethod
    def _of(cls, rows: Dataset, name: str, corpus: Corpus | None) -> Evaluation:
        column = next((own for own in QUERY_COLUMNS if own in rows.column_names), None)
        if column is None:
            raise ColumnError(
                f"no column of queries in {name}: expected one of {', '.join(QUERY_COLUMNS)}, "
                f"found {', '.join(rows.column_names)}."
            )
        queries = text_keys(_texts(rows, column))
        names = [own for own in rows.column_names if own != column]
        texts, ids = _relevant(rows.select_columns(names), corpus) if names else ([], [])
        keys = text_keys(texts)
        return cls(
            name,
            KeySet(queries[queries != EMPTY_TEXT_KEY]),
            KeySet(keys[keys != EMPTY_TEXT_KEY]),
            KeySet(exact_keys(ids)),
        )


def _held_out(folder: Path) -> str:
    names = split_names(folder)
    found = next((name for name in HELD_OUT if name in names), None)
    if found is None:
        raise FormatError(
            f"{folder} has judgements for {', '.join(names) or 'no split'}; expected one of "
            f"{', '.join(HELD_OUT)}. Name the split with --evaluation-split."
        )
    return found


def _relevant(rows: Dataset, corpus: Corpus | None) -> tuple[list[str], list[str]]:
    """Return texts and ids of the positives; of ids with a corpus, the texts."""
    found: dict[str, list[str]] = {}
    for kind, names in (("texts", ("positive", "positives", "pos")),
                        ("ids", ("positive_ids", "positive_id"))):  # fmt: skip
        column = next((own for own in names if own in rows.column_names), None)
        found[kind] = _texts(rows, column) if column else []
    if found["ids"] and corpus is not None:
        held = corpus.rows_of_ids(found["ids"])
        return [*found["texts"], *corpus.texts(held[held >= 0])], []
    return found["texts"], found["ids"]


def _texts(rows: Dataset, column: str) -> list[str]:
    table = rows.select_columns([column]).with_format("arrow")[:]
    values = as_lists(table[column], pa.string(), column).flatten()
    return [value for value in values.to_pylist() if value is not None]


class EvaluationQueries(Check):
    """Rows whose query is an evaluation query.

    An error: a figure on queries that were trained on is worth nothing, and nobody wants that.
    """

    name = "evaluation_query"
    title = "Evaluation query in training"
    severity = ERROR
    about = "The query of the row, normalised, is one of the evaluation queries."
    of = "rows"

    def __init__(self, examples: int, evaluation: Evaluation | None) -> None:
        """Take the queries."""
        super().__init__(examples)
        self._evaluation = evaluation

    def lacks(self, mined: MinedSet) -> str:
        """Return why the set cannot be checked for this, or nothing."""
        if self._evaluation is None:
            return NOT_GIVEN
        return "" if mined.query_texts else "the queries have no texts; give --queries"

    def add(self, batch: KeyedBatch) -> None:
        """Look at some rows."""
        if self._evaluation is not None:
            self.tally.checked += len(batch)
            self.tally.add_rows(batch.start, self._evaluation.queries.holds(batch.queries.keys))


class EvaluationDocuments(Check):
    """Training documents that are relevant to evaluation queries.

    For information: in most collections documents are shared between training and evaluation, and
    both to keep them and to leave them out is done. As a negative such a document is taught to be
    far from the training queries that it came up for; as a positive it is seen in training.
    """

    title = "Evaluation document"
    severity = INFO

    def __init__(self, examples: int, evaluation: Evaluation | None, side: str) -> None:
        """Take the documents.

        Args:
            examples: how many places to keep.
            evaluation: what the model is to be evaluated on.
            side: ``negatives`` or ``positives``.
        """
        super().__init__(examples)
        self._evaluation, self._side = evaluation, side
        self._by = "text"
        self.of = side
        self.name = f"evaluation_document_as_{side[:-1]}"
        self.title = f"Evaluation document as {side[:-1]}"

    @property
    def about(self) -> str:  # type: ignore[override]
        """The rule, and by what documents are told apart."""
        how = (
            "by its normalised text" if self._by == "text"
            else "by its id, which means something only if both name documents of one corpus"
        )  # fmt: skip
        return f"The {self._side[:-1]} is relevant to an evaluation query ({how})."

    def lacks(self, mined: MinedSet) -> str:
        """Return why the set cannot be checked for this, or nothing."""
        if self._evaluation is None:
            return NOT_GIVEN
        ids = f"{self._side[:-1]}_ids"
        if len(self._evaluation.texts) and mined.has(self._side):
            return ""
        self._by = "id"
        if len(self._evaluation.ids) and mined.has(ids):
            return ""
        return "the evaluation data names no relevant documents in a form that the set has"

    def add(self, batch: KeyedBatch) -> None:
        """Look at some rows."""
        if self._evaluation is None:
            return
        side: Side = batch.negatives if self._side == "negatives" else batch.positives
        keys, known = side.documents(self._by)
        held = self._evaluation.texts if self._by == "text" else self._evaluation.ids
        marks: NDArray[np.bool_] = known & held.holds(keys)
        self.tally.checked += len(side)
        if self._side == "negatives":
            self.tally.add_negatives(batch.start, side.offsets, marks)
            return
        rows = np.bincount(side.owners[marks], minlength=len(batch)) > 0
        before = self.tally.count
        self.tally.add_rows(batch.start, rows)
        self.tally.count = before + int(np.count_nonzero(marks))
