"""The table of presets as Markdown and for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

__all__ = ["page", "terminal", "write_page"]

COLUMNS = (
    ("preset", "preset", ""),
    ("pool", "pool", ""),
    ("yield", "yield", ".0%"),
    ("mean_rank", "mean rank", ".1f"),
    ("mean_hardness", "hardness", ".2f"),
    ("harder_than_positive", "harder than positive", ".0%"),
    ("relevant", "relevant", ".1%"),
    ("seconds", "seconds", ".2f"),
    ("asked", "cross-encoder pairs", ",d"),
)

HEAD = """# Presets side by side

Made by `python -m benchmarks.run presets`; every number is in `benchmarks/results/presets.json`.
{about}. Each preset chooses {n} negatives a query, whatever number its source takes, from the same
pools: BM25, and a static embedding model (`{dense}`), each to the depth that the preset asks for.
The cross-encoder is a small one (`{cross_encoder}`). These are small models on small collections:
the table shows how the presets differ, not what they would do on yours. `hf-hardneg mine
--dry-run` shows that.

- **yield**: negatives found, of those asked for.
- **mean rank**: in the retriever's list, from 1.
- **hardness**: score of a negative over the lowest score of its row's positives (where that is
  above 0), mean.
- **harder than positive**: share of the negatives that score at least as high as the positive.
- **relevant**: share of the negatives that are relevant, where judgements are deep: on vaswani all
  positives of a query but one were hidden from the miner.
- **seconds**: choosing from the pool, on two cores; retrieval is not in it. Nothing that the
  cross-encoder scored for another preset is used again.

`f2llm` keeps scores below 0.8, which is meant for cosines: no BM25 score of a candidate is so low.
The scores of `hybrid` are those of the fusion, and ranks of `random` are places in a random list.
"""


def _cell(values: Mapping[str, Any], name: str, form: str) -> str:
    value = values.get(name)
    if value is None:
        return ""
    return format(value, form) if form else str(value)


def _rows(result: Mapping[str, Any], collection: str) -> list[list[str]]:
    return [
        [_cell(run, name, form) for name, _, form in COLUMNS]
        for run in result["runs"]
        if run["collection"] == collection
    ]


def _shown(rows: Sequence[Sequence[str]]) -> list[int]:
    """Return which columns have a value in any row."""
    return [place for place in range(len(COLUMNS)) if any(row[place] for row in rows)]


def page(result: Mapping[str, Any]) -> str:
    """Return the page of the documentation."""
    settings = result["settings"]
    about = result["about"][0].upper() + result["about"][1:]
    parts = [
        HEAD.format(
            about=about, n=settings["num_negatives"], dense=settings["dense"],
            cross_encoder=settings["cross_encoder"],
        )
    ]  # fmt: skip
    for name, data in result["data"].items():
        rows = _rows(result, name)
        shown = _shown(rows)
        queries = next(run["rows"] for run in result["runs"] if run["collection"] == name)
        lines = [f"## {name}\n", f"{data['documents']:,} documents, {queries:,} queries.\n"]
        lines.append("| " + " | ".join(COLUMNS[place][1] for place in shown) + " |")
        lines.append("|" + " --- |" * 2 + " ---: |" * (len(shown) - 2))
        lines += ["| " + " | ".join(row[place] for place in shown) + " |" for row in rows]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def write_page(result: Mapping[str, Any], path: Path) -> None:
    """Write the page of the documentation."""
    path.write_text(page(result), encoding="utf-8")


def terminal(result: Mapping[str, Any]) -> list[Table]:
    """Return a table for each collection."""
    tables = []
    for name in result["data"]:
        rows = _rows(result, name)
        shown = _shown(rows)
        table = Table(title=name, title_justify="left")
        for place in shown:
            table.add_column(COLUMNS[place][1], justify="left" if place < 2 else "right")
        for row in rows:
            table.add_row(*(row[place] for place in shown))
        tables.append(table)
    return tables
