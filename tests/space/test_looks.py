"""How the app feels: on a phone, in the dark, by keyboard, for a screen reader, when it fails."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from space_server import App
from viewing import TABS, View

pytestmark = pytest.mark.browser
Window = Callable[..., View]

NAMELESS = """() => {
  const name = (one) => (one.getAttribute("aria-label") || "").trim()
    || (one.getAttribute("aria-labelledby") || "").split(/\\s+/).filter(Boolean)
        .map((id) => document.getElementById(id)?.textContent || "").join(" ").trim()
    || Array.from(one.labels || []).map((label) => label.textContent).join(" ").trim()
    || (one.tagName === "BUTTON" ? one.textContent.trim() : "")
    || (one.getAttribute("title") || "").trim();
  return Array.from(document.querySelectorAll("input, textarea, select, button"))
    .filter((one) => one.offsetParent !== null && one.type !== "hidden")
    .filter((one) => !name(one)).map((one) => one.outerHTML.slice(0, 300));
}"""
HEADINGS = """() => Array.from(document.querySelectorAll("h1, h2, h3, h4, h5, h6"))
  .filter((one) => one.offsetParent !== null).map((one) => Number(one.tagName[1]))"""
WIDTH = "() => [document.documentElement.scrollWidth, window.innerWidth]"
CUT = """() => Array.from(document.querySelectorAll(
    ".hn-scope table, .hn-scope h2, .hn-scope h3, .hn-scope p, .hn-scope button, .hn-scope td"))
  .filter((one) => one.offsetParent !== null)
  .filter((one) => one.getBoundingClientRect().right > window.innerWidth + 1)
  .map((one) => one.outerHTML.slice(0, 200))"""
THIN = """() => Array.from(document.querySelectorAll(".hn-scope th, .hn-scope td"))
  .filter((one) => one.offsetParent !== null && one.textContent.trim().length > 3)
  .filter((one) => one.getBoundingClientRect().width < 30)
  .map((one) => one.outerHTML.slice(0, 200))"""
CONTRAST = """() => {
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => v / 255)
      .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const numbers = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
  const ground = (one) => {
    for (let node = one; node; node = node.parentElement) {
      const found = numbers(getComputedStyle(node).backgroundColor);
      if (found.length === 3 || found[3] > 0.9) return found;
    }
    return [255, 255, 255];
  };
  const low = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const one = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || one.offsetParent === null) continue;
    if (!one.closest(".hn-scope") || one.closest("svg")) continue;
    const [a, b] = [numbers(getComputedStyle(one).color), ground(one)].map(light);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) low.push([ratio.toFixed(2), one.outerHTML.slice(0, 150)]);
  }
  return low;
}"""


def fill(view: View, tab: str, other: Path) -> None:
    """Open a view and let it show what it has."""
    view.tab(tab)
    if tab == "judge":
        view.page.locator("#hn-draw").click()
        view.page.wait_for_selector("[data-hn-item]")
        view.page.locator("#hn-look").click()
        view.page.wait_for_selector("#hn-result .hn-big")
    elif tab == "compare":
        view.page.get_by_label("Compare with").fill(str(other))
        view.page.locator("#hn-compare").click()
        view.page.locator("[data-hn-compare]").first.click()
        view.page.wait_for_selector("#hn-compared-row h2")
    elif tab == "decide":
        view.page.wait_for_selector("#hn-decision table")
    elif tab == "browse":
        view.page.wait_for_selector("[data-hn-row]")
        opener = view.page.get_by_role("button", name="Filter and sort")
        opener.click()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_phone_needs_no_scrolling_sideways(
    window: Window, app: App, docs_plain: Path, dark: bool
) -> None:
    view = window(app.url, width=390, dark=dark)
    assert view.page.evaluate("document.body.classList.contains('dark')") == dark
    for tab in TABS:
        fill(view, tab, docs_plain)
        width, inner = view.page.evaluate(WIDTH)
        assert width <= inner, tab
        assert view.page.evaluate(CUT) == [], tab
        assert view.page.evaluate(THIN) == [], tab
        assert view.page.evaluate(CONTRAST) == [], tab


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_wide_screen(window: Window, app: App, docs_plain: Path, dark: bool) -> None:
    view = window(app.url, dark=dark)
    assert view.page.evaluate("document.documentElement.lang") == "en"
    for tab in TABS:
        fill(view, tab, docs_plain)
        assert view.page.evaluate(NAMELESS) == [], tab
        assert view.page.evaluate(CONTRAST) == [], tab
        headings = view.page.evaluate(HEADINGS)
        assert headings[0] == 1
        assert headings.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(headings)), (tab, headings)


def focused(view: View) -> dict[str, Any]:
    found: dict[str, Any] = view.page.evaluate(
        """() => {
          const one = document.activeElement, style = getComputedStyle(one);
          return {label: one.dataset.hnLabel || "", id: one.id || "", text: one.textContent.trim(),
                  seen: (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0)
                        || style.boxShadow !== "none"};
        }"""
    )
    return found


def test_the_keyboard_reaches_everything_and_focus_is_seen(window: Window, app: App) -> None:
    view = window(f"{app.url}?row=2")
    view.wait_row(2)
    reached = []
    for _ in range(45):
        view.press("Tab")
        reached.append(focused(view))
        if reached[-1]["label"] == "false_negative":
            break
    texts = [one["text"] for one in reached]
    for wanted in ("Open", "Browse", "← Previous", "Next →"):
        assert wanted in texts
    assert reached[-1]["label"] == "false_negative"
    for one in reached:
        assert one["seen"] or not one["text"], one
    view.press("Enter")
    view.wait_pressed(0, "false_negative")


def test_what_is_not_there_is_said_and_the_app_goes_on(
    window: Window, app: App, docs: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.parquet"
    content = next(docs.rglob("pool.parquet")).read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    lines = tmp_path / "broken.jsonl"
    lines.write_text('{"query": "a", "positive": "b", "negative"\n', encoding="utf-8")
    odd = tmp_path / "odd.csv"
    odd.write_text("one,two\n1,2\n", encoding="utf-8")
    view = window(app.url)
    box = view.page.locator("#hn-data textarea, #hn-data input").first
    for path, words in (
        (tmp_path / "not" / "there", "cannot be opened: expected a file or folder"),
        (broken, "broken.parquet"),
        (lines, "broken.jsonl"),
        (odd, "odd.csv"),
    ):
        box.fill(str(path))
        view.page.get_by_role("button", name="Open", exact=True).click()
        view.page.wait_for_selector(f"#hn-head [role=alert] >> text={words}")
        assert "Traceback" not in view.text("#hn-head")
    box.fill(str(docs))
    box.press("Enter")
    view.page.wait_for_selector("#hn-head .hn-head")
    view.tab("browse")
    view.page.wait_for_selector("[data-hn-row]")


def test_an_address_of_what_is_not_there_says_so(window: Window, app: App) -> None:
    view = window(f"{app.url}?repo=/no/such/folder&row=3")
    view.page.wait_for_selector("#hn-head [role=alert]")
    box = view.page.locator("#hn-data textarea, #hn-data input").first
    box.fill("")
    box.press("Enter")
    view.page.wait_for_selector("#hn-head .hn-head")
