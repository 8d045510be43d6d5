"""The page of a comparison: one file that needs nothing from outside."""

from __future__ import annotations

from hf_hardneg import pages
from hf_hardneg.evaluation.comparison import ComparisonTable, columns, training_columns

__all__ = ["page"]


def page(table: ComparisonTable, drawing: str | None) -> str:
    """Return the page as HTML; names and messages are escaped.

    Args:
        table: what came out.
        drawing: SVG of our own making, put in as it is; ``None`` for none.
    """
    from markupsafe import Markup

    return pages.render(
        "compare.html",
        mined=columns(table),
        trained=training_columns(table),
        failed=table.failed,
        notes=table.notes,
        settings=table.settings,
        drawing=Markup(drawing[drawing.index("<svg") :]) if drawing else None,
    )
