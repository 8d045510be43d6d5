"""A recipe whose revisions are commits: what ``main`` was on the day that it ran."""

from __future__ import annotations

from dataclasses import replace

from hf_hardneg.hub.hub_data import commit_of
from hf_hardneg.hub.model_revisions import models_resolved
from hf_hardneg.hub.recipe_schema import HeldOutPart, Recipe
from hf_hardneg.hub.source_names import Source

__all__ = ["resolved"]


def resolved(recipe: Recipe, token: str | None = None) -> Recipe:
    """Return the recipe with the commit of all that is on the Hub in place of its revision.

    Load the data and the models of what this returns, and the recipe says what was read.

    Args:
        recipe: as it was loaded.
        token: by default the one that the Hub's client finds.

    Raises:
        RecipeError: a data set, a model or a revision does not exist, or the Hub cannot be reached.
    """
    known: dict[tuple[str, str | None], str] = {}

    def fixed(source: Source | None, key: str) -> Source | None:
        if source is None or source.is_local:
            return source
        name = (source.name, source.revision)
        if name not in known:
            known[name] = commit_of(recipe, key, source, token)
        return replace(source, revision=known[name])

    data, evaluation = recipe.data, recipe.evaluation
    data = replace(
        data,
        queries=fixed(data.queries, "data.queries"),
        corpus=fixed(data.corpus, "data.corpus"),
        judgements=fixed(data.judgements, "data.judgements"),
    )
    held_out = evaluation.held_out
    if held_out is not None:
        key = "evaluation.held_out"
        queries = fixed(held_out.queries, f"{key}.queries") or held_out.queries
        judged = fixed(held_out.judgements, f"{key}.judgements")
        held_out = HeldOutPart(queries, judged, held_out.split)
    judgements = fixed(evaluation.judgements, "evaluation.judgements")
    evaluation = replace(evaluation, judgements=judgements, held_out=held_out)
    return models_resolved(replace(recipe, data=data, evaluation=evaluation))
