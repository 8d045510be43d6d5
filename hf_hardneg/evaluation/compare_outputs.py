"""The files of a comparison: Markdown, JSON, a page, and a drawing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from hf_hardneg.evaluation.compare_page import page
from hf_hardneg.evaluation.compare_plot import draw
from hf_hardneg.evaluation.comparison import ComparisonTable, columns, training_columns
from hf_hardneg.outputs import output_folder

__all__ = ["files_of", "markdown", "write_comparison"]

MARKDOWN, JSON, PAGE, DRAWING = "table.md", "compare.json", "compare.html", "figure.svg"
SPECIAL = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_[]<>|"})


def markdown(table: ComparisonTable) -> str:
    """Return the tables in Markdown."""
    parts = ["# Strategies compared", "", *_table(columns(table))]
    if table.trained:
        parts += ["", "## Trained on what they mined", "", *_table(training_columns(table))]
    for one in table.failed:
        parts += ["", f"{_cell(one.strategy)}: {_cell(one.error or one.training_error)}"]
    parts += ["", *(f"- {_cell(note)}" for note in table.notes)]
    return "\n".join(parts) + "\n"


def _table(rows: Sequence[Mapping[str, str]]) -> list[str]:
    names = list(rows[0])
    marks = ["---" if name == names[0] else "---:" for name in names]
    lines = [names, marks, *([_cell(cell) for cell in row.values()] for row in rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _cell(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return " ".join(text.translate(SPECIAL).split())


def files_of(table: ComparisonTable) -> dict[str, str]:
    """Return the files of a comparison, name -> text.

    The drawing has the false-negative rate of each strategy against what training on it gains;
    without training, or without a rate, there is none.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    drawing = draw(table)
    files = {MARKDOWN: markdown(table), JSON: table.to_json() + "\n", PAGE: page(table, drawing)}
    return {**files, DRAWING: drawing} if drawing else files


def write_comparison(
    table: ComparisonTable,
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Write all files of a comparison beside the place and move them into it at once.

    Args:
        table: what came out.
        folder: must not exist, or be empty.
        overwrite: replace the folder if it is there.

    Returns:
        The files.

    Raises:
        OutputError: the folder is there and not empty, or the disk is full.
        MissingExtraError: matplotlib is not installed.
    """
    files = files_of(table)
    with output_folder(folder, overwrite=overwrite) as staging:
        for name, text in files.items():
            (staging / name).write_text(text, encoding="utf-8")
    return [Path(folder) / name for name in files]
