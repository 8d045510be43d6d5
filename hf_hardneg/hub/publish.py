"""Publishing what a recipe has made: not before the audit passes."""

from __future__ import annotations

from collections.abc import Callable

from hf_hardneg.errors import HubError, RecipeError
from hf_hardneg.hub.build import Built
from hf_hardneg.hub.push import Pushed, push_folder
from hf_hardneg.hub.recipe_schema import Recipe

__all__ = ["check_publishing", "publish"]

Say = Callable[[str], object]


def check_publishing(recipe: Recipe) -> str:
    """Return the repository of a recipe.

    Raises:
        RecipeError: it names none.
    """
    if recipe.publish.repository is None:
        raise RecipeError(
            f"the recipe {recipe.name} names no repository. Add publish.repository: owner/name, or "
            "say --set publish.repository=owner/name."
        )
    return recipe.publish.repository


def publish(
    built: Built,
    *,
    create_pr: bool = False,
    append: bool = False,
    force: bool = False,
    say: Say | None = None,
) -> Pushed:
    """Publish a set that was built.

    Args:
        built: of :func:`hf_hardneg.hub.build.build`; with ``force`` it must have been built with
            ``forced``, so that the card says it.
        create_pr: as a pull request.
        append: beside what others have put into the repository.
        force: whatever the audit has found.
        say: is told what happens.

    Raises:
        HubError: the audit found errors; or see :func:`hf_hardneg.hub.push.push_folder`.
        RecipeError: the recipe names no repository.
    """
    repository = check_publishing(built.recipe)
    if built.folder is None:
        raise HubError("this process has written no folder; the first one of the job publishes.")
    if built.audit_errors and not force:
        raise HubError(
            f"nothing was published: {built.audit_errors} checks of the audit found errors, see "
            f"{str(built.folder / 'README.md')!r}. Mend the set, or say --force, and the card says "
            "that it was published all the same."
        )
    return push_folder(
        built.folder,
        repository,
        private=built.recipe.publish.private,
        create_pr=create_pr,
        append=append,
        say=say,
    )
