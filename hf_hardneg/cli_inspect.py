"""The command ``inspect``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from hf_hardneg.cli_options import Display, SplitOption
from hf_hardneg.cli_output import NOT_RESUMABLE, clear_errors, console
from hf_hardneg.errors import MissingExtraError

__all__ = ["inspect"]


def inspect(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A mined set: the output of run or mine, a file or folder of any trainer's "
            "format, or a name on the Hub (org/name). Default: Python's standard library.",
            show_default=False,
        ),
    ] = "",
    config: Annotated[
        str | None, typer.Option(metavar="NAME", help="Config of a published set.")
    ] = None,
    pool: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Candidates and outcomes, if not beside DATA."),
    ] = None,
    corpus: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="The documents, if not beside DATA.")
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="The queries' texts, for rows with their ids alone."),
    ] = None,
    split: SplitOption = None,
    labels: Annotated[Path, typer.Option(metavar="FOLDER", help="Where labels are kept.")] = Path(
        "hf-hardneg-labels"
    ),
    annotator: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name on your labels. Default: that of your account."),
    ] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=65535, help="Default: the first free one from 7860 on."
        ),
    ] = None,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open it in your browser.")
    ] = True,
) -> None:
    """See, judge and correct the negatives of a mined set in the browser."""
    with clear_errors(Display.human, NOT_RESUMABLE):
        try:
            import gradio as _  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("gradio", "space", "hf-hardneg inspect") from error
        from hf_hardneg.space import SpaceSettings, launch

        settings = SpaceSettings(data, config, split, corpus, queries, pool, labels.expanduser())
        if annotator:
            settings = replace(settings, annotator=annotator)
        url = launch(settings, host=host, port=port, open_browser=open_browser, block=False)
        console().print(f"Open {url} - Ctrl+C ends it.", soft_wrap=True)
        _wait()


def _wait() -> None:
    import time

    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return
