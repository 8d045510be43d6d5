"""Who an access token belongs to, as the Hub says."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict

from hf_hardneg.errors import HubError
from hf_hardneg.hub.access import find_token
from hf_hardneg.hub.failures import explained
from hf_hardneg.hub.retries import Retries, status_of

__all__ = ["caller_of"]

KNOWN_FOR = 300.0
MOST = 1_000
TRIES = 3


class _Known:
    """Names that the Hub gave lately, by a hash of the token."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> str | None:
        with self._lock:
            until, name = self._names.get(key, (0.0, ""))
            return name if until > time.monotonic() else None

    def put(self, key: str, name: str) -> None:
        with self._lock:
            self._names[key] = time.monotonic() + KNOWN_FOR, name
            self._names.move_to_end(key)
            while len(self._names) > MOST:
                self._names.popitem(last=False)


_known = _Known()


def caller_of(token: str, *, endpoint: str | None = None) -> str:
    """Return the name of the account that an access token belongs to.

    The Hub is asked, so a name that a caller only claims is worth nothing. It bears few of these
    questions, so an answer stands for five minutes: a token that is taken back meanwhile is known
    for as long. Tokens are not kept, only their hashes.

    Args:
        token: of the caller; it is never taken from this machine.
        endpoint: address of the Hub. Default: that of ``huggingface_hub`` (``HF_ENDPOINT``).

    Raises:
        HubError: there is no token, the Hub does not know it, or it cannot be reached. The message
            does not have the token.
    """
    found = find_token(token)
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint, token=found, library_name="hf-hardneg")
    key = hashlib.sha256(f"{api.endpoint} {found}".encode()).hexdigest()
    name = _known.get(key)
    if name is not None:
        return name
    try:
        told = Retries(tries=TRIES).run("asking whose token it is", api.whoami)
    except Exception as error:
        if status_of(error) in (401, 403):
            raise HubError(
                "The Hub does not know this access token. Sign in anew, or make another token in "
                "the settings of your account."
            ) from None
        clear = explained(error, "the Hub", found)
        if clear is None:
            raise
        raise clear from None
    name = str(told["name"])
    _known.put(key, name)
    return name
