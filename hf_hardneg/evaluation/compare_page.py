"""The page of a comparison: one file that needs nothing from outside."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from hf_hardneg.evaluation.comparison import ComparisonTable, columns, training_columns

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["page"]

FOLDER = Path(__file__).parents[1] / "pages"
TEMPLATE = "compare.html"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def page(table: ComparisonTable, drawing: str | None) -> str:
    """Return the page as HTML; names and messages are escaped.

    Args:
        table: what came out.
        drawing: SVG of our own making, put in as it is; ``None`` for none.
    """
    from markupsafe import Markup

    svg = None
    if drawing:
        svg = Markup(drawing[drawing.index("<svg") :])
    return (
        _environment()
        .get_template(TEMPLATE)
        .render(
            mined=columns(table),
            trained=training_columns(table),
            failed=table.failed,
            notes=table.notes,
            settings=table.settings,
            drawing=svg,
        )
    )
