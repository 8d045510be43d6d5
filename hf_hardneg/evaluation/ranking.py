"""How well a ranking finds the relevant documents: of a run, of a retriever, of a model."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rich.console import Group
from rich.table import Table
from rich.text import Text

from hf_hardneg.beir import read_qrels
from hf_hardneg.errors import FormatError, ParameterError, QueryError, listing
from hf_hardneg.evaluation.measures import MEASURES, deepest, parse_measures
from hf_hardneg.evaluation.rates import bootstrap_ratio
from hf_hardneg.evaluation.significance import REPEATS, Comparison, randomisation_test
from hf_hardneg.retrievers.run import read_trec_run

__all__ = [
    "Judged",
    "RankingScores",
    "before_and_after",
    "best_first",
    "comparisons",
    "grades_of",
    "rank_run",
    "score_lists",
]

Judged: TypeAlias = Mapping[str, Mapping[str, float]] | str | Path
"""Query id -> document id -> grade, or a file of judgements (BEIR with its header, or TREC)."""

Run: TypeAlias = Mapping[str, Mapping[str, float]] | str | Path
"""Query id -> document id -> score, higher is closer, or a TREC run file."""

QUERIES_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class RankingScores:
    """What was measured.

    Attributes:
        name: of what was measured.
        means: by measure: the mean over the queries.
        intervals: by measure: the 95% interval of the mean, by drawing queries anew.
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
    intervals: dict[str, tuple[float, float]]
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
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
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
            low, high = self.intervals[name]
            table.add_row(Text(name), f"{mean:.4f}", f"{low:.4f} to {high:.4f}")
        return Group(table, *(Text(f"Note: {note}") for note in self.notes))


def rank_run(
    run: Run,
    judgements: Judged,
    *,
    measures: Sequence[str] = MEASURES,
    name: str | None = None,
) -> RankingScores:
    """Score a run by judgements, with ir-measures.

    A query's documents are ranked by falling score. Of documents with the same score the one
    whose id sorts last comes first, as in trec_eval. ir-measures breaks ties in this way for most
    measures, and in the other way for RR with a cutoff; here it is one way for all. The ranks that
    a run file gives are not used.

    A query counts if a document of grade 1 or more is judged for it. A query that the run has
    nothing for counts with 0. What is not judged is not relevant.

    Args:
        run: query id -> document id -> score, or the path of a TREC run file.
        judgements: query id -> document id -> grade, a whole number, or the path of a file.
        measures: names of ir-measures; see :func:`~hf_hardneg.evaluation.measures.parse_measures`.
        name: of the run, to be shown.

    Raises:
        QueryError: no judged query has a relevant document.
        FormatError: a malformed file, a grade that is no whole number, a score that is not finite.
        ParameterError: an unknown measure.
    """
    parsed = parse_measures(measures)
    grades = grades_of(judgements)
    lists, notes = _lists_of(run, grades)
    longest = max(map(len, lists.values()), default=0)
    if longest < deepest(parsed.values()):
        notes.append(
            f"the longest list of the run has {longest:,} documents: what is beyond is not found."
        )
    shown = name or (str(run) if isinstance(run, str | Path) else "run")
    ranked = ((query, *best_first(query, own)) for query, own in lists.items())
    return score_lists(ranked, grades, parsed, name=shown, notes=notes)


def before_and_after(
    before: RankingScores,
    after: RankingScores,
    measure: str | None = None,
    *,
    seed: int = 0,
    repeats: int = REPEATS,
) -> Comparison:
    """Compare two rankings of the same queries by one measure.

    Args:
        before: the one that is compared with.
        after: the other.
        measure: its name as it was given; default: the first.
        seed: of the test.
        repeats: of the test; see :func:`~hf_hardneg.evaluation.significance.randomisation_test`.

    Raises:
        ParameterError: the queries are not the same, or one has no such measure.
    """
    chosen = measure or next(iter(before.means))
    for scores in (before, after):
        if chosen not in scores.means:
            raise ParameterError(
                f"{scores.name!r} was not measured by {chosen!r}; it has {listing(scores.means)}."
            )
    if before.query_ids != after.query_ids:
        differ = set(before.query_ids) ^ set(after.query_ids)
        raise ParameterError(
            f"{before.name!r} and {after.name!r} were measured on different queries: {len(differ)} "
            f"are in one of the two alone, for example {listing(sorted(differ), 3)}. Use the same "
            "judgements for both."
        )
    return randomisation_test(
        before.per_query[chosen],
        after.per_query[chosen],
        seed=seed,
        repeats=repeats,
        measure=chosen,
    )


def comparisons(
    before: RankingScores, after: RankingScores, *, seed: int = 0, repeats: int = REPEATS
) -> dict[str, Comparison]:
    """Compare two rankings by every measure that both have; see :func:`before_and_after`."""
    return {
        name: before_and_after(before, after, name, seed=seed, repeats=repeats)
        for name in before.means
        if name in after.means
    }


# -- input ---------------------------------------------------------------------------------------


def grades_of(judgements: Judged) -> dict[str, dict[str, int]]:
    """Return query id -> document id -> grade.

    Raises:
        FormatError: a grade that is no whole number, or a malformed file.
    """
    grades: dict[str, dict[str, int]] = {}
    if isinstance(judgements, str | Path):
        for query, document, grade in read_qrels(Path(judgements)):
            grades.setdefault(query, {})[document] = _whole(query, document, grade)
        return grades
    for query, own in judgements.items():
        grades[str(query)] = {
            str(name): _whole(str(query), str(name), grade) for name, grade in own.items()
        }
    return grades


def _whole(query: str, document: str, grade: float) -> int:
    if not math.isfinite(grade) or grade != int(grade):
        raise FormatError(
            f"the grade of document {document!r} for query {query!r} is {grade!r}; expected a "
            "whole number, which is what the measures are defined for."
        )
    return int(grade)


def _lists_of(
    run: Run, grades: Mapping[str, object]
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Return the lists of a run, those of queries that are not judged emptied, and notes."""
    if not isinstance(run, str | Path):
        found = {
            str(query): {str(name): float(score) for name, score in own.items()}
            for query, own in run.items()
        }
        return found, []
    lists: dict[str, dict[str, float]] = {}
    repeated = 0
    for query, document, score in read_trec_run(Path(run)):
        own = lists.setdefault(query, {})
        if query in grades:
            repeated += document in own
            own[document] = max(score, own.get(document, score))
    notes = [f"{repeated:,} lines of the run name a document that its query has already: the "
             "better score counts."] if repeated else []  # fmt: skip
    return lists, notes


def best_first(
    query: str, scores: Mapping[str, float]
) -> tuple[list[str], NDArray[np.float64]]:
    """Return a query's documents by falling score, and the scores; ties by falling id.

    Raises:
        FormatError: a score that is not finite.
    """
    bad = next((name for name, score in scores.items() if not math.isfinite(score)), None)
    if bad is not None:
        raise FormatError(
            f"the score of document {bad!r} for query {query!r} is {scores[bad]!r}; expected a "
            "finite number."
        )
    ordered = sorted(scores.items(), key=lambda item: (item[1], item[0]), reverse=True)
    return [name for name, _ in ordered], np.array([score for _, score in ordered])


# -- scoring -------------------------------------------------------------------------------------

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
    ones = np.ones(len(counted))
    return RankingScores(
        name=name,
        means={measure: math.fsum(own) / len(own) for measure, own in per_query.items()},
        intervals={measure: bootstrap_ratio(own, ones) for measure, own in per_query.items()},
        query_ids=counted,
        per_query=per_query,
        without_list=missing,
        without_relevant=without,
        not_judged=not_judged,
        tied=tied,
        notes=(*notes, *_counts_as_notes(missing, without, not_judged, tied)),
    )


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


def _is_tied(
    names: Sequence[str], scores: NDArray[np.float64], grades: Mapping[str, int]
) -> bool:
    """Return whether a relevant document has the score of one of another grade."""
    equal = np.flatnonzero(scores[1:] == scores[:-1])
    return any(
        max(grades.get(names[place], 0), 0) != max(grades.get(names[place + 1], 0), 0)
        for place in equal
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
