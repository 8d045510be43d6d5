"""Opening a mined set on the Hub."""

from __future__ import annotations

from hf_hardneg.errors import HubError
from hf_hardneg.hub.snapshot import contents_of, fetch_folders
from hf_hardneg.inspection.opened import InspectedSet, open_inspected
from hf_hardneg.inspection.places import BESIDE, row_configs
from hf_hardneg.query_sources import hub_rows

__all__ = ["LARGEST", "open_from_hub"]

LARGEST = 20_000_000_000
"""Bytes that are fetched at most without being told to."""


def open_from_hub(
    repository: str,
    config: str | None = None,
    *,
    revision: str | None = None,
    split: str | None = None,
    public_only: bool = False,
    largest: int = LARGEST,
) -> InspectedSet:
    """Open a mined set on the Hub, with its pool, documents and report where it has them.

    Args:
        repository: ``org/name``.
        config: the config to show; default: ``ids`` with its texts, else the first there is.
        revision: branch, tag or commit; default: the newest.
        split: of a set that ``hf-hardneg`` did not publish and that has several.
        public_only: ask without any token, so that nothing private is shown to others.
        largest: bytes that are fetched at most.

    Raises:
        HubError: there is no such data set, it cannot be read, or it is too large.
        FormatError: it has no such config, or holds no mined set.
    """
    there = contents_of(repository, revision, public_only=public_only)
    if not there.configs:
        _check_size(repository, there.size, largest)
        name = f"{repository}:{config}" if config else repository
        rows = hub_rows(name, split, revision=there.commit, public_only=public_only)
        return open_inspected(rows, name=repository)
    usable = row_configs(there.configs, config, repository)
    wanted = [usable[0], *(name for name in BESIDE if name in there.configs)]
    _check_size(repository, sum(there.configs[name] for name in wanted), largest)
    folder = fetch_folders(repository, there.commit, wanted, public_only=public_only)
    return open_inspected(folder, config=usable[0], name=repository)


def _check_size(repository: str, size: int, largest: int) -> None:
    if size > largest:
        raise HubError(
            f"{repository} has {size / 1e9:,.1f} GB to fetch, more than {largest / 1e9:,.1f} GB. "
            f"Open it on a machine with room for it: hf-hardneg inspect {repository}"
        )
