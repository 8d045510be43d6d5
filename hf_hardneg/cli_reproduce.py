"""``hf-hardneg reproduce``: mine a published set again and compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hf_hardneg.cli_options import (
    CacheDirOption,
    Display,
    DisplayOption,
    MaxHoursOption,
    NumProcOption,
    YesOption,
)
from hf_hardneg.cli_output import GOES_ON, clear_errors, console, print_json

__all__ = ["reproduce"]

SourceArgument = Annotated[
    str,
    typer.Argument(metavar="REPO", help="A published set, owner/name, or the folder of one."),
]
ConfigOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="One of the set that is meant, if there are several."),
]
RevisionOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Branch, tag or commit.  [default: the newest]")
]
DataOption = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Where paths of the recipe start, if it names files."),
]


def reproduce(
    source: SourceArgument,
    config: ConfigOption = None,
    revision: RevisionOption = None,
    data: DataOption = None,
    num_proc: NumProcOption = None,
    cache_dir: CacheDirOption = None,
    max_hours: MaxHoursOption = 1.0,
    yes: YesOption = False,
    display: DisplayOption = Display.human,
) -> None:
    """Mine a published set again from its own recipe; exit status 1 if any byte differs."""
    with clear_errors(display, GOES_ON):
        from hf_hardneg.distributed import world
        from hf_hardneg.hub.reproduce import reproduce as again

        found = again(
            source,
            config=config,
            revision=revision,
            data=data,
            cache_dir=cache_dir,
            num_proc=num_proc,
            max_hours=None if yes else max_hours,
            say=console(stderr=True).print,
        )
        if not world().main:
            return
        if display is Display.json:
            print_json(found.to_dict())
        else:
            console().print(found)
        if not found.identical:
            raise typer.Exit(1)
