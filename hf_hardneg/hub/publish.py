"""Publishing what was made: not before the audit passes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from hf_hardneg.errors import HubError, RecipeError, did_you_mean
from hf_hardneg.hub.build import Built
from hf_hardneg.hub.folder import REPORT
from hf_hardneg.hub.licences import LICENCES
from hf_hardneg.hub.push import Pushed, push_folder
from hf_hardneg.hub.recipe_schema import Recipe

__all__ = ["check_audit", "check_options", "check_publishing", "publish"]

Say = Callable[[str], object]


def check_options(*, push: bool, create_pr: bool, append: bool) -> None:
    """Refuse options of a push where there is none: what they ask for would not happen.

    Raises:
        HubError: names the option.
    """
    for name, given in (("--pr", create_pr), ("--append-config", append)):
        if given and not push:
            raise HubError(f"{name} says how a set is published, and --push is not given. Add it.")


def check_publishing(recipe: Recipe) -> str:
    """Return the repository of a recipe.

    Raises:
        RecipeError: it names none, or a licence that the Hub has no name for.
    """
    if recipe.publish.repository is None:
        raise RecipeError(
            f"the recipe {recipe.name} names no repository. Add publish.repository: owner/name, or "
            "say --set publish.repository=owner/name."
        )
    licence = recipe.publish.licence
    if licence is not None and licence.strip().lower() not in LICENCES:
        raise RecipeError(
            f"the recipe {recipe.name} has publish.licence: {licence!r}, which the Hub has no name "
            f"for.{did_you_mean(licence.strip().lower(), LICENCES)} Expected one of "
            "https://huggingface.co/docs/hub/repositories-licenses; 'other' for terms of your own, "
            "or nothing, and it is that of the sources."
        )
    return recipe.publish.repository


def check_audit(folder: str | os.PathLike[str], *, force: bool = False) -> None:
    """Refuse a folder whose audit found errors; its card says what they are.

    Raises:
        HubError: the audit found errors, and ``force`` is not given; or the report is damaged.
    """
    errors = _audit_errors(Path(folder) / REPORT)
    if errors and not force:
        raise HubError(
            f"nothing was published: {errors} checks of the audit found errors, see "
            f"{str(Path(folder) / 'README.md')!r}. Mend the set, or say --force: the card says "
            "what they are."
        )


def _audit_errors(report: Path) -> int:
    """Return how many checks found errors; 0 where no audit is in the report."""
    try:
        values = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {}
        return int((values.get("audit") or {}).get("errors", 0))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise HubError(f"{str(report)!r} is no report of hf-hardneg: {error}.") from error


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
    check_audit(built.folder, force=force)
    return push_folder(
        built.folder,
        repository,
        private=built.recipe.publish.private,
        create_pr=create_pr,
        append=append,
        say=say,
    )
