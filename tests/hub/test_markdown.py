"""Text from data in Markdown, read back by a parser of Markdown."""

from __future__ import annotations

import html
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from hf_hardneg.hub.markdown import JOINER, code, fenced, inline, plain, table

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
TAG = re.compile(r"<[^>]*>")
NASTY = [
    "|", "||", "\\|", "\\", "\\\\|", "`", "``|``", "`a|b`", "<b>x</b>",
    "<script>alert(1)</script>", "<!-- x -->", "--> x", "&amp;", "&#124;", "&", "[a](http://b)",
    "![a](b)", "[^1]", "*a*", "_a_", "**", "~~a~~", "# a", "a #", "- a", "+ a", "1. a", "12) a",
    "> a", "---", "===", ":--", "```", "~~~", "\u202eabc", "a\nb", "a\r\n\r\n# b", "\u0000",
    "\u001b[31m", "\t| a |", "a\u2028b", "$$x$$", "\\(x\\)", "http://a.b", "www.a.b", "a@b.c",
    "<http://a.b>", "    code", ":smile:", "<!-- /hf-hardneg -->", "{{ x }}", "\\*", "]",
    "\u00a0", "<details>", "a  ", "a\\",
]  # fmt: skip
texts = st.one_of(
    st.text(max_size=40),
    st.lists(st.one_of(st.sampled_from(NASTY), st.text(max_size=4)), max_size=6).map("".join),
    st.lists(st.sampled_from(NASTY), max_size=5).map(" ".join),
    st.text(alphabet="|\\`*_[]<>&#-+=~:$.)( a1\n", max_size=30),
)


def shown(page: str, tag: str) -> list[str]:
    """Return what stands in the elements of a name; between their tags there may be no other."""
    found = re.findall(rf"<{tag}(?: [^>]*)?>(.*?)</{tag}>", page, re.DOTALL)
    assert not any(TAG.search(one) for one in found), page
    return [html.unescape(one) for one in found]


def back(text: str) -> str:
    """Return a text without the joiners that keep it from acting."""
    return text.replace(JOINER, "")


@given(texts)
def test_a_paragraph_shows_the_text_as_it_is(text: str) -> None:
    page = PARSER.render(f"{inline(text)}\n")
    if not plain(text):
        assert page == ""
        return
    assert [back(one) for one in shown(page, "p")] == [plain(text)]
    assert TAG.findall(page) == ["<p>", "</p>"]


@given(texts, texts)
def test_cells_of_a_table_show_their_texts_as_they_are(left: str, right: str) -> None:
    page = PARSER.render(table(["one", ">two"], [(left, right), (right, left)]))
    expected = [plain(left), plain(right), plain(right), plain(left)]
    assert [back(one) for one in shown(page, "td")] == expected
    assert page.count("<tr>") == 3


@given(texts)
def test_a_list_and_a_heading_show_the_text_as_it_is(text: str) -> None:
    page = PARSER.render(f"# {inline(text)}\n\n- negative (1.5): {inline(text)}\n")
    assert [back(one) for one in shown(page, "h1")] == [plain(text)]
    assert [back(one) for one in shown(page, "li")] == [f"negative (1.5): {plain(text)}".strip()]


@given(texts)
def test_code_shows_the_text_as_it_is(text: str) -> None:
    assert_code = [plain(text)] if plain(text) else []
    assert [back(one) for one in shown(PARSER.render(f"a {code(text)} b"), "code")] == assert_code
    page = PARSER.render(table(["one", "two"], [(code(text), "x")]))
    assert [back(one) for one in shown(page, "code")] == assert_code
    assert page.count("<td") == 2


@given(texts)
def test_a_block_of_code_has_no_end_within(text: str) -> None:
    page = PARSER.render(fenced(text, "python") + "\n\nafter\n")
    [block] = re.findall(r'<pre><code class="language-python">(.*?)</code></pre>', page, re.DOTALL)
    assert not TAG.search(block)
    assert page.endswith("<p>after</p>\n")


@given(texts)
def test_nothing_is_left_that_becomes_a_link_or_a_formula_by_itself(text: str) -> None:
    seen = html.unescape(TAG.sub("", PARSER.render(f"a {inline(text)}")))
    for pattern in (
        r"https?://",
        r"www\.",
        r"[\w.+-]@[\w-]+\.\w",
        r"\$\$",
        r"\\[(\[]",
        r"mailto:\S",
    ):
        assert not re.search(pattern, seen, re.IGNORECASE), seen


@given(texts)
def test_no_control_character_is_left(text: str) -> None:
    page = inline(text).replace(JOINER, "")
    kept = "\u200c\u200d"
    assert all(unicodedata.category(one) not in ("Cc", "Cf") or one in kept for one in page)


def test_a_long_text_is_cut_and_says_so() -> None:
    cell = inline("wort " * 20_000, 300)
    assert len(cell) < 400
    assert cell.endswith("*[99,700 characters more]*")
    assert "more" not in inline("wort " * 20, 300)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5%", "0.5%"),
        ("1. a", "1\\. a"),
        ("a|b", "a&#124;b"),
        ("\u202eevil", "\\[U+202E\\]evil"),
        ("a_b", "a\\_b"),
        ("<i>", "&lt;i&gt;"),
    ],
)
def test_examples(text: str, expected: str) -> None:
    assert inline(text) == expected
