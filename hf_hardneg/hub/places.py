"""Names instead of places: a card tells of models and files, not of the machine they lie on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from hf_hardneg.hub.facts import CardFacts
from hf_hardneg.report import Report

__all__ = ["has_places", "names_only"]

POSIX = r"(?:~[\w.-]*|\.\.)?/[^'\"\\\n]+"
WINDOWS = r"(?:[A-Za-z]:[\\/]|\\\\)[^'\"\n]*[^'\"\\\n]"
WHOLE = re.compile(rf"{POSIX}|{WINDOWS}")
QUOTED = re.compile(rf"(?<=['\"])(?:{POSIX}|{WINDOWS})(?=\\?['\"])")
CACHED = re.compile(r"models--(.+?)--(.+)")
"""A folder of the Hub's cache: the owner and the name of the model in it."""


def names_only(facts: CardFacts) -> CardFacts:
    """Return the facts with the names of files and folders where paths of a machine stood.

    A path is one that starts at a root, in a home, or above the folder one is in: a text that is
    nothing else, or one in quotes, as in a strategy string. Of a path in the Hub's cache it is the
    model's name that stays, of any other the last part. Texts of the data are left as they are,
    as are ids of documents.
    """
    told: dict[str, Any] = {
        "report": facts.report.to_dict(),
        "recipe": dict(facts.recipe),
        "comparison": None if facts.comparison is None else dict(facts.comparison),
        "sources": [one.name for one in facts.sources],
        "ranking": [one.what for one in facts.ranking],
        "command": facts.command,
        "audit": {k: v for k, v in (facts.audit or {}).items() if k != "findings"},
    }
    places = sorted(set(_places(told)), key=lambda place: (-len(place), place))
    if not places:
        return facts
    told = _renamed(told, {place: _name(place) for place in places})
    return replace(
        facts,
        report=Report.from_dict(told["report"]),
        recipe=told["recipe"],
        comparison=told["comparison"],
        sources=tuple(
            replace(one, name=name)
            for one, name in zip(facts.sources, told["sources"], strict=True)
        ),
        ranking=tuple(
            replace(one, what=what)
            for one, what in zip(facts.ranking, told["ranking"], strict=True)
        ),
        command=told["command"],
        audit=None if facts.audit is None else {**facts.audit, **told["audit"]},
    )


def has_places(text: str) -> bool:
    """Return whether a path of a machine stands in a text."""
    return any(_places(text))


def _places(value: object) -> Iterator[str]:
    """Yield the paths in the texts of nested values."""
    if isinstance(value, str):
        yield from [value] if WHOLE.fullmatch(value) else QUOTED.findall(value)
    elif isinstance(value, Mapping):
        for own in value.values():
            yield from _places(own)
    elif isinstance(value, list | tuple):
        for own in value:
            yield from _places(own)


def _name(place: str) -> str:
    """Return the name of a model in the Hub's cache, else the last part of a path."""
    kind = PureWindowsPath if "\\" in place or place[1:2] == ":" else PurePosixPath
    parts = kind(place).parts
    cached = next((found for part in parts if (found := CACHED.fullmatch(part))), None)
    return f"{cached[1]}/{cached[2]}" if cached else kind(place).name or place


def _renamed(value: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401
    """Return nested values with each path, longer ones first, by its name."""
    if isinstance(value, str):
        for place, name in names.items():
            value = value.replace(place, name)
        return value
    if isinstance(value, Mapping):
        return {key: _renamed(own, names) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(own, names) for own in value]
    return value
