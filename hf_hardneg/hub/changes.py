"""What one commit has to change, from what the repository holds and what is to be published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Any

from datasets.data_files import sanitize_patterns

from hf_hardneg.errors import HubError, listing
from hf_hardneg.hub.card_merging import THEIRS, merge_cards, place_card, sidecar_home
from hf_hardneg.hub.card_parts import ROOT, Card
from hf_hardneg.hub.publication import CARD, Content, Publication
from hf_hardneg.hub.remote import RemoteFile

__all__ = ["Changes", "changes", "check_there"]

BESIDE = "Publish beside it with append (--append-config), which keeps it, or under another name."
_PLAIN = {".gitattributes", ".gitignore", CARD, "LICENSE", "LICENSE.md", "LICENSE.txt"}
_DATA = (".parquet", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".arrow", ".txt", ".xml",
         ".gz", ".zst", ".bz2", ".xz", ".zip", ".tar", ".h5", ".hdf5")  # fmt: skip


@dataclass(frozen=True)
class Changes:
    """One commit.

    Attributes:
        expected: everything of ours that the commit's tree holds afterwards, by path.
        changed: those of them that are not there yet.
        deleted: paths that go: shards of our configs that the new version lacks.
    """

    expected: Mapping[str, Content]
    changed: Mapping[str, Content]
    deleted: tuple[str, ...]

    @property
    def none(self) -> bool:
        """Whether the repository holds exactly this already."""
        return not self.changed and not self.deleted


def changes(
    publication: Publication,
    files: Mapping[str, RemoteFile],
    card: str | None,
    *,
    append: bool,
    check: Callable[[str], list[str]],
) -> Changes:
    """Return what to change.

    Args:
        publication: what is to be published.
        files: every file of the repository.
        card: text of its card; None if it has none.
        append: put ours beside a card and files that are not ours.
        check: returns what the Hub would refuse in a card.

    Raises:
        HubError: the repository has a card or files that are not ours and ``append`` is not set;
            the two cards cannot be merged; the merged card would be refused; files that are not
            ours stand in a folder of our configs.
    """
    theirs = _theirs(card)
    _check_ours(theirs, card, files, append)
    home = sidecar_home(card, publication.card)
    ours = place_card(publication.card, home, publication.sidecars)
    merged = ours if card is None else merge_cards(card, ours)
    problems = check(merged)
    if problems:
        raise HubError(f"The Hub would refuse the card: {'; '.join(problems)}. Nothing was sent.")
    expected = {CARD: Content(merged.encode())}
    for path, content in publication.files.items():
        expected[home + path[len(ROOT) :] if path.startswith(ROOT) else path] = content
    there = {path for path, content in expected.items()
             if path in files and files[path].holds(content)}  # fmt: skip
    changed = {path: content for path, content in expected.items() if path not in there}
    beside = {path: file for path, file in files.items() if path not in there}
    _check_folders(publication.configs, beside, theirs)
    return Changes(expected, changed, _stale(publication, files, theirs, expected))


def check_there(
    configs: Sequence[str], files: Mapping[str, RemoteFile], card: str | None, *, append: bool
) -> None:
    """Refuse a repository that :func:`changes` would refuse, before there is a publication.

    Args:
        configs: names of what is going to be published.
        files: every file of the repository.
        card: text of its card; None if it has none.
        append: put ours beside a card and files that are not ours.

    Raises:
        HubError: see :func:`changes`; or its card cannot be read.
    """
    theirs = _theirs(card)
    theirs.named_configs(THEIRS)
    _check_ours(theirs, card, files, append)
    _check_folders(configs, files, theirs)


def _theirs(card: str | None) -> Card:
    return Card.read(card, THEIRS) if card is not None else Card({}, ())


def _check_ours(
    theirs: Card, card: str | None, files: Mapping[str, RemoteFile], append: bool
) -> None:
    """Refuse to write over what others have made, or to hide it."""
    foreign = [path for path in files if path not in _PLAIN]
    if not append and card is not None and not theirs.blocks:
        raise HubError(f"The repository has a card that hf-hardneg did not write. {BESIDE}")
    if not append and card is None and foreign:
        raise HubError(
            f"The repository has files and no card of ours: {listing(sorted(foreign))}. {BESIDE}"
        )
    loose = sorted(path for path in foreign if path.lower().endswith(_DATA))
    if loose and not theirs.blocks and not theirs.named_configs(THEIRS):
        raise HubError(
            f"The repository has data that its card names in no config: {listing(loose, 5)}. A "
            "card with our configs would hide them from load_dataset. Name them under 'configs' in "
            "its card first."
        )
    _check_kind(theirs, files)


def _check_kind(theirs: Card, files: Mapping[str, RemoteFile]) -> None:
    """Refuse a place behind a config that is no Parquet: ours could not be loaded there.

    ``load_dataset`` takes the kind of the files of the card's first config for that of all.
    """
    first = next(iter(theirs.named_configs(THEIRS)), None)
    if first is None or first["config_name"] in theirs.marked:
        return
    named = _named_files(first, files)
    if 2 * sum(".parquet" in PurePosixPath(path).suffixes for path in named) < len(named):
        raise HubError(
            f"The first config of the card in the repository, {first['config_name']!r}, is not of "
            f"Parquet files: {listing(named, 3)}. load_dataset reads every config of a repository "
            "as it reads the first, so ours, which are Parquet, could not be loaded there. Turn "
            "that one into Parquet, or publish under another name."
        )


def _named_files(config: Mapping[str, Any], files: Mapping[str, RemoteFile]) -> list[str]:
    """Return the files that a config names; a pattern that fits none stands for itself."""
    try:
        parts = sanitize_patterns(config.get("data_files") or "**")
    except (ValueError, TypeError, AttributeError) as error:
        raise HubError(
            f"data_files of the config {config['config_name']!r} in {THEIRS} cannot be read: "
            f"{' '.join(str(error).split())} Mend it there first."
        ) from error
    data = {path for path in files if path not in _PLAIN and path.lower().endswith(_DATA)}
    start = f"{str(config['data_dir']).strip('./')}/" if config.get("data_dir") else ""
    found: list[str] = []
    for pattern in (start + one.removeprefix("./") for own in parts.values() for one in own):
        fitting = sorted(path for path in data if fnmatch(path, pattern))
        found += fitting or ([pattern] if PurePosixPath(pattern).suffix else [])
    return found


def _check_folders(configs: Sequence[str], files: Mapping[str, RemoteFile], theirs: Card) -> None:
    """Refuse to write over, or to hide, data under the name of a config that is not ours."""
    named = {one["config_name"] for one in theirs.named_configs(THEIRS)} - set(theirs.marked)
    if same := sorted(named & set(configs)):
        raise HubError(
            f"The card in the repository has {listing(same)} among its configs, which "
            "hf-hardneg did not write; ours of the same name would hide that data. Publish under "
            "another name of the repository."
        )
    for config in configs:
        left = [path for path in files if path.startswith(f"data/{config}/")]
        if left and config not in theirs.marked:
            raise HubError(
                f"data/{config}/ in the repository holds files that are not ours: "
                f"{listing(sorted(left), 5)}. Move them there first, or publish under another name."
            )


def _stale(
    publication: Publication,
    files: Mapping[str, RemoteFile],
    theirs: Card,
    expected: Mapping[str, Content],
) -> tuple[str, ...]:
    """Return the files of our configs that the new version lacks."""
    folders = tuple(f"data/{config}/" for config in publication.configs)
    stale = [path for path in files if path.startswith(folders) and path not in expected]
    abandoned = {block.home for block in theirs.blocks
                 if set(block.configs) <= set(publication.configs)} - {ROOT}  # fmt: skip
    stale += [path for path in files
              if path not in expected and path.startswith(tuple(abandoned))]  # fmt: skip
    return tuple(sorted(set(stale)))
