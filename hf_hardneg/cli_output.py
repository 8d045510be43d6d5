"""What all commands do alike: where they print, and how they fail."""

from __future__ import annotations

import ast
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from hf_hardneg.cli_options import Display
from hf_hardneg.errors import HardNegError, ParameterError

__all__ = ["GOES_ON", "NOT_RESUMABLE", "RESUMABLE", "clear_errors", "console", "print_json",
           "program", "settings_of"]  # fmt: skip

INTERRUPTED = 130
RESUMABLE = "interrupted; the same command with --resume goes on from the finished parts."
GOES_ON = "interrupted; the same command goes on from the finished parts."
NOT_RESUMABLE = "interrupted; nothing was written."


def console(*, stderr: bool = False) -> Console:
    """Return a console that shows names and texts as they are, never as markup."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def program() -> str:
    """Return how this program was called, for commands that a person can copy."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return "python -m hf_hardneg"
    if called.name != "hf-hardneg" or shutil.which(called.name) == str(called.absolute()):
        return "hf-hardneg"
    return str(called)


@contextmanager
def clear_errors(display: Display, interrupted: str) -> Iterator[None]:
    """Turn our errors into one message and exit status 1, an interruption into 130.

    The message is for people and goes to stderr. With ``--format json`` stdout has it too, so
    that there is one JSON document on stdout whatever happens.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if _is_interruption(error):
            console(stderr=True).print(f"\n{interrupted}", soft_wrap=True)
            raise typer.Exit(INTERRUPTED) from error
        if not isinstance(error, HardNegError | OSError) or isinstance(error, BrokenPipeError):
            raise
        if display is Display.json:
            failure = {"error": type(error).__name__, "message": str(error)}
            sys.stdout.write(json.dumps(failure) + "\n")
        console(stderr=True).print(f"error: {error}", style="red", soft_wrap=True)
        raise typer.Exit(1) from error


def _is_interruption(error: BaseException | None) -> bool:
    """Return whether Ctrl-C is behind an error: stopping workers may fail in its turn."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def settings_of(pairs: list[str]) -> dict[str, Any]:
    """Read ``name=value`` settings; a value that is no Python literal is a text."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name.isidentifier():
            raise ParameterError(f"--set {pair!r}: expected name=value, for example threshold=0.2.")
        try:
            settings[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            settings[name] = text
    return settings


def print_json(values: Any) -> None:  # noqa: ANN401
    """Write one JSON document to stdout; it never holds NaN or Infinity."""
    sys.stdout.write(json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
