"""``hf-hardneg recipe``: write a recipe by asking, and check recipes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from hf_hardneg.cli_options import Display, DisplayOption
from hf_hardneg.cli_output import NOT_RESUMABLE, clear_errors, console, print_json
from hf_hardneg.errors import RecipeError

__all__ = ["recipe"]

recipe = typer.Typer(
    name="recipe",
    help="Write and check recipes, which say how a mined set is made.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

PathArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="Where to write the recipe, a .yaml file.")
]
PathsArgument = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recipes.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Lay a value over the recipe, such as mining.seed=3."
    ),
]
ReplaceOption = Annotated[bool, typer.Option("--overwrite", help="Replace the file.")]


def _ask(question: str, default: str | None) -> str:
    """Ask on the terminal; what is asked goes to stderr."""
    try:
        answer: str = typer.prompt(
            question, default=default or "", show_default=bool(default), err=True
        )
    except typer.Abort as error:
        if isinstance(error.__context__, EOFError):
            raise RecipeError(
                "the input ended before all questions were answered; nothing was written. Answer "
                "them on a terminal, or write the recipe by hand: docs/recipes.md has every key."
            ) from error
        raise
    return answer


@recipe.command("init")
def init(
    path: PathArgument,
    overwrite: ReplaceOption = False,
    display: DisplayOption = Display.human,
) -> None:
    """Write a recipe by asking for what it needs."""
    with clear_errors(display, NOT_RESUMABLE):
        from hf_hardneg.hub.ask import ask_recipe
        from hf_hardneg.outputs import check_file, write_file

        check_file(path, overwrite=overwrite)
        text = ask_recipe(_ask, path.expanduser().absolute().parent)
        write_file(path, text, overwrite=overwrite)
        if display is Display.json:
            print_json({"output": str(path)})
        else:
            shown = shlex.quote(str(path))
            for line in (
                f"Written to {path}",
                f"Next: hf-hardneg run {shown} --dry-run says what it would take; without "
                "--dry-run it is done.",
            ):
                console().print(line, soft_wrap=True, markup=False)


@recipe.command("check")
def check(
    paths: PathsArgument,
    settings: SetOption = None,
    display: DisplayOption = Display.human,
) -> None:
    """Check recipes without reading their data; that files are there is checked too."""
    with clear_errors(display, NOT_RESUMABLE):
        from hf_hardneg.hub.recipe import check_files, load_recipe, read_overrides

        overrides = read_overrides(settings or [])
        checked = [(path, load_recipe(path, overrides)) for path in paths]
        for _, one in checked:
            check_files(one)
        if display is Display.json:
            print_json([{"path": str(path), **one.to_dict()} for path, one in checked])
            return
        for path, one in checked:
            console().print(f"{path}: {one.name}, nothing wrong", soft_wrap=True, markup=False)
