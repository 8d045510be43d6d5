"""Endpoints for programs, through ``gradio_client`` or plain HTTP."""

from __future__ import annotations

from typing import Any

import gradio as gr

from hf_hardneg.errors import HardNegError, did_you_mean, listing
from hf_hardneg.evaluation.labels import LABELS
from hf_hardneg.inspection.wanted import Wanted
from hf_hardneg.space.browse import Browse
from hf_hardneg.space.desk import caller_of_request
from hf_hardneg.space.parts import Parts, said
from hf_hardneg.space.shelf import Wish

__all__ = ["PAGE", "add_endpoints"]

PAGE = 100
"""Rows that a search gives at most in one answer."""


def add_endpoints(parts: Parts, browse: Browse) -> None:
    """Add the endpoints ``row``, ``overview``, ``search`` and ``label`` to the open app."""

    def row(number: int, data: str = "", config: str = "") -> dict[str, Any]:
        """Return a row: its query, positives, negatives and rejected candidates.

        Args:
            number: of the row, from 0.
            data: name of a set on the Hub; empty for the one the app was started with.
            config: of it; empty for the first there is.
        """
        with said():
            opened = parts.shelf.get(Wish(data, config))
            found = opened.inspected.row(number).to_dict()
            why = opened.suspicion.reasons(number)
        for one, reasons in zip(found["negatives"], why, strict=False):
            one["reasons"] = [reason.name for reason in reasons]
        return found

    def overview(data: str = "", config: str = "") -> dict[str, Any]:
        """Return what is known of the whole set, with where each number is from."""
        with said():
            opened = parts.shelf.get(Wish(data, config))
            return opened.overview(parts.settings.labels).to_dict()

    def search(
        words: str = "",
        search_in: str = "queries",
        document: str = "",
        reasons: list[str] | None = None,
        short: bool = False,
        order: str = "row",
        start: int = 0,
        data: str = "",
        config: str = "",
    ) -> dict[str, Any]:
        """Return numbers of rows, at most 100 from ``start`` on, and how many there are.

        Args:
            words: all must occur, whatever their case.
            search_in: ``queries`` or ``all texts``.
            document: id or exact text of a positive or negative.
            reasons: only rows with one of ``outscores``, ``near_duplicate``, ``judged``,
                ``marked``.
            short: only rows with fewer negatives than asked for.
            order: ``row`` or ``suspicious``.
            start: how many to pass over.
            data: as for ``row``.
            config: as for ``row``.
        """
        with said():
            wanted = Wanted(
                reasons=frozenset(reasons or ()),
                short=short,
                search=words,
                search_in=search_in,
                document=document,
                order=order,
            )
            found = parts.shelf.get(Wish(data, config)).finder.find(wanted)
            rows = [int(one) for one in found.rows[max(start, 0) : max(start, 0) + PAGE]]
        return {
            "rows": rows,
            "total": found.total,
            "complete": found.complete,
            "note": found.note,
        }

    def label(
        row: int,
        place: int,
        label: str,
        request: gr.Request,
        profile: gr.OAuthProfile | None,
        note: str = "",
        data: str = "",
        config: str = "",
    ) -> dict[str, Any]:
        """Keep what you say of a negative; needs a sign-in where the app is a Space.

        Args:
            row: number of the row, from 0.
            place: of the negative in it, from 0.
            label: ``false_negative``, ``true_negative``, ``unsure`` or ``bad_query``.
            request: of the call, by which the caller is known.
            profile: of whoever is signed in.
            note: what you add.
            data: as for ``row``.
            config: as for ``row``.
        """
        with said():
            if label not in LABELS:
                hint = did_you_mean(label, LABELS)
                raise HardNegError(f"label={label!r}; expected one of {listing(LABELS)}.{hint}")
            caller = caller_of_request(parts.settings, request, profile)
            opened = parts.shelf.get(Wish(data, config))
            browse.label(opened, caller, row, place, label, note[:2000])
        return {"row": row, "place": place, "label": label, "annotator": caller.name}

    for endpoint in (row, overview, search, label):
        gr.api(endpoint, api_name=endpoint.__name__)  # type: ignore[attr-defined]
