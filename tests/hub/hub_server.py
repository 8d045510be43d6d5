"""A Hub on loopback for tests of publishing: what its real clients ask of it, and faults.

It speaks the Hub's HTTP interface for data sets, models and Spaces: commits, large files by LFS
(in parts too), branches, pull requests, private and gated repositories, organisations, read-only
tokens, loading and streaming. It is not the Hub: its rules for cards are a small part of the real
ones. Without ``xet=True`` it has no Xet (set ``HF_HUB_DISABLE_XET=1``); with it the store is a
folder, see ``hub_xet``.

    with LoopbackHub(folder) as hub:
        push_folder(publication, "alice/set", token="hf_alice", endpoint=hub.url)

Tokens: ``hf_alice`` (in the organisation acme, and as a reader in readers), ``hf_bob``,
``hf_alice_read``. As a process of its own: ``python hub_server.py FOLDER`` writes its address.
"""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from hub_handler import Fault, Settings
from hub_routes import HubRoutes
from hub_store import LARGE, Commit, Entry, HubStore, Repo
from hub_xet import XetStore


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep the last error for the test; a client that hangs up is none."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            self.errors.append(error)

    def __init__(self, *values: Any) -> None:
        self.errors: list[BaseException | None] = []
        super().__init__(*values)


class LoopbackHub:
    """A Hub in a thread, and what tests want to know of it.

    Args:
        folder: for the contents of files.
        page_size: entries in a page of a tree.
        multipart_over: bytes from which on a large file is sent in parts.
        xet: answer those who upload and download by Xet.
    """

    def __init__(
        self,
        folder: Path,
        *,
        page_size: int = 1_000,
        multipart_over: int = 64 << 20,
        port: int = 0,
        xet: bool = False,
    ) -> None:
        self.store = HubStore(folder)
        self.settings = Settings(self.store, page_size, multipart_over)
        if xet:
            # Beside the folder: that one has files by their hash, and tests look through it.
            self.settings.xet = XetStore(folder.with_name(f"{folder.name}-xet"))
        routes = type("Routes", (HubRoutes,), {"settings": self.settings})
        self._server = _Server(("127.0.0.1", port), routes)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> LoopbackHub:
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        assert not self._server.errors, self._server.errors

    def fail(self, path: str, **values: Any) -> Fault:
        """Let requests go wrong, see :class:`Fault`."""
        fault = Fault(path, **values)
        self.settings.faults.append(fault)
        return fault

    def requests(self, method: str, part: str) -> list[str]:
        """Return the paths of the requests so far that hold ``part``."""
        return [path for how, path, _ in self.settings.log if how == method and part in path]

    def repo(self, name: str, kind: str = "datasets") -> Repo:
        return self.store.repos[kind, name]

    def create(self, name: str, kind: str = "datasets", *, private: bool = False) -> Repo:
        return self.store.create(kind, name, private=private, author=name.partition("/")[0])

    def history(self, name: str, ref: str = "refs/heads/main") -> list[Commit]:
        """Return the commits of a branch, the newest first."""
        return list(self.store.history(self.repo(name).refs[ref]))

    def add(self, name: str, files: dict[str, str], author: str = "mallory") -> Commit:
        """Commit small files to main."""
        repo = self.repo(name)
        head = self.store.commits[repo.refs["refs/heads/main"]]
        entries = {path: self.store.keep(text.encode()) for path, text in files.items()}
        made = self.store.add(head.tree | entries, head.sha, author, "by hand")
        repo.refs["refs/heads/main"] = made.sha
        return made

    def put(self, name: str, contents: dict[str, bytes], kind: str = "datasets") -> Commit:
        """Commit files of any kind to main, as a push would have."""
        made = {path: self._kept(path, content) for path, content in contents.items()}
        repo = self.repo(name, kind)
        head = self.store.commits[repo.refs["refs/heads/main"]]
        commit = self.store.add(head.tree | made, head.sha, "alice", "an earlier version")
        repo.refs["refs/heads/main"] = commit.sha
        return commit

    def _kept(self, path: str, content: bytes) -> Entry:
        if not path.endswith(LARGE):
            return self.store.keep(content)
        digest = hashlib.sha256(content).hexdigest()
        self.store.path(digest).write_bytes(content)
        return self.store.large(digest)

    def files(self, name: str, ref: str = "refs/heads/main") -> dict[str, bytes]:
        """Return the contents of every file at the head of a branch, but .gitattributes."""
        return self.files_of(self.history(name, ref)[0])

    def files_of(self, commit: Commit) -> dict[str, bytes]:
        return dict(self._files_of(commit))

    def _files_of(self, commit: Commit) -> Iterator[tuple[str, bytes]]:
        for path, entry in commit.tree.items():
            if path != ".gitattributes":
                yield path, self.store.file_of(entry).read_bytes()


def main(folder: str) -> None:
    """Serve until stdin is closed."""
    with LoopbackHub(Path(folder)) as hub:
        sys.stdout.write(f"{hub.url}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
