"""The app: which set is open, and the views of it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from hf_hardneg.errors import HardNegError
from hf_hardneg.pages import number
from hf_hardneg.space.api import add_endpoints
from hf_hardneg.space.browse import Browse, Who
from hf_hardneg.space.compare import Compare
from hf_hardneg.space.decide import Decide
from hf_hardneg.space.desk import Desk, caller_of_request, is_loopback
from hf_hardneg.space.judge import Judge
from hf_hardneg.space.overview import OverviewView
from hf_hardneg.space.parts import Parts
from hf_hardneg.space.render import alert, html
from hf_hardneg.space.settings import SpaceSettings
from hf_hardneg.space.shelf import Shelf, Wish

__all__ = ["build_app", "launch", "launch_options"]

HERE = Path(__file__).parent
TITLE = "Hard negatives"
AT_ONCE = 16
"""Calls that are answered at the same time."""
DIGITS = 15
"""Of the number of a row in an address, at most."""
VIEWS = ("overview", "browse", "decide", "judge", "compare")


def build_app(settings: SpaceSettings | None = None, shelf: Shelf | None = None) -> gr.Blocks:
    """Return the app, ready to be launched with :func:`launch_options`.

    Args:
        settings: what is open at the start, where labels go, and who may do what.
        shelf: of the same settings, with what is open already; default: an empty one.
    """
    settings = settings or SpaceSettings()
    app = gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True)
    with app:
        wish = gr.State(Wish())
        parts = Parts(settings, shelf or Shelf(settings), Desk(settings), wish)
        with gr.Row(elem_classes="hn-bar"):
            data = gr.Textbox(
                label="Mined set",
                placeholder=_placeholder(settings),
                scale=6,
                elem_id="hn-data",
            )
            config = gr.Dropdown(
                [], label="Config", scale=2, allow_custom_value=True, elem_id="hn-config"
            )
            button = gr.Button("Open", variant="primary", scale=1, min_width=90)
            if not settings.local and os.environ.get("SYSTEM") == "spaces":
                # Anywhere else Gradio would sign in everybody as the owner of the machine.
                gr.LoginButton(scale=1, min_width=160)
        head = gr.HTML(elem_classes="hn-scope", elem_id="hn-head")
        with gr.Tabs() as tabs:
            with gr.Tab("Overview", id="overview"):
                overview = OverviewView.build(parts)
            with gr.Tab("Browse", id="browse"):
                browse = Browse.build(parts)
            with gr.Tab("Try another decision", id="decide"):
                other_way = Decide.build(parts, browse.number)
            with gr.Tab("Judge", id="judge"):
                judge = Judge.build(parts)
            with gr.Tab("Compare", id="compare"):
                beside = Compare.build(parts)
        shown = [
            wish, data, config, head, *overview.outputs, *browse.outputs, *judge.outputs,
            *beside.outputs,
        ]  # fmt: skip

        def opened(asked: Wish, row: int, request: gr.Request, profile: Any) -> list[Any]:  # noqa: ANN401
            caller = caller_of_request(settings, request, profile)
            try:
                found = parts.shelf.get(asked)
                values = [
                    *overview.at(asked),
                    *browse.at(asked, row, Who(caller, str(request.session_hash or ""))),
                    *judge.at(asked),
                    *beside.at(asked),
                ]
            except HardNegError as error:
                kept = [gr.skip()] * (len(shown) - 4)
                return [gr.skip(), asked.data, gr.skip(), alert(error), *kept]
            inspected = found.inspected
            choices = gr.Dropdown(
                choices=list(inspected.configs), value=inspected.config or None,
                interactive=True, visible=bool(inspected.configs),
            )  # fmt: skip
            head_shown = html(
                "head.html",
                name=inspected.name,
                strategy=inspected.strategy,
                rows=number(len(inspected)),
                notes=inspected.notes,
                me=caller.name,
                why_not=caller.why_not,
            )
            return [asked, found.link.get("repo", ""), choices, head_shown, *values]

        def first(request: gr.Request, profile: gr.OAuthProfile | None) -> list[Any]:
            asked = dict(request.query_params or {})
            wanted = Wish(asked.get("repo", ""), asked.get("config", ""))
            row = asked.get("row", "0")
            tab = asked.get("view") or ("browse" if "row" in asked else "overview")
            values = opened(wanted, _row_number(row), request, profile)
            return [gr.Tabs(selected=tab if tab in VIEWS else "overview"), *values]

        def chosen(
            name: str, choice: str | None, request: gr.Request, profile: gr.OAuthProfile | None
        ) -> list[Any]:
            return opened(Wish(name or "", choice or ""), 0, request, profile)

        def other(name: str, request: gr.Request, profile: gr.OAuthProfile | None) -> list[Any]:
            return opened(Wish(name or ""), 0, request, profile)

        private: dict[str, Any] = {"api_visibility": "private"}
        shows = [
            app.load(first, None, [tabs, *shown], api_name="first", **private),
            config.input(chosen, [data, config], shown, api_name="open_config", **private),
            gr.on([button.click, data.submit], other, data, shown, api_name="open", **private),
        ]
        for place, one in enumerate(shows):
            # Another decision looks through the pool: nobody waits for it to see the set.
            one.then(
                other_way.at,
                [wish, browse.number],
                other_way.outputs,
                api_name=f"decide_first_{place}",
                show_progress="hidden",
                **private,
            )
        add_endpoints(parts, browse)
    app.queue(default_concurrency_limit=AT_ONCE, max_size=256)
    return app


def _row_number(text: str) -> int:
    """Return the number of a row in an address; the first for what is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= DIGITS else 0


def _placeholder(settings: SpaceSettings) -> str:
    if settings.opens_anything:
        return "a folder, a file, or org/name on the Hub; empty for the one this was started with"
    return "org/name on the Hub; empty for Python's standard library"


def launch_options() -> dict[str, Any]:
    """Return what :meth:`gradio.Blocks.launch` is given: looks, and nothing from outside."""
    return {
        "theme": gr.themes.Default(
            font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
            font_mono=["ui-monospace", "Consolas", "monospace"],
        ),
        # Not as "css", which Gradio puts below its own container, where ".dark" does not reach.
        "head": f"<style>{(HERE / 'style.css').read_text(encoding='utf-8')}</style>",
        "footer_links": ["api", "settings"],
        "ssr_mode": False,
        "max_threads": 40,
    }


def launch(
    settings: SpaceSettings | None = None,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    open_browser: bool = False,
    block: bool = True,
) -> str:
    """Start the app; return its address.

    Args:
        settings: of the app.
        host: address to listen at.
        port: default: the first free one from 7860 on.
        open_browser: open it in the browser of this machine.
        block: stay until it is interrupted.

    Raises:
        HardNegError: the set of the settings cannot be opened, or the port is taken.
    """
    settings = settings or SpaceSettings()
    if not is_loopback(host):
        settings = replace(settings, alone=False)
    shelf = Shelf(settings)
    shelf.get(Wish())  # what is wrong with it is said here, and not in a browser
    app = build_app(settings, shelf)
    try:
        _, url, _ = app.launch(
            server_name=host,
            server_port=port,
            inbrowser=open_browser,
            prevent_thread_lock=True,
            quiet=True,
            **launch_options(),
        )
    except OSError as error:
        raise HardNegError(
            f"port {port or 'from 7860 on'} of {host} cannot be listened at: {error}. Name another "
            "with --port."
        ) from error
    if block:
        app.block_thread()
    return str(url)
