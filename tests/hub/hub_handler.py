"""How the Hub on loopback reads a request, fails on purpose, and answers."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from hub_store import HubFault, HubStore, Repo

if TYPE_CHECKING:
    from hub_oauth import Grant, OAuthProvider
    from hub_xet import XetStore

COMMIT = re.compile(r"/api/datasets/([^/]+/[^/]+)/commit/(.+)")


@dataclass(frozen=True)
class User:
    name: str
    role: str = "write"


USERS = {
    "hf_alice": User("alice"),
    "hf_bob": User("bob"),
    "hf_alice_read": User("alice", "read"),
}
ORGANISATIONS = {"acme": {"alice": "write"}, "readers": {"alice": "read"}}


@dataclass
class Fault:
    """What goes wrong, with requests of a method whose path matches, so many times.

    Attributes:
        status: answered instead of doing anything.
        drop: the connection is closed instead of doing anything.
        lost: it is done, and then the connection is closed, or ``status`` is answered.
        interleave: before it is done, a commit of somebody else lands.
        delay: seconds before anything.
        text: of the error.
    """

    path: str
    method: str | None = None
    times: int = 1
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    lost: bool = False
    interleave: bool = False
    delay: float = 0.0
    text: str = "injected"
    hits: int = 0


@dataclass
class Settings:
    """Of one server."""

    store: HubStore
    page_size: int = 1_000
    multipart_over: int = 64 << 20
    faults: list[Fault] = field(default_factory=list)
    log: list[tuple[str, str, int]] = field(default_factory=list)
    pending: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens_seen: set[str] = field(default_factory=set)
    xet: XetStore | None = None
    oauth: OAuthProvider | None = None


class HubHandler(BaseHTTPRequestHandler):
    """Plumbing; the routes are in ``hub_routes``."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # header and body in one packet: else each answer waits for an acknowledgement
    disable_nagle_algorithm = True
    settings: Settings
    muted = False

    def log_message(self, format: str, *values: object) -> None:
        """Say nothing."""

    def route(self) -> None:
        raise NotImplementedError

    def handle_request(self) -> None:
        address = urlsplit(self.path)
        self.url, self.asked = address.path, parse_qs(address.query, keep_blank_values=True)
        self.muted, self.status = False, 0
        self.content = self._body()
        fault = self._fault()
        try:
            if not self._spoiled(fault):
                self.muted = fault is not None and fault.lost
                self.route()
        except HubFault as error:
            self.fail(error)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        if fault is not None and fault.lost:
            self.muted = False
            if fault.status is None:
                self._hang_up()
            else:
                self.send_json({"error": "the answer was lost"}, fault.status)
        self.settings.log.append((self.command, self.path, self.status))

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_request

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _fault(self) -> Fault | None:
        with self.settings.store.lock:
            for fault in self.settings.faults:
                method = fault.method in (None, self.command)
                if fault.times > 0 and method and re.search(fault.path, self.path):
                    fault.times -= 1
                    fault.hits += 1
                    return fault
        return None

    def _spoiled(self, fault: Fault | None) -> bool:
        """Do what comes before the request; return whether that is all."""
        if fault is None:
            return False
        if fault.delay:
            threading.Event().wait(fault.delay)
        if fault.interleave and (found := COMMIT.fullmatch(self.url)):
            with self.settings.store.lock:
                repo = self.settings.store.repos["datasets", found[1]]
                self.settings.store.interleave(repo, self.ref(unquote(found[2])))
        if fault.lost:
            return False
        if fault.drop:
            self._hang_up()
        elif fault.status is not None:
            self.send_json({"error": fault.text}, fault.status, fault.headers)
        return fault.drop or fault.status is not None

    def _hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def ref(revision: str) -> str:
        return revision if revision.startswith("refs/") else f"refs/heads/{revision}"

    @property
    def base(self) -> str:
        return f"http://{self.headers['Host']}"

    @property
    def store(self) -> HubStore:
        return self.settings.store

    def json(self) -> Any:
        return json.loads(self.content or b"{}")

    def send(self, status: int, content: bytes, headers: dict[str, str], kind: str) -> None:
        self.status = status
        if self.muted:
            return
        self.send_response(status)
        length = {"Content-Length": str(len(content)), "Content-Type": kind}
        for name, value in (length | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_json(
        self, values: Any, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        self.send(status, json.dumps(values).encode(), headers or {}, "application/json")

    def send_file(self, path: Path, headers: dict[str, str]) -> None:
        """Send a file, or the range of it that is asked for, without holding it in memory."""
        size = path.stat().st_size
        first, last, status = 0, size - 1, 200
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last, status = int(found[1]), min(int(found[2] or last), last), 206
            headers = headers | {"Content-Range": f"bytes {first}-{last}/{size}"}
        length = {"Content-Length": str(last - first + 1), "Accept-Ranges": "bytes"}
        self.send(status, b"", headers | length, "application/octet-stream")
        if self.command == "HEAD" or self.muted:
            return
        with path.open("rb") as file:
            file.seek(first)
            left = last - first + 1
            while left > 0 and (block := file.read(min(1 << 20, left))):
                self.wfile.write(block)
                left -= len(block)

    def fail(self, error: HubFault) -> None:
        headers = {"X-Error-Message": error.text}
        if error.code:
            headers["X-Error-Code"] = error.code
        self.send_json({"error": error.text}, error.status, headers)

    def user(self, *, needed: bool = False) -> User | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if token:
            self.settings.tokens_seen.add(token)
        if grant := self.grant():
            return User(grant.who)
        if token and token not in USERS:
            raise HubFault(401, "Invalid credentials in Authorization header")
        if needed and not token:
            raise HubFault(401, "Invalid username or password.")
        return USERS.get(token)

    def grant(self) -> Grant | None:
        """Return what somebody who signed in has allowed the app whose token this is."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        return None if self.settings.oauth is None else self.settings.oauth.grant(token)

    def may_create(self) -> bool:
        grant, oauth = self.grant(), self.settings.oauth
        return grant is None or oauth is None or oauth.may_create(grant)

    def role_in(self, namespace: str) -> str | None:
        user = self.user()
        if user is None:
            return None
        role = "write" if user.name == namespace else (
            ORGANISATIONS.get(namespace, {}).get(user.name)
        )  # fmt: skip
        return "read" if role and user.role == "read" else role

    def repo(self, kind: str, name: str, *, write: bool = False, content: bool = False) -> Repo:
        user = self.user(needed=write)
        repo = self.store.repos.get((kind, name))
        role = self.role_in(name.partition("/")[0])
        if (grant := self.grant()) and self.settings.oauth is not None and role is not None:
            oauth = self.settings.oauth
            role = "write" if role == "write" and oauth.may_write(grant, kind, name) else (
                "read" if oauth.may_see(grant, kind, name) else None
            )  # fmt: skip
        if repo is None or (repo.private and role is None):
            raise HubFault(404 if user else 401, "Repository not found", "RepoNotFound")
        if content and repo.gated and role is None:
            raise HubFault(403, f"Access to {name} is restricted.", "GatedRepo")
        if write and role != "write":
            raise HubFault(403, "Forbidden: this token may not write here")
        return repo

    def writable(self, kind: str, name: str, ref: str) -> Repo:
        """Return a repository that may be written to: a pull request by its author too."""
        found = re.fullmatch(r"refs/pr/(\d+)", ref)
        if found is None:
            return self.repo(kind, name, write=True)
        repo, user = self.repo(kind, name), self.user(needed=True)
        authors = {one.number: one.author for one in repo.discussions}
        if user is None or user.role == "read" or authors.get(int(found[1])) != user.name:
            raise HubFault(403, "Forbidden: this pull request is not yours")
        return repo


def wait_until(true: Any, seconds: float = 10.0) -> None:
    """Wait for something in another thread."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)
