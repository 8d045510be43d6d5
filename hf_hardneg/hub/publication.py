"""A publication folder on local disk, looked at whole before the first byte of it is sent."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hf_hardneg.errors import HubError, listing
from hf_hardneg.hub.card_parts import Card
from hf_hardneg.hub.folder import FILES

__all__ = ["CARD", "Content", "Publication"]

CARD = "README.md"
DATA = "data/"
_TOKEN = re.compile(rb"\bhf_[A-Za-z0-9]{30,}\b")
_TEXTS = (".md", ".yaml", ".yml", ".json", ".txt", ".csv", ".tsv", ".html")
_BLOCK = 1 << 20


class Content:
    """The bytes of one file: on disk, or in memory for a card that was merged.

    Its hashes are those that the Hub knows files by: SHA-256 for large ones, Git's SHA-1 for
    others. Each is taken once, in blocks of 1 MiB.
    """

    def __init__(self, source: Path | bytes) -> None:
        """Remember where the bytes are."""
        self.source = source
        self.size = len(source) if isinstance(source, bytes) else source.stat().st_size
        self._hashes: dict[str, str] = {}

    @property
    def sha256(self) -> str:
        """SHA-256, 64 hexadecimal digits."""
        return self._hash("sha256", hashlib.sha256)

    @property
    def git_oid(self) -> str:
        """SHA-1 of Git's blob, 40 hexadecimal digits."""
        head = b"blob %d\0" % self.size
        return self._hash("git", lambda: hashlib.sha1(head, usedforsecurity=False))

    def _hash(self, name: str, start: Callable[[], hashlib._Hash]) -> str:
        if name not in self._hashes:
            found = start()
            if isinstance(self.source, bytes):
                found.update(self.source)
            else:
                with self.source.open("rb") as file:
                    while block := file.read(_BLOCK):
                        found.update(block)
            self._hashes[name] = found.hexdigest()
        return self._hashes[name]


@dataclass(frozen=True)
class Publication:
    """What is to be published.

    Attributes:
        card: text of ``README.md``.
        files: every other file by its path in the repository.
        configs: names of the configs, as the card's mark has them.
    """

    card: str
    files: Mapping[str, Content] = field(repr=False)
    configs: tuple[str, ...]

    @classmethod
    def read(cls, folder: str | os.PathLike[str], token: str = "") -> Publication:
        """Look at a folder.

        Args:
            folder: as ``hf-hardneg run`` writes it.
            token: must not stand in any text of the folder.

        Raises:
            HubError: no card, a link or a hidden file, a config without data or data without a
                config, a token in a text, or data that is not what its card was written of.
        """
        root = Path(folder).expanduser()
        paths = _paths(root)
        if CARD not in paths:
            raise HubError(
                f"{str(folder)!r} has no {CARD}; expected a folder with a card, data/ and "
                "hardneg/, as hf-hardneg run writes it."
            )
        for name, path in paths.items():
            if name.endswith(_TEXTS):
                _refuse_token(name, path.read_bytes(), token)
        try:
            text = paths.pop(CARD).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise HubError(f"{CARD} is not UTF-8: {error}. Write the card anew.") from error
        files = {name: Content(path) for name, path in paths.items()}
        _check_data(files)
        return cls(text, files, _configs(text, files))

    @property
    def sidecars(self) -> tuple[str, ...]:
        """Paths under ``hardneg/``."""
        return tuple(name for name in self.files if name.startswith("hardneg/"))

    def key(self, *more: str) -> str:
        """Return 32 hexadecimal digits that only this content, with ``more``, has."""
        whole = hashlib.sha256("\0".join([self.card, *more]).encode())
        for name, content in self.files.items():
            whole.update(f"\0{name}\0{content.sha256}".encode())
        return whole.hexdigest()[:32]


def _paths(root: Path) -> dict[str, Path]:
    """Return the files of a folder by their path in the repository, sorted."""
    if not root.is_dir():
        raise HubError(f"{str(root)!r} is no folder; expected a publication folder.")
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            raise HubError(f"{name} in {str(root)!r} is a link; expected files alone. Copy it.")
        if any(part.startswith(".") for part in name.split("/")):
            raise HubError(
                f"{name} in {str(root)!r} is hidden, and hidden files are not published: they may "
                "hold secrets. Remove it."
            )
        if path.is_file():
            found[name] = path
    return found


def _refuse_token(name: str, content: bytes, token: str) -> None:
    if (token and token.encode() in content) or _TOKEN.search(content):
        raise HubError(
            f"An access token stands in {name}; expected none in anything that is published. Take "
            "it out, and revoke it if the file has been shared."
        )


def _check_data(files: Mapping[str, Content]) -> None:
    """Refuse data that was changed after its card and its audit were written."""
    listed = files.get(FILES)
    if listed is None or not isinstance(listed.source, Path):
        return
    try:
        known = json.loads(listed.source.read_text(encoding="utf-8"))
        hashes = {name: one["sha256"] for name, one in known.items() if name.startswith(DATA)}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HubError(f"{FILES} is no list of the set's files: {error}. Run it again.") from error
    there = {name for name in files if name.startswith(DATA)}
    changed = [name for name in hashes if name in there and files[name].sha256 != hashes[name]]
    for what, names in (("changed", changed), ("missing", sorted(hashes.keys() - there)),
                        ("new", sorted(there - hashes.keys()))):  # fmt: skip
        if names:
            raise HubError(
                f"{listing(names)}: {what} since the card and the audit were written ({FILES}), "
                "so they would tell of other data. Write the set anew with hf-hardneg run."
            )


def _configs(text: str, files: Mapping[str, Content]) -> tuple[str, ...]:
    """Return the names of the configs: the card's mark, its YAML and the folders must agree."""
    card = Card.read(text, CARD)
    marked = card.marked
    named = {one["config_name"] for one in card.named_configs(CARD)}
    folders = {name.split("/")[1] for name in files if name.startswith(DATA)}
    if not folders:
        raise HubError(
            "the folder has no data/CONFIG/ with Parquet files; there is nothing to publish. What "
            "hf-hardneg mine wrote is not published as it is: hf-hardneg run makes, from a recipe, "
            "a folder that is."
        )
    for what, names in (("'configs' of its YAML", named), ("the folders under data/", folders)):
        if names != set(marked):
            raise HubError(
                f"{CARD}: its mark '<!-- hf-hardneg: ... -->' names the configs "
                f"{listing(sorted(marked))}; {what}: {listing(sorted(names))}. Expected the same. "
                "Write the card anew for this data."
            )
    if not marked:
        raise HubError(f"{CARD} and data/ name no config; there is nothing to publish.")
    return marked
