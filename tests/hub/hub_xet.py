"""Xet on the Hub on loopback: its tokens, and the files that the real client leaves in a store.

``hf_xet`` can keep its store in a folder instead of on a server (``local://``). Answering its
requests for a token with the address of such a folder lets the real client upload and download;
what it sends to a real store over HTTP is not looked at.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hub_handler import HubHandler
from hub_store import Entry, HubFault

VALID = 3_600
"""Seconds that a token is good for."""
HEADER = RECORD = 48
END = b"\xff" * 32
VERIFIED, DESCRIBED = 1 << 31, 1 << 30
FETCH = """
import sys, hf_xet
url, path, key, size = sys.argv[1:]
wanted = [hf_xet.PyXetDownloadInfo(path, key, int(size))]
hf_xet.download_files(wanted, url, ("local", 2**40), None, None)
"""


@dataclass(frozen=True)
class XetFile:
    """How Xet names a file."""

    key: str
    size: int


@dataclass
class XetStore:
    """A store in a folder.

    Attributes:
        folder: where ``hf_xet`` keeps it.
        elsewhere: addresses told to the first clients that ask, instead of the folder's.
    """

    folder: Path
    elsewhere: list[str] = field(default_factory=list)

    def address(self) -> str:
        """Return where the next client is sent."""
        return self.elsewhere.pop(0) if self.elsewhere else f"local://{self.folder.resolve()}"

    def files(self) -> dict[str, XetFile]:
        """Return the files that have arrived by their SHA-256."""
        found: dict[str, XetFile] = {}
        for shard in self.folder.rglob("xorbs/shards/*.mdb"):
            found.update(_files_of(shard.read_bytes()))
        return found

    def fetch(self, sha256: str, path: Path) -> None:
        """Write a file that has arrived to ``path``, as ``hf_xet`` puts it together again.

        In a process of its own, because the library keeps threads; from a copy of the store,
        because the client has the store open.
        """
        wanted = self.files().get(sha256)
        if wanted is None:
            return
        with tempfile.TemporaryDirectory(dir=path.parent) as place:
            made = Path(place, "file")
            shutil.copytree(self.folder, Path(place, "store"))
            words = [f"local://{place}/store", str(made), wanted.key, str(wanted.size)]
            subprocess.run(
                [sys.executable, "-c", FETCH, *words], check=True, timeout=60,
                env=os.environ | {"HF_HOME": place},
            )  # fmt: skip
            if hashlib.sha256(made.read_bytes()).hexdigest() != sha256:
                raise HubFault(400, f"the content of {sha256} is another")
            made.replace(path)


def _files_of(shard: bytes) -> Iterator[tuple[str, XetFile]]:
    """Yield SHA-256 and name of each file in a shard: records of 48 bytes after such a header.

    A file's first record has its key, flags and the number of its segments; then come the segments,
    as many records of their checksums and one with the SHA-256, where the flags say so.
    """
    at = HEADER
    while shard[at : at + 32] != END:
        key = _digits(shard[at : at + 32])
        flags, count = struct.unpack_from("<II", shard, at + 32)
        segments = range(at + RECORD, at + RECORD * (1 + count), RECORD)
        size = sum(struct.unpack_from("<I", shard, one + 36)[0] for one in segments)
        at += RECORD * (1 + count * (2 if flags & VERIFIED else 1))
        if flags & DESCRIBED:
            yield _digits(shard[at : at + 32]), XetFile(key, size)
            at += RECORD


def _digits(hashed: bytes) -> str:
    """Return a hash as it is written: four numbers of eight bytes, the lowest byte first."""
    return "".join(hashed[at : at + 8][::-1].hex() for at in range(0, 32, 8))


class XetRoutes(HubHandler):
    """Requests that a Hub with Xet answers."""

    def xet_token(self, kind: str, name: str, what: str, revision: str) -> None:
        """Answer with an address and a token: in headers too, for reading."""
        xet = self.settings.xet
        if xet is None:
            raise HubFault(404, "no Xet here")
        if what == "xet-write-token":
            self.writable(kind, name, self.ref(revision))
        else:
            self.repo(kind, name, content=True)
        until, address = int(time.time()) + VALID, xet.address()
        told = {"casUrl": address, "exp": until, "accessToken": "local"}
        headers = {
            "X-Xet-Cas-Url": address, "X-Xet-Access-Token": "local",
            "X-Xet-Token-Expiration": str(until),
        }  # fmt: skip
        self.send_json(told, headers=headers)

    def xet_headers(self, kind: str, name: str, commit: str, entry: Entry) -> dict[str, str]:
        """Return what tells a client that it may read a file by Xet."""
        xet = self.settings.xet
        found = xet.files().get(entry.sha256) if xet and entry.sha256 else None
        if found is None:
            return {}
        route = f"{self.base}/api/{kind}/{name}/xet-read-token/{commit}"
        return {"X-Xet-Hash": found.key, "X-Xet-Refresh-Route": route}

    def take_from_xet(self, sha256: str) -> None:
        """Keep a large file that came by Xet as those are kept that came by LFS."""
        path = self.store.path(sha256)
        if self.settings.xet is not None and not path.is_file():
            self.settings.xet.fetch(sha256, path)
