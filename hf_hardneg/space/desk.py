"""Who is calling, and the book of labels that is theirs."""

from __future__ import annotations

import ipaddress
import threading
from dataclasses import dataclass

import gradio as gr

from hf_hardneg.errors import HubError
from hf_hardneg.inspection.label_book import LabelBook
from hf_hardneg.space.settings import SpaceSettings
from hf_hardneg.space.shelf import Opened

__all__ = ["Caller", "Desk", "caller_of_request"]


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
        name = _by_token(request)
        why = "" if name else "Sign in with your Hugging Face account to label."
        return Caller(name, why)
    if request is None or _is_here(request):
        return Caller(settings.annotator)
    return Caller(
        "",
        "Labels are taken from the machine that this app runs on alone. Run hf-hardneg inspect on "
        "yours.",
    )


def _by_token(request: gr.Request | None) -> str:
    """Return the Hub account of a client that sent a token, asked from the Hub."""
    from hf_hardneg.hub.caller import caller_of

    headers = {} if request is None else dict(request.headers)
    sent = headers.get("x-hf-authorization") or headers.get("authorization") or ""
    scheme, _, token = str(sent).partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return ""
    try:
        return caller_of(token.strip())
    except HubError:
        return ""


def _is_here(request: gr.Request) -> bool:
    host = request.client.host if request.client else ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Desk:
    """Gives each caller the book of labels of a set.

    Args:
        settings: where labels lie.
    """

    def __init__(self, settings: SpaceSettings) -> None:
        """Begin without any book."""
        self.settings = settings
        self._books: dict[tuple[str, str], LabelBook] = {}
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
                )
            return self._books[key]
