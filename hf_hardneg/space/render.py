"""HTML of the app: everything from data is escaped, for browsers and for Gradio's templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hf_hardneg.errors import HardNegError
from hf_hardneg.pages import render, visible

__all__ = ["alert", "html"]

TEMPLATES = Path(__file__).parent / "templates"
# Gradio puts values into templates of JavaScript and Handlebars; these would begin one of them.
SPECIAL = {"$": "&#36;", "{": "&#123;", "}": "&#125;", "`": "&#96;"}
TABLE = str.maketrans(SPECIAL)


def html(template: str, **values: Any) -> str:  # noqa: ANN401
    """Return what a template shows of values.

    Args:
        template: name of a file in ``templates``.
        values: what it shows; texts go through the filter ``visible`` there.
    """
    return render(template, TEMPLATES, **values).translate(TABLE)


def alert(error: HardNegError | str) -> str:
    """Return an error as the page shows it: what is wrong, and what to do."""
    return html("alert.html", message=visible(str(error)))
