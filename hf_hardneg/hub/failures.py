"""Errors of the Hub's client as ours: what was refused, and what to do. The token is in none."""

from __future__ import annotations

from hf_hardneg.errors import HubError
from hf_hardneg.hub.retries import chain, status_of
from hf_hardneg.hub.xet import WITHOUT_XET, from_xet

__all__ = ["explained"]


def explained(error: Exception, repository: str, token: str) -> HubError | None:
    """Return an error of ours for what the Hub's client raised, without the token.

    What was raised for an answer is not kept behind it: it has the request, and that its headers,
    and servers may say back what they were sent.

    Args:
        error: what was raised.
        repository: ``namespace/name``.
        token: the access token, which is taken out of the message.

    Returns:
        None for an error that the Hub has nothing to do with.
    """
    message = str(error) if isinstance(error, HubError) else _message(repository, error)
    if message is None:
        return None
    found = HubError(message.replace(token, "[token]"))
    if not isinstance(error, HubError) and status_of(error) is None:
        found.__cause__ = error
    return found


def _message(repository: str, error: Exception) -> str | None:
    """Return what to tell; None for an error that the Hub has nothing to do with."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    told = " ".join(str(error).split())
    status = status_of(error)
    if isinstance(error, OfflineModeIsEnabled):
        return "Publishing needs the network, and HF_HUB_OFFLINE is set. Unset it."
    if isinstance(error, GatedRepoError):
        return (
            f"{repository!r} is gated, and this account has not been let in. Ask for access on its "
            "page."
        )
    if isinstance(error, RevisionNotFoundError):
        return f"{repository!r} has no such revision. The Hub said: {told}"
    if any(map(from_xet, chain(error))):
        return f"Sending large files of {repository!r} failed: {told}. {WITHOUT_XET}"
    if status == 401:
        return f"The Hub does not know this access token. Log in anew. It said: {told}"
    if status == 403:
        return f"This access token may not write to {repository!r}. The Hub said: {told}"
    if isinstance(error, RepositoryNotFoundError):
        return f"There is no data set {repository!r} that this access token sees: {told}"
    if status is not None or isinstance(error, HfHubHTTPError):
        return f"The Hub refused {repository!r}: {told}"
    # How uploads fail: large files in threads; and a card that the Hub refuses.
    if isinstance(error, ValueError | RuntimeError | OSError):
        causes = (" ".join(f"{type(one).__name__}: {one}".split()) for one in chain(error))
        return f"Publishing {repository!r} failed: {'; because of '.join(causes)}"
    return None
