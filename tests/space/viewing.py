"""A window of a browser on the app, and what tests do in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

WAIT = 8_000
"""Milliseconds until something is there."""
TABS = {
    "overview": "Overview",
    "browse": "Browse",
    "decide": "Try another decision",
    "judge": "Judge",
    "compare": "Compare",
}


@dataclass
class View:
    """A window.

    Attributes:
        page: playwright's.
        wrong: what went wrong in it.
    """

    page: Any
    context: Any
    wrong: list[str] = field(default_factory=list)
    leaving: bool = False

    @classmethod
    def open(
        cls, browser: Any, url: str, *, width: int = 1280, dark: bool = False, wait: bool = True
    ) -> View:
        """Open an address and wait until the app shows a set, or an error."""
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            accept_downloads=True,
        )
        context.set_default_timeout(WAIT)
        page = context.new_page()
        view = cls(page, context)
        host = urlsplit(url).netloc

        def asked(request: Any) -> None:
            parts = urlsplit(request.url)
            if parts.scheme not in ("data", "blob") and parts.netloc != host:
                view.wrong.append(f"request to {request.url[:200]}")

        def dialog(one: Any) -> None:
            view.wrong.append(f"dialog {one.message}")
            one.dismiss()

        def said(one: Any) -> None:
            if one.type == "error" and not view.leaving:
                view.wrong.append(one.text)

        page.on("console", said)
        page.on("pageerror", lambda one: view.wrong.append(f"script: {one}"))
        page.on("request", asked)
        page.on("dialog", dialog)
        page.goto(url)
        if wait:
            page.wait_for_selector("#hn-head .hn-head, #hn-head .hn-alert")
        return view

    def close(self) -> None:
        self.context.close()

    def reload(self) -> None:
        """Load the page anew; that answers under way are given up for it is no error."""
        self.leaving = True
        self.page.reload()
        self.leaving = False

    def tab(self, name: str) -> None:
        """Open a view by its name in the address; on a phone some are behind a button."""
        title = TABS[name]
        found = self.page.get_by_role("tab", name=title)
        if not found.count() or not found.first.is_visible():
            self.page.locator(".overflow-menu > button").click()
            self.page.locator(".overflow-dropdown button", has_text=title).click()
        else:
            found.first.click()

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).inner_text())

    def wait(self, expression: str, argument: Any = None) -> None:
        """Wait until an expression of JavaScript is true."""
        self.page.wait_for_function(expression, arg=argument)

    def row(self) -> int:
        """The number of the row that is shown."""
        return int(self.page.locator("[data-hn-row]").get_attribute("data-hn-row"))

    def wait_row(self, number: int) -> None:
        self.page.wait_for_selector(f'[data-hn-row="{number}"]')

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def wait_pressed(self, place: int, label: str) -> None:
        """Wait until a negative is shown with a label."""
        self.page.wait_for_selector(
            f'[data-hn-card="{place}"] [data-hn-label="{label}"][aria-pressed="true"]'
        )

    def leave_field(self) -> None:
        """Take the focus out of whatever has it."""
        self.page.evaluate("document.activeElement?.blur()")
