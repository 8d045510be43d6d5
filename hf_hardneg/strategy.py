"""The strategy string: its grammar, the stages it can name, and the named presets.

A strategy is ``retriever[,retriever]+stage+stage``. A stage is a name, for a retriever with its
depth after ``@``, and parameters in parentheses as Python literals::

    bm25@200(k1=0.9)+margin(relative=0.05)+denoised(threshold=0.2)+random

Stages after the first ``+`` are filters, vetoes and at most one sampler (default ``top``).
Without a retriever in front, ``bm25@100`` is meant.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from inspect import Parameter
from typing import Any

from hf_hardneg.errors import ParameterError, StrategyError, did_you_mean, listing
from hf_hardneg.filters import (
    CrossEncoderDenoiser,
    Filter,
    MarginFilter,
    RankFilter,
    ScoreFilter,
    Veto,
)
from hf_hardneg.retrievers import (
    BM25Retriever,
    DenseRetriever,
    RandomRetriever,
    Retriever,
    RunRetriever,
)
from hf_hardneg.samplers import RandomSampler, Sampler, TopSampler
from hf_hardneg.stage import Stage

__all__ = [
    "PRESETS",
    "Preset",
    "StageCall",
    "Strategy",
    "assemble",
    "build",
    "check",
    "parse",
]

RETRIEVERS: dict[str, type[Retriever]] = {
    stage.name: stage for stage in (BM25Retriever, DenseRetriever, RandomRetriever, RunRetriever)
}
FILTERS: dict[str, type[Filter] | type[Veto]] = {
    stage.name: stage for stage in (RankFilter, ScoreFilter, MarginFilter, CrossEncoderDenoiser)
}
SAMPLERS: dict[str, type[Sampler]] = {stage.name: stage for stage in (TopSampler, RandomSampler)}


@dataclass(frozen=True, slots=True)
class Preset:
    """A strategy that has a name of its own."""

    strategy: str
    about: str
    source: str


PRESETS: dict[str, Preset] = {
    "bm25": Preset("bm25", "the best documents by BM25 that are not known positives",
                   "Karpukhin et al., Dense passage retrieval, EMNLP 2020, section 3.2"),
    "random": Preset("random", "random documents: the baseline",
                     "Karpukhin et al., Dense passage retrieval, EMNLP 2020, section 3.2"),
    "denoised": Preset("bm25+denoised", "BM25, then a cross-encoder drops what it finds "
                       "relevant", "Qu et al., RocketQA, NAACL 2021, section 3.2"),
    "margin+denoised": Preset("bm25+margin+denoised", "5% below the positive's score, then "
                              "the cross-encoder",
                              "Moreira et al., NV-Retriever, 2024; Qu et al., RocketQA, 2021"),
}  # fmt: skip

DEFAULT_RETRIEVER = "bm25"
STAGE = re.compile(r"^\s*([A-Za-z][\w-]*)\s*(?:@\s*(\d+))?\s*(\(.*\))?\s*$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class StageCall:
    """One stage of a strategy string: its name and the parameters that were set."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Strategy:
    """The stages of a strategy, made and checked.

    ``str(strategy)`` is the canonical string; :func:`parse` and :func:`build` of it give an equal
    strategy.
    """

    retriever: Retriever
    filters: tuple[Filter, ...]
    vetoes: tuple[Veto, ...]
    sampler: Sampler

    def __post_init__(self) -> None:
        """Refuse stages that cannot work together."""
        _refuse_unscored(self.retriever, self.filters)

    def __str__(self) -> str:
        """Return the canonical string, defaults left out.

        A retriever's seed stands there always: its default is the seed of whoever builds it.
        """
        values = self.retriever.parameters()
        values.pop("top_k", None)
        if "seed" in self.retriever.defaults():
            values["seed"] = self.retriever.seed  # type: ignore[attr-defined]
        inside = ", ".join(f"{name}={value!r}" for name, value in values.items())
        head = f"{self.retriever.name}@{self.retriever.top_k}" + (f"({inside})" if inside else "")
        rest: list[Stage] = [*self.filters, *self.vetoes]
        if self.sampler != TopSampler():
            rest.append(self.sampler)
        return "+".join([head, *(stage.expression() for stage in rest)])


def _refuse_unscored(retriever: Retriever | type[Retriever], filters: Sequence[Filter]) -> None:
    needing = [stage.name for stage in filters if stage.needs_scores]
    if needing and not retriever.scored:
        raise StrategyError(
            f"{listing(needing)} compares scores, and the retriever {retriever.name!r} gives none. "
            "Use a retriever with scores, such as bm25, or leave the stage out."
        )


def _split(text: str, separator: str) -> list[str]:
    """Split at a separator that stands outside parentheses and quotes."""
    parts, depth, quote, start, escaped = [], 0, "", 0, False
    for place, sign in enumerate(text):
        if quote:
            ends = sign == quote and not escaped
            escaped = sign == "\\" and not escaped
            quote = "" if ends else quote
        elif sign in "'\"":
            quote = sign
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
        elif sign == separator and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]


def _arguments(text: str, stage: str) -> dict[str, Any]:
    """Read ``(name=literal, ...)`` with Python's own parser; nothing is evaluated."""
    try:
        call = ast.parse(f"stage{text}", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
            raise SyntaxError("only name=value pairs are known")
        pairs = [(keyword.arg, ast.literal_eval(keyword.value)) for keyword in call.keywords]
    except (SyntaxError, TypeError, ValueError, MemoryError, RecursionError) as error:
        raise StrategyError(
            f"the parameters {text!r} of stage {stage!r} cannot be read; expected "
            "(name=value, ...) with numbers, quoted texts, True, False, None or lists."
        ) from error
    if any(name is None for name, _ in pairs):
        raise StrategyError(f"stage {stage!r}: '**' is not known in a strategy string.")
    arguments: dict[str, Any] = {}
    for name, value in pairs:
        if name in arguments:
            raise StrategyError(f"stage {stage!r}: the parameter {name!r} is given twice.")
        arguments[str(name)] = value
    return arguments


def _stage_call(text: str) -> StageCall:
    match = STAGE.match(text)
    if match is None:
        raise StrategyError(
            f"{text.strip()!r} is not a stage; expected name, name@depth or name(parameter=value), "
            "joined by '+'. Example: 'bm25@200+margin(relative=0.05)'."
        )
    name, depth, inside = match.groups()
    arguments = _arguments(inside, name) if inside else {}
    if depth is not None:
        if "top_k" in arguments:
            raise StrategyError(f"stage {name!r}: the depth is given twice, by @ and by top_k.")
        arguments = {"top_k": int(depth), **arguments}
    return StageCall(name, arguments)


def parse(text: str) -> tuple[StageCall, list[StageCall]]:
    """Return the retriever and the stages of a strategy string.

    Raises:
        StrategyError: the string is empty or malformed, or a name is not known.
    """
    if not isinstance(text, str) or not text.strip():
        raise StrategyError(
            f"the strategy is {text!r}; expected a string such as 'bm25' or 'bm25+denoised'. "
            f"Presets: {listing(PRESETS)}."
        )
    preset = PRESETS.get(text.replace(" ", ""))
    head, *rest = _split(preset.strategy if preset else text, "+")
    retrievers = [_stage_call(part) for part in _split(head, ",")]
    if len(retrievers) == 1 and retrievers[0].name not in RETRIEVERS:
        if retrievers[0].name not in {**FILTERS, **SAMPLERS}:
            _unknown(retrievers[0].name, [*RETRIEVERS, *FILTERS, *SAMPLERS, *PRESETS])
        rest = [head, *rest]
        retrievers = [StageCall(DEFAULT_RETRIEVER)]
    for call in retrievers:
        if call.name not in RETRIEVERS:
            _unknown(call.name, list(RETRIEVERS))
    if len(retrievers) > 1:
        raise StrategyError(
            f"{head.strip()!r} joins several retrievers, and this version mines with one. Give one "
            f"of {listing(RETRIEVERS)}, or join the runs yourself and use run(run='file')."
        )
    stages = [_stage_call(part) for part in rest]
    for call in stages:
        if call.name not in FILTERS and call.name not in SAMPLERS:
            _unknown(call.name, [*FILTERS, *SAMPLERS])
    return retrievers[0], stages


def _unknown(name: str, choices: Sequence[str]) -> None:
    unique = list(dict.fromkeys(choices))
    raise StrategyError(
        f"unknown stage {name!r}.{did_you_mean(name, unique)} Known here: {listing(unique, 40)}."
    )


def _stage_class(call: StageCall, *, first: bool) -> type[Stage]:
    if first:
        return RETRIEVERS[call.name]
    return FILTERS[call.name] if call.name in FILTERS else SAMPLERS[call.name]


def _routed(
    calls: list[StageCall], classes: list[type[Stage]], options: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return each stage's arguments with the miner's keyword arguments handed to their owner.

    Raises:
        ParameterError: no stage has the parameter, two have it, or the string sets it too.
    """
    arguments = [dict(call.arguments) for call in calls]
    for name, value in options.items():
        owners = [place for place, stage in enumerate(classes) if name in stage.defaults()]
        if not owners:
            raise ParameterError(_no_owner(name, classes))
        if len(owners) > 1:
            raise ParameterError(
                f"{name!r} is a parameter of two stages, "
                f"{' and '.join(repr(calls[place].name) for place in owners)}. Say which one in "
                f"the strategy string: {calls[owners[0]].name}({name}={value!r})."
            )
        [owner] = owners
        if name in arguments[owner]:
            raise ParameterError(
                f"{name!r} of {calls[owner].name!r} is given twice: {arguments[owner][name]!r} in "
                f"the strategy string and {value!r} as an argument. Give it once."
            )
        arguments[owner][name] = value
    return arguments


def _no_owner(name: str, classes: Sequence[type[Stage]]) -> str:
    """Say that no stage has the parameter, and which stage outside the strategy would."""
    known = sorted({parameter for stage in classes for parameter in stage.defaults()})
    elsewhere = [
        stage.name
        for stage in (*RETRIEVERS.values(), *FILTERS.values(), *SAMPLERS.values())
        if name in stage.defaults()
    ]
    hint = did_you_mean(name, known)
    if elsewhere:
        hint = f" It belongs to {listing(elsewhere)}: add '+{elsewhere[0]}({name}=...)'."
    return (
        f"no stage of this strategy has a parameter {name!r}.{hint} "
        f"Parameters here: {listing(known, 40)}."
    )


def _made(stage: type[Stage], arguments: dict[str, Any], context: Mapping[str, Any]) -> Stage:
    """Call the constructor with what the string, the miner and the context give."""
    known = stage.defaults()
    _refuse_unknown(stage, arguments)
    needed = {name: context[name] for name in stage.context()}
    if "seed" in known and "seed" not in arguments:
        needed["seed"] = context["seed"]
    return stage(**{**needed, **arguments})


def _refuse_unknown(stage: type[Stage], arguments: Mapping[str, Any]) -> None:
    """Raise for a parameter that the stage has not, or one that it needs and did not get."""
    known = stage.defaults()
    for name in arguments:
        if name not in known:
            raise ParameterError(
                f"{stage.name} has no parameter {name!r}.{did_you_mean(name, known)} "
                f"Its parameters are: {listing(known, 40)}."
            )
    for name, default in known.items():
        if default is Parameter.empty and name not in arguments:
            raise ParameterError(
                f"{stage.name} needs the parameter {name!r}, for example {stage.name}({name}=...)."
            )


def build(text: str, context: Mapping[str, Any], options: Mapping[str, Any]) -> Strategy:
    """Make the stages of a strategy string.

    Args:
        text: the strategy string.
        context: ``corpus``, ``cache_dir`` and ``seed`` for the stages that take them.
        options: parameters to hand to the one stage that has them.

    Raises:
        StrategyError: a malformed string, an unknown stage, two samplers.
        ParameterError: an unknown parameter, one out of range, or one that two stages share.
    """
    first, rest = parse(text)
    calls = [first, *rest]
    classes = [_stage_class(call, first=place == 0) for place, call in enumerate(calls)]
    made = [
        _made(stage, arguments, context)
        for stage, arguments in zip(classes, _routed(calls, classes, options), strict=True)
    ]
    return assemble(made[0], made[1:])


def check(text: str, options: Mapping[str, Any]) -> None:
    """Check a strategy string as far as that goes without a corpus.

    Raises:
        StrategyError, ParameterError: as :func:`build`.
    """
    first, rest = parse(text)
    calls = [first, *rest]
    classes = [_stage_class(call, first=place == 0) for place, call in enumerate(calls)]
    routed = _routed(calls, classes, options)
    context = {"corpus": None, "cache_dir": None, "seed": 0}
    _refuse_unknown(classes[0], routed[0])
    made = [
        _made(stage, arguments, context)
        for stage, arguments in zip(classes[1:], routed[1:], strict=True)
    ]
    filters, _, _ = _sorted(made, None)
    _refuse_unscored(RETRIEVERS[first.name], filters)


def assemble(retriever: Stage, stages: Sequence[Stage], sampler: Sampler | None = None) -> Strategy:
    """Sort made stages into a strategy.

    Raises:
        StrategyError: a stage in the wrong place, or more than one sampler.
    """
    if not isinstance(retriever, Retriever):
        raise StrategyError(
            f"{retriever!r} is not a retriever; expected a strategy string or a Retriever such as "
            "BM25Retriever(corpus)."
        )
    return Strategy(retriever, *_sorted(stages, sampler))


def _sorted(
    stages: Sequence[Stage], sampler: Sampler | None
) -> tuple[tuple[Filter, ...], tuple[Veto, ...], Sampler]:
    """Return the filters, the vetoes, and the one sampler, ``top`` if there is none."""
    filters = tuple(stage for stage in stages if isinstance(stage, Filter))
    vetoes = tuple(stage for stage in stages if isinstance(stage, Veto))
    samplers = [stage for stage in stages if isinstance(stage, Sampler)]
    odd = [stage for stage in stages if not isinstance(stage, Filter | Veto | Sampler)]
    if odd:
        raise StrategyError(f"{odd[0]!r} is neither a filter nor a veto nor a sampler.")
    if sampler is not None:
        if not isinstance(sampler, Sampler):
            raise StrategyError(
                f"{sampler!r} is not a sampler; expected one such as RandomSampler()."
            )
        samplers.append(sampler)
    if len(samplers) > 1:
        raise StrategyError(
            f"{len(samplers)} samplers: {listing(stage.name for stage in samplers)}; expected at "
            "most one."
        )
    return filters, vetoes, samplers[0] if samplers else TopSampler()
