"""Texts of data that mean harm: nothing of them runs, and all of them is shown as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from space_server import App
from space_sets import HARM, IMAGE, LONGEST_TEXT, SCRIPT, hostile_rows
from viewing import View

from hf_hardneg.evaluation.labels import Labels
from hf_hardneg.inspection.label_book import LabelBook
from hf_hardneg.pages import visible

pytestmark = pytest.mark.browser
Window = Callable[..., View]

ELEMENTS = """() => Array.from(document.querySelectorAll(".hn-scope")).flatMap((scope) =>
  Array.from(scope.querySelectorAll(
    "script, img, iframe, a, b:not(.hn-b), math, svg:not([role=img]), .katex, object, embed, form"
  )).map((one) => one.outerHTML.slice(0, 200)))"""
LISTENERS = """() => Array.from(document.querySelectorAll(".hn-scope *"))
  .filter((one) => one.getAttributeNames().some((name) => name.startsWith("on")))
  .map((one) => one.outerHTML.slice(0, 200))"""


def plain(text: str) -> str:
    """A text as it is compared: what a browser does with white space aside."""
    return "".join(text.split())


def content(view: View, selector: str) -> str:
    return plain(view.page.locator(selector).first.evaluate("one => one.textContent"))


def unharmed(view: View) -> None:
    assert view.page.evaluate(ELEMENTS) == []
    assert view.page.evaluate(LISTENERS) == []
    assert view.page.title() == "Hard negatives"


@pytest.fixture(scope="module")
def harmful(app: App, hostile: Path, space_folder: Path, space_cache: Path) -> Any:
    """The app, started with the hostile rows and their pool."""
    from space_server import inspect

    running = inspect(
        hostile / "rows.parquet", space_folder / "hostile-labels", space_cache,
        "--pool", str(hostile / "pool.parquet"), "--annotator", f"{IMAGE} {{{{me}}}}",
    )  # fmt: skip
    yield running
    try:
        running.check()
    finally:
        running.stop()


def test_every_text_of_a_row_is_shown_as_it_is(window: Window, harmful: App) -> None:
    view = window(f"{harmful.url}?row=0")
    for number, row in enumerate(hostile_rows()[:-1]):
        view.wait_row(number)
        shown = content(view, "[data-hn-row]")
        for text in (row["query"], *row["positive"], *row["hard_negatives"]):
            assert plain(visible(text)) in shown, (number, text[:80])
        for name in (row["query_id"], *row["positive_ids"], *row["hard_negative_ids"]):
            assert plain(visible(name)) in shown, (number, name[:80])
        for source in (IMAGE, SCRIPT, "{{value}}"):
            assert plain(source) in shown
        assert plain(f"{IMAGE} stage") in shown
        assert plain(f"{SCRIPT} rejected") in shown
        unharmed(view)
        view.press("n")


def test_a_long_text_is_whole_and_the_row_stays_narrow(window: Window, harmful: App) -> None:
    last = len(HARM)
    view = window(f"{harmful.url}?row={last}", width=390)
    view.wait_row(last)
    assert content(view, "[data-hn-row]").count(plain("<b>long</b> word")) > LONGEST_TEXT / 20
    for fold in view.page.locator(".hn-fold > summary").all()[:2]:
        fold.click()
    assert view.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    unharmed(view)


def test_notes_and_names_are_text(window: Window, harmful: App) -> None:
    note = f"{SCRIPT} {IMAGE} ${{alert(9)}} {{{{value}}}} </textarea> \"quoted\" 'quoted' `x`"
    view = window(f"{harmful.url}?row=1")
    view.wait_row(1)
    view.page.locator('[data-hn-card="0"] [data-hn-note]').fill(note)
    view.page.locator('[data-hn-card="0"] [data-hn-label="unsure"]').click()
    view.wait_pressed(0, "unsure")
    view.reload()
    view.wait_pressed(0, "unsure")
    assert view.page.locator('[data-hn-card="0"] [data-hn-note]').input_value() == note
    assert plain(f"{IMAGE} {{{{me}}}}") in content(view, "#hn-head")
    kept = [row for row in LabelBook(harmful.labels, "nobody").labels() if row.hand_picked]
    assert [row.note for row in kept] == [note]
    assert kept[0].annotator == f"{IMAGE} {{{{me}}}}"
    names = [path.name for path in harmful.labels.glob("labels-*.jsonl")]
    assert names
    assert all(set("<>\"'{}$ ") & set(name) == set() for name in names)
    unharmed(view)


def test_other_views_of_them(window: Window, harmful: App, hostile: Path, tmp_path: Path) -> None:
    view = window(harmful.url)
    unharmed(view)
    view.tab("decide")
    view.page.wait_for_selector("#hn-decided-row h2, #hn-decide-message [role=alert]")
    unharmed(view)
    view.tab("judge")
    view.page.get_by_label("Pairs in the sample").fill("14")
    view.page.locator("#hn-draw").click()
    view.page.wait_for_selector("[data-hn-item]")
    total = int(view.page.locator("[data-hn-item] progress").get_attribute("max"))
    queries = {plain(visible(row["query"])) for row in hostile_rows()}
    seen = set()
    for number in range(total):
        view.page.wait_for_selector(f'[data-hn-item="{number}"]')
        seen.add(content(view, "[data-hn-item] h2"))
        unharmed(view)
        view.leave_field()
        view.press("i")
    assert len(seen) > 2
    assert seen <= queries
    view.page.locator("#hn-look").click()
    view.page.wait_for_selector("#hn-result .hn-big")
    unharmed(view)
    view.page.locator("#hn-export").click()
    with view.page.expect_download() as download:
        view.page.locator('a[download][href*="labels.jsonl"]').first.click()
    assert download.value.suggested_filename == "labels.jsonl"
    download.value.save_as(tmp_path / "labels.jsonl")
    assert len(Labels.read(tmp_path / "labels.jsonl")) >= total
    view.tab("compare")
    view.page.get_by_label("Compare with").fill(str(hostile / "rows.parquet"))
    view.page.locator("#hn-compare").click()
    view.page.locator("[data-hn-compare]").first.click()
    view.page.wait_for_selector("#hn-compared-row h2")
    unharmed(view)


@pytest.mark.parametrize(
    "name", [SCRIPT, IMAGE, "${alert(1)} {{value}}", "[a](javascript:alert(1))"]
)
def test_an_error_shows_what_was_given_as_text(window: Window, app: App, name: str) -> None:
    view = window(app.url)
    box = view.page.locator("#hn-data textarea, #hn-data input").first
    box.fill(name)
    box.press("Enter")
    view.page.wait_for_selector("#hn-head [role=alert]")
    assert plain(name) in content(view, "#hn-head [role=alert]")
    unharmed(view)
    view.tab("compare")
    view.page.get_by_label("Compare with").fill(name)
    view.page.locator("#hn-compare").click()
    toast = view.page.locator(".toast-body")
    toast.wait_for()
    assert plain(name) in plain(toast.inner_text())
    assert toast.locator("script, img, a, b").count() == 0


def test_names_of_configs_are_text(window: Window, app: App, docs: Path, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)> {{value}}"
    for config in (name, "plain"):
        (tmp_path / "set" / "data" / config).mkdir(parents=True)
        from datasets import Dataset

        Dataset.from_dict({"query": ["q"], "positive": ["p"], "negative": ["n"]}).to_parquet(
            tmp_path / "set" / "data" / config / "train-00000-of-00001.parquet"
        )
    view = window(f"{app.url}?repo={tmp_path / 'set'}&row=0")
    view.page.wait_for_selector("#hn-head .hn-head, #hn-head .hn-alert")
    box = view.page.locator("#hn-config input").first
    box.click()
    options = view.page.get_by_role("option")
    options.first.wait_for()
    assert any(name in text for text in options.all_inner_texts())
    assert view.page.locator("#hn-config img").count() == 0
    unharmed(view)
