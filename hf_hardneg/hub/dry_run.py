"""What running a recipe would do, without doing it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from hf_hardneg.cost import Estimate
from hf_hardneg.evaluation.compare_figures import corpus_of
from hf_hardneg.hub.comparison import comparison_of
from hf_hardneg.hub.mined_recipe import measured_on, miner_of
from hf_hardneg.hub.recipe_schema import Recipe
from hf_hardneg.hub.revisions import resolved

__all__ = ["RunPlan", "plan_of"]


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What would be done.

    Attributes:
        recipe: revisions resolved.
        strategy: with all parameters.
        rows: of the queries.
        documents: of the corpus.
        held_out: queries that rankings would be measured on; ``None`` without any.
        expected: time, memory and disk.
        notes: what a reader should know of the data.
    """

    recipe: Recipe
    strategy: str
    rows: int
    documents: int
    held_out: int | None
    expected: Estimate
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "recipe": self.recipe.to_dict(),
            "strategy": self.strategy,
            "rows": self.rows,
            "documents": self.documents,
            "held_out": self.held_out,
            "expected": self.expected.to_dict(),
            "notes": list(self.notes),
        }

    def __rich__(self) -> Group:
        """Return it for a terminal."""
        table = Table(title=Text(f"Recipe {self.recipe.name}"), show_header=False)
        for name, value in (
            ("strategy", self.strategy),
            ("negatives a row", f"{self.recipe.mining.num_negatives:,}"),
            ("rows", f"{self.rows:,}"),
            ("documents", f"{self.documents:,}"),
            ("held-out queries", "none" if self.held_out is None else f"{self.held_out:,}"),
            ("configs", ", ".join(self.recipe.outputs)),
            ("repository", self.recipe.publish.repository or "none"),
        ):
            table.add_row(name, Text(value))
        return Group(table, self.expected, *(Text(f"Note: {note}") for note in self.notes))


def plan_of(recipe: Recipe, *, cache_dir: str | os.PathLike[str] | None = None) -> RunPlan:
    """Load a recipe's data and say what running it would take. The documents are kept in the cache.

    Raises:
        HardNegError: anything that is wrong with the recipe or its data.
    """
    recipe = resolved(recipe)
    comparison_of(recipe)
    miner, loaded = miner_of(recipe, cache_dir)
    corpus = corpus_of(miner)
    held_out = measured_on(recipe, miner).held_out
    return RunPlan(
        recipe,
        miner.strategy,
        len(loaded.rows),
        len(corpus),
        None if held_out is None else len(held_out.ids),
        miner.estimate(loaded.rows),
        tuple(loaded.notes),
    )
