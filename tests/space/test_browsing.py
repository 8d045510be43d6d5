"""Going through the rows in a browser, and marking negatives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from space_server import App
from space_sets import LONG, NEGATIVES
from viewing import View

from hf_hardneg.inspection import open_inspected
from hf_hardneg.inspection.finding_rows import RowFinder
from hf_hardneg.inspection.label_book import LabelBook
from hf_hardneg.inspection.suspicion import REASONS, Suspicion
from hf_hardneg.inspection.wanted import Wanted

pytestmark = pytest.mark.browser
Window = Callable[..., View]


def said(app: App) -> dict[tuple[str, str], tuple[str, str]]:
    """What ann says now, as it is on the disk: (label, note) by the ids of query and document."""
    rows = LabelBook(app.labels, "ann").mine()
    return {(row.query_id, row.document_id): (str(row.label), row.note) for row in rows}


def pair(docs: Path, row: int, place: int) -> tuple[str, str]:
    view = open_inspected(docs).row(row)
    return view.query_id, view.negatives[place].document_id


def full_rows(docs: Path) -> list[int]:
    """Rows that have all their negatives."""
    inspected = open_inspected(docs)
    return [row for row in range(len(inspected)) if len(inspected.row(row).negatives) == NEGATIVES]


def test_a_link_opens_a_row_and_the_address_follows(window: Window, app: App, docs: Path) -> None:
    view = window(f"{app.url}?row=3&__theme=dark")
    view.wait_row(3)
    row = open_inspected(docs).row(3)
    shown = view.text("#hn-row")
    assert row.query in shown
    assert "of 40 rows" in shown
    for one in (*row.positives, *row.negatives):
        assert one.document_id in shown
    view.page.locator("#hn-next").click()
    view.wait_row(4)
    view.page.wait_for_url("**row=4**")
    assert "__theme=dark" in view.page.url
    assert view.page.evaluate("document.body.classList.contains('dark')")
    view.reload()
    view.wait_row(4)


def test_next_and_previous_by_button_and_key(window: Window, app: App) -> None:
    view = window(f"{app.url}?row=0")
    view.wait_row(0)
    for number, key in ((1, "n"), (2, "ArrowRight"), (1, "p"), (0, "ArrowLeft")):
        view.press(key)
        view.wait_row(number)
    view.page.locator("#hn-next").click()
    view.wait_row(1)
    view.page.locator("#hn-previous").click()
    view.wait_row(0)
    goto = view.page.locator("#hn-goto input")
    goto.fill("17")
    goto.press("n")  # a key in a field is text, not a command
    goto.press("Enter")
    view.wait_row(17)
    goto.fill("4000")
    goto.press("Enter")
    view.wait_row(39)


def test_a_row_that_is_no_number_opens_the_first(window: Window, app: App) -> None:
    for row in ("²", "-1", "9" * 5000):
        view = window(f"{app.url}?row={row}")
        view.page.wait_for_selector("#hn-head .hn-head")
        assert view.row() == 0


def test_filter_search_and_clear(window: Window, app: App, docs: Path) -> None:
    inspected = open_inspected(docs)
    view = window(f"{app.url}?row=0")
    view.wait_row(0)
    view.page.get_by_role("button", name="Filter and sort").click()
    wanted = inspected.row(7)
    view.page.get_by_label("Search", exact=True).fill(wanted.query)
    view.page.get_by_role("button", name="Show these rows").click()
    view.wait_row(7)
    view.page.get_by_label("Search", exact=True).fill("no row has this wordthatisnone")
    view.page.get_by_role("button", name="Show these rows").click()
    view.page.wait_for_selector("#hn-status >> text=No row has all of this")
    view.page.get_by_role("button", name="Clear").click()
    view.wait_row(0)
    assert view.page.get_by_label("Search", exact=True).input_value() == ""
    document = inspected.row(full_rows(docs)[3]).negatives[1].document_id
    having = [
        number
        for number in range(len(inspected))
        for one in (*inspected.row(number).positives, *inspected.row(number).negatives)
        if one.document_id == document
    ]
    view.page.get_by_label("Document", exact=True).fill(document)
    view.page.get_by_role("button", name="Show these rows").click()
    view.page.wait_for_selector(f"text=1 of {len(having)} rows")
    assert view.row() == having[0]


def test_suspicious_first(window: Window, app: App, docs_plain: Path) -> None:
    inspected = open_inspected(docs_plain)
    suspicion = Suspicion(inspected)
    suspicion.start()
    assert suspicion.wait(60)
    found = RowFinder(inspected, suspicion)
    first = int(found.find(Wanted(order="suspicious")).rows[0])
    outscored = found.find(Wanted(reasons=frozenset({"outscores"}))).rows
    found.close()
    assert first != 0
    assert 0 < len(outscored) < len(inspected)
    view = window(f"{app.url}?repo={docs_plain}&row=0")
    view.wait_row(0)
    view.page.get_by_role("button", name="Filter and sort").click()
    view.page.get_by_label("suspicious first").check()
    view.page.get_by_role("button", name="Show these rows").click()
    view.wait_row(first)
    assert view.page.locator(f'[data-hn-row="{first}"] .hn-badge').count()
    view.page.get_by_label("by row").check()
    view.page.get_by_label(REASONS["outscores"]).check()
    view.page.get_by_role("button", name="Show these rows").click()
    view.page.wait_for_selector(f"text=1 of {len(outscored)} rows")
    assert view.row() == outscored[0]


def test_marks_are_kept_over_a_reload(window: Window, app: App, docs: Path) -> None:
    view = window(f"{app.url}?row=2")
    view.wait_row(2)
    card = view.page.locator('[data-hn-card="1"]')
    card.locator("[data-hn-note]").fill("says <b>the same</b>")
    card.locator('[data-hn-label="false_negative"]').click()
    view.wait_pressed(1, "false_negative")
    assert said(app)[pair(docs, 2, 1)] == ("false_negative", "says <b>the same</b>")
    view.leave_field()
    view.press("1", "t")
    view.wait_pressed(0, "true_negative")
    assert said(app)[pair(docs, 2, 0)] == ("true_negative", "")
    view.reload()
    view.wait_row(2)
    view.wait_pressed(1, "false_negative")
    view.wait_pressed(0, "true_negative")
    note = view.page.locator('[data-hn-card="1"] [data-hn-note]')
    assert note.input_value() == "says <b>the same</b>"
    card = view.page.locator('[data-hn-card="1"]')
    card.locator('[data-hn-label="unsure"]').click()
    view.wait_pressed(1, "unsure")
    assert said(app)[pair(docs, 2, 1)][0] == "unsure"
    view.reload()
    view.wait_pressed(1, "unsure")


def test_the_same_again_takes_a_mark_back(window: Window, app: App, docs: Path) -> None:
    row = full_rows(docs)[-1]
    view = window(f"{app.url}?row={row}")
    view.wait_row(row)
    pressed = view.page.locator("[data-hn-card='1'] [aria-pressed=true]")
    for key in ("2", "t"):
        view.page.keyboard.press(key)
    pressed.wait_for()
    assert said(app)[pair(docs, row, 1)] == ("true_negative", "")
    view.page.keyboard.press("t")
    pressed.wait_for(state="detached")
    assert pair(docs, row, 1) not in said(app)
    view.page.reload()
    view.wait_row(row)
    assert pressed.count() == 0


def test_quick_keys_lose_no_mark(window: Window, app: App, docs: Path) -> None:
    row = full_rows(docs)[1]
    view = window(f"{app.url}?row={row}")
    view.wait_row(row)
    view.press("1", "f", "2", "t", "3", "u")
    for place, label in enumerate(("false_negative", "true_negative", "unsure")):
        view.wait_pressed(place, label)
        assert said(app)[pair(docs, row, place)][0] == label


def test_a_note_that_is_being_written_stays_at_its_row(
    window: Window, app: App, docs: Path
) -> None:
    row = full_rows(docs)[2]
    view = window(f"{app.url}?row={row}")
    view.wait_row(row)
    note = view.page.locator('[data-hn-card="2"] [data-hn-note]')
    note.fill("not yet said")
    view.page.locator('[data-hn-card="0"] [data-hn-label="unsure"]').click()
    view.wait_pressed(0, "unsure")
    assert note.input_value() == "not yet said"
    goto = view.page.locator("#hn-goto input")
    goto.fill(str(full_rows(docs)[3]))
    goto.press("Enter")
    view.wait_row(full_rows(docs)[3])
    assert note.input_value() == ""


def test_what_is_unfolded_stays_so_when_a_negative_is_marked(
    window: Window, app: App, docs: Path
) -> None:
    row = full_rows(docs)[4]
    view = window(f"{app.url}?row={row}")
    view.wait_row(row)
    view.page.locator(".hn-rejected > summary").click()
    view.page.locator('[data-hn-card="1"] [data-hn-label="unsure"]').click()
    view.wait_pressed(1, "unsure")
    assert view.page.locator(".hn-rejected").evaluate("one => one.open")


def test_long_text_folds_and_unfolds(window: Window, app: App, docs: Path) -> None:
    text = open_inspected(docs).row(0).positives[0].text
    assert len(text) > LONG
    view = window(f"{app.url}?row=0")
    view.wait_row(0)
    card = view.page.locator(".hn-good").first
    end = text.split()[-1]
    assert not card.locator("details").evaluate("one => one.open")
    height = card.bounding_box()["height"]
    card.locator("summary").click()
    assert card.locator("details").evaluate("one => one.open")
    assert card.bounding_box()["height"] > height
    shown = card.locator(".hn-text").inner_text()
    assert shown.endswith(end)
    assert "".join(shown.split()) == "".join(text.split())
    card.locator("summary").click()
    assert not card.locator("details").evaluate("one => one.open")
    assert card.bounding_box()["height"] == pytest.approx(height)


def test_the_rejected_are_there_with_their_stage(window: Window, app: App, docs: Path) -> None:
    view = window(f"{app.url}?row=0")
    view.wait_row(0)
    rejected: Any = open_inspected(docs).row(0).rejected
    view.page.locator(".hn-rejected > summary").click()
    shown = view.text(".hn-rejected")
    for one in rejected[:20]:
        assert one.document_id in shown
        assert one.outcome in shown
