"""The view of the whole set: what it is, its numbers, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from hf_hardneg.space.figures import histogram
from hf_hardneg.space.parts import Parts, said
from hf_hardneg.space.render import html
from hf_hardneg.space.shelf import Wish

__all__ = ["OverviewView"]


@dataclass(frozen=True, slots=True)
class OverviewView:
    """The view.

    Attributes:
        parts: what views share.
        outputs: components that :meth:`at` gives values for.
    """

    parts: Parts
    outputs: Sequence[Any]

    @classmethod
    def build(cls, parts: Parts) -> OverviewView:
        """Draw the view into the open tab."""
        page = gr.HTML(elem_classes="hn-scope", elem_id="hn-overview")
        again = gr.Button("Look again", size="sm", elem_id="hn-again")
        view = cls(parts, [page])
        again.click(view.at, parts.wish, view.outputs, api_name="overview_again",
                    api_visibility="private")  # fmt: skip
        return view

    def at(self, wish: Wish) -> list[Any]:
        """Return the values of :attr:`outputs` for a set."""
        with said():
            opened = self.parts.shelf.get(wish)
            found = opened.overview(self.parts.settings.labels)
        return [html("overview.html", overview=found, figure=histogram(found.scores))]
