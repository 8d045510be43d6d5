"""The command ``push``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hf_hardneg.cli_options import Display, DisplayOption
from hf_hardneg.cli_output import clear_errors, console, print_json

__all__ = ["EXAMPLES", "push"]

INTERRUPTED = "interrupted; the repository is as it was, or whole. The same command goes on."

# The first line keeps the others as they are.
EXAMPLES = """\b
Examples:
  hf-hardneg push published/ alice/scifact-hard-negatives
  hf-hardneg push published/ acme/scifact-hard-negatives --private --revision v2
  hf-hardneg push published/ bob/scifact --append-config --pr
"""


def push(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="What is to be published: a card, data/ and hardneg/, as run writes it.",
            show_default=False,
        ),
    ],
    repository: Annotated[
        str,
        typer.Argument(
            metavar="REPO",
            help="Where: NAMESPACE/NAME of a data set on the Hub; created if it is not there.",
            show_default=False,
        ),
    ],
    private: Annotated[
        bool | None,
        typer.Option(
            "--private/--public",
            help="Who sees a repository that is created; one that exists must be so already. "
            "Default: as the Hub has it for the namespace.",
            show_default=False,
        ),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(metavar="BRANCH", help="Branch, created from main if missing. Default: main."),
    ] = None,
    pr: Annotated[
        bool,
        typer.Option("--pr", help="Propose it as a pull request; in a repository of anyone."),
    ] = False,
    append_config: Annotated[
        bool,
        typer.Option(
            "--append-config",
            help="Put it beside a card and files that hf-hardneg did not write; they stay.",
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Publish whatever the audit found; the card names it.")
    ] = False,
    message: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Title of the commit.")
    ] = None,
    display: DisplayOption = Display.human,
) -> None:
    """Publish a folder on the Hub in one commit. The access token is that of 'hf auth login'."""
    with clear_errors(display, INTERRUPTED):
        from hf_hardneg.hub.publish import check_audit
        from hf_hardneg.hub.push import push_folder

        check_audit(folder, force=force)
        screen = console(stderr=True)
        done = push_folder(
            folder,
            repository,
            private=private,
            revision=revision,
            create_pr=pr,
            append=append_config,
            message=message,
            say=lambda text: screen.print(text, soft_wrap=True),
        )
        if display is Display.json:
            print_json(done.to_dict())
            return
        what = "Unchanged" if done.unchanged else "Published"
        console().print(f"{what}: {done.pull_request or done.url}", soft_wrap=True)
