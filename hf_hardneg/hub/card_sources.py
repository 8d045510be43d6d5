"""What a set is made from, for its card: data sets and models, with revisions and licences."""

from __future__ import annotations

import os
from collections.abc import Iterator

from hf_hardneg.hub.facts import SourceFact
from hf_hardneg.hub.mining_call import model_parameter
from hf_hardneg.hub.recipe_schema import Recipe
from hf_hardneg.hub.source_names import Source, is_hub_id
from hf_hardneg.miner import OfflineMiner
from hf_hardneg.models import model_commit
from hf_hardneg.strategy import parse

__all__ = ["sources_of"]

ROLES = ("queries", "corpus", "judgements")
PYTHON = "python-2.0"
"""The licence of Python and its standard library. The Hub has no name for it."""


def sources_of(recipe: Recipe, miner: OfflineMiner) -> tuple[SourceFact, ...]:
    """Return data and models; licences are those of the recipe, else what the Hub says.

    Args:
        recipe: revisions resolved.
        miner: made from it.
    """
    return (*_data(recipe), *_models(miner))


def _data(recipe: Recipe) -> Iterator[SourceFact]:
    if recipe.data.builtin is not None:
        import platform

        name = "docstrings of Python's standard library"
        yield SourceFact("corpus and queries", name, platform.python_version(), PYTHON)
        return
    for role in ROLES:
        source: Source | None = getattr(recipe.data, role)
        if source is not None:
            yield _source(role, source)


def _source(role: str, source: Source) -> SourceFact:
    if source.is_local:
        return SourceFact(role, source.name, source.revision, source.licence)
    licence = source.licence or _licence_on_hub(source)
    url = f"https://huggingface.co/datasets/{source.name}"
    return SourceFact(role, str(source).partition("@")[0], source.revision, licence, url)


def _licence_on_hub(source: Source) -> str | None:
    """Return the licence on a card; ``None`` where there is none, or several."""
    from huggingface_hub import HfApi

    try:
        card = HfApi().dataset_info(source.name, revision=source.revision).card_data
    except Exception:  # it was read a moment ago; without an answer the licence is not known
        return None
    found = None if card is None else card.get("license")
    names = found if isinstance(found, list) else [found]
    return names[0] if len(names) == 1 and isinstance(names[0], str) else None


def _models(miner: OfflineMiner) -> Iterator[SourceFact]:
    asked = _revisions(miner.strategy)
    for found in miner.recipe()["models"].values():
        name = found.get("model", "")
        revision, url = asked.get(name), None
        if is_hub_id(name) and not os.path.isdir(name):
            revision = model_commit(name, revision) or revision
            url = f"https://huggingface.co/{name}"
        yield SourceFact("model", name, revision, None, url)


def _revisions(strategy: str) -> dict[str, str]:
    """Return the revisions that a strategy names, by the model that they are of."""
    parsed = parse(strategy)
    found: dict[str, str] = {}
    for call, stage in zip(parsed.calls, parsed.classes, strict=True):
        parameter, own = model_parameter(stage), {**stage.defaults(), **call.arguments}
        if parameter is not None and isinstance(own["revision"], str):
            found[str(own[parameter])] = own["revision"]
    return found
