"""The command ``card``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hf_hardneg.cli_options import CorpusOption, Display, DisplayOption, LabelsOption
from hf_hardneg.cli_output import NOT_RESUMABLE, clear_errors, console, print_json

__all__ = ["card"]

FolderArgument = Annotated[
    Path,
    typer.Argument(metavar="FOLDER", help="What hf-hardneg mine --output wrote."),
]
CardFileOption = Annotated[
    Path | None,
    typer.Option("--output", metavar="FILE", help="Where to write. Default: FOLDER/README.md."),
]
RepositoryOption = Annotated[
    str | None,
    typer.Option(metavar="OWNER/NAME", help="Where the set is going to be on the Hub."),
]
PrettyNameOption = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Its name for people. Default: FOLDER's.")
]
LicenceOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Its licence, as the Hub names it. Default: none is stated."),
]
LanguageOption = Annotated[
    list[str] | None,
    typer.Option(metavar="CODE", help="A language of its texts, such as en; may be repeated."),
]


def card(
    folder: FolderArgument,
    output: CardFileOption = None,
    corpus: CorpusOption = None,
    repository: RepositoryOption = None,
    pretty_name: PrettyNameOption = None,
    licence: LicenceOption = None,
    language: LanguageOption = None,
    labels: LabelsOption = None,
    display: DisplayOption = Display.human,
) -> None:
    """Write the card of a mined set: how it was made, and what is known of how good it is.

    A card that is there already keeps what others wrote into it.
    """
    with clear_errors(display, NOT_RESUMABLE):
        from hf_hardneg.evaluation.labels import Labels
        from hf_hardneg.hub.local import README, local_facts, write_card

        facts = local_facts(
            folder,
            corpus=corpus,
            repository=repository,
            pretty_name=pretty_name,
            licence=licence,
            language=language or (),
            labels=Labels.read_all(labels) if labels else None,
        )
        path = write_card(facts, output or folder / README)
        if display is Display.json:
            print_json({"output": str(path), **facts.to_dict()})
            return
        console().print(f"Written to {path}", soft_wrap=True)
