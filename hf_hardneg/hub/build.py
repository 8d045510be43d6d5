"""From a recipe to the folder that is published: load, mine, measure, write."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from datasets import Dataset

from hf_hardneg.cache import cache_root
from hf_hardneg.distributed import world
from hf_hardneg.evaluation.audit import audit
from hf_hardneg.evaluation.audit_leakage import Evaluation
from hf_hardneg.evaluation.audit_rates import rate_by_labels
from hf_hardneg.evaluation.audit_report import Audit
from hf_hardneg.evaluation.compare_figures import Case, corpus_of, rate_of
from hf_hardneg.hub.configs import make_configs
from hf_hardneg.hub.facts import CardFacts
from hf_hardneg.hub.folder import write_publication
from hf_hardneg.hub.mined_recipe import MinedRecipe, mine_recipe
from hf_hardneg.hub.rankings import rankings_of
from hf_hardneg.hub.recipe_facts import facts_of
from hf_hardneg.hub.recipe_schema import Recipe
from hf_hardneg.hub.revisions import resolved
from hf_hardneg.mined_set import MinedSet
from hf_hardneg.outputs import check_output
from hf_hardneg.rates import Rate
from hf_hardneg.report import Report

__all__ = ["Built", "build"]

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
        command: what makes the set again, for the card; default: ``hf-hardneg reproduce``.
        say: is told what is done.

    Raises:
        CostError: it would take more than ``max_hours``, or more than this machine has.
        HardNegError: anything that is wrong with the recipe, its data or the output.
    """
    tell = say or (lambda _: None)
    everyone = world()
    # One writes the folder, so its machine alone is asked.
    everyone.from_main(lambda: check_output(output, overwrite=overwrite))
    everyone.need_shared(cache_root(cache_dir))
    # A branch may move while the processes start: one asks, and all read the same commits.
    recipe = everyone.from_main(lambda: resolved(recipe))
    done = mine_recipe(
        recipe, cache_dir=cache_dir, num_proc=num_proc, resume=resume, max_hours=max_hours, say=say
    )
    tell("Making the configs.")
    configs = make_configs(recipe.outputs, done.miner, done.rows, done.pool, num_proc, resume)
    tell("Measuring.")
    rates = list(_rates(done, say))
    ranking = (
        () if done.measures.held_out is None else rankings_of(done.miner, done.measures.held_out)
    )
    audited = _audit(done, rates)
    facts = facts_of(done, configs, rates, ranking, audited, forced, command)
    folder = None
    if everyone.main:  # one writes, the others wait for it
        folder = write_publication(output, configs, facts, recipe.to_yaml(), overwrite=overwrite)
    everyone.wait()
    return Built(folder, facts, recipe)


def _rates(done: MinedRecipe, say: Say | None) -> Iterator[Rate]:
    """Yield the rates that the recipe asks for; one that cannot be had says why."""
    part = done.recipe.evaluation
    if not (part.false_negatives or part.labels) or not len(done.mined):
        return
    own = MinedSet.of(done.mined, columns=done.recipe.data.columns)
    corpus, seed = corpus_of(done.miner), done.recipe.mining.seed
    case = Case(done.miner, done.rows, own, corpus, done.measures.grades, seed)
    for name in part.false_negatives:
        yield rate_of(name, case)
    if done.measures.labels is not None:
        yield rate_by_labels(own, done.measures.labels, done.miner.strategy)


def _audit(done: MinedRecipe, rates: list[Rate]) -> Audit:
    """Audit the mined set; the held-out queries must not be in it."""
    own = MinedSet.of(done.mined, columns=done.recipe.data.columns).joined(corpus_of(done.miner))
    evaluation, held_out = None, done.measures.held_out
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
