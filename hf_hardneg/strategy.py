"""The strategy string: its grammar, the stages it can name, and the named presets.

A strategy is ``retriever[,retriever]+stage+stage``. A stage is a name, for a retriever with its
depth after ``@``, and parameters in parentheses as Python literals::

    bm25@200(k1=0.9)+margin(relative=0.05)+denoised(threshold=0.2)+random

Several retrievers are joined by ``fusion``, which may stand right after them to set how::

    bm25@100,dense@50+fusion(by='weighted')+denoised

``multi-vector`` scores the candidates of what stands before it anew, and stands there too::

    bm25@200+multi-vector(model='my/colbert', top_k=100)+margin(relative=0.05)

Stages after that are filters, vetoes and at most one sampler (default ``top``).
Without a retriever in front, ``bm25@100`` is meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from inspect import Parameter
from typing import Any

from hf_hardneg.errors import ParameterError, StrategyError, did_you_mean, listing
from hf_hardneg.filters import Diversity, Filter, RowFilter, Veto
from hf_hardneg.grammar import StageCall, split, stage_call
from hf_hardneg.presets import PRESETS, Preset
from hf_hardneg.registry import ALIASES, FUSION, registered, selecting_name
from hf_hardneg.retrievers import JoinedRetriever, Retriever
from hf_hardneg.samplers import Sampler, TopSampler
from hf_hardneg.stage import Stage
from hf_hardneg.stage_inputs import NEEDS

__all__ = [
    "Parsed",
    "Strategy",
    "assemble",
    "brings_corpus",
    "build",
    "check",
    "parse",
    "preset_of",
    "searches_alone",
]

DEFAULT_RETRIEVER = "bm25"


@dataclass(frozen=True, slots=True)
class Parsed:
    """The calls in a strategy string.

    Attributes:
        retrievers: one or more.
        joiners: what works on their lists, in the order of the string: first how several are
            joined, also where the string leaves that out; then what scores the candidates anew.
        stages: filters, vetoes and samplers, in their order.
    """

    retrievers: list[StageCall]
    joiners: list[StageCall]
    stages: list[StageCall]

    @property
    def calls(self) -> list[StageCall]:
        """All of them, in the order of the string."""
        return [*self.retrievers, *self.joiners, *self.stages]

    @property
    def classes(self) -> list[type[Stage]]:
        """The class of each call."""
        known = registered()
        return [
            *(known.retrievers[call.name] for call in self.retrievers),
            *(known.joiners[call.name] for call in self.joiners),
            *(known.selecting[selecting_name(call.name)] for call in self.stages),
        ]


@dataclass(frozen=True, slots=True)
class Strategy:
    """The stages of a strategy, made and checked.

    ``str(strategy)`` is the canonical string; :func:`parse` and :func:`build` of it give an equal
    strategy.
    """

    retriever: Retriever
    filters: tuple[Filter, ...] = ()
    vetoes: tuple[Veto, ...] = ()
    sampler: Sampler = field(default_factory=TopSampler)
    row_filters: tuple[RowFilter, ...] = ()
    diversity: tuple[Diversity, ...] = ()

    def __post_init__(self) -> None:
        """Refuse stages that cannot work together; give each the retriever it may ask."""
        _refuse_unmet(self.retriever, self.stages)
        for kind in ("row_filters", "filters", "vetoes", "diversity"):
            bound = tuple(stage.bound(self.retriever) for stage in getattr(self, kind))
            object.__setattr__(self, kind, bound)
        object.__setattr__(self, "sampler", self.sampler.bound(self.retriever))

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages after the retriever, in the order in which they decide."""
        return (*self.row_filters, *self.filters, *self.vetoes, *self.diversity, self.sampler)

    @property
    def asking(self) -> tuple[Filter | Veto, ...]:
        """The stages that may ask a model about candidates, in the order in which they decide."""
        return (*(rule for rule in self.filters if rule.asks_model), *self.vetoes)

    def notes(self) -> tuple[str, ...]:
        """Return what the stages after the retriever have to say to a reader of the report."""
        return tuple(note for stage in self.stages for note in stage.notes())

    @property
    def needs_fit(self) -> bool:
        """Whether a stage has to see the candidates of all rows before it can decide on one."""
        return any(stage.needs_fit for stage in self.stages)

    def __str__(self) -> str:
        """Return the canonical string, defaults left out."""
        parts: Sequence[Retriever] = [self.retriever]
        joiners: list[Stage] = []
        while isinstance(parts[0], JoinedRetriever) and len(parts) == 1:
            joiner, parts = parts[0], parts[0].parts
            if joiner.name != FUSION or joiner.parameters():
                joiners.insert(0, joiner)
        *others, sampler = self.stages
        rest: list[Stage] = [*joiners, *others]
        if sampler != TopSampler():
            rest.append(sampler)
        return "+".join([",".join(map(_head, parts)), *(stage.expression() for stage in rest)])


def _head(retriever: Retriever) -> str:
    """Return a retriever as it stands in a strategy string, ``name@depth(parameter=value)``.

    A retriever's seed stands there always: its default is the seed of whoever builds it.
    """
    values = retriever.parameters()
    values.pop("top_k", None)
    if "seed" in retriever.defaults():
        values["seed"] = retriever.seed  # type: ignore[attr-defined]
    inside = ", ".join(f"{name}={value!r}" for name, value in values.items())
    return f"{retriever.name}@{retriever.top_k}" + (f"({inside})" if inside else "")


def _refuse_unmet(retriever: Retriever | type[Retriever], stages: Sequence[Stage]) -> None:
    """Raise if a stage needs what the retriever does not give."""
    for stage in stages:
        missing = [need for need in stage.needs if need not in retriever.gives]
        if missing:
            raise StrategyError(
                f"{stage.name!r} needs {NEEDS[missing[0]]}. The retriever {retriever.name!r} "
                "does not give that."
            )


def parse(text: str) -> Parsed:
    """Return the calls of a strategy string.

    Raises:
        StrategyError: the string is empty or malformed, or a name is not known.
    """
    if not isinstance(text, str) or not text.strip():
        raise StrategyError(
            f"the strategy is {text!r}; expected a string such as 'bm25' or 'bm25+denoised'. "
            f"Presets: {listing(PRESETS)}."
        )
    known = registered()
    heads, rerankers, selecting = known.retrievers, known.rerankers, known.selecting
    preset = preset_of(text)
    head, *rest = split(preset.strategy if preset else text, "+")
    retrievers = [stage_call(part) for part in split(head, ",")]
    if len(retrievers) == 1 and retrievers[0].name in PRESETS and retrievers[0].name not in heads:
        base = _with_arguments(retrievers[0])
        more = _selecting_calls(rest)
        return Parsed(base.retrievers, base.joiners, [*base.stages, *more])
    if len(retrievers) == 1 and retrievers[0].name not in heads:
        after = {**rerankers, **selecting}
        if selecting_name(retrievers[0].name) not in after:
            _unknown(retrievers[0].name, [*heads, *after, *ALIASES, *PRESETS])
        rest = [head, *rest]
        retrievers = [StageCall(DEFAULT_RETRIEVER)]
    for call in retrievers:
        if call.name not in heads:
            _unknown(call.name, list(heads))
    stages = [stage_call(part) for part in rest]
    joiners = [StageCall(FUSION)] if len(retrievers) > 1 else []
    if joiners and stages and stages[0].name == FUSION:
        joiners = [stages.pop(0)]
    while stages and stages[0].name in rerankers:
        joiners.append(stages.pop(0))
    _check_selecting(stages)
    return Parsed(retrievers, joiners, stages)


def _selecting_calls(parts: Sequence[str]) -> list[StageCall]:
    """Return the calls of what stands after retrievers and joiners."""
    calls = [stage_call(part) for part in parts]
    _check_selecting(calls)
    return calls


def _check_selecting(calls: Sequence[StageCall]) -> None:
    """Raise for a stage that is unknown, or has its place further ahead."""
    known = registered()
    for call in calls:
        joiner = known.joiners.get(call.name)
        if joiner is not None:
            raise StrategyError(
                f"{call.name!r} {joiner.wants} and stands right after them: {joiner.example!r}."
            )
        if selecting_name(call.name) not in known.selecting:
            _unknown(call.name, [*known.rerankers, *known.selecting, *ALIASES])


def preset_of(text: str) -> Preset | None:
    """Return the preset that a strategy string is, ``None`` if it is more or none at all."""
    return PRESETS.get(text.replace(" ", ""))


def _with_arguments(head: StageCall) -> Parsed:
    """Return a preset with the parameters that its name was given, for its stage of that name."""
    base = parse(PRESETS[head.name].strategy)
    if not head.arguments:
        return base
    own = [selecting_name(call.name) == selecting_name(head.name) for call in base.stages]
    if not any(own):
        raise StrategyError(
            f"the preset {head.name!r} takes no parameters; it stands for "
            f"{PRESETS[head.name].strategy!r}. Write that out with the parameters that you want."
        )
    stages = [
        StageCall(call.name, {**call.arguments, **head.arguments}) if mine else call
        for call, mine in zip(base.stages, own, strict=True)
    ]
    return Parsed(base.retrievers, base.joiners, stages)


def _unknown(name: str, choices: Sequence[str]) -> None:
    unique = list(dict.fromkeys(choices))
    raise StrategyError(
        f"unknown stage {name!r}.{did_you_mean(name, unique)} Known here: {listing(unique, 40)}."
    )


def _routed(
    calls: list[StageCall], classes: list[type[Stage]], options: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return each stage's arguments with the miner's keyword arguments handed to their owner.

    Raises:
        ParameterError: no stage has the parameter, two have it, or the string sets it too.
    """
    arguments = [dict(call.arguments) for call in calls]
    for name, value in options.items():
        able = [place for place, stage in enumerate(classes) if name in stage.defaults()]
        owners = [
            place for place in able if classes[place].takes(name, {*arguments[place], *options})
        ] or able  # what no stage has a use for, the one that has it refuses
        if not owners:
            raise ParameterError(_no_owner(name, classes))
        if len(owners) > 1:  # what the string sets for the others is meant for the one that is left
            left = [place for place in owners if name not in arguments[place]]
            owners = left if len(left) == 1 else owners
        if len(owners) > 1:
            raise ParameterError(
                f"{name!r} is a parameter of {'two' if len(owners) == 2 else 'several'} stages, "
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
        for stage in registered().all
        if stage.name != FUSION and name in stage.defaults()
    ]
    hint = did_you_mean(name, known)
    if elsewhere:
        hint = f" It belongs to {listing(elsewhere)}: add '+{elsewhere[0]}({name}=...)'."
    return (
        f"no stage of this strategy has a parameter {name!r}.{hint} "
        f"Parameters here: {listing(known, 40)}."
    )


def _made(
    stage: type[Stage],
    arguments: dict[str, Any],
    context: Mapping[str, Any],
    parts: Sequence[Retriever] = (),
) -> Stage:
    """Call the constructor with what the string, the miner and the context give.

    Args:
        stage: the class.
        arguments: from the string and the miner.
        context: ``corpus``, ``cache_dir`` and ``seed`` for the stages that take them.
        parts: what a stage that works on the lists of others works on.
    """
    known = stage.defaults()
    arguments = {**context.get("given", {}).get(stage.name, {}), **arguments}
    _refuse_unknown(stage, arguments)
    needed = {name: context[name] for name in stage.context()}
    if "seed" in known and "seed" not in arguments:
        needed["seed"] = context["seed"]
    if issubclass(stage, JoinedRetriever):
        needed[stage.parts_parameter] = parts if stage.name == FUSION else parts[0]
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
        context: ``corpus``, ``cache_dir`` and ``seed`` for the stages that take them, and
            ``given``, parameters by the name of a stage, for those that it does not say itself.
        options: parameters to hand to the one stage that has them.

    Raises:
        StrategyError: a malformed string, an unknown stage, two samplers.
        ParameterError: an unknown parameter, one out of range, or one that two stages share.
    """
    parsed = parse(text)
    routed = zip(parsed.classes, _routed(parsed.calls, parsed.classes, options), strict=True)
    retrievers: list[Retriever] = []
    stages: list[Stage] = []
    for stage, arguments in routed:
        if context["corpus"] is None and not issubclass(stage, Retriever):
            # The one retriever brings the documents.
            context = {**context, "corpus": retrievers[0].corpus}
        # A stage that joins stands after all of what it joins, and takes their place.
        made = _made(stage, arguments, context, retrievers)
        if isinstance(made, JoinedRetriever):
            retrievers = [made]
        elif isinstance(made, Retriever):
            retrievers.append(made)
        else:
            stages.append(made)
    return assemble(retrievers[0], stages)


def brings_corpus(text: str) -> bool:
    """Return whether a strategy needs no corpus, because its one retriever has the documents."""
    parsed = parse(text)
    heads = registered().retrievers
    return len(parsed.retrievers) == 1 and heads[parsed.retrievers[0].name].brings_corpus


def searches_alone(text: str, name: str) -> bool:
    """Return whether a strategy has one retriever, the one with this name."""
    parsed = parse(text)
    return len(parsed.retrievers) == 1 and parsed.retrievers[0].name == name


def check(
    text: str, options: Mapping[str, Any], given: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """Check a strategy string as far as that goes without a corpus.

    Args:
        text: the strategy string.
        options: parameters to hand to the one stage that has them.
        given: parameters by the name of a stage, for those that it does not say itself.

    Raises:
        StrategyError, ParameterError: as :func:`build`.
    """
    parsed = parse(text)
    routed = list(zip(parsed.classes, _routed(parsed.calls, parsed.classes, options), strict=True))
    context = {"corpus": None, "cache_dir": None, "seed": 0}
    cut = len(parsed.calls) - len(parsed.stages)
    for stage, arguments in routed[:cut]:
        _refuse_unknown(stage, {**(given or {}).get(stage.name, {}), **arguments})
    # A stage that looks things up in the corpus is made when there is one.
    waiting = [stage for stage, _ in routed[cut:] if "corpus" in stage.context()]
    for stage, arguments in routed[cut:]:
        _refuse_unknown(stage, arguments)
    made = [
        _made(stage, arguments, context)
        for stage, arguments in routed[cut:]
        if stage not in waiting
    ]
    _sorted(made, None)
    if not parsed.joiners:
        _refuse_unmet(registered().retrievers[parsed.retrievers[0].name], made)


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
    return Strategy(retriever, **_sorted(stages, sampler))


def _sorted(stages: Sequence[Stage], sampler: Sampler | None) -> dict[str, Any]:
    """Return the stages by kind, as the fields of a strategy; the sampler is ``top`` by default."""
    kinds = {"row_filters": RowFilter, "filters": Filter, "vetoes": Veto, "diversity": Diversity}
    by_kind: dict[str, Any] = {
        name: tuple(stage for stage in stages if isinstance(stage, kind))
        for name, kind in kinds.items()
    }
    samplers = [stage for stage in stages if isinstance(stage, Sampler)]
    odd = [stage for stage in stages if not isinstance(stage, (*kinds.values(), Sampler))]
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
    return {**by_kind, "sampler": samplers[0] if samplers else TopSampler()}
