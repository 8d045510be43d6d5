"""A result as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table

__all__ = ["tables"]

HIDDEN = ("rows_in", "imports_mib", "documents", "queries")
WIDEST = 7


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:,.3g}"


def tables(result: Mapping[str, Any]) -> Group:
    """Return the medians, the ratios and the targets of a result."""
    parts: list[Any] = [f"[bold]{result['name']}[/bold]: {escape(result['about'])}"]
    medians = result["medians"]
    names = [
        name
        for name in dict.fromkeys(name for values in medians.values() for name in values)
        if name not in HIDDEN
    ]
    for start in range(0, len(names), WIDEST):
        table = Table(title="median" if start == 0 else None, title_justify="left")
        table.add_column("side")
        for name in names[start : start + WIDEST]:
            table.add_column(name.replace("_", " "), justify="right")
        for side, values in medians.items():
            cells = [values.get(name) for name in names[start : start + WIDEST]]
            if any(cell is not None for cell in cells):
                table.add_row(side, *("" if cell is None else _number(cell) for cell in cells))
        parts.append(table)
    if result["ratios"]:
        table = Table(title="ratios, median of those within a repeat", title_justify="left")
        table.add_column("ratio")
        table.add_column("median", justify="right")
        table.add_column("each", justify="right")
        table.add_column("what")
        for name, ratio in result["ratios"].items():
            each = " ".join(f"{value:.3f}" for value in ratio["repeats"])
            table.add_row(name, f"{ratio['median']:.3f}", each, ratio["about"])
        parts.append(table)
    for target in result["targets"]:
        met = "[green]met[/green]" if target["met"] else "[red]NOT MET[/red]"
        parts.append(f"{met}  {_number(target['value'])}  {escape(target['about'])}")
    return Group(*parts)
