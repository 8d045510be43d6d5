"""The commits of a strategy's models, put where the recipe says its revisions."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hf_hardneg.errors import ModelError
from hf_hardneg.grammar import StageCall
from hf_hardneg.hub.mining_call import is_path, model_parameter, owner_of, owners_of, written_out
from hf_hardneg.hub.recipe_schema import Recipe
from hf_hardneg.models import model_commit
from hf_hardneg.registry import selecting_name
from hf_hardneg.strategy import Parsed, parse

__all__ = ["models_resolved"]

STRATEGY, SETTINGS = "mining.strategy", "mining.settings"

CommitOf = Callable[[str, str | None], str | None]


@dataclass(frozen=True, slots=True)
class _Said:
    """What a stage's parameter is, and the setting that says so.

    Attributes:
        value: of the parameter.
        setting: ``None`` if the strategy says it, or it is the stage's default.
    """

    value: Any
    setting: str | None = None


def models_resolved(recipe: Recipe, commit_of: CommitOf = model_commit) -> Recipe:
    """Return the recipe with the commit of every model on the Hub in place of its revision.

    A commit stands where the revision stood; where none did, beside the model, or as a setting
    ``STAGE.revision``. A stage that is in the strategy twice has no settings of its own, so there
    the strategy is written out. A model in a folder has no revision and is left as it is.

    Args:
        recipe: as it was loaded.
        commit_of: says the commit behind a name and a revision; ``None`` where it is not told.

    Raises:
        RecipeError: there is no such model or revision, or the Hub cannot be reached.
    """
    parsed = parse(recipe.mining.strategy)
    settings, calls = dict(recipe.mining.settings), parsed.calls
    for place, stage in enumerate(parsed.classes):
        parameter = model_parameter(stage)
        if parameter is None:
            continue
        model = _said(parsed, place, parameter, settings)
        told = _said(parsed, place, "revision", settings)
        if not isinstance(model.value, str) or is_path(model.value):
            continue
        name, beside, revision = model.value, "", told.value
        if model.setting is not None:
            name, beside, after = name.partition("@")
            revision = after or revision
        commit = None if os.path.isdir(name) else _asked(recipe, commit_of, name, revision, model)
        if commit is None:
            continue
        if told.setting is not None:
            settings[told.setting] = commit
        elif model.setting is not None and (beside or told.value is None):
            settings[model.setting] = f"{name}@{commit}"
        elif told.value is None and _alone(parsed, place):
            settings[f"{parsed.calls[place].name}.revision"] = commit
        else:
            arguments = {**calls[place].arguments, "revision": commit}
            calls[place] = StageCall(calls[place].name, arguments)
    changed = calls != parsed.calls
    strategy = written_out(parsed, calls) if changed else recipe.mining.strategy
    return replace(recipe, mining=replace(recipe.mining, strategy=strategy, settings=settings))


def _said(parsed: Parsed, place: int, parameter: str, settings: dict[str, Any]) -> _Said:
    """Return what a stage's parameter is, before anything is resolved."""
    for name, value in settings.items():
        owner, own = owner_of(parsed, name)
        if own == parameter and place in (owners_of(parsed, own) if owner is None else [owner]):
            return _Said(value, name)
    call, stage = parsed.calls[place], parsed.classes[place]
    return _Said(call.arguments.get(parameter, stage.defaults()[parameter]))


def _asked(
    recipe: Recipe, commit_of: CommitOf, name: str, revision: str | None, model: _Said
) -> str | None:
    try:
        return commit_of(name, revision)
    except ModelError as error:
        key = STRATEGY if model.setting is None else f"{SETTINGS}.{model.setting}"
        at = f" at the revision {revision!r}" if revision else ""
        told = " ".join(str(error).split())
        raise recipe.error(key, f"names the model {name!r}{at}: {told}") from error


def _alone(parsed: Parsed, place: int) -> bool:
    """Return whether a stage's name is that of no other in the strategy."""
    names = [selecting_name(call.name) for call in parsed.calls]
    return names.count(names[place]) == 1
