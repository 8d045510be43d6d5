"""Several strategies in one string, and parameters that are set for all of them at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hf_hardneg.errors import ParameterError, StrategyError, did_you_mean, listing
from hf_hardneg.grammar import StageCall, split
from hf_hardneg.registry import FUSION, selecting_name
from hf_hardneg.strategy import Parsed, check, parse

__all__ = ["SEPARATOR", "strategy_list", "with_settings"]

SEPARATOR = ";"


def strategy_list(strategies: str | Iterable[str]) -> list[str]:
    """Return the strategies of a list, or of a string that separates them by ``;``.

    A ``;`` inside parentheses or quotes separates nothing.

    Raises:
        StrategyError: there is none, one stands twice, or one cannot be read.
        ParameterError: a parameter of one is unknown or out of range.
    """
    given = split(strategies, SEPARATOR) if isinstance(strategies, str) else list(strategies)
    names = [name.strip() for name in given if name.strip()]
    if not names:
        raise StrategyError(
            f"the strategies are {strategies!r}; expected one or more, separated by ';', such as "
            "'random; bm25; bm25+denoised'."
        )
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if twice:
        raise StrategyError(
            f"the strategy {twice[0]!r} stands twice in the list. A comparison needs each once."
        )
    for name in names:
        _readable(name)
    return names


def _readable(name: str) -> None:
    """Say in which of the strategies the fault is."""
    try:
        check(name, {})
    except (StrategyError, ParameterError) as error:
        raise type(error)(f"strategy {name!r}: {error}") from error


def with_settings(strategies: Sequence[str], settings: Mapping[str, Any]) -> list[str]:
    """Return the strategies with parameters written into the stages that have them.

    Args:
        strategies: strategy strings.
        settings: values by ``parameter``, for the one stage of a strategy that has it, or by
            ``stage.parameter``. A strategy without such a stage stays as it is, and so does what a
            strategy sets itself.

    Raises:
        ParameterError: no strategy has the parameter, or several stages of one have it.
    """
    if not settings:
        return list(strategies)
    parsed = [parse(name) for name in strategies]
    for name, value in settings.items():
        owners = [_owners(strategy, name) for strategy in parsed]
        if not any(owners):
            known = sorted({known for strategy in parsed for known in _parameters(strategy)})
            raise ParameterError(
                f"no strategy has a stage with the parameter {name!r}.{did_you_mean(name, known)} "
                f"There are: {listing(known, 40)}."
            )
        parameter = name.rpartition(".")[2]
        parsed = [
            _with(strategy, own, parameter, value)
            for strategy, own in zip(parsed, owners, strict=True)
        ]
    written = [written_out(strategy) for strategy in parsed]
    for name in written:
        _readable(name)
    return written


def _parameters(strategy: Parsed) -> list[str]:
    """Return all parameters of a strategy as ``stage.parameter``."""
    pairs = zip(strategy.calls, strategy.classes, strict=True)
    return [f"{call.name}.{name}" for call, stage in pairs for name in stage.defaults()]


def _owners(strategy: Parsed, name: str) -> list[int]:
    """Return the places of the calls that a setting is meant for.

    Raises:
        ParameterError: several stages have the parameter, and the setting names none of them.
    """
    stage_name, _, parameter = name.rpartition(".")
    found = [
        place
        for place, (call, stage) in enumerate(zip(strategy.calls, strategy.classes, strict=True))
        if parameter in stage.defaults()
        and (not stage_name or selecting_name(call.name) == selecting_name(stage_name))
    ]
    names = [strategy.calls[place].name for place in found]
    if not stage_name and len(set(names)) > 1:
        different = list(dict.fromkeys(names))
        ways = " and ".join(f"{own}.{parameter}=..." for own in different)
        raise ParameterError(
            f"{parameter!r} is a parameter of several stages of {written_out(strategy)!r}: "
            f"{listing(different, len(different))}. Say which is meant, or set each: {ways}"
        )
    return found


def _with(strategy: Parsed, places: Sequence[int], parameter: str, value: Any) -> Parsed:  # noqa: ANN401
    """Return the strategy with a parameter set; what it sets itself stays."""
    calls = [
        StageCall(call.name, {parameter: value, **call.arguments}) if place in places else call
        for place, call in enumerate(strategy.calls)
    ]
    heads, cut = len(strategy.retrievers), len(strategy.calls) - len(strategy.stages)
    return Parsed(calls[:heads], calls[heads:cut], calls[cut:])


def written_out(strategy: Parsed) -> str:
    """Return the strategy string of a parsed strategy."""
    joiners = [call for call in strategy.joiners if call.name != FUSION or call.arguments]
    head = ",".join(map(_written, strategy.retrievers))
    return "+".join([head, *map(_written, [*joiners, *strategy.stages])])


def _written(call: StageCall) -> str:
    inside = ", ".join(f"{name}={value!r}" for name, value in call.arguments.items())
    return f"{call.name}({inside})" if inside else call.name
