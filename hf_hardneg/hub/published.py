"""Reading what was published: a repository on the Hub at one commit, or the folder of a set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hf_hardneg.errors import HubError
from hf_hardneg.hub.folder import sha256_of
from hf_hardneg.hub.hub_data import said

__all__ = ["Published", "explained", "in_folder", "on_hub"]


@dataclass(frozen=True, slots=True)
class Published:
    """A published set.

    Attributes:
        fetch: returns a file by its path in the repository; ``HubError`` where there is none.
        sha256: returns the SHA-256 of the file as it is there now; ``None`` where there is none.
        paths: returns all files, by their paths in the repository.
    """

    fetch: Callable[[str], Path]
    sha256: Callable[[str], str | None]
    paths: Callable[[], list[str]]


def in_folder(folder: Path) -> Published:
    """Return the set in a folder that ``hf-hardneg run`` wrote."""

    def fetch(path: str) -> Path:
        if not (folder / path).is_file():
            raise HubError(
                f"the folder {str(folder)!r} has no {path}: hf-hardneg run has not written it, so "
                "there is nothing to make again."
            )
        return folder / path

    def sha256(path: str) -> str | None:
        return sha256_of(folder / path) if (folder / path).is_file() else None

    def paths() -> list[str]:
        files = (path for path in folder.rglob("*") if path.is_file())
        return [path.relative_to(folder).as_posix() for path in files]

    return Published(fetch, sha256, paths)


def on_hub(repository: str, revision: str | None) -> Published:
    """Return the set in a repository; all files are those of one commit, the newest now.

    Raises:
        HubError: there is no such data set or revision, or it cannot be read.
    """
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.hf_api import RepoFile

    api = HfApi()
    with explained(repository, revision, "it"):
        commit = str(api.dataset_info(repository, revision=revision).sha)
        entries = api.list_repo_tree(
            repository, recursive=True, revision=commit, repo_type="dataset"
        )
        files = {one.path: one for one in entries if isinstance(one, RepoFile)}

    def fetch(path: str) -> Path:
        if path not in files:
            raise HubError(
                f"{repository} has no {path}: hf-hardneg has not published it, so there is nothing "
                "to make again."
            )
        with explained(repository, revision, path):
            return Path(hf_hub_download(repository, path, repo_type="dataset", revision=commit))

    def sha256(path: str) -> str | None:
        if path not in files:
            return None
        large = files[path].lfs
        return str(large.sha256) if large else sha256_of(fetch(path))

    return Published(fetch, sha256, lambda: list(files))


@contextmanager
def explained(repository: str, revision: str | None, what: str) -> Iterator[None]:
    """Turn what goes wrong with a repository's ``what`` into errors of ours."""
    import httpx
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except RevisionNotFoundError as error:
        raise HubError(f"{repository} has no revision {revision!r}.") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise HubError(
            f"{repository!r} is neither a folder here nor a data set on the Hub that you can read."
        ) from error
    except (HfHubHTTPError, OSError, httpx.HTTPError) as error:
        raise HubError(f"{what} of {repository} cannot be read: {said(error)}") from error
