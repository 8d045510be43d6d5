"""Trying again: which failures pass by themselves, and how long to wait before the next try."""

from __future__ import annotations

import json
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from hf_hardneg.errors import HubError
from hf_hardneg.hub.xet import WITHOUT_XET, from_xet, xet_status

__all__ = ["TRIES", "Retries", "asked_wait", "chain", "default_wait", "status_of", "transient"]

TRIES = 10
LONGEST_WAIT = 60.0
LONGEST_ASKED = 600.0
PASSING = frozenset({408, 409, 412, 425, 429})
"""Statuses below 500 that pass: a time-out, two kinds of conflict, too early, too many requests."""
_RATE_LIMIT = re.compile(r"r\s*=\s*0\s*;\s*t\s*=\s*(\d+)")

T = TypeVar("T")


def default_wait(failures: int) -> float:
    """Return seconds to wait after so many failures: a random share of 2, 4, 8, ... up to 60.

    The share differs from process to process, so that several that met in a conflict do not meet
    again at the next try.
    """
    return random.SystemRandom().uniform(0.5, 1.0) * min(LONGEST_WAIT, 2.0**failures)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those behind it: an upload in a thread is told of by another error."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _response(error: BaseException) -> Any:  # noqa: ANN401
    return getattr(error, "response", None)


def _status(error: BaseException) -> int | None:
    status = getattr(_response(error), "status_code", None)
    return status if isinstance(status, int) else xet_status(error)


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that an error, or one behind it, was raised for."""
    return next((found for one in chain(error) if (found := _status(one)) is not None), None)


def _transport_errors() -> tuple[type[BaseException], ...]:
    """Return the errors of the HTTP library that this version of ``huggingface_hub`` works with.

    It has been requests, then httpx, then httpx2; its own HTTP error derives from theirs.
    """
    from huggingface_hub.errors import HfHubHTTPError

    library = sys.modules[HfHubHTTPError.__mro__[1].__module__.partition(".")[0]]
    names = ("TransportError", "ConnectionError", "Timeout")
    found = [getattr(library, name, None) for name in names]
    return tuple(one for one in found if isinstance(one, type))


def transient(error: BaseException) -> bool:
    """Return whether the same request may succeed later.

    True for statuses 408, 409, 412, 425, 429 and from 500 on, for time-outs, for dropped
    connections, and for an answer that should be JSON and is not (as gateways give).
    """
    from huggingface_hub.errors import OfflineModeIsEnabled

    passing = (ConnectionError, TimeoutError, json.JSONDecodeError, *_transport_errors())
    for one in chain(error):
        if isinstance(one, HubError | OfflineModeIsEnabled):
            return False
        status = _status(one)
        if status is not None:
            return status in PASSING or status >= 500
        if isinstance(one, passing):
            return True
    return False


def asked_wait(error: BaseException, now: datetime | None = None) -> float:
    """Return the seconds that the server asks to wait: ``Retry-After``, or its rate limit's end.

    ``Retry-After`` is a number of seconds or a date (RFC 9110, section 10.2.3). 0 where neither
    is given.
    """
    headers: Any = next((r.headers for r in map(_response, chain(error)) if r is not None), {})
    given = str(headers.get("retry-after") or "").strip()
    if given.isdigit():
        return float(given)
    if given:
        try:
            until = parsedate_to_datetime(given)
        except ValueError:
            return 0.0
        until = until if until.tzinfo else until.replace(tzinfo=timezone.utc)
        return max(0.0, (until - (now or datetime.now(timezone.utc))).total_seconds())
    limit = _RATE_LIMIT.search(str(headers.get("ratelimit") or ""))
    return float(limit[1]) if limit and status_of(error) == 429 else 0.0


class Retries:
    """Runs steps again while they fail for a reason that passes; one budget for all of them.

    Args:
        waits: seconds to wait after the n-th failure, n from 1. Default: :func:`default_wait`. A
            longer wait that the server asks for is kept to.
        say: is told of each failure.
        tries: 1 + how many failures are borne in all.
    """

    def __init__(
        self,
        waits: Callable[[int], float] | None = None,
        say: Callable[[str], object] | None = None,
        tries: int = TRIES,
    ) -> None:
        """Start with no failure."""
        self.waits = waits or default_wait
        self.say = say or (lambda _: None)
        self.limit = tries
        self.failures = 0

    @property
    def tries(self) -> int:
        """How often something was tried: 1 where nothing failed."""
        return self.failures + 1

    def run(self, what: str, step: Callable[[], T]) -> T:
        """Return what ``step`` returns.

        Raises:
            HubError: the budget is used up, or the server asks to wait longer than ten minutes.
            Exception: of the step, where trying again would not help.
        """
        while True:
            try:
                return step()
            except Exception as error:
                if not transient(error):
                    raise
                seconds = self._next(what, error)
            time.sleep(seconds)

    def _next(self, what: str, error: Exception) -> float:
        """Count a failure, tell of it, and return how long to wait."""
        self.failures += 1
        status = status_of(error)
        reason = f"status {status}" if status else f"{type(error).__name__}: {error}"
        if self.failures >= self.limit:
            hint = f" {WITHOUT_XET}" if any(map(from_xet, chain(error))) else ""
            raise HubError(
                f"{what} failed, and {self.failures} tries are used up; the last: {reason}. What "
                "was there before is still there whole, or the new version is. Run the same "
                f"again: files that have arrived are not sent twice.{hint}"
            ) from error
        asked = asked_wait(error)
        if asked > LONGEST_ASKED:
            raise HubError(
                f"{what} failed ({reason}), and the Hub asks to wait {asked:,.0f} seconds. Run the "
                "same again after that."
            ) from error
        seconds = max(asked, self.waits(self.failures))
        self.say(f"{what} failed ({reason}); try {self.tries} of {self.limit} in {seconds:.1f} s")
        return seconds
