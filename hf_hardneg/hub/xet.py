"""Xet, by which the Hub's client sends large files: its errors, which are Python's own classes."""

from __future__ import annotations

import re
from traceback import walk_tb

__all__ = ["WITHOUT_XET", "from_xet", "xet_status"]

WITHOUT_XET = (
    "Large files go to the Hub by Xet; to send them without it, set HF_HUB_DISABLE_XET=1 and run "
    "the same again."
)
_STATUS = re.compile(r"\bHTTP status (?:client|server) error \((\d{3})\b")


def from_xet(error: BaseException) -> bool:
    """Return whether an error came out of an upload by Xet.

    ``hf_xet`` is compiled: it raises ConnectionError, OSError, RuntimeError and the like, and has
    no place in the traceback. The last place there is the client's function that called it.
    """
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    places = ((frame.f_globals.get("__name__", ""), frame.f_code.co_name) for frame in frames)
    return any(
        module.partition(".")[0] == "huggingface_hub" and "upload_xet" in name
        for module, name in places
    )


def xet_status(error: BaseException) -> int | None:
    """Return the HTTP status that ``hf_xet`` failed for, which only its message has, or None.

    It raises a ConnectionError for a refusal (403, 404, 413) as it does for a dropped connection.
    """
    found = _STATUS.search(str(error))
    return int(found[1]) if found and from_xet(error) else None
