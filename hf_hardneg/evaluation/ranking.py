"""How well a run finds the relevant documents, and whether another one is better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.errors import FormatError, ParameterError, listing
from hf_hardneg.evaluation.judgements import add_grade, grades_in, whole_grade
from hf_hardneg.evaluation.measures import MEASURES, deepest, parse_measures
from hf_hardneg.evaluation.ranking_scores import RankingScores, score_lists
from hf_hardneg.evaluation.significance import REPEATS, Comparison, randomisation_test
from hf_hardneg.retrievers.run import read_trec_run

__all__ = [
    "Judged",
    "RankingScores",
    "Run",
    "before_and_after",
    "best_first",
    "comparisons",
    "grades_of",
    "rank_run",
]

Judged: TypeAlias = Mapping[str, Mapping[str, float]] | str | Path
"""Query id -> document id -> grade, or a file of judgements (BEIR with its header, or TREC)."""

Run: TypeAlias = Mapping[str, Mapping[str, float]] | str | Path
"""Query id -> document id -> score, higher is closer, or a TREC run file."""


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


def grades_of(judgements: Judged) -> dict[str, dict[str, int]]:
    """Return query id -> document id -> grade; a pair that is judged twice has the higher grade.

    Raises:
        FormatError: a grade that is no whole number, or a malformed file.
    """
    if isinstance(judgements, str | Path):
        return grades_in(judgements)
    grades: dict[str, dict[str, int]] = {}
    for query, own in judgements.items():
        judged = grades.setdefault(str(query), {})
        for name, grade in own.items():
            where = f"query {str(query)!r}, document {str(name)!r}"
            add_grade(judged, str(name), whole_grade(grade, where))
    return grades


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


def best_first(query: str, scores: Mapping[str, float]) -> tuple[list[str], NDArray[np.float64]]:
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
