"""Take the pictures of the docs: the five views of the app, of the set of ``hf-hardneg demo``.

make screenshots        # needs Chromium; CHROMIUM=/path/to/it names one
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from hf_hardneg import OfflineMiner
from hf_hardneg.demo import run_demo
from hf_hardneg.space import SpaceSettings, launch

HERE = Path(__file__).parent
SIZE = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


def overview(page: Page) -> None:
    page.wait_for_selector("#hn-overview svg")


def browse(page: Page) -> None:
    page.wait_for_selector("[data-hn-row]")
    page.keyboard.press("2")


def decide(page: Page) -> None:
    page.wait_for_selector("#hn-decision table")
    box = page.get_by_label("Margin below the positive")
    box.check()
    page.wait_for_timeout(1500)


def judge(page: Page) -> None:
    page.get_by_role("button", name="Start judging").click()
    page.wait_for_selector("[data-hn-item]")
    for key in "iiriiiiiri":
        before = page.inner_text("#hn-item .hn-where")
        page.keyboard.press(key)
        page.wait_for_function(
            "text => document.querySelector('#hn-item .hn-where').innerText !== text", arg=before
        )
    page.get_by_role("button", name="Show the result").click()
    page.wait_for_selector("#hn-result table")


def compare(page: Page, other: str) -> None:
    page.get_by_label("Compare with").fill(other)
    page.get_by_role("button", name="Compare", exact=True).click()
    page.wait_for_selector("[data-hn-compare]")


def take(page: Page, url: str, view: str, prepare: Callable[[Page], None], name: str) -> None:
    """Open a view, prepare it and save its picture."""
    page.goto(f"{url}?view={view}{'&row=12' if view in ('browse', 'decide') else ''}")
    page.wait_for_selector("#hn-head .hn-head")
    prepare(page)
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(400)
    page.screenshot(path=HERE / f"{name}.png")
    sys.stdout.write(f"{name}.png\n")


def main() -> None:
    """Mine, start the app, and take all pictures."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        sys.exit("found no Chromium; expected one on the path: install it, or name it in CHROMIUM.")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        folder, other = Path(scratch) / "demo-output", Path(scratch) / "by-margin"
        demo = run_demo(folder)
        rows = demo.mined.select_columns(["query_id", "query", "positive", "positive_id"])
        texts = {**dict(zip(rows["positive_id"], rows["positive"], strict=True))}
        OfflineMiner("bm25+margin", corpus=texts).mine(rows).save_to_disk(other)
        os.chdir(scratch)  # the pictures show short names
        settings = SpaceSettings(folder.name, labels=Path(scratch) / "labels", annotator="you")
        url = launch(settings, block=False)
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        take(page, url, "overview", overview, "overview")
        take(page, url, "browse", browse, "browse")
        take(page, url, "decide", decide, "decide")
        take(page, url, "judge", judge, "judge")
        take(page, url, "compare", lambda page: compare(page, other.name), "compare")
        phone = browser.new_page(viewport=PHONE, color_scheme="dark")
        take(phone, url, "browse", browse, "browse-phone-dark")
        browser.close()


if __name__ == "__main__":
    main()
