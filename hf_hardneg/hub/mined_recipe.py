"""A recipe's data, and what is mined from it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from datasets import Dataset

from hf_hardneg.evaluation.compare_figures import corpus_of
from hf_hardneg.evaluation.held_out import HeldOut
from hf_hardneg.evaluation.judgements import Grades
from hf_hardneg.evaluation.labels import Labels
from hf_hardneg.foreseen import ask_first
from hf_hardneg.hub.comparison import comparison_of
from hf_hardneg.hub.hub_data import placed
from hf_hardneg.hub.recipe_schema import Recipe
from hf_hardneg.hub.sources_hub import load_data, load_grades, load_held_out_part, load_labels
from hf_hardneg.miner import OfflineMiner
from hf_hardneg.query_sources import LoadedQueries

__all__ = ["Measures", "MinedRecipe", "measured_on", "mine_recipe", "miner_of"]

Say = Callable[[str], object]


@dataclass(frozen=True)
class MinedRecipe:
    """A recipe's data and what was mined from it.

    Attributes:
        recipe: revisions resolved.
        miner: knows the positives of the rows.
        rows: the queries.
        pool: their candidates.
        mined: their negatives.
        notes: what a reader should know of the data.
        measures: what its evaluation is done with.
        comparison: what training came to.
    """

    recipe: Recipe
    miner: OfflineMiner
    rows: Dataset
    pool: Dataset
    mined: Dataset
    notes: list[str]
    measures: Measures
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


@dataclass(frozen=True, slots=True)
class Measures:
    """What a recipe's evaluation is done with; ``None`` where it does not name it.

    Attributes:
        held_out: queries that rankings are measured on.
        grades: deeper judgements than the known positives.
        labels: of negatives.
    """

    held_out: HeldOut | None
    grades: Grades | None
    labels: Labels | None


def measured_on(recipe: Recipe, miner: OfflineMiner) -> Measures:
    """Load what a recipe's evaluation is done with.

    Raises:
        RecipeError: a source is not there.
        QueryError: a held-out query has no relevant document in the corpus.
        HardNegError: the data cannot be used.
    """
    corpus = corpus_of(miner)
    held_out = load_held_out_part(recipe, corpus)
    if held_out is not None:
        with placed(recipe, "evaluation.held_out"):
            held_out.check(corpus)
    return Measures(held_out, load_grades(recipe), load_labels(recipe))


def mine_recipe(
    recipe: Recipe,
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    num_proc: int | None = None,
    resume: bool = True,
    max_hours: float | None = None,
    say: Say | None = None,
) -> MinedRecipe:
    """Load all that a recipe names, and mine; what is not there is told before the work.

    Args:
        recipe: revisions resolved.
        cache_dir: see :func:`hf_hardneg.cache.cache_root`.
        num_proc: worker processes; no influence on the result.
        resume: use the finished parts of an interrupted run.
        max_hours: refuse to begin what takes longer.
        say: is told what mining is expected to take.

    Raises:
        CostError: it would take more than ``max_hours``, or more than this machine has.
        HardNegError: anything that is wrong with the recipe or its data.
    """
    comparison = comparison_of(recipe)
    miner, loaded = miner_of(recipe, cache_dir)
    measures = measured_on(recipe, miner)
    ask_first(miner, loaded.rows, max_hours, say)
    pool = miner.retrieve(loaded.rows, num_proc=num_proc, resume=resume)
    mined = miner.select(pool, num_proc=num_proc, resume=resume)
    return MinedRecipe(recipe, miner, loaded.rows, pool, mined, loaded.notes, measures, comparison)
