"""The files of a published set, fetched from the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hf_hardneg.hub.published import explained

__all__ = ["fetch_folders", "published_configs"]


def published_configs(
    repository: str, revision: str | None = None, *, public_only: bool = False
) -> tuple[str, dict[str, int]]:
    """Return the commit, and the bytes of each config that ``hf-hardneg run`` pushed.

    Args:
        repository: ``org/name``.
        revision: branch, tag or commit; default: the newest.
        public_only: ask without any token, as anybody could.

    Returns:
        The commit's hash, and bytes by config; empty where the repository is laid out otherwise.

    Raises:
        HubError: there is no such data set or revision, or it cannot be read.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    api = HfApi(token=False if public_only else None)
    found: dict[str, int] = {}
    with explained(repository, revision, "it"):
        commit = str(api.dataset_info(repository, revision=revision).sha)
        for one in api.list_repo_tree(
            repository, recursive=True, revision=commit, repo_type="dataset"
        ):
            parts = one.path.split("/")
            if isinstance(one, RepoFile) and len(parts) == 3 and parts[0] == "data":
                if parts[2].endswith(".parquet"):
                    found[parts[1]] = found.get(parts[1], 0) + one.size
    return commit, found


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
    with explained(repository, commit, "it"):
        return Path(
            snapshot_download(
                repository,
                repo_type="dataset",
                revision=commit,
                allow_patterns=[*wanted, "hardneg/*.json", "hardneg/*.yaml"],
                token=False if public_only else None,
            )
        )
