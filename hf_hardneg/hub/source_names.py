"""How a recipe names where data comes from: a data set on the Hub, or a path in its folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from hf_hardneg.readers import KINDS, file_kind

__all__ = ["HUB_FORM", "Source", "inside", "is_hub_id", "path_fault", "split_name"]

HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}$", re.ASCII)
HUB_FORM = "owner/name, owner/name:config or owner/name:config@revision"
SHORT = re.compile(r"^(?P<name>[^:@]+)(?::(?P<config>[^:@]+))?(?:@(?P<revision>\S+))?$")


@dataclass(frozen=True, slots=True)
class Source:
    """Where data comes from.

    Attributes:
        name: ``owner/name`` of a data set on the Hub, or a path inside the recipe's folder, with
            forward slashes. A path that could be a Hub name starts with ``./``.
        revision: branch, tag or commit on the Hub; ``None`` is the newest.
        config: which of the data set's configs; ``None`` is its only one.
        split: which of the splits; ``None`` is the one that the recipe's part names.
        licence: what its owner says, in the Hub's words; ``None`` is unknown.
    """

    name: str
    revision: str | None = None
    config: str | None = None
    split: str | None = None
    licence: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether this is a path inside the recipe's folder."""
        return not is_hub_id(self.name)

    def __str__(self) -> str:
        """Return the short form, ``owner/name:config@revision``."""
        config = f":{self.config}" if self.config else ""
        return f"{self.name}{config}" + (f"@{self.revision}" if self.revision else "")


def is_hub_id(name: str) -> bool:
    """Return whether a name is that of a data set on the Hub; the disk is not asked."""
    return bool(HUB_ID.match(name)) and file_kind(Path(name)) not in KINDS


def split_name(text: str) -> tuple[str, str | None, str | None]:
    """Return name, config and revision of the short form; a path is a name as a whole."""
    match = SHORT.match(text)
    if match is None or not is_hub_id(match["name"]):
        return text, None, None
    return match["name"], match["config"], match["revision"]


def path_fault(text: str) -> str | None:
    """Say why a text is no path that a recipe may have; ``None`` if nothing is wrong with it."""
    windows = PureWindowsPath(text)
    if "\0" in text:
        return "holds a zero character"
    if text.startswith(("~", "/", "\\")) or windows.drive or windows.is_absolute():
        return "is not relative to the recipe's folder"
    if ".." in windows.parts:
        return "has '..' in it"
    return None


def inside(folder: Path, name: str) -> Path | None:
    """Return the place of a relative path, or ``None`` if links lead out of the folder."""
    try:
        home = folder.resolve()
        place = (home / PurePosixPath(name)).resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links
        return None
    return place if place == home or home in place.parents else None
