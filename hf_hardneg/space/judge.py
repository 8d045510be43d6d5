"""The view where people judge a drawn sample, without seeing where its documents come from."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from hf_hardneg.errors import HardNegError
from hf_hardneg.inspection.judging import SIZE, JudgingTask
from hf_hardneg.inspection.label_book import LabelBook
from hf_hardneg.inspection.words import content_words, pieces
from hf_hardneg.pages import visible
from hf_hardneg.space.desk import Caller, caller_of_request
from hf_hardneg.space.parts import Parts, said
from hf_hardneg.space.render import html
from hf_hardneg.space.shelf import Opened, Wish

__all__ = ["Judge"]

HERE = Path(__file__).parent
LARGEST = 5_000
MANY = 300_000
LONGEST = 100_000
WORDS = {
    "false_negative": "Relevant",
    "true_negative": "Not relevant",
    "unsure": "Unsure",
    "bad_query": "Bad query",
}
"""Of a known positive among the items, ``false_negative`` says the same: that it is relevant."""
KEYS = "Keys: r relevant, i not relevant, u unsure, b bad query, n or → next, p or ← previous."


@dataclass(frozen=True, slots=True)
class Judge:
    """The view.

    Attributes:
        parts: what views share.
        outputs: components that :meth:`at` gives values for.
    """

    parts: Parts
    outputs: Sequence[Any]

    @classmethod
    def build(cls, parts: Parts) -> Judge:
        """Draw the view into the open tab."""
        gr.HTML(
            '<p class="hn-quiet">A sample is drawn from all negatives, with known positives mixed '
            "in to see whether they are found. What you say here gives the rate of false "
            "negatives. Everybody who opens the same set gets the same sample.</p>",
            elem_classes="hn-scope",
        )
        with gr.Row(elem_classes="hn-bar"):
            size = gr.Number(label="Pairs in the sample", value=SIZE, precision=0)
            blind = gr.Checkbox(label="Blind: hide scores and ranks", value=True)
            draw = gr.Button("Start judging", variant="primary", elem_id="hn-draw")
        item = gr.HTML(
            js_on_load=(HERE / "judge.js").read_text(encoding="utf-8"),
            elem_classes="hn-scope",
            elem_id="hn-item",
        )
        gr.HTML(f'<p class="hn-legend">{KEYS}</p>', elem_classes="hn-scope")
        result = gr.HTML(elem_classes="hn-scope", elem_id="hn-result")
        with gr.Row():
            look = gr.Button("Show the result", elem_id="hn-look")
            export = gr.Button("Export the labels", elem_id="hn-export")
        file = gr.File(label="Labels, as hf-hardneg audit --labels reads them", visible=False)
        with gr.Accordion("Keep the labels on the Hub", open=False):
            with gr.Row(elem_classes="hn-bar"):
                repository = gr.Textbox(
                    label="Data set repository of yours", placeholder="you/hard-negative-labels",
                    scale=4, elem_id="hn-repository",
                )  # fmt: skip
                keep = gr.Button("Commit them there", scale=1, elem_id="hn-keep")
            kept = gr.HTML(elem_classes="hn-scope", elem_id="hn-kept")
        place = gr.State(-1)
        view = cls(parts, [place, item, result, file])
        state = [parts.wish, size, blind, place]
        listen: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
        draw.click(view.start, state, [place, item, result], api_name="judge_start", **listen)
        blind.change(view.again, state, [place, item], api_name="judge_blind", **listen)
        item.click(view.answer, state, [place, item], api_name="judge_label", **listen)
        look.click(view.result, state, result, api_name="judge_result", **listen)
        export.click(view.export, state, file, api_name="judge_export", **listen)
        keep.click(view.keep, repository, kept, api_name="judge_keep", **listen)
        return view

    def at(self, wish: Wish) -> list[Any]:
        """Return the values of :attr:`outputs` for a set that was just opened."""
        with said():
            rows = len(self.parts.shelf.get(wish).inspected)
        slow = "Drawing from so many rows takes a minute or more, the first time."
        shown = html("status.html", note=slow if rows > MANY else "")
        return [-1, shown, "", gr.File(value=None, visible=False)]

    # -- what listeners do -----------------------------------------------------------------------

    def start(
        self,
        wish: Wish,
        size: float,
        blind: bool,
        place: int,
        request: gr.Request,
        profile: gr.OAuthProfile | None,
    ) -> list[Any]:
        """Draw the sample, or open the one that is there, and show the first open item."""
        with said():
            task, book, _ = self._task(wish, size, request, profile)
            following = task.next(book)
            number = 0 if following is None else following.number
            return [number, self._drawn(task, book, number, blind), ""]

    def again(
        self,
        wish: Wish,
        size: float,
        blind: bool,
        place: int,
        request: gr.Request,
        profile: gr.OAuthProfile | None,
    ) -> list[Any]:
        """Show the same item, blind or not."""
        if place < 0:
            return [place, ""]
        with said():
            task, book, _ = self._task(wish, size, request, profile)
            return [place, self._drawn(task, book, place, blind)]

    def answer(
        self,
        wish: Wish,
        size: float,
        blind: bool,
        place: int,
        event: gr.EventData,
        request: gr.Request,
        profile: gr.OAuthProfile | None,
    ) -> list[Any]:
        """Keep what the caller says of the item, or go to another."""
        data = event._data
        if not isinstance(data, Mapping) or place < 0:
            return [gr.skip(), gr.skip()]
        with said():
            task, book, _ = self._task(wish, size, request, profile)
            if "go" in data:
                number = (place + int(data["go"])) % len(task)
            else:
                number = int(data["item"])
                task.label(book, number, str(data["label"]), str(data.get("note") or "")[:2000])
                following = task.next(book, number)
                number = number if following is None else following.number
            return [number, self._drawn(task, book, number, blind)]

    def result(
        self,
        wish: Wish,
        size: float,
        blind: bool,
        place: int,
        request: gr.Request,
        profile: gr.OAuthProfile | None,
    ) -> str:
        """Show what all labels of the sample say."""
        with said():
            task, book, opened = self._task(wish, size, request, profile)
            found = task.result(book)
            data = opened.inspected.name
        return html("judged.html", judged=found, me=book.annotator, data=data)

    def export(
        self,
        wish: Wish,
        size: float,
        blind: bool,
        place: int,
        request: gr.Request,
        profile: gr.OAuthProfile | None,
    ) -> Any:  # noqa: ANN401
        """Give all labels of the set as one file."""
        with said():
            task, book, _ = self._task(wish, size, request, profile)
            if not book.labels():
                raise HardNegError("nobody has labelled anything of this set yet.")
            folder = Path(tempfile.mkdtemp(dir=self.parts.desk.scratch.name))
            path = task.labels(book).write(folder / "labels.jsonl")
        return gr.File(value=str(path), visible=True)

    def keep(
        self,
        repository: str,
        request: gr.Request,
        profile: gr.OAuthProfile | None,
        token: gr.OAuthToken | None,
    ) -> str:
        """Commit the caller's labels to a repository of theirs, now and every few minutes."""
        with said():
            caller = caller_of_request(self.parts.settings, request, profile)
            if not caller.name:
                raise HardNegError(caller.why_not)
            own = None if token is None else token.token
            made = self.parts.desk.keep(caller, repository.strip(), own)
            made.push()
        note = (
            f"Your labels are in {made.repository}, and every few minutes what you add is "
            "committed there."
        )
        return html("status.html", note=note)

    # -- showing ---------------------------------------------------------------------------------

    def _task(
        self, wish: Wish, size: float, request: gr.Request, profile: gr.OAuthProfile | None
    ) -> tuple[JudgingTask, LabelBook, Opened]:
        caller: Caller = caller_of_request(self.parts.settings, request, profile)
        if not caller.name:
            raise HardNegError(caller.why_not)
        if not size or not 10 <= size <= LARGEST:
            raise HardNegError(f"a sample of {size} pairs; expected 10 to {LARGEST:,}.")
        opened = self.parts.shelf.get(wish)
        book = self.parts.desk.book(caller, opened)
        task = opened.task(self.parts.settings.labels, int(size))
        return task, book, opened

    def _drawn(self, task: JudgingTask, book: LabelBook, number: int, blind: bool) -> str:
        item, kept, progress = task.item(number), task.said(book, number), task.progress(book)
        line = task.lines[number]
        return html(
            "item.html",
            number=number,
            total=len(task),
            done=progress.done,
            query=item.query,
            document=pieces(visible(item.document[:LONGEST]), content_words([item.query])),
            label=str(kept.label) if kept is not None else "",
            note="" if kept is None else kept.note,
            words=WORDS,
            facts=[] if blind else _facts(line),
        )


def _facts(line: Any) -> list[tuple[str, str]]:  # noqa: ANN401
    """Return what a blind judge does not see."""
    facts = [("is", "a known positive, mixed in" if line.control else "a negative")]
    if line.rank is not None:
        facts.append(("rank", f"{line.rank:,}"))
    if line.score is not None:
        facts.append(("score", f"{line.score:.4g}"))
    if line.source:
        facts.append(("found by", line.source))
    return facts
