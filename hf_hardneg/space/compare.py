"""The view of two mined sets of the same queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from hf_hardneg.errors import HardNegError
from hf_hardneg.inspection import DocumentView
from hf_hardneg.inspection.set_comparison import SetComparison, Side
from hf_hardneg.inspection.set_pair import RowComparison
from hf_hardneg.pages import number, percent
from hf_hardneg.space.parts import Parts, said
from hf_hardneg.space.render import html
from hf_hardneg.space.shelf import Wish

__all__ = ["PAGE", "Compare"]

PAGE = 20
"""Rows that are listed at once."""


@dataclass(frozen=True, slots=True)
class Compare:
    """The view.

    Attributes:
        parts: what views share.
        outputs: components that :meth:`at` gives values for.
    """

    parts: Parts
    outputs: Sequence[Any]

    @classmethod
    def build(cls, parts: Parts) -> Compare:
        """Draw the view into the open tab."""
        with gr.Row(elem_classes="hn-bar"):
            other = gr.Textbox(
                label="Compare with",
                placeholder="another mined set of the same queries",
                scale=5,
                elem_id="hn-other",
            )
            config = gr.Textbox(label="Its config", placeholder="the first there is", scale=2)
            button = gr.Button("Compare", variant="primary", scale=1, elem_id="hn-compare")
        totals = gr.HTML(elem_classes="hn-scope", elem_id="hn-totals")
        with gr.Row(elem_classes="hn-bar", visible=False) as bar:
            back = gr.Button("← Rows before", min_width=90)
            page = gr.Number(label="Page", value=0, precision=0, min_width=90)
            onward = gr.Button("Further rows →", min_width=90)
        listed = gr.HTML(
            elem_id="hn-different",
            elem_classes="hn-scope",
            js_on_load=(
                "element.addEventListener('click', (event) => {"
                " const button = event.target.closest('[data-hn-compare]');"
                " if (button) trigger('click', { row: Number(button.dataset.hnCompare) }); });"
            ),
        )
        row = gr.HTML(elem_classes="hn-scope", elem_id="hn-compared-row")
        view = cls(parts, [totals, bar, page, listed, row])
        state = [parts.wish, other, config]
        listen: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
        gr.on([button.click, other.submit], view.compare, state, view.outputs, api_name="compare",
              **listen)  # fmt: skip
        paged = [*state, page]
        onward.click(view.forward, paged, [page, listed], api_name="compare_next", **listen)
        back.click(view.back, paged, [page, listed], api_name="compare_previous", **listen)
        page.submit(view.page, paged, [page, listed], api_name="compare_page", **listen)
        listed.click(view.row, state, row, api_name="compare_row", **listen)
        return view

    def at(self, wish: Wish) -> list[Any]:
        """Return the values of :attr:`outputs` for a set that was just opened."""
        return ["", gr.Row(visible=False), 0, "", ""]

    # -- what listeners do -----------------------------------------------------------------------

    def compare(self, wish: Wish, other: str, config: str) -> list[Any]:
        """Show what the two sets have in common, and the rows that differ most."""
        with said():
            found = self._found(wish, other, config)
            listed = self._listed(found, 0)
        totals = html("compared.html", found=found, lines=_lines(found))
        return [totals, gr.Row(visible=found.queries_both > PAGE), 0, listed, ""]

    def forward(self, wish: Wish, other: str, config: str, page: float) -> list[Any]:
        """Show further rows."""
        return self.page(wish, other, config, page + 1)

    def back(self, wish: Wish, other: str, config: str, page: float) -> list[Any]:
        """Show the rows before."""
        return self.page(wish, other, config, page - 1)

    def page(self, wish: Wish, other: str, config: str, page: float | None) -> list[Any]:
        """Show a page of rows."""
        with said():
            found = self._found(wish, other, config)
            last = max(found.queries_both - 1, 0) // PAGE
            place = max(0, min(int(page or 0), last))
            return [place, self._listed(found, place)]

    def row(self, wish: Wish, other: str, config: str, event: gr.EventData) -> Any:  # noqa: ANN401
        """Show one row of both sets."""
        if not isinstance(event._data, dict) or "row" not in event._data:
            return gr.skip()
        with said():
            found = self._found(wish, other, config)
            return _row(found.pair.row(int(event._data["row"])), found)

    # -- showing ---------------------------------------------------------------------------------

    def _found(self, wish: Wish, other: str, config: str) -> SetComparison:
        if not other.strip():
            raise HardNegError("there is no second set: name one to compare with.")
        return self.parts.shelf.comparison(wish, Wish(other.strip(), config.strip()))

    def _listed(self, found: SetComparison, page: int) -> str:
        return html("different.html", rows=found.different(page, PAGE), found=found)


def _lines(found: SetComparison) -> list[tuple[str, str, str]]:
    """Return what stands beside each other: what, of the first set, of the second."""
    lines = [
        (what, number(first), number(second))
        for what, first, second in (
            ("rows", found.a.rows, found.b.rows),
            ("queries", found.a.queries, found.b.queries),
            ("queries that the other has not", found.a.only, found.b.only),
            ("negatives of the common queries", found.a.negatives, found.b.negatives),
            ("of these the other has not", found.only_a, found.only_b),
            ("mean rank", found.a.mean_rank, found.b.mean_rank),
        )
    ]
    return [*lines, *_rates(found), *_hardness(found)]


def _hardness(found: SetComparison) -> list[tuple[str, str, str]]:
    sides = [dict(_hard(side)) for side in (found.a, found.b)]
    names = list(dict.fromkeys([*sides[0], *sides[1]]))
    return [(name.strip(), *(side.get(name, "-") for side in sides)) for name in names]  # type: ignore[misc]


def _hard(side: Side) -> list[tuple[str, str]]:
    return [] if side.hardness is None else list(side.hardness.lines())


def _rates(found: SetComparison) -> list[tuple[str, str, str]]:
    sides = [
        {
            rate.method: f"{percent(rate.rate)} ({percent(rate.low)} to {percent(rate.high)})"
            for rate in side.rates
            if rate.rate is not None
        }
        for side in (found.a, found.b)
    ]
    methods = list(dict.fromkeys([*sides[0], *sides[1]])) or [""]
    return [
        (
            f"false negatives, {method}" if method else "false negatives",
            sides[0].get(method, "not estimated"),
            sides[1].get(method, "not estimated"),
        )
        for method in methods
    ]


def _row(one: RowComparison, found: SetComparison) -> str:
    groups: list[tuple[str, str, Sequence[DocumentView]]] = [
        (f"only in {found.a.name}", "gone", one.only_a),
        (f"only in {found.b.name}", "new", one.only_b),
        ("in both", "same", [first for first, _ in one.both]),
    ]
    return html("compared_row.html", row=one, groups=groups)
