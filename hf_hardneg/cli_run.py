"""``hf-hardneg run``: a recipe, from raw data to the Hub."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hf_hardneg.cli_options import (
    CacheDirOption,
    Display,
    DisplayOption,
    MaxHoursOption,
    NumProcOption,
    OverwriteOption,
    YesOption,
)
from hf_hardneg.cli_output import GOES_ON, clear_errors, console, print_json, program
from hf_hardneg.cli_recipe import SetOption

if TYPE_CHECKING:
    from hf_hardneg.hub.build import Built
    from hf_hardneg.hub.push import Pushed
    from hf_hardneg.hub.recipe_schema import Recipe

__all__ = ["run"]

RecipeArgument = Annotated[
    Path, typer.Argument(metavar="RECIPE", help="A recipe: see hub_recipes/ and docs/recipes.md.")
]
OutputOption = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Where the set is written.  [default: the recipe's name]"),
]
PushOption = Annotated[
    bool, typer.Option("--push", help="Publish it in the repository that the recipe names.")
]
PrOption = Annotated[bool, typer.Option("--pr", help="Publish it as a pull request.")]
AppendOption = Annotated[
    bool,
    typer.Option("--append-config", help="Put it beside what others have put into the repository."),
]
ForceOption = Annotated[
    bool,
    typer.Option("--force", help="Publish whatever the audit finds; the card says so."),
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Read recipe and data, say what would be done, do nothing."),
]


def run(
    recipe: RecipeArgument,
    settings: SetOption = None,
    output: OutputOption = None,
    push: PushOption = False,
    pr: PrOption = False,
    append: AppendOption = False,
    force: ForceOption = False,
    dry_run: DryRunOption = False,
    num_proc: NumProcOption = None,
    cache_dir: CacheDirOption = None,
    overwrite: OverwriteOption = False,
    max_hours: MaxHoursOption = 1.0,
    yes: YesOption = False,
    display: DisplayOption = Display.human,
) -> None:
    """Make a recipe's data set: mine, measure, write the card; with --push publish it."""
    with clear_errors(display, GOES_ON):
        from hf_hardneg.distributed import world
        from hf_hardneg.hub.build import build
        from hf_hardneg.hub.publish import check_options, check_publishing
        from hf_hardneg.hub.push import check_access
        from hf_hardneg.hub.recipe import load_recipe, read_overrides

        loaded = load_recipe(recipe, read_overrides(settings or []))
        say = console(stderr=True).print
        check_options(push=push, create_pr=pr, append=append)
        repository = check_publishing(loaded) if push else None
        if dry_run:
            _show_plan(loaded, cache_dir, display)
            return
        if repository is not None:  # before the work, not after it
            world().from_main(
                lambda: check_access(
                    repository,
                    configs=loaded.outputs,
                    private=loaded.publish.private,
                    create_pr=pr,
                    append=append,
                    say=say,
                )
            )
        built = build(
            loaded,
            output or Path(loaded.name),
            overwrite=overwrite,
            cache_dir=cache_dir,
            num_proc=num_proc,
            max_hours=None if yes else max_hours,
            forced=force,
            say=say if world().main else None,
        )
        if not world().main:
            return
        pushed = _pushed(built, pr, append, force) if push else None
        _show(built, pushed, display)


def _pushed(built: Built, pr: bool, append: bool, force: bool) -> Pushed:
    """Publish what was built; the folder is there now, so another command goes on from here."""
    from hf_hardneg.errors import HubError
    from hf_hardneg.hub.publish import publish

    say = console(stderr=True).print
    try:
        return publish(built, create_pr=pr, append=append, force=force, say=say)
    except (HubError, KeyboardInterrupt) as error:
        if built.audit_errors and not force:
            raise
        private = built.recipe.publish.private
        words = ["push", str(built.folder), str(built.recipe.publish.repository)]
        words += [] if private is None else ["--private" if private else "--public"]
        words += ["--pr"] * pr + ["--append-config"] * append + ["--force"] * force
        told = f"The set is written, and this publishes it: {program()} {shlex.join(words)}"
        if isinstance(error, KeyboardInterrupt):
            console(stderr=True).print(f"\n{told}", soft_wrap=True)
            raise
        raise HubError(f"{error}\n{told}") from error


def _show_plan(recipe: Recipe, cache_dir: Path | None, display: Display) -> None:
    from hf_hardneg.hub.dry_run import plan_of

    plan = plan_of(recipe, cache_dir=cache_dir)
    if display is Display.json:
        print_json(plan.to_dict())
        return
    console().print(plan)
    console().print("Dry run: nothing was mined, nothing was written.")


def _show(built: Built, pushed: Pushed | None, display: Display) -> None:
    if display is Display.json:
        values = {**built.facts.to_dict(), "folder": str(built.folder)}
        print_json({**values, "pushed": None if pushed is None else pushed.to_dict()})
        return
    screen = console()
    screen.print(built.report)
    for one in built.facts.ranking:
        means = ", ".join(f"{name} {mean:.3f}" for name, (mean, *_) in one.measures.items())
        screen.print(f"{one.what}: {means} ({one.queries:,} held-out queries)", markup=False)
        for note in one.notes:
            screen.print(f"Note: {one.what}: {note}", markup=False)
    audit = built.facts.audit or {}
    screen.print(
        f"Audit: {audit.get('errors', 0)} errors, {audit.get('warnings', 0)} warnings.",
        markup=False,
    )
    screen.print(f"Written to {built.folder}", soft_wrap=True, markup=False)
    if pushed is not None:
        what = "was there already" if pushed.unchanged else "published"
        screen.print(f"{pushed.url}: {what}", soft_wrap=True, markup=False)
