"""The files of a published set, fetched from the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hf_hardneg.hub.published import explained

__all__ = ["Contents", "contents_of", "fetch_folders", "split_of"]


@dataclass(frozen=True, slots=True)
class Contents:
    """What a repository holds.

    Attributes:
        commit: its hash.
        configs: bytes of each config that ``hf-hardneg run`` pushed; empty where the repository
            is laid out otherwise.
        size: bytes of all files.
    """

    commit: str
    configs: dict[str, int]
    size: int


def split_of(name: str) -> str:
    """Return the split that a file of rows is of, by its name: ``train-00000-of-00002.parquet``."""
    return name.split(".")[0].split("-")[0]


def contents_of(
    repository: str, revision: str | None = None, *, public_only: bool = False
) -> Contents:
    """Return what a data set on the Hub holds.

    Args:
        repository: ``org/name``.
        revision: branch, tag or commit; default: the newest.
        public_only: ask without any token, as anybody could.

    Raises:
        HubError: there is no such data set or revision, or it cannot be read.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    api = HfApi(token=False if public_only else None)
    found: dict[str, int] = {}
    size = 0
    splits: set[tuple[str, str]] = set()
    with explained(repository, revision, "the content"):
        commit = str(api.dataset_info(repository, revision=revision).sha)
        for one in api.list_repo_tree(
            repository, recursive=True, revision=commit, repo_type="dataset"
        ):
            if not isinstance(one, RepoFile):
                continue
            size += one.size
            parts = one.path.split("/")
            if len(parts) == 3 and parts[0] == "data" and parts[2].endswith(".parquet"):
                found[parts[1]] = found.get(parts[1], 0) + one.size
                splits.add((parts[1], split_of(parts[2])))
    # Others have folders in data/ too, with several splits in each.
    return Contents(commit, found if len(splits) == len(found) else {}, size)


def fetch_folders(
    repository: str, commit: str, configs: Sequence[str], *, public_only: bool = False
) -> Path:
    """Fetch configs of a published set, its report and its recipe; return the folder.

    Files that are in the cache already are not fetched again.

    Raises:
        HubError: they cannot be fetched.
    """
    from huggingface_hub import snapshot_download

    wanted = [f"data/{name}/*.parquet" for name in configs]
    with explained(repository, commit, "the content"):
        return Path(
            snapshot_download(
                repository,
                repo_type="dataset",
                revision=commit,
                allow_patterns=[*wanted, "hardneg/*.json", "hardneg/*.yaml"],
                token=False if public_only else None,
            )
        )
