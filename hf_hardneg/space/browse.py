"""The view that goes through the rows, one query at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from hf_hardneg.errors import HardNegError
from hf_hardneg.inspection import RowView
from hf_hardneg.inspection.label_book import by_hand
from hf_hardneg.inspection.suspicion import REASONS
from hf_hardneg.inspection.wanted import Found, Wanted
from hf_hardneg.label_lines import WITHDRAWN
from hf_hardneg.space.desk import Caller, caller_of_request
from hf_hardneg.space.parts import Parts, said
from hf_hardneg.space.render import html
from hf_hardneg.space.row_page import row_html
from hf_hardneg.space.shelf import PLACE, ROW, Opened, Wish

__all__ = ["Browse", "Who"]

HERE = Path(__file__).parent
ORDERS = [("by row", "row"), ("suspicious first", "suspicious")]
SEARCHED = [("queries", "queries"), ("all texts", "all texts")]
KEYS = (
    "Keys: n or → next row, p or ← previous, j and k or a digit to choose a negative, then f false "
    "negative, t true negative, u unsure, b bad query; the same again takes it back."
)


@dataclass(frozen=True, slots=True)
class Who:
    """Whoever asks, and from which window: a new search of it ends the one before."""

    caller: Caller
    session: str = ""


@dataclass(frozen=True, slots=True)
class Browse:
    """The view, and what others need of it.

    Attributes:
        parts: what views share.
        outputs: components that :meth:`at` gives values for.
        number: the number of the row that is shown.
    """

    parts: Parts
    outputs: Sequence[Any]
    number: gr.Number

    @classmethod
    def build(cls, parts: Parts) -> Browse:
        """Draw the view into the open tab."""
        with gr.Accordion("Filter and sort", open=False):
            with gr.Row():
                search = gr.Textbox(label="Search", placeholder="all of these words", scale=3)
                where = gr.Radio(SEARCHED, value="queries", label="Search in", scale=2)
                document = gr.Textbox(label="Document", placeholder="id or exact text", scale=3)
            with gr.Row():
                reasons = gr.CheckboxGroup(
                    [(text, name) for name, text in REASONS.items()], label="Only rows where"
                )
                short = gr.Checkbox(label="only rows with too few negatives", value=False)
                order = gr.Radio(ORDERS, value="row", label="Order")
            with gr.Row():
                apply = gr.Button("Show these rows", variant="primary")
                clear = gr.Button("Clear")
        with gr.Row(elem_classes=["hn-bar", "hn-nav"]):
            previous = gr.Button("← Previous", elem_id="hn-previous", min_width=90)
            number = gr.Number(
                label="Row",
                precision=0,
                value=0,
                min_width=90,
                elem_id="hn-goto",
                container=False,
            )
            following = gr.Button("Next →", elem_id="hn-next", min_width=90)
        status = gr.HTML(elem_classes="hn-scope", elem_id="hn-status")
        row = gr.HTML(
            js_on_load=(HERE / "row.js").read_text(encoding="utf-8"),
            elem_classes="hn-scope",
            elem_id="hn-row",
        )
        gr.HTML(f'<p class="hn-legend">{KEYS}</p>', elem_classes="hn-scope")
        wanted, place = gr.State(Wanted()), gr.State(0)
        view = cls(parts, [wanted, place, number, status, row], number)
        asked = [search, where, document, reasons, short, order]
        state = [parts.wish, wanted, place]
        listen: dict[str, Any] = {
            "outputs": view.outputs,
            "api_visibility": "private",
            "show_progress": "hidden",
        }
        gr.on(
            [apply.click, search.submit, document.submit],
            view.filter,
            [parts.wish, *asked],
            api_name="browse_filter",
            **listen,
        )
        clear.click(
            view.clear,
            parts.wish,
            [*view.outputs, *asked],
            api_name="browse_clear",
            api_visibility="private",
        )
        previous.click(view.back, state, api_name="browse_previous", **listen)
        following.click(view.forward, state, api_name="browse_next", **listen)
        number.submit(view.jump, [*state, number], api_name="browse_row", **listen)
        row.click(  # every mark counts, also one made while the one before is being kept
            view.mark, state, api_name="browse_mark", trigger_mode="multiple", **listen
        )
        return view

    # -- what listeners do -----------------------------------------------------------------------

    def filter(
        self,
        wish: Wish,
        search: str,
        where: str,
        document: str,
        reasons: list[str],
        short: bool,
        order: str,
        request: gr.Request,
        profile: gr.OAuthProfile | None,
    ) -> list[Any]:
        """Show the first of the rows that are wanted."""
        with said():
            wanted = Wanted(
                reasons=frozenset(reasons),
                short=bool(short),
                search=search or "",
                search_in=where,
                document=document or "",
                order=order,
            )
        return self._show(wish, wanted, 0, self._who(request, profile))

    def clear(self, wish: Wish, request: gr.Request, profile: gr.OAuthProfile | None) -> list[Any]:
        """Show all rows again."""
        shown = self._show(wish, Wanted(), 0, self._who(request, profile))
        return [*shown, "", "queries", "", [], False, "row"]

    def back(
        self,
        wish: Wish,
        wanted: Wanted,
        place: int,
        request: gr.Request,
        profile: gr.OAuthProfile | None,
    ) -> list[Any]:
        """Show the row before."""
        return self._show(wish, wanted, max(place - 1, 0), self._who(request, profile))

    def forward(
        self,
        wish: Wish,
        wanted: Wanted,
        place: int,
        request: gr.Request,
        profile: gr.OAuthProfile | None,
    ) -> list[Any]:
        """Show the next row."""
        return self._show(wish, wanted, place + 1, self._who(request, profile))

    def jump(
        self,
        wish: Wish,
        wanted: Wanted,
        place: int,
        number: int | None,
        request: gr.Request,
        profile: gr.OAuthProfile | None,
    ) -> list[Any]:
        """Show a row by its number: among those that were found, or among all."""
        return self.at(wish, int(number or 0), self._who(request, profile), wanted)

    def mark(
        self,
        wish: Wish,
        wanted: Wanted,
        place: int,
        event: gr.EventData,
        request: gr.Request,
        profile: gr.OAuthProfile | None,
    ) -> list[Any]:
        """Keep what the caller says of a negative."""
        who = self._who(request, profile)
        if not isinstance(event._data, Mapping) or "label" not in event._data:
            return [gr.skip()] * len(self.outputs)
        with said():
            opened = self.parts.shelf.get(wish)
            row, negative = int(event._data["row"]), int(event._data["place"])
            note = str(event._data.get("note") or "")
            self.label(opened, who.caller, row, negative, str(event._data["label"]), note)
        return self._show(wish, wanted, place, who, row=row)

    def label(
        self, opened: Opened, caller: Caller, row: int, place: int, label: str, note: str
    ) -> None:
        """Keep a label of one negative of a row; an empty one takes back what was said.

        Raises:
            HardNegError: the caller may not label, or there is no such negative.
        """
        if not caller.name:
            raise HardNegError(caller.why_not)
        view = opened.inspected.row(row)
        if not 0 <= place < len(view.negatives):
            raise HardNegError(
                f"row {row:,} has no negative {place}; it has {len(view.negatives)}, from 0."
            )
        one = view.negatives[place]
        said_of = by_hand(
            label or None,
            query=view.query,
            query_id=view.query_id,
            document=one.text,
            document_id=one.document_id,
            note=note,
            rank=one.rank,
            score=one.score,
            source=one.source,
        )
        book = self.parts.desk.book(caller, opened)
        further: dict[str, Any] = {ROW: row, PLACE: place}
        if not label:
            further[WITHDRAWN] = True
        book.add(replace(said_of, further=further))
        opened.suspicion.mark(row, place, label or None)

    # -- showing ---------------------------------------------------------------------------------

    def at(self, wish: Wish, row: int, who: Who, wanted: Wanted | None = None) -> list[Any]:
        """Return the values of :attr:`outputs` for a row, wherever it stands among the found."""
        wanted = wanted or Wanted()
        with said():
            opened = self.parts.shelf.get(wish)
            found = self._found(opened, wanted, who)
        place = found.place_of(row)
        if place is None:  # it is not among them: all rows are shown
            wanted = replace(Wanted(), order=wanted.order)
            place = self._found(opened, wanted, who).place_of(row)
        return self._show(wish, wanted, row if place is None else place, who)

    def _who(self, request: gr.Request, profile: gr.OAuthProfile | None) -> Who:
        caller = caller_of_request(self.parts.settings, request, profile)
        return Who(caller, str(request.session_hash or ""))

    def _found(self, opened: Opened, wanted: Wanted, who: Who) -> Found:
        return opened.finder.find(wanted, session=who.session)

    def _show(
        self, wish: Wish, wanted: Wanted, place: int, who: Who, row: int | None = None
    ) -> list[Any]:
        with said():
            opened = self.parts.shelf.get(wish)
            found = self._found(opened, wanted, who)
            if not found.total:
                return [wanted, 0, None, _nothing(found), ""]
            place = max(0, min(place, found.total - 1))
            view = opened.inspected.row(int(found.rows[place]) if row is None else row)
            at = f"{place + 1:,} of {found.total:,} rows{'' if found.complete else ' so far'}"
            shown = self._drawn(opened, view, who.caller, at)
        return [wanted, place, view.number, html("status.html", note=found.note), shown]

    def _drawn(self, opened: Opened, view: RowView, caller: Caller, place: str) -> str:
        why = {
            number: [one.text for one in reasons]
            for number, reasons in enumerate(opened.suspicion.reasons(view.number))
        }
        link = {**opened.link, "row": str(view.number)}
        marks = self._marks(opened, view, caller)
        return row_html(view, link=link, reasons=why, labels=marks, place=place)

    def _marks(self, opened: Opened, view: RowView, caller: Caller) -> dict[int, tuple[str, str]]:
        """Return what the caller said of the negatives of a row: (label, note) by place."""
        if not caller.name:
            return {}
        said_of = {
            row.pair: (str(row.label), row.note)
            for row in self.parts.desk.book(caller, opened).mine()
            if row.hand_picked
        }
        found = {}
        for one in view.negatives:
            pair = by_hand(
                None,
                query=view.query,
                query_id=view.query_id,
                document=one.text,
                document_id=one.document_id,
            ).pair
            if pair in said_of:
                found[one.place] = said_of[pair]
        return found


def _nothing(found: Found) -> str:
    """Say that no row was found, or none so far."""
    nothing = "No row has all of this." if found.complete else "No row has all of this so far."
    return html("status.html", note=f"{nothing} {found.note}")
