"""Work that goes on while a set is looked at: one thread, step after step."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hf_hardneg.errors import HardNegError

__all__ = ["Background", "Progress", "Step"]

logger = logging.getLogger(__name__)
Stopped = Callable[[], bool]


class Step(Protocol):
    """A part of the work, which goes through the rows once.

    Attributes:
        name: what it finds out.
        done: rows that it has been through, from the first on.
        of: rows.
    """

    name: str

    @property
    def done(self) -> int:
        """Rows that it has been through."""
        ...

    @property
    def of(self) -> int:
        """Rows."""
        ...

    def run(self, stopped: Stopped) -> None:
        """Go through the rows that are left; return early when ``stopped()``."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a step is.

    Attributes:
        name: what it finds out.
        looked_at: rows that it has been through.
        of: rows.
        failed: why it ended early; empty as long as it has not.
    """

    name: str
    looked_at: int
    of: int
    failed: str = ""

    @property
    def complete(self) -> bool:
        """Whether it has been through all rows."""
        return self.looked_at >= self.of

    def __str__(self) -> str:
        """Return it in words."""
        return f"looked at {self.looked_at:,} of {self.of:,} rows"


class Background:
    """Runs steps one after the other in a thread of its own.

    A step that fails is told of, and does not keep the next from being run.

    Args:
        steps: in the order in which they are run.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        """Begin with nothing."""
        self._steps = tuple(steps)
        self._failed: dict[str, str] = {}
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, or go on after :meth:`stop`; nothing if it runs or has ended."""
        with self._lock:
            running = self._thread is not None and self._thread.is_alive()
            if running or self.complete:
                return
            self._stop.clear()
            self._ended.clear()
            self._thread = threading.Thread(target=self._run, name="inspection", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End after the rows that are being looked at, and wait for that."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended, or so many seconds; return whether it has ended.

        What has not been started is not waited for.
        """
        if self._thread is None:
            return self.complete
        return self._ended.wait(timeout)

    @property
    def complete(self) -> bool:
        """Whether every step has been through all rows."""
        return all(step.done >= step.of for step in self._steps)

    def progress(self) -> tuple[Progress, ...]:
        """Return how far each step is."""
        return tuple(
            Progress(step.name, step.done, step.of, self._failed.get(step.name, ""))
            for step in self._steps
        )

    def _run(self) -> None:
        try:
            for step in self._steps:
                if self._stop.is_set():
                    return
                try:
                    step.run(self._stop.is_set)
                except HardNegError as error:
                    self._failed[step.name] = str(error)
                except Exception as error:
                    logger.exception("the step %s failed", step.name)
                    self._failed[step.name] = f"{type(error).__name__}: {error}"
        finally:
            self._ended.set()
