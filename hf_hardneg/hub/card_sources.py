"""What a set is made from, for its card: data sets and models, with revisions and licences."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

from hf_hardneg.beir import queries_file
from hf_hardneg.errors import listing
from hf_hardneg.hub.facts import SourceFact
from hf_hardneg.hub.recipe_schema import Recipe
from hf_hardneg.hub.source_names import Source, is_hub_id
from hf_hardneg.miner import OfflineMiner
from hf_hardneg.models import model_commit
from hf_hardneg.sources import beir_corpus_file
from hf_hardneg.strategy import brings_corpus, parse

__all__ = ["sources_of"]

ROLES = ("queries", "corpus", "judgements")
MODELS = ("model", "cross_encoder")
"""Parameters that name a model whose ``revision`` stands beside."""
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
    implied = _implied(recipe)
    for role in ROLES:
        source: Source | None = getattr(recipe.data, role)
        if source is not None:
            yield _source(role, source)
        elif role in implied:
            yield implied[role]


def _implied(recipe: Recipe) -> dict[str, SourceFact]:
    """Return by role what the recipe does not name and the set is made from all the same.

    A BEIR folder of queries has documents and judgements too. Without documents the positives are
    the corpus. An index that holds the texts is the corpus; what licence they have it cannot say.
    """
    data, found = recipe.data, {}
    if data.queries is None:
        return {}
    queries = _source("queries", data.queries)
    folder = recipe.path(data.queries, "data.queries") if data.queries.is_local else None
    if folder is not None and folder.is_dir() and queries_file(folder):
        found["judgements"] = replace(queries, role="judgements")
    if brings_corpus(recipe.mining.strategy):
        names = [call.name for call in parse(recipe.mining.strategy).retrievers]
        found["corpus"] = SourceFact("corpus", f"the texts in the index of {listing(names)}")
    elif folder is not None and folder.is_dir() and beir_corpus_file(folder):
        found["corpus"] = replace(queries, role="corpus")
    else:
        found["corpus"] = replace(queries, role="corpus (the positives)")
    return found


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
    stages = [
        {**stage.defaults(), **call.arguments}
        for call, stage in zip(parsed.calls, parsed.classes, strict=True)
    ]
    return {
        str(own[name]): str(own["revision"])
        for own in stages
        for name in MODELS
        if isinstance(own.get(name), str) and isinstance(own.get("revision"), str)
    }
