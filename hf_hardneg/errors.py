"""One tree of exceptions. Each message says what was given, what was expected, and what to do.

Every error the library raises on purpose derives from :class:`HardNegError`, so a caller can
catch all of them at once. Where Python has a built-in type with the same meaning
(``ValueError``, ``ImportError``, ...), ours derives from it too.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "ColumnError",
    "CorpusError",
    "CostError",
    "EngineError",
    "FormatError",
    "HardNegError",
    "HubError",
    "MissingExtraError",
    "ModelError",
    "OutputError",
    "ParameterError",
    "PoolError",
    "PositivesWarning",
    "QueryError",
    "RecipeError",
    "StrategyError",
    "UnderfilledError",
    "did_you_mean",
    "listing",
]


class HardNegError(Exception):
    """Base of every error that this library raises on purpose."""


class ColumnError(HardNegError, ValueError):
    """A column is missing, misspelt, ambiguous, or of a type that cannot be used."""


class CorpusError(HardNegError, ValueError):
    """The documents cannot be used: empty, duplicate ids, a text that is not text, ..."""


class CostError(HardNegError, RuntimeError):
    """A job would take more time, memory or disk than it may."""


class QueryError(HardNegError, ValueError):
    """A row of the query data cannot be used: no query, no positive, an unknown positive id."""


class FormatError(HardNegError, ValueError):
    """A file is not in the format that it should be in. Names the file and the line."""


class StrategyError(HardNegError, ValueError):
    """A strategy string or a list of stages that makes no sense."""


class ParameterError(HardNegError, ValueError):
    """A parameter is unknown, out of range, or claimed by two stages."""


class PoolError(HardNegError, ValueError):
    """A pool of candidates lacks something, or belongs to another corpus."""


class UnderfilledError(HardNegError, ValueError):
    """Rows have fewer negatives than asked for, and the policy is ``underfilled="error"``."""


class ModelError(HardNegError, ValueError):
    """A model cannot be found, opened, or sent to another process."""


class EngineError(HardNegError, RuntimeError):
    """A program that a stage works with, such as Java, is not there, or has ended."""


class OutputError(HardNegError, OSError):
    """The output cannot be written: the folder is not empty, the disk is full, ..."""


class RecipeError(HardNegError, ValueError):
    """A recipe that cannot be run: names the file and the line, or the key that was set."""


class HubError(HardNegError, RuntimeError):
    """A set cannot be published: no token, no rights, a card that is not ours, no answer, ..."""


class MissingExtraError(HardNegError, ImportError):
    """An optional package is needed. Names the extra that brings it.

    Args:
        package: name of the package that could not be imported.
        extra: name of the extra of ``hf-hardneg`` that installs it.
        purpose: what needs it, for example ``"BM25 with a stemmer"``.
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        """Build the message from the three names."""
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed. "
            f'Install it with: pip install "hf-hardneg[{extra}]"'
        )
        self._given = (package, extra, purpose)

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str]]:
        """Make it anew from the names: a worker process sends its error to the one that waits."""
        return type(self), self._given


class PositivesWarning(UserWarning):
    """The miner sees one batch at a time and does not know the positives of other rows."""


def listing(names: Iterable[object], limit: int = 12) -> str:
    """Return ``names`` as a readable, bounded list for an error message."""
    items = [str(name) for name in names]
    shown = ", ".join(items[:limit])
    rest = len(items) - limit
    return f"{shown}, and {rest} more" if rest > 0 else (shown or "none")


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest of ``choices``, or an empty string."""
    matches = get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f" Did you mean {matches[0]!r}?" if matches else ""
