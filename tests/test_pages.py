"""Pages: one file, nothing from outside, and no text from data that does anything."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_hardneg import pages
from hf_hardneg.evaluation.audit_report import Audit
from hf_hardneg.evaluation.finding import Example, Finding

VOID = {"meta", "link", "br", "hr", "img", "input"}
ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</div></section></main><h1>broken</h1>",
    '" onmouseover="alert(1)',
    "{{ 7 * 7 }}{% raw %}",
    "</style><style>*{display:none}",
    "\u202eevil\u202c \u2066x\u2069",
    "bell \x07 escape \x1b[31m null \x00 delete \x7f",
    "",
    "  \n ",
    "long " * 200 + "<b>end</b>",
]


class Page(HTMLParser):
    """What a browser makes of a page: its tags, balanced, and its text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(content)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def audit_page(texts: list[str]) -> str:
    examples = [
        Example(
            number,
            number % 3 or None,
            text,
            text,
            text,
            text if number % 3 else None,
            0.5,
            None,
            text,
        )
        for number, text in enumerate(texts)
    ]
    findings = [
        Finding("a", "First check", "error", "About it.", "negatives", 3, 2, 9, {"part": 1},
                examples=examples),
        Finding("b", "Second check", "warning", "About it.", "rows", 0, 0, 9),
        Finding("c", "Third check", "info", "About it.", "rows", None, None, 0,
                skipped="x" + texts[0]),
        Finding("d", "Fourth check", "info", "About it.", "rows", 1, 1, 100_000),
    ]  # fmt: skip
    return Audit(texts[0], 5, 6, 7, findings, [texts[0]]).to_html()


def check(content: str) -> Page:
    page = Page(content)
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "img", "iframe", "object", "link", "form"}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert "style" not in attributes
        if "href" in attributes:
            assert str(attributes["href"]).startswith("#")
    ids = [str(attributes["id"]) for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        target = attributes.get("aria-labelledby") or str(attributes.get("href", "#"))[1:]
        assert not target or target in ids
    assert not re.search(r"url\(|@import|https?:", content)
    return page


def test_an_audit_of_hostile_texts() -> None:
    page = check(audit_page(ATTACKS))
    assert [tag for tag, _ in page.tags].count("h1") == 1
    assert ("html", {"lang": "en"}) in page.tags
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert "49" not in page.text
    assert "[U+202E]evil[U+202C] [U+2066]x[U+2069]" in page.text
    assert "bell [U+0007] escape [U+001B][31m null [U+0000] delete [U+007F]" in page.text
    assert "<b>end</b>" in page.text
    tables = [attributes for tag, attributes in page.tags if tag in ("th", "caption")]
    assert all(attributes.get("scope") for attributes in tables if attributes)


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_any_text(texts: list[str]) -> None:
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    check(audit_page(texts))


def test_the_same_values_give_the_same_bytes() -> None:
    assert audit_page(ATTACKS) == audit_page(ATTACKS)


def test_a_share_is_never_rounded_to_nothing_or_everything() -> None:
    assert [pages.percent(x) for x in (None, 0.0, 1e-7, 0.00012, 0.5, 0.999999, 1.0)] == [
        "-", "0.00%", "<0.01%", "0.01%", "50.00%", ">99.99%", "100.00%"
    ]  # fmt: skip
    assert [pages.number(x) for x in (None, 1234567, 0.123456, 12345.6, True)] == [
        "-", "1,234,567", "0.1235", "12,346", "yes"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain", "plain"), ("a\r\nb\tc", "a\nb\tc"), ("a\rb", "a[U+000D]b"),
     ("🏳️\u200d🌈", "🏳️\u200d🌈"),
     ("\u200b", "[U+200B]"), ("\ue000", "[U+E000]"), ("שלום", "שלום"), (7, "7")],
)  # fmt: skip
def test_what_is_made_visible(text: object, shown: str) -> None:
    assert pages.visible(text) == shown


def test_parts_of_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What other pages are made of: a table of their own, a figure, a text."""
    for path in pages.TEMPLATES.iterdir():
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "own.html").write_text(
        '{% extends "base.html" %}{% import "parts.html" as parts %}'
        "{% block title %}T{% endblock %}{% block heading %}H{% endblock %}{% block content %}"
        '{{ parts.table("What", [("name", false), ("value", true)], rows) }}'
        '{{ parts.text(value) }}{{ parts.figure(value, "Caption") }}{% endblock %}'
    )
    monkeypatch.setattr(pages, "TEMPLATES", tmp_path)
    page = check(pages.render("own.html", rows=[["<i>", 3], ["b", "x & y"]], value="<b>"))
    assert "<i>" in page.text
    assert [tag for tag, _ in page.tags].count("tr") == 3
    with pytest.raises(jinja2.UndefinedError, match="'value' is undefined"):
        pages.render("own.html", rows=[])
