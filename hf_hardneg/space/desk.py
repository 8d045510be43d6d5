"""Who is calling, and the book of labels that is theirs."""

from __future__ import annotations

import ipaddress
import threading
from dataclasses import dataclass
from tempfile import TemporaryDirectory

import gradio as gr

from hf_hardneg.errors import HubError
from hf_hardneg.hub.access import find_token
from hf_hardneg.hub.caller import caller_of
from hf_hardneg.hub.label_commits import LabelCommits
from hf_hardneg.inspection.label_book import LabelBook
from hf_hardneg.inspection.label_files import pattern_of
from hf_hardneg.space.settings import SpaceSettings
from hf_hardneg.space.shelf import Opened

__all__ = ["Caller", "Desk", "caller_of_request", "is_loopback"]

SIGN_IN = "Sign in with your Hugging Face account to label."


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever asks.

    Attributes:
        name: on their labels; empty for somebody who may look and not label.
        why_not: what somebody without a name must do to label.
    """

    name: str
    why_not: str = ""


def caller_of_request(
    settings: SpaceSettings,
    request: gr.Request | None,
    profile: gr.OAuthProfile | None = None,
) -> Caller:
    """Return who is calling, by what the server knows and not by what the caller says.

    Args:
        settings: of the app.
        request: of the call.
        profile: of whoever is signed in with their Hub account.
    """
    if profile is not None:
        return Caller(profile.username)
    if not settings.local:
        return _by_token(request)
    if request is None or is_loopback(request.client.host if request.client else ""):
        return Caller(settings.annotator)
    return Caller(
        "",
        "Labels are taken from the machine that this app runs on alone. Run hf-hardneg inspect on "
        "yours.",
    )


def _by_token(request: gr.Request | None) -> Caller:
    """Return the Hub account of a client that sent a token, asked from the Hub."""
    headers = {} if request is None else dict(request.headers)
    sent = headers.get("x-hf-authorization") or headers.get("authorization") or ""
    scheme, _, token = str(sent).partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return Caller("", SIGN_IN)
    try:
        return Caller(caller_of(token.strip()))
    except HubError as error:
        return Caller("", f"{SIGN_IN} {error}")


def is_loopback(host: str) -> bool:
    """Return whether an address is one that only this machine can use."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Desk:
    """Gives each caller the book of labels of a set.

    Args:
        settings: where labels lie.

    Attributes:
        scratch: folder of files that were exported, gone when the app ends.
    """

    def __init__(self, settings: SpaceSettings) -> None:
        """Begin without any book."""
        self.scratch = TemporaryDirectory(prefix="hf-hardneg-labels-")
        self.settings = settings
        self._books: dict[tuple[str, str], LabelBook] = {}
        self._commits: dict[str, LabelCommits] = {}
        self._lock = threading.Lock()

    def book(self, caller: Caller, opened: Opened) -> LabelBook:
        """Return the caller's book of a set."""
        with self._lock:
            key = caller.name, opened.identity
            if key not in self._books:
                self._books[key] = LabelBook(
                    self.settings.labels,
                    caller.name,
                    identity=opened.identity,
                    set_name=opened.inspected.name,
                    lock=self._commits[caller.name].lock if caller.name in self._commits else None,
                )
            return self._books[key]

    def keep(self, caller: Caller, repository: str, token: str | None) -> LabelCommits:
        """Commit the caller's labels to a data set repository of theirs from now on.

        Args:
            caller: who labels.
            repository: ``namespace/name``; created, private, where it is not there.
            token: of the caller; ``None`` for the one of this machine, which an app for everybody
                must never take.

        Raises:
            HubError: it cannot be written there.
        """
        if token is None and not self.settings.local:
            raise HubError("Sign in with your Hugging Face account to keep labels on the Hub.")
        with self._lock:
            before = self._commits.get(caller.name)
        if before is not None and before.repository == repository:
            before.push()
            return before
        made = LabelCommits(
            repository,
            self.settings.labels,
            find_token(token),
            pattern=pattern_of(caller.name),
        )
        with self._lock:
            self._commits[caller.name] = made
            # Books take the lock of the commits with them: they are opened anew.
            for key in [key for key in self._books if key[0] == caller.name]:
                del self._books[key]
        if before is not None:
            before.stop()
        return made

    def kept(self, caller: Caller) -> LabelCommits | None:
        """Return what commits the caller's labels; ``None`` where they stay here."""
        with self._lock:
            return self._commits.get(caller.name)

    def close(self) -> None:
        """Commit what is left."""
        with self._lock:
            commits = list(self._commits.values())
        for one in commits:
            one.stop()
