"""From a recipe to the folder that is published: load, mine, measure, write."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datasets import Dataset

from hf_hardneg.distributed import world
from hf_hardneg.evaluation.audit import audit
from hf_hardneg.evaluation.audit_leakage import Evaluation
from hf_hardneg.evaluation.audit_rates import rate_by_labels
from hf_hardneg.evaluation.audit_report import Audit
from hf_hardneg.evaluation.compare_figures import Case, corpus_of, rate_of
from hf_hardneg.evaluation.hardness import hardness_of
from hf_hardneg.evaluation.held_out import HeldOut
from hf_hardneg.evaluation.labels import Labels
from hf_hardneg.foreseen import ask_first
from hf_hardneg.hub.card_sources import sources_of
from hf_hardneg.hub.comparison import comparison_of
from hf_hardneg.hub.configs import make_configs
from hf_hardneg.hub.facts import CardFacts, Ranked, citations_of, config_facts, samples_of
from hf_hardneg.hub.folder import write_publication
from hf_hardneg.hub.licences import licence_of
from hf_hardneg.hub.rankings import rankings_of, unranked
from hf_hardneg.hub.recipe_schema import Recipe
from hf_hardneg.hub.revisions import resolved
from hf_hardneg.hub.sources_hub import load_data, load_grades, load_held_out_part
from hf_hardneg.mined_set import MinedSet
from hf_hardneg.miner import OfflineMiner
from hf_hardneg.outputs import check_output
from hf_hardneg.query_sources import LoadedQueries
from hf_hardneg.rates import Rate
from hf_hardneg.report import Report

__all__ = ["Built", "build", "command_of", "miner_of"]

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Built:
    """What a recipe has made.

    Attributes:
        folder: what is published; ``None`` in a process that leaves the writing to another.
        facts: what its card says.
        recipe: as run: revisions resolved.
    """

    folder: Path | None
    facts: CardFacts
    recipe: Recipe

    @property
    def report(self) -> Report:
        """What happened to each row, and what was measured."""
        return self.facts.report

    @property
    def audit_errors(self) -> int:
        """How many checks of the audit found what no set that is published should have."""
        return int((self.facts.audit or {}).get("errors", 0))


@dataclass(frozen=True)
class _Mined:
    """A recipe's data and what was mined from it."""

    recipe: Recipe
    miner: OfflineMiner
    rows: Dataset
    pool: Dataset
    mined: Dataset
    notes: list[str]
    comparison: dict[str, Any] | None


def miner_of(
    recipe: Recipe, cache_dir: str | os.PathLike[str] | None = None
) -> tuple[OfflineMiner, LoadedQueries]:
    """Load a recipe's data; return the miner that knows its positives, and the queries.

    Raises:
        HardNegError: anything that is wrong with the recipe or its data.
    """
    loaded, corpus = load_data(recipe, cache_dir)
    strategy, options = recipe.mining_call()
    columns = recipe.data.columns
    miner = OfflineMiner(
        strategy,
        corpus=corpus,
        num_negatives=recipe.mining.num_negatives,
        seed=recipe.mining.seed,
        underfilled=recipe.mining.underfilled,
        query_column=columns.query,
        positive_column=columns.positive,
        positive_ids_column=columns.positive_ids,
        query_id_column=columns.query_id,
        cache_dir=cache_dir,
        **options,
    ).knowing(loaded.rows)
    return miner, loaded


def _mine(
    recipe: Recipe,
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    num_proc: int | None = None,
    resume: bool = True,
    max_hours: float | None = None,
    say: Say | None = None,
) -> _Mined:
    """Load a recipe's data and mine it.

    Raises:
        CostError: it would take more than ``max_hours``, or more than this machine has.
        HardNegError: anything that is wrong with the recipe or its data.
    """
    comparison = comparison_of(recipe)  # what is wrong with it is told before the work, not after
    miner, loaded = miner_of(recipe, cache_dir)
    ask_first(miner, loaded.rows, max_hours, say)
    pool = miner.retrieve(loaded.rows, num_proc=num_proc, resume=resume)
    mined = miner.select(pool, num_proc=num_proc, resume=resume)
    return _Mined(recipe, miner, loaded.rows, pool, mined, loaded.notes, comparison)


def build(
    recipe: Recipe,
    output: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
    num_proc: int | None = None,
    resume: bool = True,
    max_hours: float | None = None,
    forced: bool = False,
    command: str = "",
    say: Say | None = None,
) -> Built:
    """Mine a recipe, measure what came out, and write the folder that is published.

    Every step is kept: the same call after an interruption goes on. Where several processes run it
    together (``accelerate launch``, ``torchrun``) they share the mining, and one writes.

    Args:
        recipe: see :func:`hf_hardneg.hub.recipe.load_recipe`.
        output: the folder; must not exist, or be empty.
        overwrite: replace the folder if it is there.
        cache_dir: see :func:`hf_hardneg.cache.cache_root`.
        num_proc: worker processes; no influence on the result.
        resume: use the finished parts of an interrupted run.
        max_hours: refuse to begin what takes longer.
        forced: the set is to be published whatever the audit finds, and the card says so.
        command: what makes the set again, for the card; default: that of :func:`command_of`.
        say: is told what is done.

    Raises:
        CostError: it would take more than ``max_hours``, or more than this machine has.
        HardNegError: anything that is wrong with the recipe, its data or the output.
    """
    tell = say or (lambda _: None)
    check_output(output, overwrite=overwrite)
    # A branch may move while the processes start: one asks, and all read the same commits.
    recipe = world().from_main(lambda: resolved(recipe))
    done = _mine(
        recipe, cache_dir=cache_dir, num_proc=num_proc, resume=resume, max_hours=max_hours, say=say
    )
    tell("Making the configs.")
    configs = make_configs(recipe.outputs, done.miner, done.rows, done.pool, num_proc, resume)
    held_out = load_held_out_part(recipe, done.miner.corpus)
    tell("Measuring.")
    rates = list(_rates(done, say))
    ranking = () if held_out is None else rankings_of(done.miner, held_out)
    audited = _audit(done, held_out, rates)
    facts = _facts(done, configs, rates, ranking, audited, forced, command)
    everyone = world()
    folder = None
    if everyone.main:  # one writes, the others wait for it
        folder = write_publication(output, configs, facts, recipe.to_yaml(), overwrite=overwrite)
    everyone.wait()
    return Built(folder, facts, recipe)


def _rates(done: _Mined, say: Say | None) -> Iterator[Rate]:
    """Yield the rates that the recipe asks for; one that cannot be had says why."""
    part = done.recipe.evaluation
    if not (part.false_negatives or part.labels) or not len(done.mined):
        return
    own = MinedSet.of(done.mined, columns=done.recipe.data.columns)
    corpus, seed = corpus_of(done.miner), done.recipe.mining.seed
    case = Case(done.miner, done.rows, own, corpus, load_grades(done.recipe), seed)
    for name in part.false_negatives:
        yield rate_of(name, case)
    if part.labels is not None:
        labels = Labels.read(done.recipe.folder / part.labels)
        yield rate_by_labels(own, labels, done.miner.strategy)


def _audit(done: _Mined, held_out: HeldOut | None, rates: list[Rate]) -> Audit:
    """Audit the mined set; the held-out queries must not be in it."""
    own = MinedSet.of(done.mined, columns=done.recipe.data.columns).joined(corpus_of(done.miner))
    evaluation = None
    if held_out is not None:
        relevant = [
            [name for name, grade in held_out.judgements[query].items() if grade > 0]
            for query in held_out.ids
        ]
        rows = Dataset.from_dict({"query": list(held_out.texts), "positive_ids": relevant})
        evaluation = Evaluation.load(rows)
    found = audit(
        own, evaluation=evaluation, num_negatives=done.recipe.mining.num_negatives, rates=rates
    )
    return replace(found, source=done.recipe.name)


def _facts(
    done: _Mined,
    configs: Mapping[str, Dataset],
    rates: list[Rate],
    ranking: tuple[Ranked, ...],
    audited: Audit,
    forced: bool,
    command: str,
) -> CardFacts:
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
