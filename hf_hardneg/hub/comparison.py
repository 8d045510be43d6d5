"""What training came to, for a card: from the ``compare.json`` that a recipe names."""

from __future__ import annotations

import json
import re
from typing import Any

from hf_hardneg.hub.card_tables import trained
from hf_hardneg.hub.recipe_schema import Recipe

__all__ = ["comparison_of"]

KEY = "evaluation.compare"
TOLD = ("measures", "rows", "filled", "left_out", "steps")
ABSOLUTE = re.compile(r"(?<![\w.:/\\])(?:~?/|[A-Za-z]:[\\/]+)(?:[^/\\'\"\s,()]+[\\/]+)+")
"""The folders of a path that starts at the root of a disk, or in somebody's home."""


def comparison_of(recipe: Recipe) -> dict[str, Any] | None:
    """Read what ``hf-hardneg compare --train`` wrote: what training came to, and nothing else.

    The file tells of the machine that it was made on; what is published of it has no folders of
    that, only the names of files in them.

    Returns:
        ``{"trained": [...]}``; ``None`` where the recipe names no comparison.

    Raises:
        RecipeError: it is not there, is no such file, or nothing was trained.
    """
    if recipe.evaluation.compare is None:
        return None
    path = recipe.path(recipe.evaluation.compare, KEY)
    try:
        values = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refused)
    except (OSError, ValueError) as error:
        raise recipe.error(KEY, f"cannot be read: {error}.") from error
    try:
        found = {"trained": [_named(one) for one in values["trained"]]}
        shown = trained(found)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise recipe.error(
            KEY, f"is no compare.json of hf-hardneg compare --train: {error!r}."
        ) from error
    if shown is None:
        raise recipe.error(KEY, "tells of no training: hf-hardneg compare --train writes that.")
    return found


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is no number")


def _named(one: dict[str, Any]) -> dict[str, Any]:
    """Return what training on a strategy came to, with the strategy's paths cut to their ends."""
    told = {name: one[name] for name in TOLD if name in one}
    return {"name": ABSOLUTE.sub("", one["name"]), **told}
