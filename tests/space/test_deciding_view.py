"""Another decision, and two sets beside each other, in a browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from space_server import App
from space_sets import MARGIN
from viewing import View

from hf_hardneg.inspection import open_inspected
from hf_hardneg.inspection.decision import decide
from hf_hardneg.inspection.set_comparison import compare_sets
from hf_hardneg.inspection.sliders import slider_ranges

pytestmark = pytest.mark.browser
Window = Callable[..., View]


def figures(view: View) -> str:
    return view.text("#hn-decision")


def test_sliders_change_figures_strategy_and_row(window: Window, app: App, docs: Path) -> None:
    view = window(f"{app.url}?view=decide")
    strategy = view.page.locator("#hn-strategy textarea, #hn-strategy input").first
    view.page.wait_for_selector("#hn-decision >> text=0 negatives are new, 0 go")
    assert strategy.input_value() == MARGIN
    inspected = open_inspected(docs)
    own = slider_ranges(inspected).own
    before = view.text("#hn-decided-row")
    margin = view.page.get_by_role("spinbutton", name="Margin", exact=False).first
    margin.fill("0.5")
    margin.press("Enter")
    margin.blur()
    wanted = decide(inspected, 300, replace(own, margin=0.5))
    view.page.wait_for_selector(f"#hn-decision >> text={wanted.removed} go")
    assert wanted.removed > 0
    assert f"{wanted.added} negatives are new" in figures(view)
    assert strategy.input_value() == wanted.strategy
    assert "0.5" in strategy.input_value()
    view.context.grant_permissions(["clipboard-read", "clipboard-write"])
    view.page.locator("#hn-copy").click()
    assert view.page.evaluate("navigator.clipboard.readText()") == wanted.strategy
    number = view.page.get_by_label("Row", exact=True).last
    changed = next(
        row
        for row in range(len(inspected))
        if decide(inspected, [row], replace(own, margin=0.5)).removed
    )
    number.fill(str(changed))
    number.press("Enter")
    view.page.wait_for_selector(f"#hn-decided-row >> text=Row {changed}")
    assert "goes" in view.text("#hn-decided-row")
    assert view.text("#hn-decided-row") != before
    view.page.get_by_role("button", name="Back to how it was mined").click()
    view.page.wait_for_selector("#hn-decision >> text=0 negatives are new, 0 go")
    assert strategy.input_value() == MARGIN


def test_two_sets_beside_each_other(window: Window, app: App, docs: Path, docs_plain: Path) -> None:
    found = compare_sets(open_inspected(docs), open_inspected(docs_plain))
    view = window(f"{app.url}?view=compare")
    other = view.page.get_by_label("Compare with")
    other.fill(str(docs_plain))
    view.page.locator("#hn-compare").click()
    view.page.wait_for_selector("#hn-totals table")
    assert f"{found.queries_both} queries are in both" in view.text("#hn-totals")
    first, *_ = found.different(0, 20)
    button = view.page.locator("[data-hn-compare]").first
    assert button.inner_text() == first.query[:200]
    button.click()
    view.page.wait_for_selector(f"#hn-compared-row >> text=Row {first.number}")
    row = found.pair.row(first.number)
    shown = view.text("#hn-compared-row")
    for one in (*row.only_a, *row.only_b):
        assert one.document_id in shown
    queries = [one.query[:200] for one in found.different(1, 20)]
    view.page.get_by_role("button", name="Further rows").click()
    view.wait("want => document.querySelector('[data-hn-compare]').innerText === want", queries[0])
    assert view.page.locator("[data-hn-compare]").all_inner_texts() == queries
    view.page.locator("#hn-different h2").click()  # nothing to open: the row stays
    view.page.get_by_role("button", name="Rows before").click()
    view.wait(
        "want => document.querySelector('[data-hn-compare]').innerText === want", first.query[:200]
    )
    assert "Row" in view.text("#hn-compared-row")


def test_no_second_set_is_said_in_words(window: Window, app: App, space_folder: Path) -> None:
    view = window(f"{app.url}?view=compare")
    view.page.locator("#hn-compare").click()
    view.page.wait_for_selector("text=there is no second set")
    view.page.get_by_label("Compare with").fill(str(space_folder / "nowhere" / "at all"))
    view.page.locator("#hn-compare").click()
    view.page.wait_for_selector("text=cannot be opened")
