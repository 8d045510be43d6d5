"""What whoever starts the app decides."""

from __future__ import annotations

import getpass
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["SpaceSettings"]


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without names of users
        return "me"


@dataclass(frozen=True, slots=True)
class SpaceSettings:
    """How the app behaves.

    Attributes:
        data: the set that is open at the start: a path or the name of a set on the Hub; empty for
            the docstrings of Python's standard library.
        config, split: of it.
        corpus, queries, pool: where these are, if not beside the rows.
        labels: folder of the label files.
        annotator: name on the labels of whoever calls from this machine.
        local: whether the app runs for its caller alone: files of this machine may be opened, and
            labels need no sign-in. A Space for everybody has ``False``: public sets of the Hub
            alone are opened, and labels need a Hub account: people sign in where the app runs as a
            Space on the Hub, programs send their token.
        alone: whether nobody but this machine can reach the app. Where others can, they see the set
            of the settings and public ones, and no other file of this machine.
        opened_at_most: sets that are kept open at once.
    """

    data: str = ""
    config: str | None = None
    split: str | None = None
    corpus: str | None = None
    queries: str | None = None
    pool: str | None = None
    labels: Path = Path("hf-hardneg-labels")
    annotator: str = field(default_factory=_user)
    local: bool = True
    alone: bool = True
    opened_at_most: int = 4

    @property
    def opens_anything(self) -> bool:
        """Whether files of this machine and private sets may be opened, beside the own one."""
        return self.local and self.alone
