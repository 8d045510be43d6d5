"""A sample of pairs to be labelled, and what it is a sample of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from hf_hardneg.evaluation.labels import HAND_PICKED, Labels

__all__ = ["CONTROL", "HAND_PICKED", "LabelSample"]

CONTROL = "control"


@dataclass(frozen=True, slots=True)
class LabelSample:
    """Pairs to be labelled, and what they are a sample of.

    Attributes:
        labels: the lines of the label file, controls among them; those of a query together.
        queries: different queries of the data.
        queries_drawn: of these the pairs are from.
        strata: by stratum: (pairs of the drawn queries, pairs in the sample).
        controls: (known positives of the drawn queries, those in the sample).
        known_positives: candidates that are known positives and were left out.
        notes: what a reader should know.
        depth: the deepest rank of the data; ``None`` without ranks of a retriever.
    """

    labels: Labels
    queries: int
    queries_drawn: int
    strata: dict[str, tuple[int, int]]
    controls: tuple[int, int]
    known_positives: int
    notes: tuple[str, ...] = ()
    depth: int | None = None

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Return the lines as plain values."""
        return [label.to_dict() for label in self.labels]

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as plain values; the lines are for the file."""
        return {
            "lines": len(self.labels),
            "queries": self.queries,
            "queries_drawn": self.queries_drawn,
            "strata": {
                name: {"pairs": size, "drawn": drawn} for name, (size, drawn) in self.strata.items()
            },
            "controls": {"known_positives": self.controls[0], "drawn": self.controls[1]},
            "known_positives_left_out": self.known_positives,
            "depth": self.depth,
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """Return the same as JSON."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)

    def __rich__(self) -> Group:
        """Return a table for a terminal."""
        title = f"{len(self.labels):,} pairs to be labelled, from {self.queries_drawn:,} queries"
        table = Table(title=title, title_justify="left")
        table.add_column("rank")
        for name in ("pairs", "drawn", "weight"):
            table.add_column(name, justify="right")
        scale = self.queries / max(self.queries_drawn, 1)
        for name, (size, drawn) in (*self.strata.items(), (CONTROL, self.controls)):
            if size:
                weight = f"{scale * size / drawn:,.1f}" if drawn else "-"
                table.add_row(name, f"{size:,}", f"{drawn:,}", weight)
        return Group(table, *(Text(f"Note: {note}") for note in self.notes))
