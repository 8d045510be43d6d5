"""From a strategy and settings by ``stage.parameter`` to what ``OfflineMiner`` takes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hf_hardneg.errors import ParameterError, did_you_mean, listing
from hf_hardneg.grammar import StageCall
from hf_hardneg.hub.source_names import path_fault
from hf_hardneg.presets import PRESETS
from hf_hardneg.registry import selecting_name
from hf_hardneg.stage import Stage
from hf_hardneg.strategy import Parsed, check, parse

__all__ = [
    "check_mining", "is_path", "mining_call", "model_parameter", "owner_of", "owners_of",
    "refuse_paths", "refuse_setting", "written_out",
]  # fmt: skip

PASSWORD = re.compile(r"://[^/@\s]*:[^/@\s]+@")
OWN_KEYS = ("num_negatives", "seed", "underfilled")
"""Keys of ``mining`` that are no settings, although a stage has a parameter of the name."""


def mining_call(strategy: str, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the strategy string and the keyword arguments for ``OfflineMiner``.

    A setting whose parameter one stage alone has stays a keyword argument, so that the strategy
    stays as it was written, the name of a preset too. Where several stages have the parameter the
    strategy is written out with it.

    Args:
        strategy: a strategy string or the name of a preset.
        settings: by ``parameter`` or ``stage.parameter``. A model may have ``@revision``.

    Raises:
        StrategyError: the strategy cannot be read.
        ParameterError: a setting belongs to no stage, to several, or is given twice.
    """
    parsed = parse(strategy)
    options: dict[str, Any] = {}
    told: list[tuple[int, str, Any]] = []
    for name, value in _with_revisions(parsed, settings).items():
        owner, parameter = owner_of(parsed, name)
        if owner is None or owners_of(parsed, parameter) == [owner]:
            if parameter in options:
                raise ParameterError(f"{parameter!r} is given twice, as {name!r} and by itself.")
            options[parameter] = value
        else:
            told.append((owner, parameter, value))
    return (_with_told(parsed, told) if told else strategy), options


def check_mining(strategy: str, settings: Mapping[str, Any]) -> None:
    """Check strategy and settings as far as that goes without a corpus.

    Raises:
        StrategyError, ParameterError: as a miner would.
    """
    text, options = mining_call(strategy, settings)
    check(text, options)


def owners_of(parsed: Parsed, parameter: str) -> list[int]:
    """Return the places of the calls whose stages have a parameter."""
    return [place for place, stage in enumerate(parsed.classes) if parameter in stage.defaults()]


def owner_of(parsed: Parsed, name: str) -> tuple[int | None, str]:
    """Return which call a setting belongs to, ``None`` if it does not say, and the parameter."""
    stage, dot, parameter = name.rpartition(".")
    if not dot:
        return None, name
    names = [call.name for call in parsed.calls]
    places = [i for i, own in enumerate(names) if selecting_name(own) == selecting_name(stage)]
    places = [i for i in places if parameter in parsed.classes[i].defaults()] or places
    if not places:
        raise ParameterError(
            f"no stage {stage!r} is in the strategy.{did_you_mean(stage, names)} "
            f"It has: {listing(names)}."
        )
    if len(places) > 1:
        raise ParameterError(f"{stage!r} is in the strategy {len(places)} times; write it there.")
    known = parsed.classes[places[0]].defaults()
    if parameter not in known:
        raise ParameterError(
            f"{stage!r} has no parameter {parameter!r}.{did_you_mean(parameter, known)} "
            f"Its parameters are: {listing(known, 40)}."
        )
    return places[0], parameter


def model_parameter(stage: type[Stage]) -> str | None:
    """Return what the parameter with a stage's model is called; ``None`` if it has no such.

    A model is one that has a revision on the Hub: an encoder, a cross-encoder.
    """
    if "revision" not in stage.defaults():
        return None
    return str(getattr(stage, "model_parameter", "model"))


def is_path(name: str) -> bool:
    """Return whether a model's name is a path, of the recipe's folder or of this disk."""
    return name[:1] in (".", "/", "~")


def _with_revisions(parsed: Parsed, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with the revision of ``model: org/model@revision`` as a setting of its own.

    A path on this disk may have an at-sign in it, and is left as it is.
    """
    found: dict[str, Any] = {}
    for name, value in settings.items():
        owner, parameter = owner_of(parsed, name)
        owners = owners_of(parsed, parameter) if owner is None else [owner]
        models = [place for place in owners if model_parameter(parsed.classes[place]) == parameter]
        if models and isinstance(value, str) and "@" in value and not is_path(value):
            value, _, revision = value.rpartition("@")
            stage = "" if len(models) > 1 else f"{parsed.calls[models[0]].name}."
            beside = f"{stage}revision"
            if {beside, "revision"} & set(settings) or not revision or not value:
                raise ParameterError(
                    f"{name!r} is {value!r} at {revision!r}; expected org/model@revision, and no "
                    "revision beside it."
                )
            found[beside] = revision
        found[name] = value
    return found


def _with_told(parsed: Parsed, told: list[tuple[int, str, Any]]) -> str:
    """Return the strategy string with these parameters."""
    calls = []
    for place, call in enumerate(parsed.calls):
        own = {parameter: value for owner, parameter, value in told if owner == place}
        for parameter in own:
            if parameter in call.arguments:
                raise ParameterError(
                    f"{parameter!r} of {call.name!r} is given twice: "
                    f"{call.arguments[parameter]!r} in the strategy and {own[parameter]!r} as a "
                    "setting. Give it once."
                )
        calls.append(StageCall(call.name, {**call.arguments, **own}))
    return written_out(parsed, calls)


def written_out(parsed: Parsed, calls: Sequence[StageCall]) -> str:
    """Return the string of a strategy with other calls in the places of its own."""
    texts = [_call_text(call) for call in calls]
    heads = len(parsed.retrievers)
    return "+".join([",".join(texts[:heads]), *texts[heads:]])


def _call_text(call: StageCall) -> str:
    inside = ", ".join(f"{name}={value!r}" for name, value in call.arguments.items())
    return f"{call.name}({inside})" if inside else call.name


def refuse_paths(strategy: str) -> None:
    """Refuse a path inside a strategy string: it would depend on the folder that one is in.

    Raises:
        ParameterError: there is one, or an address with a password.
    """
    for call in parse(strategy).calls if strategy not in PRESETS else ():
        for name, value in call.arguments.items():
            _refuse_password(value)
            if isinstance(value, str) and (value.startswith(("./", ".\\")) or path_fault(value)):
                raise ParameterError(
                    f"{name}={value!r} of {call.name!r} is a path. Give it as a setting, "
                    f"{call.name}.{name}: ./..., which starts in the recipe's folder."
                )


def _refuse_password(value: object) -> None:
    if isinstance(value, str) and PASSWORD.search(value):
        raise ParameterError(
            "an address with a password in it; a recipe is published, so nothing secret goes into "
            "it. Let the server know you by other means."
        )


def refuse_setting(name: str, value: object) -> None:
    """Refuse a setting that a recipe cannot have, whatever the strategy.

    Raises:
        ParameterError: a key of its own, a mapping, or a path that leaves the recipe's folder.
    """
    if name in OWN_KEYS:
        raise ParameterError(f"{name!r} is no setting of a stage, but a key beside: mining.{name}.")
    if isinstance(value, dict):
        raise ParameterError(f"write {name}.PARAMETER: VALUE in one line, not as a mapping.")
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, dict | list):
            raise ParameterError("a setting is a number, a text, true, false, or a list of these.")
        _refuse_password(text)
        if isinstance(text, str) and (fault := path_fault(text)):
            raise ParameterError(f"{text!r} {fault}; a path starts with ./ in the recipe's folder.")
