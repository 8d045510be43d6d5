"""The sliders over a decision, where they begin, and the strategy string that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hf_hardneg.checks import whole_number
from hf_hardneg.errors import ParameterError, StrategyError
from hf_hardneg.filters import CrossEncoderDenoiser, MarginFilter, RankFilter, ScoreFilter
from hf_hardneg.filters.base import Filter
from hf_hardneg.filters.margin import DEFAULT_RELATIVE
from hf_hardneg.grammar import StageCall
from hf_hardneg.inspection.opened import InspectedSet
from hf_hardneg.inspection.pool_batch import pool_batch, pool_of
from hf_hardneg.inspection.set_rules import MODEL, SetRules, set_rules
from hf_hardneg.registry import kind_of
from hf_hardneg.samplers import TopSampler

__all__ = ["SliderRanges", "Sliders", "own_sliders", "slider_ranges", "strategy_string"]

RANGE_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class Sliders:
    """A decision over candidates.

    Attributes:
        margin: how far below the positive's score a candidate has to score; ``None`` for no
            margin. See :class:`~hf_hardneg.filters.MarginFilter`.
        relative: whether the margin is a share of the positive's score, 0 to 1.
        first_rank: the first raw rank that is kept, from 1.
        last_rank: the last rank that is kept; ``None`` for no bound.
        lowest_score: the lowest score that is kept; ``None`` for no bound.
        highest_score: only scores below this are kept; ``None`` for no bound.
        num_negatives: for each row, at least 1.
        model_threshold: a negative scores below this by the cross-encoder of the set's strategy;
            ``None`` where the set has none, or to leave it as it was.

    Raises:
        ParameterError: a value out of range, or ranges that are empty.
    """

    margin: float | None = None
    relative: bool = False
    first_rank: int = 1
    last_rank: int | None = None
    lowest_score: float | None = None
    highest_score: float | None = None
    num_negatives: int = 5
    model_threshold: float | None = None

    def __post_init__(self) -> None:
        """Check the values, by making the filters that they stand for."""
        whole_number("sliders", "num_negatives", self.num_negatives, 1)
        self.filters()

    def filters(self, against: str = "min") -> dict[str, Filter]:
        """Return the filters that the sliders stand for, by ``margin``, ``rank`` and ``score``.

        Args:
            against: which of several positives the margin is measured against.
        """
        made: dict[str, Filter] = {}
        if self.margin is not None:
            kind = "relative" if self.relative else "margin"
            made["margin"] = MarginFilter(against=against, **{kind: self.margin})
        if self.first_rank != 1 or self.last_rank is not None:
            end = None if self.last_rank is None else self.last_rank + 1
            made["rank"] = RankFilter(range_min=self.first_rank, range_max=end)
        if self.lowest_score is not None or self.highest_score is not None:
            made["score"] = ScoreFilter(min_score=self.lowest_score, max_score=self.highest_score)
        return made

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SliderRanges:
    """Between what the sliders of a set move.

    Attributes:
        own: where they stand for the set as it was mined.
        last_rank: the deepest rank among the candidates.
        scores: lowest and highest score of a candidate; ``None`` where there are no scores, and
            then neither scores nor margins can be slid.
        margins: from 0 to the largest gap between a positive and a candidate; ``None`` where
            positives have no scores. A relative margin goes from 0 to 1.
        model_scores: lowest and highest score of the cross-encoder; ``None`` without one.
        highest_threshold: ``model_threshold`` may not be above this; ``None`` without one.
        most_negatives: the longest list of candidates.
        rows: how many rows of the pool were looked at.
        notes: what a reader should know.
    """

    own: Sliders
    last_rank: int
    scores: tuple[float, float] | None
    margins: tuple[float, float] | None
    model_scores: tuple[float, float] | None
    highest_threshold: float | None
    most_negatives: int
    rows: int
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def own_sliders(inspected: InspectedSet) -> Sliders:
    """Return the sliders as they stand for the set as it was mined.

    A stage that no slider can stand for, such as a margin by percentile or the second of two
    margins, is not among them: it stays as it is.
    """
    return sliders_of(set_rules(inspected))


def sliders_of(rules: SetRules) -> Sliders:
    """Return where the sliders stand for these rules."""
    values: dict[str, Any] = {"num_negatives": rules.num_negatives}
    for stage in rules.stages:
        made = stage.again if stage.slider else None
        if isinstance(made, MarginFilter):
            values["relative"] = made.margin is None
            share = DEFAULT_RELATIVE if made.relative is None else made.relative
            values["margin"] = share if made.margin is None else made.margin
        if isinstance(made, RankFilter):
            values["first_rank"] = made.range_min
            values["last_rank"] = None if made.range_max is None else made.range_max - 1
        if isinstance(made, ScoreFilter):
            values["lowest_score"], values["highest_score"] = made.min_score, made.max_score
        if stage.slider == MODEL:
            values["model_threshold"] = float(stage.arguments["threshold"])
    return Sliders(**values)


def slider_ranges(
    inspected: InspectedSet, *, rows: int = RANGE_ROWS, seed: int = 0
) -> SliderRanges:
    """Return between what the sliders move, by a sample of the rows of the pool.

    Args:
        inspected: the set.
        rows: how many rows of its pool are looked at.
        seed: of the sample.

    Raises:
        PoolError: the set has no pool.
    """
    pool, rules = pool_of(inspected), set_rules(inspected)
    batch = pool_batch(pool, pool.drawn(rows, seed))
    there = batch.candidates.filled
    scores = batch.candidates.scores[there]
    positive = batch.candidates.positive_score(batch.queries)
    gaps = (positive[:, None] - batch.candidates.scores)[there]
    stage = rules.slider(MODEL)
    judged = batch.model_scores[there] if stage is not None else np.zeros(0)
    gap = _ends(gaps[gaps > 0])
    notes = (
        [rules.why + ": the sliders begin open, and what was taken out stays out"]
        if (rules.why)
        else []
    )
    return SliderRanges(
        own=sliders_of(rules),
        last_rank=int(batch.candidates.ranks.max(initial=1)),
        scores=_ends(scores),
        margins=None if _ends(gaps) is None else (0.0, 0.0 if gap is None else gap[1]),
        model_scores=_ends(judged),
        highest_threshold=None if stage is None else float(stage.arguments["promote_above"]),
        most_negatives=int(there.sum(axis=1).max(initial=1)),
        rows=len(batch),
        notes=tuple(notes),
    )


def _ends(values: np.ndarray[Any, Any]) -> tuple[float, float] | None:
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if len(known) else None


def strategy_string(inspected: InspectedSet, sliders: Sliders) -> str:
    """Return the strategy that decides as the sliders do.

    It has the retrievers and all other stages of the set's own. A sampler that cannot be used over
    a pool (see :class:`~hf_hardneg.inspection.decision.Decision`, ``notes``) is left out, as it
    is in what the sliders show. How many negatives a row gets is no part of a strategy:
    ``num_negatives`` stands beside it.

    Raises:
        StrategyError: it is not known how the set was mined.
        ParameterError: a threshold of a model that the set has not.
    """
    rules = set_rules(inspected)
    if rules.parsed is None:
        raise StrategyError(
            f"{inspected.name}: {rules.why}. So no strategy can be written that has its retriever."
        )
    parsed, filters = rules.parsed, sliders.filters(against_of(rules))
    calls: list[str | None] = [_call(call) for call in parsed.stages]
    new = []
    for name in ("margin", "rank", "score"):
        stage, made = rules.slider(name), filters.get(name)
        if stage is not None:
            calls[stage.place] = None if made is None else made.expression()
        elif made is not None:
            new.append(made.expression())
    model = rules.slider(MODEL)
    if model is not None and sliders.model_threshold is not None and model.call is not None:
        check_threshold(rules, sliders)
        own = {**model.call.arguments, "threshold": sliders.model_threshold}
        calls[model.place] = _call(StageCall(model.call.name, own))
    elif sliders.model_threshold is not None:
        check_threshold(rules, sliders)
    classes = parsed.classes[len(parsed.calls) - len(parsed.stages) :]
    last: list[str | None] = []
    for place, own_class in enumerate(classes):
        if kind_of(own_class) == "sampler":
            last, calls[place] = [_sampler(rules, calls[place], inspected)], None
    joiners = [_call(call) for call in parsed.joiners]
    head = ",".join(_call(call) for call in parsed.retrievers)
    parts = [head, *joiners, *calls, *new, *last]
    return "+".join(part for part in parts if part is not None)


def _sampler(rules: SetRules, call: str | None, inspected: InspectedSet) -> str | None:
    sampler, why = rules.sampler(inspected.corpus is not None)
    return None if why or sampler == TopSampler() else call


def against_of(rules: SetRules) -> str:
    """Return which of several positives the set's own margin is measured against."""
    stage = rules.slider("margin")
    return "min" if stage is None else str(stage.arguments.get("against", "min"))


def check_threshold(rules: SetRules, sliders: Sliders) -> None:
    """Refuse a threshold without a model, and one that the stage would not take.

    Raises:
        ParameterError: says which.
    """
    stage = rules.slider(MODEL)
    if sliders.model_threshold is None:
        return
    if stage is None:
        raise ParameterError(
            f"sliders: model_threshold={sliders.model_threshold} is given, and the pool has no "
            "scores of a cross-encoder that decides by a threshold. Leave it out."
        )
    names = ("threshold", "promote_above")
    given: Mapping[str, Any] = {**stage.arguments, "threshold": sliders.model_threshold}
    CrossEncoderDenoiser("unused", **{name: given[name] for name in names})


def _call(call: StageCall) -> str:
    """Return a call as it stands in a strategy string."""
    values = dict(call.arguments)
    depth = values.pop("top_k", None)
    inside = ", ".join(f"{name}={value!r}" for name, value in values.items())
    at = "" if depth is None else f"@{depth}"
    return f"{call.name}{at}" + (f"({inside})" if inside else "")
