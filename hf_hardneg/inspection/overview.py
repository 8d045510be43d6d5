"""The overview of a mined set: what its mining reported, and what its rows say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hf_hardneg.distributions import Distribution
from hf_hardneg.inspection.opened import InspectedSet
from hf_hardneg.inspection.overview_flow import flow_of
from hf_hardneg.inspection.overview_parts import (
    Fact,
    Flow,
    FlowStep,
    Hardness,
    Overview,
    Rates,
    Reused,
    ReusedDocument,
    Scores,
    Short,
)
from hf_hardneg.inspection.row_scores import ScoreSource
from hf_hardneg.inspection.survey import Survey, all_rows, drawn_rows, survey_of
from hf_hardneg.inspection.survey_step import kept_survey, needs_scores, survey_path
from hf_hardneg.rates import Rate
from hf_hardneg.report import NOT_ESTIMATED
from hf_hardneg.score_hardness import ScoreHardness

__all__ = ["Fact", "Flow", "FlowStep", "Hardness", "Overview", "Rates", "Reused",
           "ReusedDocument", "Scores", "Short", "overview_of"]  # fmt: skip

AT_ONCE = 20_000
"""Rows that are looked at while somebody waits; of more, so many are drawn."""
REPORTED = "the report of the mining"
RECIPE = "the recipe of the mining"
NO_REPORT = "the set has no report of its mining (hardneg/report.json)"


def overview_of(inspected: InspectedSet, rates: Sequence[Rate] = ()) -> Overview:
    """Return the overview of a set.

    Numbers come from the report of the mining where there is one. The others are worked out from
    the rows: from all of them where there are at most 20,000, or where
    :class:`hf_hardneg.inspection.suspicion.Suspicion` has gone through them all; else from as many
    that are drawn, in blocks of 100. Each says where it comes from.

    Args:
        inspected: the set.
        rates: of false negatives that were estimated since, such as from labels.
    """
    survey = kept_survey(survey_path(inspected))
    if survey is None:
        rows = len(inspected)
        parts = all_rows(rows) if rows <= AT_ONCE else drawn_rows(rows, AT_ONCE)
        survey = survey_of(inspected, parts, scores=needs_scores(inspected))
    if survey is None:
        raise RuntimeError("a survey that nobody stops was stopped")
    where = _where(survey)
    return Overview(
        name=inspected.name,
        made=tuple(_made(inspected)),
        counts=tuple(_counts(inspected, survey, where)),
        flow=flow_of(inspected, AT_ONCE),
        scores=_scores(inspected, survey, where),
        rates=_rates(inspected, rates),
        hardness=_hardness(inspected, survey, where),
        reused=_reused(survey, where),
        short=_short(inspected, survey, where),
        exact=survey.whole,
        notes=tuple(_notes(inspected)),
    )


def _where(survey: Survey) -> str:
    if survey.whole:
        return f"all {survey.of:,} rows"
    return f"{survey.rows:,} of {survey.of:,} rows, drawn"


# -- how it was made -------------------------------------------------------------------------------


def _made(inspected: InspectedSet) -> Iterator[Fact]:
    recipe, report = inspected.recipe, inspected.report
    # The recipe of a published set has sections; the one that mining writes has none.
    mining = recipe.get("mining") if isinstance(recipe.get("mining"), Mapping) else recipe
    told = REPORTED if report is not None else RECIPE
    values = {} if report is None else {
        "num_negatives": report.num_negatives, "seed": report.seed,
    }  # fmt: skip
    titles = {"num_negatives": "Negatives asked a row", "seed": "Seed",
              "underfilled": "Rows with too few"}  # fmt: skip
    strategy = inspected.strategy
    yield Fact("strategy", "Strategy", strategy or None, told if strategy else "",
               "" if strategy else f"{NO_REPORT} and no recipe")  # fmt: skip
    for name, title in titles.items():
        value = values.get(name, (mining or {}).get(name))
        source = REPORTED if name in values else RECIPE
        yield _fact(name, title, value, source, "neither a report nor a recipe says it")
    yield _fact("models", "Models", _models(recipe), RECIPE, _no_models(inspected))
    yield _corpus(inspected)
    versions = recipe.get("versions")
    own = versions.get("hf-hardneg") if isinstance(versions, Mapping) else None
    yield _fact("version", "Version of hf-hardneg", own, RECIPE, "no recipe of the set says it")


def _fact(name: str, title: str, value: Any, where: str, why: str) -> Fact:  # noqa: ANN401
    if value is None or value == "":
        return Fact(name, title, None, why=why)
    return Fact(name, title, value if isinstance(value, int | float) else str(value), where)


def _models(recipe: Mapping[str, Any]) -> str | None:
    """Return the models that the recipe names, with the commits or hashes that it knows."""
    models = recipe.get("models")
    if not isinstance(models, Mapping):
        return None
    found = []
    for name, about in models.items():
        known = about if isinstance(about, Mapping) else {"revision": about}
        mark = next((known[key] for key in ("revision", "commit", "sha256") if known.get(key)), "")
        found.append(f"{name} ({mark})" if mark else str(name))
    return ", ".join(found) or "none"


def _no_models(inspected: InspectedSet) -> str:
    if inspected.strategy:
        return "they stand in the strategy, where it names any; the recipe lists none"
    return "neither a report nor a recipe says it"


def _corpus(inspected: InspectedSet) -> Fact:
    report = {} if inspected.report is None else inspected.report.corpus
    documents = report.get("documents")
    if documents is not None:
        mark = str(report.get("fingerprint", ""))[:12]
        return Fact("corpus", "Corpus", f"{documents:,} documents" + (f" ({mark})" if mark else ""),
                    REPORTED)  # fmt: skip
    if inspected.corpus is not None:
        mark = inspected.corpus.fingerprint[:12]
        return Fact("corpus", "Corpus", f"{len(inspected.corpus):,} documents ({mark})",
                    "the documents beside the rows")  # fmt: skip
    return Fact("corpus", "Corpus", None, why="no documents are beside the rows")


# -- numbers ---------------------------------------------------------------------------------------


def _counts(inspected: InspectedSet, survey: Survey, where: str) -> Iterator[Fact]:
    rows, report = len(inspected), inspected.report
    here = f"all {rows:,} rows"
    yield Fact("rows", "Rows", rows, here)
    if report is not None:
        yield Fact("rows_in", "Rows that were mined", report.rows_in, REPORTED)
        yield Fact("rows_dropped", "Of these without negatives enough, or left out by a filter",
                   report.rows_dropped, REPORTED)  # fmt: skip
        for name, flagged in report.rows_flagged.items():
            yield Fact(f"flagged_{name}", f"Rows flagged by {name}", flagged, REPORTED)
    thin = "" if survey.whole else "only some of the rows have been looked at so far"
    for name, title, value in (
        ("negatives", "Negatives", survey.negatives),
        ("positives", "Positives", survey.positives),
        ("documents", "Different documents among the negatives", survey.distinct),
    ):
        known = value if survey.whole else None
        if known is None and name == "negatives" and report is not None and report.rows_out == rows:
            yield Fact(name, title, report.slots_chosen, REPORTED)
            continue
        yield Fact(name, title, known, here if known is not None else "", thin)
    mean = survey.negatives / survey.rows if survey.rows else None
    yield Fact("negatives_a_row", "Negatives a row", mean, where)
    if report is not None:
        yield Fact("fill", "Negatives that are fill", report.slots_filled, REPORTED)
    elif survey.filled is not None and survey.whole:
        yield Fact("fill", "Negatives that are fill", survey.filled, here)
    else:
        why = thin if survey.filled is not None else f"{NO_REPORT} and no column that marks fill"
        yield Fact("fill", "Negatives that are fill", None, why=why)


def _scores(inspected: InspectedSet, survey: Survey, where: str) -> Scores:
    report = inspected.report
    if report is not None and (report.positive_scores.count or report.negative_scores.count):
        return _histogram(report.positive_scores, report.negative_scores, REPORTED)
    if survey.scores is not None:
        hardness = ScoreHardness.from_dict(survey.scores)
        source = ScoreSource(inspected.mined, inspected.pool).where
        return _histogram(hardness.positive_scores, hardness.negative_scores,
                          f"{where}, scores of {source}")  # fmt: skip
    return Scores(why=_unscored(inspected))


def _histogram(positives: Distribution, negatives: Distribution, where: str) -> Scores:
    edges = positives.bin_edges or negatives.bin_edges
    none = [0] * (len(edges) - 1)
    return Scores(
        tuple(edges),
        tuple(positives.bin_counts or none),
        tuple(negatives.bin_counts or none),
        positives,
        negatives,
        where,
    )


def _unscored(inspected: InspectedSet) -> str:
    lacks = ScoreSource(inspected.mined, inspected.pool).lacks
    return lacks or "no negative has a score beside a positive that has one"


def _rates(inspected: InspectedSet, rates: Sequence[Rate]) -> Rates:
    reported = () if inspected.report is None else tuple(inspected.report.false_negatives)
    if not rates and not reported:
        return Rates((), why=NOT_ESTIMATED)
    parts = [REPORTED] * bool(reported) + ["estimated since"] * bool(rates)
    return Rates((*rates, *reported), " and ".join(parts))


def _hardness(inspected: InspectedSet, survey: Survey, where: str) -> Hardness:
    report = inspected.report
    rank = Fact("mean_rank", "Mean rank among the candidates", survey.mean_rank,
                where if survey.mean_rank is not None else "",
                "" if survey.mean_rank is not None else "no ranks stand in the rows")  # fmt: skip
    if report is not None and report.mean_rank is not None:
        rank = Fact("mean_rank", rank.title, report.mean_rank, REPORTED)
    if report is not None and report.hardness is not None:
        return Hardness(tuple(report.hardness.lines()), rank, REPORTED)
    if survey.scores is not None:
        source = ScoreSource(inspected.mined, inspected.pool).where
        lines = tuple(ScoreHardness.from_dict(survey.scores).lines())
        return Hardness(lines, rank, f"{where}, scores of {source}")
    return Hardness((), rank, why=_unscored(inspected))


def _reused(survey: Survey, where: str) -> Reused:
    documents = tuple(
        ReusedDocument(one.document_id, one.text, one.times, one.times / survey.negatives)
        for one in survey.most_used
    )
    why = "" if survey.negatives else "there are no negatives"
    return Reused(documents, survey.negatives, survey.distinct, survey.gini,
                  survey.told_apart_by, where, why)  # fmt: skip


def _short(inspected: InspectedSet, survey: Survey, where: str) -> Short:
    if inspected.mined.one_negative_a_row:
        asked, source = 1, "the rows, which have one negative each"
    elif inspected.asked is not None:
        asked, source = inspected.asked, REPORTED
    elif survey.by_count:
        # Of two numbers that as many rows have the larger one: no row has too many.
        asked = max(survey.by_count, key=lambda count: (survey.by_count[count], count))
        source = f"what most rows have ({where})"
    else:
        return Short(None, "", None, 0, why="there are no rows")
    fewer = tuple((count, rows) for count, rows in survey.by_count.items() if count < asked)
    return Short(asked, source, sum(rows for _, rows in fewer), survey.rows, fewer, where)


def _notes(inspected: InspectedSet) -> Iterator[str]:
    yield from inspected.notes
    if inspected.report is not None:
        yield from inspected.report.notes
