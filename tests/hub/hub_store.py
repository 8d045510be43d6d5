"""What the Hub on loopback keeps: repositories in memory, large files on disk."""

from __future__ import annotations

import hashlib
import re
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

LARGE = (
    "7z",
    "arrow",
    "bin",
    "bz2",
    "gz",
    "npy",
    "npz",
    "parquet",
    "png",
    "jpg",
    "tar",
    "zip",
    "zst",
)
ATTRIBUTES = "".join(f"*.{end} filter=lfs diff=lfs merge=lfs -text\n" for end in LARGE)


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def pointer(sha256: str, size: int) -> bytes:
    """What Git keeps for a large file."""
    head = b"version https://git-lfs.github.com/spec/v1\n"
    return head + f"oid sha256:{sha256}\nsize {size}\n".encode()


class HubFault(Exception):
    """An answer other than success."""

    def __init__(self, status: int, text: str, code: str | None = None) -> None:
        super().__init__(text)
        self.status, self.text, self.code = status, text, code


@dataclass(frozen=True)
class Entry:
    """A file in a tree; ``sha256`` for a large one."""

    oid: str
    size: int
    sha256: str | None = None

    def told(self, path: str) -> dict[str, Any]:
        told: dict[str, Any] = {"type": "file", "path": path, "oid": self.oid, "size": self.size}
        if self.sha256 is not None:
            length = len(pointer(self.sha256, self.size))
            told["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": length}
        return told


@dataclass(frozen=True)
class Commit:
    sha: str
    tree: dict[str, Entry]
    parent: str | None
    author: str
    title: str
    message: str
    date: str


@dataclass
class Discussion:
    number: int
    title: str
    text: str
    author: str
    status: str = "draft"


@dataclass
class Repo:
    kind: str
    name: str
    private: bool
    gated: bool = False
    refs: dict[str, str] = field(default_factory=dict)
    discussions: list[Discussion] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        return self.name.partition("/")[0]


class HubStore:
    """Repositories, and the contents of their files under ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = threading.RLock()
        self.repos: dict[tuple[str, str], Repo] = {}
        self.commits: dict[str, Commit] = {}

    def create(self, kind: str, name: str, *, private: bool = False, author: str = "") -> Repo:
        with self.lock:
            repo = self.repos[kind, name] = Repo(kind, name, private)
            tree = {".gitattributes": self.keep(ATTRIBUTES.encode())}
            repo.refs["refs/heads/main"] = self.add(tree, None, author, "initial commit").sha
            return repo

    def path(self, digest: str) -> Path:
        return self.folder / digest

    def keep(self, content: bytes) -> Entry:
        """Keep a small file."""
        oid = git_oid(content)
        self.path(oid).write_bytes(content)
        return Entry(oid, len(content))

    def large(self, sha256: str) -> Entry:
        """Return the entry of a large file that has arrived."""
        if not self.path(sha256).is_file():
            raise HubFault(400, f"LFS pointer to a file that does not exist: {sha256}")
        size = self.path(sha256).stat().st_size
        return Entry(git_oid(pointer(sha256, size)), size, sha256)

    def file_of(self, entry: Entry) -> Path:
        return self.path(entry.sha256 or entry.oid)

    def add(
        self, tree: dict[str, Entry], parent: str | None, author: str, title: str, message: str = ""
    ) -> Commit:
        sha = hashlib.sha1(uuid.uuid4().bytes).hexdigest()
        self.commits[sha] = Commit(sha, dict(tree), parent, author, title, message, now())
        return self.commits[sha]

    def resolve(self, repo: Repo, revision: str) -> Commit:
        for ref in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if ref in repo.refs:
                return self.commits[repo.refs[ref]]
        known = {one.sha for head in repo.refs.values() for one in self.history(head)}
        if re.fullmatch(r"[0-9a-f]{40}", revision) and revision in known:
            return self.commits[revision]
        raise HubFault(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def history(self, sha: str | None) -> Iterator[Commit]:
        """Yield a commit and those before it."""
        while sha is not None:
            yield self.commits[sha]
            sha = self.commits[sha].parent

    def interleave(self, repo: Repo, ref: str) -> None:
        """Land a commit of somebody else."""
        head = self.commits[repo.refs[ref]]
        tree = head.tree | {"foreign.txt": self.keep(uuid.uuid4().hex.encode())}
        repo.refs[ref] = self.add(tree, head.sha, "mallory", "interleaved").sha
