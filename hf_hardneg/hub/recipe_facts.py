"""What the card of a recipe's set says, gathered from what was mined and measured."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datasets import Dataset

from hf_hardneg.evaluation.audit_report import Audit
from hf_hardneg.evaluation.compare_figures import corpus_of
from hf_hardneg.evaluation.hardness import hardness_of
from hf_hardneg.hub.card_sources import sources_of
from hf_hardneg.hub.facts import CardFacts, Ranked, citations_of, config_facts, samples_of
from hf_hardneg.hub.licences import licence_of
from hf_hardneg.hub.mined_recipe import MinedRecipe
from hf_hardneg.hub.rankings import unranked
from hf_hardneg.hub.recipe_schema import Recipe
from hf_hardneg.mined_set import MinedSet
from hf_hardneg.rates import Rate
from hf_hardneg.report import Report

__all__ = ["Shown", "command_of", "facts_of"]


def facts_of(
    done: MinedRecipe,
    configs: Mapping[str, Dataset],
    rates: list[Rate],
    ranking: tuple[Ranked, ...],
    audited: Audit,
    forced: bool,
    command: str,
) -> CardFacts:
    """Return what the card says of a set; nothing in it names a place of this machine.

    Args:
        done: what was mined.
        configs: that are published, by name.
        rates: of false negatives.
        ranking: measured on the held-out queries; empty without any.
        audited: what the audit found.
        forced: see :func:`hf_hardneg.hub.build.build`.
        command: what makes the set again; empty for that of :func:`command_of`.
    """
    recipe, publish = done.recipe, done.recipe.publish
    report = done.miner.report(done.mined, false_negatives=rates)
    left_out = unranked(done.miner) if ranking else []
    report = replace(report, notes=[*report.notes, *done.notes, *left_out])
    shown = Shown(recipe.folder)
    sources = tuple(replace(one, name=shown(one.name)) for one in sources_of(recipe, done.miner))
    own = MinedSet.of(done.mined, columns=recipe.data.columns)
    return CardFacts(
        name=recipe.name,
        pretty_name=publish.pretty_name or recipe.name,
        repository=publish.repository,
        licence=licence_of(sources, publish.licence),
        language=publish.language,
        tags=publish.tags,
        report=Report.from_dict(shown.values(report.to_dict())),
        recipe=shown.values(done.miner.recipe()),
        recipe_yaml=recipe.to_yaml(),
        sources=sources,
        configs=config_facts(configs),
        ranking=tuple(replace(one, what=shown(one.what)) for one in ranking),
        ranking_missing="" if ranking else "the recipe names no held-out queries",
        comparison=done.comparison,
        diversity=hardness_of(own).reuse,
        samples=samples_of(own.joined(corpus_of(done.miner)), seed=recipe.mining.seed),
        audit=shown.values(audited.to_dict()),
        forced=forced and audited.errors > 0,
        citations=citations_of(done.miner.strategy),
        command=command or command_of(recipe),
        version=version("hf-hardneg"),
    )


@dataclass(frozen=True, slots=True)
class Shown:
    """Turns paths of this machine into paths from the recipe's folder."""

    folder: Path

    def __call__(self, text: str) -> str:
        """Return a text anew."""
        for place in self._places():
            text = text.replace(place, "./")
        return text

    def values(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return values for JSON anew."""
        text = json.dumps(values)
        for place in self._places():
            # Within JSON a path may have its backslashes doubled.
            text = text.replace(json.dumps(place)[1:-1], "./")
        return dict(json.loads(text))

    def _places(self) -> set[str]:
        return {f"{place}{os.sep}" for place in (self.folder.resolve(), self.folder.absolute())}


def command_of(recipe: Recipe) -> str:
    """Return the command that makes the set of a recipe again, as its card has it.

    It names a config, because the repository may come to hold other sets too.
    """
    repository, data = recipe.publish.repository, recipe.data
    words = ["hf-hardneg", "reproduce", repository or "FOLDER"]
    notes = [] if repository else ["# FOLDER stands for the folder of this card."]
    if repository:
        words += ["--config", recipe.outputs[0]]
    paths = [value for value in recipe.mining.settings.values() if str(value).startswith("./")]
    sources = (data.queries, data.corpus, data.judgements)
    if paths or any(source is not None and source.is_local for source in sources):
        words += ["--data", "DATA"]
        notes.append("# DATA stands for the folder that has the files which the recipe names.")
    if recipe.environment:
        notes.append(f"# It needs the variables {', '.join(recipe.environment)}.")
    return "\n".join([*notes, shlex.join(words)])
