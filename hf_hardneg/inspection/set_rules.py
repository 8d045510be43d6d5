"""How a mined set was decided, as far as its strategy string and its pool tell."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hf_hardneg.bound_stage import BoundStage
from hf_hardneg.cross_encoder_stage import CrossEncoderStage
from hf_hardneg.errors import HardNegError
from hf_hardneg.filters import CrossEncoderDenoiser, MarginFilter, RankFilter, ScoreFilter
from hf_hardneg.filters.base import Filter
from hf_hardneg.filters.known_positives import ALWAYS_ON
from hf_hardneg.grammar import StageCall
from hf_hardneg.inspection.opened import InspectedSet
from hf_hardneg.outcomes import MODEL_SCORES
from hf_hardneg.registry import kind_of
from hf_hardneg.samplers import Sampler, TopSampler
from hf_hardneg.selection import numbered_names
from hf_hardneg.stage import Stage
from hf_hardneg.strategy import Parsed, parse

__all__ = ["DUPLICATE", "MODEL", "DecidedStage", "SetRules", "set_rules"]

MODEL = "model"
SLIDING: Mapping[type[Stage], str] = {
    MarginFilter: "margin", RankFilter: "rank", ScoreFilter: "score"
}  # fmt: skip
ORDER = ("row filter", "always", "filter", "duplicate", "veto", "diversity")
"""In which order stages decide; candidates that are not needed came as far as ``duplicate``."""
DUPLICATE = "duplicate-text"


@dataclass(frozen=True, slots=True)
class DecidedStage:
    """A stage that may take candidates out.

    Attributes:
        name: as the outcomes have it.
        kind: one of :data:`ORDER`.
        slider: ``margin``, ``rank``, ``score`` or ``model``, where a slider stands for it.
        call: in the strategy string; ``None`` where no string names it.
        place: among the stages of the string, -1 without a call.
        again: the stage itself, where it can decide anew without a model and without a corpus.
        arguments: with which it was made, defaults among them.
    """

    name: str
    kind: str
    slider: str = ""
    call: StageCall | None = None
    place: int = -1
    again: Filter | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def recorded(self) -> bool:
        """Whether what it took out is known from the pool alone."""
        return not self.slider and self.again is None and self.kind not in ("always", "duplicate")


@dataclass(frozen=True, slots=True)
class SetRules:
    """How a set was decided.

    Attributes:
        stages: those that may take candidates out, in the order in which they decide.
        num_negatives: for each row.
        seed: of the sampler.
        parsed: the calls of the strategy; ``None`` where it is not known.
        why: why it is not known.
    """

    stages: tuple[DecidedStage, ...]
    num_negatives: int
    seed: int
    parsed: Parsed | None = None
    why: str = ""

    @property
    def recorded(self) -> tuple[DecidedStage, ...]:
        """The stages whose decisions stay as they are."""
        return tuple(stage for stage in self.stages if stage.recorded)

    def slider(self, name: str) -> DecidedStage | None:
        """Return the stage that a slider stands for."""
        return next((stage for stage in self.stages if stage.slider == name), None)

    def sampler(self, known_texts: bool) -> tuple[Sampler, str]:
        """Return the set's own sampler or, where it cannot be made again, ``top`` and why.

        Args:
            known_texts: whether the documents' texts are known, which noise is drawn from.
        """
        if self.parsed is None:
            return TopSampler(), ""
        for call, own in _stages(self.parsed):
            if issubclass(own, Sampler):
                made, why = self._made(own, call.arguments)
                if made is not None and not known_texts and made != TopSampler():
                    made, why = None, "its order needs the texts of the documents"
                if made is not None:
                    return made, ""
                said = f"The set's sampler {call.name!r} cannot be used here: {why}. The sliders "
                return TopSampler(), said + "take the candidates of the highest scores instead."
        return TopSampler(), ""

    def _made(self, own: type[Sampler], arguments: Mapping[str, Any]) -> tuple[Sampler | None, str]:
        several = self.parsed is not None and len(self.parsed.retrievers) > 1
        if issubclass(own, BoundStage) or own.context():
            return None, "it asks the retriever"
        if several and own.stratum_names:
            return None, "it needs the ranks in each retriever's list, which the pool has not"
        given = {"seed": self.seed} if "seed" in own.defaults() else {}
        try:
            made = own(**{**given, **arguments})
        except (TypeError, HardNegError) as error:
            return None, str(error)
        if made.needs_fit or made.columns:
            return None, "it looks at all rows of the data before it decides"
        return made, ""


def set_rules(inspected: InspectedSet) -> SetRules:
    """Return how a set was decided.

    Where its strategy is not known, or names a stage that is not installed, every outcome of the
    pool is one that stays as it is.
    """
    columns = () if inspected.pool is None else inspected.pool.rows.column_names
    n, seed = _numbers(inspected)
    if not inspected.strategy:
        return SetRules(_always(()), n, seed, why="the set does not say how it was mined")
    try:
        parsed = parse(inspected.strategy)
        stages = _decided(parsed, columns)
    except HardNegError as error:
        return SetRules(_always(()), n, seed, why=f"its strategy cannot be read: {error}")
    return SetRules(stages, n, seed, parsed)


def _numbers(inspected: InspectedSet) -> tuple[int, int]:
    """Return how many negatives a row was to have, and the seed."""
    if inspected.report is not None:
        return inspected.report.num_negatives, inspected.report.seed
    recipe = inspected.recipe.get("mining", inspected.recipe)
    recipe = recipe if isinstance(recipe, Mapping) else {}
    n, seed = recipe.get("num_negatives"), recipe.get("seed", 0)
    if not isinstance(n, int):
        first = next(inspected.mined.batches())
        names = [name for name in ("negative_ids", "negatives") if first.has(name)]
        n = max((len(one or ()) for one in first.table[names[0]].to_pylist()), default=1)
    return max(n, 1), seed if isinstance(seed, int) else 0


def _stages(parsed: Parsed) -> list[tuple[StageCall, type[Stage]]]:
    """Return the calls after the retrievers with their classes."""
    return (
        list(zip(parsed.stages, parsed.classes[-len(parsed.stages) :], strict=True))
        if (parsed.stages)
        else []
    )


def _decided(parsed: Parsed, columns: Collection[str]) -> tuple[DecidedStage, ...]:
    """Return the stages that may take candidates out, in the order in which they decide."""
    found: list[DecidedStage] = []
    scored = MODEL_SCORES not in columns  # the scores are those of the first veto that has a model
    for place, (call, own) in enumerate(_stages(parsed)):
        kind = kind_of(own)
        arguments = {**own.defaults(), **call.arguments}
        if kind == "sampler" or (kind == "row filter" and arguments.get("action") != "drop"):
            continue
        again, slider = _again(own, call), ""
        if again is not None and not (own is MarginFilter and "percentile" in call.arguments):
            slider = SLIDING[own]
        if kind == "veto" and issubclass(own, CrossEncoderStage):
            plain = issubclass(own, CrossEncoderDenoiser) and arguments["positive_margin"] is None
            slider, scored = (MODEL if plain and not scored else ""), True
        if any(one.slider == slider for one in found):
            slider = ""
        found.append(DecidedStage(own.name, kind, slider, call, place, again, arguments))
    return _always(found)


def _again(own: type[Stage], call: StageCall) -> Filter | None:
    """Return a filter that looks at scores and ranks alone, made anew."""
    if own not in SLIDING:
        return None
    made = own(**call.arguments)
    return made if isinstance(made, Filter) and not made.needs_fit else None


def _always(stages: Sequence[DecidedStage]) -> tuple[DecidedStage, ...]:
    """Return the stages with those that are always there, by the names that outcomes have."""
    always = [DecidedStage(rule.name, "always") for rule in ALWAYS_ON]
    every = sorted([*always, *stages], key=lambda one: ORDER.index(one.kind))
    names = numbered_names([one.name for one in every])
    numbered = [
        DecidedStage(name, one.kind, one.slider, one.call, one.place, one.again, one.arguments)
        for name, one in zip(names, every, strict=True)
    ]
    duplicate = DecidedStage(DUPLICATE, "duplicate")
    return tuple(sorted([*numbered, duplicate], key=lambda one: ORDER.index(one.kind)))
