"""Judgements of which documents are relevant to which query."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from numbers import Real
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from datasets import Dataset

from hf_hardneg.beir import read_qrels
from hf_hardneg.columns import QUERY_ID_NAMES, QUERY_NAMES
from hf_hardneg.errors import ColumnError, FormatError, did_you_mean, listing
from hf_hardneg.hashing import normalize_text

__all__ = ["Grades", "Judgements", "add_grade", "grades_from", "grades_in", "whole_grade"]

READ_BATCH = 2_000
ID_FIELDS = ("document_id", "corpus-id", "corpus_id", "id", "_id")
GRADE_FIELDS = ("score", "grade", "label", "relevance")
Grades: TypeAlias = Mapping[str, Mapping[str, int]]
"""Grades of documents by their ids, by the ids of queries."""
NOTHING: Mapping[str, int] = MappingProxyType({})


class Judgements:
    """Which documents were judged for which query, and how.

    A judgement of 0 or below says: looked at, not relevant. A document without a judgement was
    not looked at, unless ``complete`` says that whoever judged named every relevant document.

    Args:
        grades: by query, the grade of each judged document by its id. Grades are whole numbers;
            above 0 is relevant.
        complete: documents of a judged query that have no judgement are not relevant. Many test
            collections are read so: their files name relevant documents alone.
        by_text: queries are named by their normalised text, not by an id.
        name: what they are called in messages.

    Attributes:
        complete, by_text, name: as given.

    Raises:
        FormatError: there is no judgement.
    """

    def __init__(
        self,
        grades: Mapping[str, Mapping[str, int]],
        *,
        complete: bool = False,
        by_text: bool = False,
        name: str = "the judgements",
    ) -> None:
        """Keep the grades."""
        self._grades = {query: dict(judged) for query, judged in grades.items() if judged}
        if not self._grades:
            raise FormatError(f"{name} hold no judgement; expected at least one.")
        self.complete, self.by_text, self.name = complete, by_text, name

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, complete: bool = False) -> Judgements:
        """Read a file of judgements: BEIR with its header line, or TREC qrels.

        A pair that is judged twice has the higher grade. A grade between 0 and 1 is refused: it
        is neither relevant nor not.

        Raises:
            FormatError: not such a file, or a grade that is no whole number.
        """
        path = Path(path).expanduser()
        return cls(grades_in(path), complete=complete, name=str(path))

    @classmethod
    def of_column(cls, dataset: Dataset, column: str, *, complete: bool = False) -> Judgements:
        """Take the judgements from a column of a data set.

        Queries are named by the column of their ids, where there is one, else by their texts.

        Args:
            dataset: has a query a row; rows of the same query are put together.
            column: lists of ids of relevant documents, or lists of structs with an id
                (``document_id``, ``corpus-id``, ``id``) and a grade (``score``, ``grade``,
                ``label``).
            complete: as for the class.

        Raises:
            ColumnError: there is no such column, no query, or values of another kind.
        """
        names = dataset.column_names
        if column not in names:
            raise ColumnError(
                f"the data has no column {column!r}.{did_you_mean(column, names)} Its columns "
                f"are: {listing(names)}."
            )
        query_id = next((name for name in QUERY_ID_NAMES if name in names), None)
        query = query_id or next((name for name in QUERY_NAMES if name in names), None)
        if query is None:
            raise ColumnError(
                f"no column of queries: expected one of {listing(QUERY_ID_NAMES + QUERY_NAMES)}, "
                f"found {listing(names)}."
            )
        grades: dict[str, dict[str, int]] = {}
        rows = dataset.select_columns(list({query, column})).with_format("arrow")
        for start, table in enumerate(rows.iter(READ_BATCH)):
            pairs = zip(table[query].to_pylist(), table[column].to_pylist(), strict=True)
            for row, (name, values) in enumerate(pairs, start * READ_BATCH):
                where = f"column {column!r}, row {row}"
                key = str(name) if query_id else normalize_text(str(name))
                for document, grade in _entries(values, where):
                    add_grade(grades.setdefault(key, {}), document, grade)
        return cls(
            grades, complete=complete, by_text=query_id is None, name=f"the column {column!r}"
        )

    def __len__(self) -> int:
        """Return the number of judged queries."""
        return len(self._grades)

    def __contains__(self, query: object) -> bool:
        """Return whether a query has any judgement."""
        return query in self._grades

    def queries(self) -> Iterator[str]:
        """Yield the queries that have a judgement."""
        yield from self._grades

    def judged(self, query_id: str) -> Mapping[str, int]:
        """Return the grade of each judged document of a query, by the document's id."""
        return self._grades.get(query_id, NOTHING)

    def relevant(self, query_id: str) -> set[str]:
        """Return the ids of the documents with a grade above 0."""
        return {name for name, grade in self.judged(query_id).items() if grade > 0}

    @property
    def relevant_only(self) -> bool:
        """Whether no document at all was judged not relevant."""
        return all(grade > 0 for judged in self._grades.values() for grade in judged.values())


def grades_in(path: str | os.PathLike[str]) -> dict[str, dict[str, int]]:
    """Return the grades of a file of judgements: query id -> document id -> grade.

    Every reader of grades takes them from here, so that a pair that is judged twice has one rule:
    see :func:`add_grade`.

    Args:
        path: BEIR with its header line, or TREC qrels.

    Raises:
        FormatError: there is no such file, or it is none of these, or a grade is no whole number.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FormatError(f"the file of judgements {str(path)!r} does not exist.")
    return grades_from(read_qrels(path), str(path))


def grades_from(judged: Iterable[tuple[str, str, float]], name: str) -> dict[str, dict[str, int]]:
    """Return the grades of judgements, (query id, document id, grade), as :func:`grades_in` does.

    Args:
        judged: in any order.
        name: what they are called in messages.

    Raises:
        FormatError: a grade is no whole number.
    """
    grades: dict[str, dict[str, int]] = {}
    for query, document, grade in judged:
        where = f"{name}, query {query!r}, document {document!r}"
        add_grade(grades.setdefault(query, {}), document, whole_grade(grade, where))
    return grades


def add_grade(judged: dict[str, int], document: str, grade: int) -> None:
    """Add a judgement of a query's document; of several for one document the highest counts."""
    judged[document] = max(grade, judged.get(document, grade))


def whole_grade(grade: Any, where: str) -> int:  # noqa: ANN401
    """Return a grade as the whole number it is.

    Args:
        grade: any number.
        where: it stands, for messages.

    Raises:
        FormatError: it is no whole number.
    """
    number = isinstance(grade, Real) and not isinstance(grade, bool)
    if number and math.isfinite(grade) and grade == int(grade):
        return int(grade)
    raise FormatError(
        f"{where}: the grade is {grade!r}; expected a whole number. Probabilities go into a file "
        "of labels instead."
    )


def _entries(values: Any, where: str) -> Iterator[tuple[str, int]]:  # noqa: ANN401
    """Yield the (document, grade) of one row."""
    for value in values if isinstance(values, list) else [values]:
        if value is None:
            continue
        if not isinstance(value, dict):
            if isinstance(value, float | bool):
                raise ColumnError(f"{where}: {value!r}; expected ids of documents.")
            yield str(value), 1
            continue
        document = next((value[name] for name in ID_FIELDS if value.get(name) is not None), None)
        grade = next((value[name] for name in GRADE_FIELDS if value.get(name) is not None), None)
        if document is None or grade is None:
            raise ColumnError(
                f"{where}: a judgement has the fields {listing(value)}; expected one of "
                f"{listing(ID_FIELDS)} and one of {listing(GRADE_FIELDS)}."
            )
        yield str(document), whole_grade(grade, where)
