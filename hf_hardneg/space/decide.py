"""The view that tries another decision over the candidates that are there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from hf_hardneg.errors import HardNegError, PoolError
from hf_hardneg.inspection import DocumentView, RowView
from hf_hardneg.inspection.decision import Decision, decide
from hf_hardneg.inspection.sliders import SliderRanges, Sliders
from hf_hardneg.pages import visible
from hf_hardneg.space.parts import Parts, said
from hf_hardneg.space.render import html
from hf_hardneg.space.shelf import Opened, Wish

__all__ = ["Decide"]

SAMPLE = 300
LARGEST = 5_000
KINDS = [("share of the positive's score", "relative"), ("points below it", "absolute")]
COPY = "(text) => { navigator.clipboard?.writeText(text); }"
STEPS = 100
"""Steps of a slider over scores, at least."""


@dataclass(frozen=True, slots=True)
class Decide:
    """The view.

    Attributes:
        parts: what views share.
        outputs: components that :meth:`at` gives values for.
    """

    parts: Parts
    outputs: Sequence[Any]

    @classmethod
    def build(cls, parts: Parts, current: gr.Number) -> Decide:
        """Draw the view into the open tab.

        Args:
            parts: what views share.
            current: number of the row that is shown where rows are browsed.
        """
        message = gr.HTML(elem_classes="hn-scope", elem_id="hn-decide-message")
        with gr.Row(elem_classes="hn-decide"):
            with gr.Column(scale=2, min_width=280):
                with gr.Group():
                    use_margin = gr.Checkbox(label="Margin below the positive", value=False)
                    kind = gr.Radio(KINDS, value="relative", label="Margin as")
                    margin = gr.Slider(0, 1, 0.05, step=0.005, label="Margin")
                with gr.Group():
                    first = gr.Slider(1, 100, 1, step=1, label="First rank")
                    last = gr.Slider(1, 100, 100, step=1, label="Last rank")
                with gr.Group():
                    low = gr.Slider(0, 1, 0, label="Lowest score (at its least: no bound)")
                    high = gr.Slider(0, 1, 1, label="Highest score (at its most: no bound)")
                model = gr.Slider(
                    0, 1, 1, label="Highest cross-encoder score of a negative", visible=False
                )
                count = gr.Slider(1, 20, 5, step=1, label="Negatives a row")
                with gr.Row():
                    size = gr.Number(
                        label="Rows in the sample", value=SAMPLE,
                        precision=0,
                    )  # fmt: skip
                    number = gr.Number(label="Row", value=0, precision=0)
                again = gr.Button("Back to how it was mined")
            with gr.Column(scale=3, min_width=320):
                strategy = gr.Textbox(label="Strategy", interactive=False, elem_id="hn-strategy")
                copy = gr.Button("Copy the strategy", size="sm", elem_id="hn-copy")
                sample = gr.HTML(elem_classes="hn-scope", elem_id="hn-decision")
                row = gr.HTML(elem_classes="hn-scope", elem_id="hn-decided-row")
        # Gradio's own button to copy stands in the label, so the field would have no name.
        copy.click(None, strategy, None, js=COPY, api_visibility="private")
        sliders = [use_margin, kind, margin, first, last, low, high, model, count]
        shown = [strategy, sample, row]
        ranges = gr.State(None)
        view = cls(parts, [message, *sliders, ranges, number, *shown])
        asked = [parts.wish, ranges, *sliders, size, number]
        listen: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
        changes = [one.release for one in (margin, first, last, low, high, model, count)]
        changes += [use_margin.input, kind.input, size.submit, number.submit]
        kind.input(_rescaled, [kind, ranges, margin], margin, api_name="decide_kind", **listen)
        gr.on(changes, view.change, asked, shown, api_name="decide", trigger_mode="always_last",
              **listen)  # fmt: skip
        again.click(view.at, [parts.wish, number], view.outputs, api_name="decide_again", **listen)
        current.change(lambda value: value, current, number, api_name="decide_row", **listen)
        return view

    def at(self, wish: Wish, number: float | None = 0) -> list[Any]:
        """Return the values of :attr:`outputs` for a set, as it was mined."""
        with said():
            opened = self.parts.shelf.get(wish)
        try:
            ranges = opened.ranges()
        except (PoolError, HardNegError) as error:
            kept = [gr.skip()] * (len(self.outputs) - 6)
            alert = html("alert.html", message=visible(str(error)))
            return [alert, *kept, None, gr.skip(), "", "", ""]
        place = min(int(number or 0), len(opened.inspected) - 1)
        shown = self._shown(opened, ranges.own, SAMPLE, place)
        return ["", *_components(ranges, ranges.own), ranges, place, *shown]

    def change(
        self,
        wish: Wish,
        ranges: SliderRanges | None,
        use_margin: bool,
        kind: str,
        margin: float,
        first: float,
        last: float,
        low: float,
        high: float,
        model: float,
        count: float,
        size: float,
        number: float,
    ) -> list[Any]:
        """Decide by the sliders."""
        if ranges is None:
            return [gr.skip()] * 3
        with said():
            opened = self.parts.shelf.get(wish)
            bounds, scored = ranges.scores, ranges.scores is not None
            wanted = Sliders(
                margin=margin if use_margin and ranges.margins is not None else None,
                relative=kind == "relative",
                first_rank=int(first),
                last_rank=None if last >= ranges.last_rank else int(last),
                lowest_score=low if scored and bounds and low > bounds[0] else None,
                highest_score=high if scored and bounds and high < bounds[1] else None,
                num_negatives=int(count),
                model_threshold=model if ranges.model_scores is not None else None,
            )
            if not size or not 1 <= size <= LARGEST:
                raise HardNegError(f"a sample of {size} rows; expected 1 to {LARGEST:,}.")
            return self._shown(opened, wanted, int(size), int(number or 0))

    def _shown(self, opened: Opened, sliders: Sliders, size: int, number: int) -> list[Any]:
        inspected = opened.inspected
        labels = opened.sample_labels(self.parts.settings.labels)
        sample = decide(inspected, size, sliders, labels=labels)
        drawn = html("decision.html", decision=sample, total=len(inspected))
        try:
            one = decide(inspected, [number], sliders)
        except PoolError as error:
            return [sample.strategy, drawn, html("alert.html", message=visible(str(error)))]
        return [sample.strategy, drawn, _row(inspected.row(number), one)]


def _components(ranges: SliderRanges, own: Sliders) -> list[Any]:
    """Return the sliders between their bounds, where they stand for the set as it was mined."""
    scores, gaps, models = ranges.scores, ranges.margins, ranges.model_scores
    kind = "relative" if own.relative or own.margin is None else "absolute"
    return [
        gr.Checkbox(value=own.margin is not None, interactive=gaps is not None),
        gr.Radio(value=kind, interactive=gaps is not None),
        gr.Slider(
            minimum=0, maximum=_most(kind, ranges), step=_step((0, _most(kind, ranges))),
            value=0.05 if own.margin is None else own.margin, interactive=gaps is not None,
        ),
        gr.Slider(minimum=1, maximum=ranges.last_rank, value=own.first_rank, step=1),
        gr.Slider(
            minimum=1, maximum=ranges.last_rank, value=own.last_rank or ranges.last_rank, step=1
        ),
        _bounded(scores, own.lowest_score, 0),
        _bounded(scores, own.highest_score, 1),
        gr.Slider(
            minimum=_round_ends(models)[0] if models else 0,
            maximum=ranges.highest_threshold or (_round_ends(models)[1] if models else 1),
            value=own.model_threshold if own.model_threshold is not None else 1,
            step=_step(models), visible=models is not None,
        ),
        gr.Slider(minimum=1, maximum=ranges.most_negatives, value=own.num_negatives, step=1),
    ]  # fmt: skip


def _rescaled(kind: str, ranges: SliderRanges | None, margin: float) -> Any:  # noqa: ANN401
    """Return the slider of the margin with the scale of its kind."""
    if ranges is None:
        return gr.skip()
    most = _most(kind, ranges)
    return gr.Slider(maximum=most, step=_step((0, most)), value=min(margin, most))


def _most(kind: str, ranges: SliderRanges) -> float:
    if kind == "relative" or ranges.margins is None:
        return 1.0
    return _round_ends((0.0, max(ranges.margins[1], 0.01)))[1]


def _bounded(scores: tuple[float, float] | None, own: float | None, end: int) -> gr.Slider:
    if scores is None:
        return gr.Slider(interactive=False)
    low, high = _round_ends(scores)
    value = (low, high)[end] if own is None else own
    return gr.Slider(
        minimum=low, maximum=high, value=value, step=_step((low, high)), interactive=True
    )


def _step(ends: tuple[float, float] | None) -> float:
    """Return a step that is a power of ten, about a hundredth of the way."""
    if not ends or ends[1] <= ends[0]:
        return 0.01
    return float(10.0 ** math.floor(math.log10((ends[1] - ends[0]) / STEPS)))


def _round_ends(ends: tuple[float, float]) -> tuple[float, float]:
    """Return ends that are whole steps, with those that are given between them."""
    step = _step(ends)
    digits = max(0, -round(math.log10(step)))
    low, high = math.floor(ends[0] / step) * step, math.ceil(ends[1] / step) * step
    return round(low, digits), round(high, digits)


def _row(view: RowView, decision: Decision) -> str:
    """Return what changes for one row."""
    one = decision.rows[0]
    known = {
        document.document_id: document
        for document in (*view.rejected, *view.negatives)
        if document.document_id
    }

    def named(names: Sequence[str]) -> list[DocumentView]:
        return [known.get(name) or DocumentView("rejected", 0, name) for name in names]

    return html(
        "decided_row.html",
        row=view,
        chosen=named(one.chosen),
        removed=named(one.removed),
        added=set(one.added),
        not_asked=set(one.not_asked),
    )
