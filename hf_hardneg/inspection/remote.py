"""Opening a mined set on the Hub."""

from __future__ import annotations

from hf_hardneg.errors import HubError
from hf_hardneg.hub.snapshot import fetch_folders, published_configs
from hf_hardneg.inspection.opened import InspectedSet, open_inspected
from hf_hardneg.inspection.places import BESIDE, row_configs
from hf_hardneg.mined_sources import load_mined

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
    commit, sizes = published_configs(repository, revision, public_only=public_only)
    if not sizes:
        if public_only:
            _refuse_foreign(repository)
        name = f"{repository}:{config}" if config else repository
        return open_inspected(load_mined(name, split=split), name=repository)
    usable = row_configs(sizes, config, repository)
    wanted = [usable[0], *(name for name in BESIDE if name in sizes)]
    size = sum(sizes[name] for name in wanted)
    if size > largest:
        raise HubError(
            f"{repository} has {size / 1e9:,.1f} GB to fetch (configs {', '.join(wanted)}), more "
            f"than {largest / 1e9:,.1f} GB. Open it on a machine with room for it: "
            f"hf-hardneg inspect {repository}"
        )
    folder = fetch_folders(repository, commit, wanted, public_only=public_only)
    return open_inspected(folder, config=usable[0], name=repository)


def _refuse_foreign(repository: str) -> None:
    raise HubError(
        f"{repository} was not published by hf-hardneg run or push (it has no data/CONFIG/*.parquet)"
        f". Open it on a machine of your own: hf-hardneg inspect {repository}"
    )
