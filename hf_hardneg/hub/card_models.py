"""Which models took part in a set: pretrained ones, and what was fitted to data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hf_hardneg.errors import HardNegError
from hf_hardneg.hub.facts import CardFacts
from hf_hardneg.hub.markdown import Markdown, code, inline, table
from hf_hardneg.stage import Stage
from hf_hardneg.strategy import Parsed, parse

__all__ = ["models", "models_took_part", "stated"]

RUN = "run"
PACKAGE = "hf_hardneg"
NONE = Markdown("No model took part in it.")


def models(recipe: Mapping[str, Any]) -> Markdown | None:
    """Return the models with the hashes of their weights, ``None`` where the recipe has none."""
    found = recipe.get("models") or {}
    if not found:
        return None
    return table(
        ["stage", "model", "weights and the like"],
        [
            (
                code(stage),
                inline(own.get("model", "not known")),
                Markdown(
                    ", ".join(code(f"{k}={v}") for k, v in own.items() if k not in ("model", None))
                ),
            )
            for stage, own in ((name, _mapping(value)) for name, value in sorted(found.items()))
        ],
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {"model": value}


def stated(facts: CardFacts) -> list[Markdown]:
    """Return what is to be said of models beside the table of those that the recipe names.

    That none took part is said only where every stage is one of this library, none names a model,
    none is fitted to data, and the candidates are not those of somebody else's retrieval.
    """
    named = bool(facts.recipe.get("models"))
    parsed = _parsed(facts.report.strategy)
    if parsed is None:
        beyond = " beyond these" if named else ""
        return [Markdown(f"Whether models took part{beyond} is not known: not all of its stages "
                         "are known to the library that made this card.")]  # fmt: skip
    said = [*_fitted(parsed), *_unknown(parsed, facts.recipe)]
    if said and not named:
        return [Markdown("Its recipe names no pretrained model."), *said]
    return said if named else [NONE]


def models_took_part(facts: CardFacts) -> bool:
    """Return whether a model, pretrained or fitted to data, is known to have taken part."""
    parsed = _parsed(facts.report.strategy)
    return bool(facts.recipe.get("models")) or (parsed is not None and any(_fitted(parsed)))


def _parsed(strategy: str) -> Parsed | None:
    try:
        return parse(strategy)
    except HardNegError:
        return None


def _stages(parsed: Parsed) -> Iterator[tuple[type[Stage], str, Mapping[str, Any]]]:
    for call, stage in zip(parsed.calls, parsed.classes, strict=True):
        yield stage, call.name, call.arguments


def _fitted(parsed: Parsed) -> Iterator[Markdown]:
    for stage, name, arguments in _stages(parsed):
        if what := stage.learns(arguments):
            yield Markdown(f"{code(name)} decides by {inline(what)}.")


def _unknown(parsed: Parsed, recipe: Mapping[str, Any]) -> Iterator[Markdown]:
    """Say of which stages it is not known whether a model took part."""
    named = recipe.get("models") or {}
    for stage, name, _ in _stages(parsed):
        if name == RUN and stage.__module__.partition(".")[0] == PACKAGE:
            yield Markdown(
                f"The candidates of {code(name)} are those of an earlier retrieval; whether a "
                "model took part in that is not recorded."
            )
        elif stage.__module__.partition(".")[0] != PACKAGE and name not in named:
            yield Markdown(
                f"{code(name)} comes from another package and names no model; whether it uses one "
                "is not known."
            )
