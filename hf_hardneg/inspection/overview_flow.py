"""The flow of candidates through the stages: as reported, or as the pool has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pyarrow.compute as pc

from hf_hardneg.arrow import flat_list
from hf_hardneg.catalogue import entries_of
from hf_hardneg.errors import HardNegError
from hf_hardneg.inspection.opened import InspectedSet
from hf_hardneg.inspection.overview_parts import Flow, FlowStep
from hf_hardneg.inspection.pool_rows import PoolRows
from hf_hardneg.inspection.survey import drawn_rows
from hf_hardneg.inspection.views import CHOSEN
from hf_hardneg.report import Report

__all__ = ["flow_of"]

NOT_NEEDED, PROMOTED = "not needed", "promoted by "
REPORTED = "the report of the mining"
NEITHER = (
    "the set has neither a report of its mining nor a pool that says what became of each candidate"
)


def flow_of(inspected: InspectedSet, rows: int) -> Flow:
    """Return what became of the candidates.

    Args:
        inspected: the set.
        rows: of the pool that are looked at where there is no report; of more, so many are drawn.
    """
    if inspected.report is not None:
        return Flow(tuple(_reported(inspected.report)), REPORTED)
    if inspected.pool is None:
        return Flow((), why=NEITHER)
    looked_at, outcomes = _outcomes(inspected.pool, rows)
    whole = looked_at == len(inspected.pool)
    drawn = "" if whole else f" of {len(inspected.pool):,}"
    end = "" if whole else ", drawn"
    return Flow(tuple(_counted(outcomes)), f"{looked_at:,}{drawn} rows of the pool{end}")


def _reported(report: Report) -> Iterator[FlowStep]:
    left = report.slots_retrieved
    yield FlowStep("retrieved", "retrieved", left, left)
    for stage in report.stages:
        left -= stage.dropped + stage.promoted
        yield FlowStep(stage.stage, "stage", stage.dropped, left, stage.promoted, stage.asked,
                       _about(stage.stage))  # fmt: skip
    yield FlowStep(CHOSEN, CHOSEN, report.slots_chosen - report.slots_filled)
    yield FlowStep(NOT_NEEDED, NOT_NEEDED, report.slots_unused)
    if report.slots_filled:
        yield FlowStep("fill", "fill", report.slots_filled)


def _about(stage: str) -> str:
    """Return what a stage does, in a sentence."""
    try:
        return entries_of(stage)[0].about
    except (HardNegError, IndexError):
        return ""  # a stage of the user's own, or a step of the mining without a class


def _outcomes(pool: PoolRows, rows: int) -> tuple[int, Counter[str]]:
    """Return (rows looked at, candidates by what became of them)."""
    chosen = pool.rows.select_columns(["candidate_outcomes"]).with_format("arrow")
    parts = [(0, len(pool))] if len(pool) <= rows else drawn_rows(len(pool), rows)
    counts: Counter[str] = Counter()
    looked_at = 0
    for start, stop in parts:
        values = flat_list(chosen[start:stop]["candidate_outcomes"])[1]
        for pair in pc.value_counts(values).to_pylist():
            counts[pair["values"] or ""] += pair["counts"]
        looked_at += stop - start
    return looked_at, counts


def _counted(outcomes: Counter[str]) -> Iterator[FlowStep]:
    yield FlowStep("retrieved", "retrieved", sum(outcomes.values()))
    promoted: Counter[str] = Counter()
    stages: Counter[str] = Counter()
    for name, count in outcomes.items():
        if name.startswith(PROMOTED):
            promoted[name.removeprefix(PROMOTED)] += count
        elif name not in (CHOSEN, NOT_NEEDED, ""):
            stages[name] += count
    names = sorted({*promoted, *stages}, key=lambda name: (-stages[name], name))
    for name in names:
        yield FlowStep(name, "stage", stages[name], None, promoted[name], None, _about(name))
    yield FlowStep(CHOSEN, CHOSEN, outcomes[CHOSEN])
    yield FlowStep(NOT_NEEDED, NOT_NEEDED, outcomes[NOT_NEEDED])
    if outcomes[""]:
        yield FlowStep("not said", NOT_NEEDED, outcomes[""])
