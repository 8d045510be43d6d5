"""Data sets on the Hub: one split of one config at one revision, and the commit behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from datasets import Dataset, DatasetDict, load_dataset

from hf_hardneg.errors import HardNegError, RecipeError
from hf_hardneg.hub.recipe_schema import Recipe
from hf_hardneg.hub.source_names import Source
from hf_hardneg.query_sources import one_split

__all__ = ["commit_of", "hub_rows_of", "placed"]


def hub_rows_of(
    recipe: Recipe, key: str, source: Source, split: str | None, usual: str = ""
) -> tuple[Dataset, str]:
    """Load one split of a data set on the Hub.

    Args:
        recipe: for errors with the line.
        key: where it names the source.
        source: on the Hub.
        split: which split; by default the one called ``usual``, train, or the only one.
        usual: a name for the default.

    Returns:
        The rows, and the name of their split.

    Raises:
        RecipeError: there is no such data set, revision, config or split.
    """
    try:
        data = load_dataset(source.name, source.config, revision=source.revision)
    except Exception as error:  # the Hub's client has no common base for its failures
        raise recipe.error(
            key, f"is {str(source)!r}, which cannot be loaded from the Hub: {said(error)}"
        ) from error
    if not isinstance(data, DatasetDict):
        raise recipe.error(key, f"is {str(source)!r}, which is no data set with splits.")
    try:
        rows = one_split(data, split or (usual if usual in data else None), str(source))
    except HardNegError as error:
        raise recipe.error(key, f"has no split that is meant: {error}") from error
    return rows, next(name for name, part in data.items() if part is rows)


@contextmanager
def placed(recipe: Recipe, key: str) -> Iterator[None]:
    """Say the place in the recipe with errors of the library that do not know it."""
    try:
        yield
    except RecipeError:
        raise
    except HardNegError as error:
        where = recipe.places.get(key)
        raise type(error)(f"{where}: {key}: {error}" if where else f"{key}: {error}") from error


def commit_of(recipe: Recipe, key: str, source: Source, token: str | None = None) -> str:
    """Return the hash of the commit that a source's revision stands for now.

    Args:
        recipe: for errors with the line.
        key: where it names the source.
        source: on the Hub.
        token: by default the one that the Hub's client finds.

    Raises:
        RecipeError: there is no such data set or revision, or the Hub cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        found = HfApi(token=token).dataset_info(source.name, revision=source.revision)
    except RevisionNotFoundError as error:
        raise recipe.error(
            key,
            f"is {str(source)!r}: {source.name} has no revision {source.revision!r} (any more). "
            "Name another, or leave it out for the newest.",
        ) from error
    except GatedRepoError as error:
        raise recipe.error(
            key, f"is {source.name!r}, which asks for its terms to be accepted on the Hub first."
        ) from error
    except RepositoryNotFoundError as error:
        raise recipe.error(
            key,
            f"is {source.name!r}, and the Hub has no data set of that name that you may read. See "
            "to its spelling; for a private one log in with hf auth login.",
        ) from error
    except Exception as error:  # no connection, offline mode, a fault of the Hub
        raise recipe.error(
            key, f"is {str(source)!r}, and the Hub did not say its commit: {said(error)}"
        ) from error
    if not found.sha:
        raise recipe.error(key, f"is {str(source)!r}, and the Hub names no commit for it.")
    return str(found.sha)


def said(error: Exception) -> str:
    """Return what an error of the Hub's client says, in one line and without the token."""
    from huggingface_hub import get_token

    text: Any = " ".join(str(error).split()) or type(error).__name__
    token = get_token()
    return str(text).replace(token, "(token)") if token else str(text)
