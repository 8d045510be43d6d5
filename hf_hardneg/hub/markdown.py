r"""Text from data in Markdown: it is shown as it is, and never acts as Markdown or as HTML.

The rules of CommonMark and of GitHub's tables are known to the character: a backslash before a sign
of punctuation makes it plain, and an entity is never structure. Beyond them readers add their own:
addresses without any sign become links, and formulas between dollars or behind ``\\(`` are set by a
script that reads the finished page. Against those a word joiner (U+2060), which is not seen, is put
inside of what they look for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_hardneg.pages import visible

__all__ = ["LIMIT", "Markdown", "code", "cut", "fenced", "inline", "plain", "render", "table"]

TEMPLATES = Path(__file__).parent / "templates"
LIMIT = 400
"""Characters of a text that a card shows."""

JOINER = "\u2060"
SIGNS = {sign: f"\\{sign}" for sign in "\\*_[]~#"}
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "&#96;", "$": "&#36;"}
ESCAPES = str.maketrans(SIGNS | ENTITIES)
ACTING = re.compile(
    r"(?<=:)(?=//)"  # http://
    r"|(?<=www)(?=\.)"
    r"|(?<=[\w.+-]@)(?=[\w-]+\.\w)"  # somebody@example.org
    r"|(?<=mailto:)(?=\S)|(?<=xmpp:)(?=\S)"
    r"|(?<=\$)(?=\$)"
    r"|(?<=\\)(?=[(\[])"
    r"|(?<=:)(?=[a-z0-9_+-]+:)",  # :smile:
    re.IGNORECASE,
)
BLOCK = re.compile(r"([+=:-])|(\d{1,9})([.)])(?=\s|$)")
"""What begins a list, a line under a heading, or a table, at the start of a line."""
SPECIAL_IN_CODE = frozenset("`|\\")


class Markdown(str):
    """A text that is Markdown already: a template puts it in as it is."""

    __slots__ = ()


def plain(text: object) -> str:
    """Return a text on one line, with its control characters made visible.

    A text that is nothing but white space is empty.
    """
    return " ".join(visible(text).replace("\u00ad", "").split())


def cut(text: str, limit: int = LIMIT) -> tuple[str, int]:
    """Return the beginning of a text, and how many characters are left out."""
    if len(text) <= limit:
        return text, 0
    return text[:limit].rstrip(), len(text) - limit


def inline(text: object, limit: int | None = None) -> Markdown:
    """Return Markdown, on one line, that shows a text as it is.

    It may stand in a paragraph, a list or the cell of a table, also at its beginning.

    Args:
        text: any value; :func:`plain` of it is shown.
        limit: characters of it that are shown; where there are more, it is said how many.
    """
    # A text of any length is cut before anything looks at it: the ends of ``plain`` differ little.
    whole = str(text)
    beyond = 0
    if limit is not None:
        whole, beyond = cut(whole, limit)
    shown = ACTING.sub(JOINER, plain(whole)).translate(ESCAPES)
    if start := BLOCK.match(shown):
        shown = f"{start[2] or ''}\\{start[1] or start[3]}{shown[start.end() :]}"
    return Markdown(f"{shown} *[{beyond:,} characters more]*" if beyond else shown)


def code(text: object) -> Markdown:
    """Return Markdown that shows a text as code, on one line; it may stand in a table.

    Readers of tables do not agree on bars and backslashes within code, so a text with one of them
    stands between tags, in entities.
    """
    shown = plain(text)
    if not shown:
        return Markdown("")
    if SPECIAL_IN_CODE.isdisjoint(shown):
        return Markdown(f"`{shown}`")
    inert = ACTING.sub(JOINER, shown)
    entities = "".join(one if one.isalnum() or one == " " else f"&#{ord(one)};" for one in inert)
    return Markdown(f"<code>{entities}</code>")


def fenced(text: str, language: str = "") -> Markdown:
    """Return a block of code; the fence is longer than any within the text."""
    shown = visible(text.replace("\r\n", "\n")).strip("\n")
    longest = max(map(len, re.findall(r"`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markdown(f"{fence}{language}\n{shown}\n{fence}")


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Markdown:
    """Return a table; cells that are no Markdown are escaped.

    Args:
        heads: of the columns; one that begins with ``>`` is set to the right.
        rows: as many cells each.
    """
    right = [head.startswith(">") for head in heads]
    names = [head.removeprefix(">") for head in heads]
    lines = [names, ["---:" if one else "---" for one in right]]
    lines += [[_shown(cell) for cell in row] for row in rows]
    return Markdown("\n".join("| " + " | ".join(line) + " |" for line in lines))


def _shown(value: object) -> str:
    """Return what a template puts in: Markdown as it is, anything else escaped."""
    return value if isinstance(value, Markdown) else inline(value)


def render(
    template: str, values: Mapping[str, Any], filters: Mapping[str, Callable[..., Any]]
) -> str:
    """Return a page in Markdown.

    Whatever a template puts in is escaped by :func:`inline`, unless it is :class:`Markdown`.

    Args:
        template: name of a file in ``templates``.
        values: what it shows.
        filters: of the template; each returns :class:`Markdown`, or a text that is escaped.

    Raises:
        jinja2.TemplateError: there is no such template, or it uses a value that is not given.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,  # of HTML; ours is that of Markdown
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"code": code, "inline": inline, "fenced": fenced, **filters}
    return _spaced(environment.get_template(template).render(**values))


def _spaced(text: str) -> str:
    """Return Markdown with one empty line where a template left several, outside of code."""
    kept: list[str] = []
    fence = ""
    for line in text.split("\n"):
        mark = re.match(r"`{3,}", line)
        if mark and not fence:
            fence = mark[0]
        elif fence and line == fence:
            fence = ""
        if line or fence or (kept and kept[-1]):
            kept.append(line)
    return "\n".join(kept)
