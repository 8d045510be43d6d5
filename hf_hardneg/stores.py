"""What stores of vectors have in common: patience with a server, and what a record must hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.errors import CorpusError, ParameterError, listing

__all__ = [
    "Collection",
    "Found",
    "Patience",
    "Trouble",
    "VectorStore",
    "document_of",
    "is_number",
    "is_remote",
]

FIRST_PAUSE = 0.25
REASON_LENGTH = 300

Value = TypeVar("Value")
Found = list[tuple[str, float]]


class Trouble(NamedTuple):
    """Why a store gave no answer, and whether it may give one when it is asked again."""

    reason: str
    passing: bool


@dataclass(frozen=True)
class Patience:
    """Asks a store, and asks again while there is time.

    Attributes:
        title: what is asked, for messages.
        timeout: seconds; no attempt is begun later than that.
        retries: how often to ask again.
        trouble: says what an exception of the client means.
        secrets: texts that no message may show.
    """

    title: str
    timeout: float
    retries: int
    trouble: Callable[[Exception], Trouble]
    secrets: tuple[str, ...] = ()

    def __call__(self, ask: Callable[[], Value]) -> Value:
        """Return what ``ask`` returns.

        Raises:
            CorpusError: it gave no answer. Nothing of the client's own exception is shown but
                its reason.
        """
        started = time.monotonic()
        attempt = 0
        while True:
            attempt += 1
            try:
                return ask()
            except CorpusError:
                raise
            except Exception as error:  # each client has failures of its own
                found = self.trouble(error)
            waited, pause = time.monotonic() - started, FIRST_PAUSE * 2 ** (attempt - 1)
            if not found.passing:
                raise CorpusError(f"{self.title}: {self._shown(found.reason)}") from None
            if attempt > self.retries or waited + pause >= self.timeout:
                break
            time.sleep(pause)
        raise CorpusError(
            f"{self.title} gave no answer: asked {attempt} times in {waited:.1f} seconds "
            f"(timeout={self.timeout:g}, retries={self.retries}); the last time: "
            f"{self._shown(found.reason)}. Check the address and that the server runs and can be "
            "reached from here, or give it more time with timeout=... and retries=..."
        ) from None

    def _shown(self, reason: str) -> str:
        for secret in filter(None, self.secrets):
            reason = reason.replace(secret, "***")
        first = " ".join(reason.split())
        return first if len(first) <= REASON_LENGTH else first[:REASON_LENGTH] + "..."


class Collection(Protocol):
    """A collection of documents."""

    @property
    def title(self) -> str:
        """What it is and where, for messages."""
        ...

    def documents(self) -> Iterator[tuple[str, str]]:
        """Yield (id, text) of all documents, in the order of the store."""
        ...


class VectorStore(Collection, Protocol):
    """A collection of documents with vectors."""

    @property
    def dimension(self) -> int:
        """Dimension of the vectors."""
        ...

    @property
    def similarity(self) -> str:
        """``cosine``, ``dot`` or ``euclidean``."""
        ...

    def nearest(self, vectors: NDArray[np.float32], k: int) -> list[Found]:
        """Return (id, score) of the nearest documents of each vector, best first.

        A score is higher for a closer document; under ``euclidean`` it is the negative distance.
        """
        ...

    def vectors(self, ids: Sequence[str]) -> dict[str, Sequence[float]]:
        """Return the vectors of those of some documents that are there."""
        ...


def is_remote(owner: str, url: object) -> bool:
    """Return whether ``url`` names a server; else it is a path here.

    Raises:
        ParameterError: it is no text, or holds what looks like a secret.
    """
    if not isinstance(url, str) or not url:
        raise ParameterError(f"{owner}: url={url!r}; expected an address or a path.")
    if "://" not in url:
        return False
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ParameterError(
            f"{owner}: the url holds a user name, a password or a query, which would be written "
            "into recipes and messages. Give the address alone; a key comes from the environment."
        )
    return True


def is_number(name: str) -> bool:
    """Return whether an id may stand for a whole number of 64 bits in a store."""
    digits = name.removeprefix("-")
    return digits.isascii() and digits.isdigit() and -(1 << 63) <= int(name) < 1 << 63


def document_of(
    values: dict[str, Any], identity: object, text_field: str, id_field: str | None, title: str
) -> tuple[str, str]:
    """Return (id, text) of one record of a store.

    Args:
        values: its fields.
        identity: what the store calls it.
        text_field: the field with the text.
        id_field: the field with the id; ``None`` for ``identity``.
        title: of the store.

    Raises:
        CorpusError: a field is missing, or not of the type it has to be.
    """
    text = values.get(text_field)
    own = identity if id_field is None else values.get(id_field)
    if not isinstance(text, str):
        raise _unusable(values, identity, "text_field", text_field, title)
    if isinstance(own, bool) or not isinstance(own, str | int) or own == "":
        raise _unusable(values, identity, "id_field", str(id_field), title)
    return str(own), text


def _unusable(
    values: dict[str, Any], identity: object, parameter: str, field: str, title: str
) -> CorpusError:
    kind = f"{values[field]!r:.40} as" if values.get(field) is not None else "no"
    return CorpusError(
        f"{title}: the record {identity!r} has {kind} {field!r}; its fields are: "
        f"{listing(sorted(values))}. Name the right one with {parameter}=..."
    )
