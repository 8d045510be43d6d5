"""HTML pages: one file each, with nothing from outside, readable on a phone and in the dark."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hf_hardneg.pages.shown import number, percent, visible

__all__ = ["number", "percent", "render", "visible"]

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, folder: Path | None = None, /, **values: Any) -> str:  # noqa: ANN401
    """Return a page.

    Everything is escaped that does not come from a template itself. Templates extend
    ``base.html`` and take tables, texts and figures from ``parts.html``. Text from data goes
    through the macro ``text`` or the filter ``visible``, so that neither markup nor control
    characters in it do anything.

    Args:
        template: name of a file in ``templates``.
        folder: with further templates, which may use those of ``templates``.
        values: what it shows.

    Raises:
        jinja2.TemplateError: there is no such template, or it uses a value that is not given.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([TEMPLATES] if folder is None else [folder, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"visible": visible, "number": number, "percent": percent}
    return environment.get_template(template).render(version=_version(), **values)


def _version() -> str:
    try:
        return version("hf-hardneg")
    except PackageNotFoundError:  # a source tree that was not installed
        return ""
