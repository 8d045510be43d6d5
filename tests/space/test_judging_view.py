"""Judging a sample in a browser, and what the labels say elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from space_server import App
from viewing import View

from hf_hardneg.evaluation.label_rate import label_rate
from hf_hardneg.evaluation.labels import Labels
from hf_hardneg.inspection import open_inspected
from hf_hardneg.inspection.judging import JudgingTask
from hf_hardneg.inspection.set_identity import set_identity

pytestmark = pytest.mark.browser
Window = Callable[..., View]
SIZE = 12


def start(window: Window, url: str) -> View:
    view = window(f"{url}?view=judge")
    view.page.get_by_label("Pairs in the sample").fill(str(SIZE))
    view.page.locator("#hn-draw").click()
    view.page.wait_for_selector("[data-hn-item]")
    return view


def item(view: View) -> int:
    return int(view.page.locator("[data-hn-item]").get_attribute("data-hn-item"))


def wait_item(view: View, number: int) -> None:
    view.page.wait_for_selector(f'[data-hn-item="{number}"]')


def audited(docs: Path, labels: Path, cache: Path) -> str:
    """What ``hf-hardneg audit`` says of a set with labels."""
    done = subprocess.run(
        [sys.executable, "-m", "hf_hardneg", "audit", str(docs), "--labels", str(labels)],
        env={**os.environ, "HF_HARDNEG_CACHE": str(cache), "COLUMNS": "300"},
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return done.stdout


def test_judging_gives_labels_that_change_the_audited_rate(
    window: Window, app: App, docs_plain: Path, space_cache: Path, tmp_path: Path
) -> None:
    url = f"{app.url}?repo={docs_plain}&view=judge"
    view = window(url)
    view.page.get_by_label("Pairs in the sample").fill(str(SIZE))
    view.page.locator("#hn-draw").click()
    wait_item(view, 0)
    mined = open_inspected(docs_plain).mined
    task = JudgingTask.open(mined, app.labels, set_identity(mined), size=SIZE)
    assert task.item(0).query in view.text("[data-hn-item]")
    for hidden in ("score", "rank", "found by", "a negative", "known positive"):
        assert hidden not in view.text("[data-hn-item]")
    view.page.get_by_label("Blind: hide scores and ranks").uncheck()
    view.page.wait_for_selector("[data-hn-item] .hn-facts")
    shown = view.text("[data-hn-item]")
    assert ("a known positive, mixed in" in shown) == task.lines[0].control
    view.page.get_by_label("Blind: hide scores and ranks").check()
    view.page.wait_for_selector("[data-hn-item] .hn-facts", state="detached")
    view.leave_field()
    view.press("n")
    wait_item(view, 1)
    view.press("p")
    wait_item(view, 0)
    view.page.locator("[data-hn-note]").fill("a note on the first")
    view.page.locator("[data-hn-note]").press("r")  # a letter of the note, not an answer
    view.page.locator('[data-hn-label="false_negative"]').click()
    wait_item(view, 1)
    assert view.page.locator("[data-hn-note]").input_value() == ""
    keys = {"r": "false_negative", "i": "true_negative", "u": "unsure", "b": "bad_query"}
    answers = ["false_negative"]
    view.leave_field()
    for number, key in enumerate("irui" + "i" * (SIZE - 5), start=1):
        wait_item(view, number)
        view.press(key)
        answers.append(keys[key])
    view.page.wait_for_selector(f"text={SIZE} judged")
    view.page.locator("#hn-look").click()
    view.page.wait_for_selector("#hn-result .hn-big")
    result = view.text("#hn-result")
    view.page.locator("#hn-export").click()
    link = view.page.locator('a[download][href*="labels.jsonl"]').first
    with view.page.expect_download() as download:
        link.click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    labels = Labels.read(path)
    given = [row for row in labels if row.label is not None]
    by_pair = {row.pair: row for row in given}
    assert [str(by_pair[line.pair].label) for line in task.lines] == answers
    assert by_pair[task.lines[0].pair].note == "a note on the firstr"
    assert sum(bool(row.note) for row in given) == 1
    rate = label_rate(labels)
    assert rate.rate is not None
    assert f"{rate.rate:.2%}" in result
    said = audited(docs_plain, path, space_cache)
    assert f"{rate.rate:.2%}" in said or f"{rate.rate:.1%}" in said
    view.tab("overview")
    view.page.locator("#hn-again").click()
    view.page.wait_for_selector(f"#hn-overview >> text={rate.rate:.2%}")


def test_what_was_judged_is_there_after_a_reload(window: Window, app: App) -> None:
    view = start(window, app.url)
    first = item(view)
    view.leave_field()
    view.press("u")
    wait_item(view, first + 1)
    view.reload()
    again = start(window, app.url)
    assert item(again) == first + 1
    again.leave_field()
    again.press("p")
    wait_item(again, first)
    assert again.page.locator('[data-hn-label="unsure"][aria-pressed="true"]').count() == 1


def test_a_sample_out_of_range_is_refused_in_words(window: Window, app: App) -> None:
    view = window(f"{app.url}?view=judge")
    size: Any = view.page.get_by_label("Pairs in the sample")
    size.fill("3")
    view.page.locator("#hn-draw").click()
    view.page.wait_for_selector("text=expected 10 to 5,000")
