"""Reading a recipe: one YAML file that says how a mined set is made, from raw data to the Hub."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_hardneg.errors import RecipeError
from hf_hardneg.hub.recipe_files import expanded, overridden, with_includes
from hf_hardneg.hub.recipe_parts import recipe_of
from hf_hardneg.hub.recipe_schema import Recipe
from hf_hardneg.hub.yaml_nodes import scalar_of

__all__ = ["check_files", "load_recipe", "read_overrides"]


def load_recipe(
    path: str | os.PathLike[str],
    overrides: Mapping[str, Any] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> Recipe:
    """Read a recipe and check all that can be checked without its data.

    Nothing in a recipe is executed. Its paths, those of included files too, start in the folder
    that it lies in, and stay there.

    Args:
        path: the recipe, a YAML file.
        overrides: values laid over it by key, such as ``{"mining.seed": 3}``.
        environment: the variables that it may name; by default those of this process.

    Raises:
        RecipeError: anything in it that is not right, with the file and the line, or the key
            that was set.
    """
    place = Path(path).expanduser()
    if not place.is_file():
        raise RecipeError(f"{str(path)!r}: there is no such recipe; expected a YAML file.")
    folder = place.absolute().parent
    node = overridden(with_includes(place, folder), overrides or {})
    node, names, unexpanded = expanded(node, environment)
    return recipe_of(node, folder, names, unexpanded)


def read_overrides(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``key=value`` as the command line gives them; values are YAML.

    Raises:
        RecipeError: one has no ``=``, is given twice, or its value is no YAML.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key:
            raise RecipeError(f"--set {pair!r}: expected KEY=VALUE, for example mining.seed=3.")
        if key in found:
            raise RecipeError(f"--set {key}: given twice. Give it once.")
        try:
            found[key] = scalar_of(text)
        except RecipeError as error:
            raise RecipeError(f"--set {key}: {error}") from error
    return found


def check_files(recipe: Recipe) -> None:
    """Refuse a recipe whose own files are not there; the Hub is not asked.

    Raises:
        RecipeError: names the first one, with its line.
    """
    data, evaluation = recipe.data, recipe.evaluation
    held_out = evaluation.held_out
    sources = {
        "data.queries": data.queries,
        "data.corpus": data.corpus,
        "data.judgements": data.judgements,
        "evaluation.judgements": evaluation.judgements,
        "evaluation.held_out.queries": held_out.queries if held_out else None,
        "evaluation.held_out.judgements": held_out.judgements if held_out else None,
    }
    for key, source in sources.items():
        if source is not None and source.is_local:
            recipe.path(source, key)
    if evaluation.labels is not None:
        recipe.path(evaluation.labels, "evaluation.labels")
    if evaluation.compare is not None:
        recipe.path(evaluation.compare, "evaluation.compare")
    recipe.mining_call()
