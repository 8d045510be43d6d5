"""What a ranking is worth by judgements: ranked lists scored with ir-measures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rich.console import Group
from rich.table import Table
from rich.text import Text

from hf_hardneg.errors import QueryError, listing
from hf_hardneg.evaluation.significance import mean_interval, why_narrow, why_no_interval

__all__ = ["Ranked", "RankingScores", "score_lists"]

QUERIES_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class RankingScores:
    """What was measured.

    Attributes:
        name: of what was measured.
        means: by measure: the mean over the queries.
        intervals: by measure: the 95% interval of the mean, by drawing queries anew; ``None`` where
            there is one query, or all have the same value, and a note says so.
        query_ids: sorted.
        per_query: by measure: one value a query, in the order of ``query_ids``.
        without_list: queries that the run has nothing for; they count with 0.
        without_relevant: judged queries without any relevant document; they are left out.
        not_judged: queries of the run that are not judged; they are left out.
        tied: queries where a relevant document has the score of one that is not: their values
            depend on how ties are broken.
        notes: what a reader should know.
    """

    name: str
    means: dict[str, float]
    intervals: dict[str, tuple[float, float] | None]
    query_ids: list[str]
    per_query: dict[str, NDArray[np.float64]]
    without_list: int = 0
    without_relevant: int = 0
    not_judged: int = 0
    tied: int = 0
    notes: tuple[str, ...] = field(default_factory=tuple)

    def __len__(self) -> int:
        """Return the number of queries."""
        return len(self.query_ids)

    def to_dict(self, *, per_query: bool = False) -> dict[str, Any]:
        """Return plain values for JSON.

        Args:
            per_query: whether the values of each query are wanted.
        """
        values: dict[str, Any] = {
            "name": self.name,
            "queries": len(self),
            "means": self.means,
            "intervals": {
                name: None if ends is None else list(ends) for name, ends in self.intervals.items()
            },
            "without_list": self.without_list,
            "without_relevant": self.without_relevant,
            "not_judged": self.not_judged,
            "tied": self.tied,
            "notes": list(self.notes),
        }
        if per_query:
            values["query_ids"] = list(self.query_ids)
            values["per_query"] = {name: own.tolist() for name, own in self.per_query.items()}
        return values

    def to_json(self) -> str:
        """Return the same as JSON; it never holds NaN or Infinity."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)

    def __rich__(self) -> Group:
        """Return a table for a terminal."""
        table = Table(title=Text(f"{self.name}, {len(self):,} queries"), title_justify="left")
        table.add_column("measure")
        for column in ("mean", "95% interval"):
            table.add_column(column, justify="right")
        for name, mean in self.means.items():
            ends = self.intervals[name]
            between = "not known" if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}"
            table.add_row(Text(name), f"{mean:.4f}", between)
        return Group(table, *(Text(f"Note: {note}") for note in self.notes))


Ranked: TypeAlias = tuple[str, Sequence[str], NDArray[np.float64]]
"""A query's id, its documents, best first, and their scores (``nan`` where there is none)."""


def score_lists(
    ranked: Iterable[Ranked],
    grades: Mapping[str, Mapping[str, int]],
    measures: Mapping[str, Any],
    *,
    name: str,
    notes: Sequence[str] = (),
) -> RankingScores:
    """Score ranked lists, some queries at a time.

    Args:
        ranked: each query once.
        grades: query id -> document id -> grade.
        measures: of ir-measures, by the names to be shown.
        name: of what is measured.
        notes: what a reader should know.

    Raises:
        QueryError: no judged query has a relevant document.
    """
    counted = sorted(query for query, own in grades.items() if max(own.values(), default=0) > 0)
    if not counted:
        raise QueryError(
            f"none of the {len(grades):,} judged queries has a document of grade 1 or more. "
            "Expected at least one: check that these are the judgements of the queries."
        )
    values = {measure: dict.fromkeys(counted, 0.0) for measure in measures}
    listed: set[str] = set()
    not_judged = tied = 0
    for part in _parts(ranked):
        not_judged += sum(query not in grades for query, *_ in part)
        own = [one for one in part if one[0] in values[next(iter(measures))] and len(one[1])]
        listed.update(query for query, *_ in own)
        tied += sum(_is_tied(names, scores, grades[query]) for query, names, scores in own)
        for measure, query, value in _calculated(own, grades, measures):
            values[measure][query] = value
    without = len(grades) - len(counted)
    missing = len(counted) - len(listed)
    per_query = {
        measure: np.array([own[query] for query in counted]) for measure, own in values.items()
    }
    return RankingScores(
        name=name,
        means={measure: math.fsum(own) / len(own) for measure, own in per_query.items()},
        intervals={measure: mean_interval(own) for measure, own in per_query.items()},
        query_ids=counted,
        per_query=per_query,
        without_list=missing,
        without_relevant=without,
        not_judged=not_judged,
        tied=tied,
        notes=(
            *notes,
            *_counts_as_notes(missing, without, not_judged, tied),
            *_on_intervals(per_query),
        ),
    )


def _on_intervals(per_query: Mapping[str, NDArray[np.float64]]) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for measure, values in per_query.items():
        if why := why_no_interval(values):
            reasons.setdefault(why, []).append(measure)
    for why, measures in reasons.items():
        yield f"{why}: how sure the mean of {listing(measures, len(measures))} is cannot be told."
    queries = len(next(iter(per_query.values())))
    if queries > 1 and (why := why_narrow(queries)):
        yield f"the intervals are {why}."


def _parts(ranked: Iterable[Ranked]) -> Iterator[list[Ranked]]:
    part: list[Ranked] = []
    for one in ranked:
        part.append(one)
        if len(part) == QUERIES_AT_ONCE:
            yield part
            part = []
    yield part


def _calculated(
    part: Sequence[Ranked],
    grades: Mapping[str, Mapping[str, int]],
    measures: Mapping[str, Any],
) -> Iterator[tuple[str, str, float]]:
    """Yield (measure, query, value)."""
    if not part:
        return
    import ir_measures

    names = {measure: name for name, measure in measures.items()}
    # Places as scores: no two are equal, so no provider breaks a tie in a way of its own, and
    # pytrec_eval, which keeps scores as 32-bit floats, sees no ties that are not there.
    run = {
        query: {name: float(len(listed) - place) for place, name in enumerate(listed)}
        for query, listed, _ in part
    }
    judged = {query: dict(grades[query]) for query, *_ in part}
    for found in ir_measures.iter_calc(list(names), judged, run):
        yield names[found.measure], found.query_id, float(found.value)


def _is_tied(names: Sequence[str], scores: NDArray[np.float64], grades: Mapping[str, int]) -> bool:
    """Return whether a relevant document has the score of one of another grade."""
    equal = np.flatnonzero(scores[1:] == scores[:-1])
    return any(
        max(grades.get(names[place], 0), 0) != max(grades.get(names[place + 1], 0), 0)
        for place in equal.tolist()
    )


def _counts_as_notes(missing: int, without: int, not_judged: int, tied: int) -> Iterator[str]:
    if missing:
        yield f"{missing:,} judged queries have no list: they count with 0."
    if without:
        yield f"{without:,} judged queries have no relevant document and are left out."
    if not_judged:
        yield f"{not_judged:,} queries of the run are not judged and are left out."
    if tied:
        yield (
            f"in {tied:,} queries a relevant document has the score of one of another grade: how "
            "ties are broken decides there."
        )
