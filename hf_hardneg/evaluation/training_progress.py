"""The progress of a training run, on the terminal's error stream."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from transformers import TrainerCallback

__all__ = ["Steps"]


class Steps:
    """A bar that moves with every step of a run; nothing where there is no terminal.

    Args:
        title: of the run.
        steps: of the run.
        console: where it is shown; default: the error stream.
    """

    def __init__(self, title: str, steps: int, console: Console | None = None) -> None:
        """Make the bar; it is shown from ``__enter__`` on."""
        screen = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=screen,
            transient=True,
            disable=not screen.is_terminal,
        )
        self._task = self._bar.add_task(title, total=steps)

    def __enter__(self) -> Steps:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the bar."""
        self._bar.stop()

    def callback(self) -> TrainerCallback:
        """Return what a trainer calls after each step."""
        from transformers import TrainerCallback

        bar, task = self._bar, self._task

        class Moving(TrainerCallback):
            """Moves the bar."""

            def on_step_end(self, *arguments: Any, **values: Any) -> None:  # noqa: ANN401
                """Move by one."""
                bar.advance(task)

        return Moving()
