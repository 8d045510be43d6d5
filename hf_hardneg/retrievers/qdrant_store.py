"""A collection of a Qdrant server, or of a folder of Qdrant's local engine."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.errors import CorpusError, MissingExtraError, listing
from hf_hardneg.stores import Found, Patience, Trouble, document_of, is_number, is_remote

__all__ = ["QdrantStore"]

KEY_VARIABLE = "QDRANT_API_KEY"
PAGE = 1024
SIMILARITIES = {"Cosine": "cosine", "Dot": "dot", "Euclid": "euclidean"}
REFUSED = (401, 403)
TOO_MANY = 429
SERVER_FAILS = 500
STRANGE = "the answer is not one of Qdrant; is it another server?"

_local_clients: WeakValueDictionary[tuple[str, int], Any] = WeakValueDictionary()
"""Open folders of this process: Qdrant lets a folder be opened once."""


@atexit.register
def _close_folders() -> None:
    """Close what this process has open; left to the end of the interpreter, that would fail."""
    for (_, process), client in list(_local_clients.items()):
        if process == os.getpid():
            client.close()


@lru_cache(maxsize=1)
def _package() -> Any:  # noqa: ANN401
    try:
        import qdrant_client
    except ImportError as error:
        raise MissingExtraError("qdrant-client", "qdrant", "The retriever 'qdrant'") from error
    return qdrant_client


def _trouble(error: Exception) -> Trouble:
    """Say what an exception of the client means."""
    from httpx import TransportError
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

    if isinstance(error, ResponseHandlingException):
        source = error.source
        if isinstance(source, TransportError):
            return Trouble(f"{type(source).__name__}: {source}", True)
        return Trouble(STRANGE, False)
    if isinstance(error, AssertionError):  # the client found no result in the answer
        return Trouble(STRANGE, False)
    if not isinstance(error, UnexpectedResponse):
        return Trouble(f"{type(error).__name__}: {error}", False)
    status = error.status_code or 0
    if status in REFUSED:
        given = "the one that is set" if os.environ.get(KEY_VARIABLE) else "none is set"
        return Trouble(
            f"access is refused (HTTP {status}). The key comes from the environment variable "
            f"{KEY_VARIABLE}: {given}.",
            False,
        )
    content = error.content.decode("utf-8", "replace")
    reason = f"HTTP {status} {error.reason_phrase}: {content}"
    return Trouble(reason, status == TOO_MANY or status >= SERVER_FAILS)


def _local(folder: str, title: str) -> Any:  # noqa: ANN401
    """Return the client of a folder, the same one for all of this process.

    Raises:
        CorpusError: there is no such folder, or another process has it open.
    """
    path = Path(folder).expanduser().absolute()
    if not (path / "meta.json").is_file():
        raise CorpusError(
            f"{title}: there is no such folder of Qdrant's local engine; expected a folder with "
            "a meta.json, or an address such as http://localhost:6333."
        )
    client = _local_clients.get((str(path), os.getpid()))
    if client is None or client._client.closed:
        try:
            client = _package().QdrantClient(path=str(path))
        except RuntimeError:
            raise CorpusError(
                f"{title}: the folder is open elsewhere, and Qdrant's local engine lets one client "
                "open it. Close the other one, use num_proc=None, or run a Qdrant server."
            ) from None
        _local_clients[str(path), os.getpid()] = client
    return client


class QdrantStore:
    """A collection, opened.

    Args:
        url: an address, or a folder.
        collection: its name.
        vector_name: which vector of each point; ``None`` where they have one without a name.
        text_field: field of the payload with the text.
        id_field: field of the payload with the document's id; ``None`` for the point's id.
        timeout: seconds to wait for an answer.
        retries: how often to ask again.

    Attributes:
        title: what it is and where, for messages.
        dimension: of the vectors.
        similarity: ``cosine``, ``dot`` or ``euclidean``.

    Raises:
        CorpusError: the collection is not there, its server gives no answer, or it has no such
            vector.
        MissingExtraError: ``qdrant-client`` is not installed.
    """

    def __init__(
        self,
        url: str,
        collection: str,
        *,
        vector_name: str | None,
        text_field: str,
        id_field: str | None,
        timeout: float,
        retries: int,
    ) -> None:
        """Connect, and read what the collection is like."""
        self._models: Any = _package().models
        self._collection, self._vector = collection, vector_name
        self._text_field, self._id_field = text_field, id_field
        remote = is_remote("qdrant", url)
        where = f"the Qdrant server at {url!r}" if remote else f"the Qdrant folder {url!r}"
        self.title = f"the collection {collection!r} of {where}"
        key = os.environ.get(KEY_VARIABLE) or None
        self._ask = Patience(self.title, timeout, retries, _trouble, (key or "",))
        if remote:
            self._client = _package().QdrantClient(
                url=url, api_key=key, timeout=timeout, check_compatibility=False
            )
        else:
            self._client = _local(url, self.title)
        self.dimension, self.similarity = self._vector_kind()

    def _vector_kind(self) -> tuple[int, str]:
        """Return dimension and similarity of the vectors."""
        if not self._ask(lambda: self._client.collection_exists(self._collection)):
            there = self._ask(self._client.get_collections).collections
            raise CorpusError(
                f"{self.title} does not exist; there are: "
                f"{listing(sorted(repr(one.name) for one in there))}."
            )
        info = self._ask(lambda: self._client.get_collection(self._collection))
        vectors = info.config.params.vectors
        named = vectors if isinstance(vectors, dict) else {None: vectors}
        params = named.get(self._vector)
        if params is None:
            raise CorpusError(
                f"{self.title} has no vector named {self._vector!r}; its vectors are: "
                f"{listing(sorted(map(repr, filter(None, named))))}. Choose with vector_name=..."
            )
        distance = str(params.distance.value)
        if distance not in SIMILARITIES or params.multivector_config is not None:
            kind = "several vectors a point" if distance in SIMILARITIES else distance
            raise CorpusError(
                f"{self.title} compares by {kind}; expected one vector a point, and one of "
                f"{listing(SIMILARITIES)}."
            )
        return int(params.size), SIMILARITIES[distance]

    def documents(self) -> Iterator[tuple[str, str]]:
        """Yield (id, text) of all points, in the order of their ids."""
        fields = [name for name in (self._text_field, self._id_field) if name is not None]
        offset: Any = None
        first = True
        while first or offset is not None:
            # The first page has all fields, so that a message can name them.
            points, offset = self._page(offset, True if first else fields)
            first = False
            for point in points:
                yield document_of(
                    point.payload or {}, point.id, self._text_field, self._id_field, self.title
                )

    def _page(self, offset: Any, payload: Any) -> Any:  # noqa: ANN401
        return self._ask(
            lambda: self._client.scroll(
                self._collection, limit=PAGE, offset=offset, with_payload=payload,
                with_vectors=False,
            )
        )  # fmt: skip

    def nearest(self, vectors: NDArray[np.float32], k: int) -> list[Found]:
        """Return (id, score) of the nearest points of each vector, best first."""
        requests = [
            self._models.QueryRequest(
                query=vector.tolist(),
                using=self._vector,
                limit=k,
                with_payload=False if self._id_field is None else [self._id_field],
            )
            for vector in vectors
        ]
        answers = self._ask(
            lambda: self._client.query_batch_points(self._collection, requests=requests)
        )
        sign = -1.0 if self.similarity == "euclidean" else 1.0
        return [
            [(self._id_of(point), sign * float(point.score)) for point in answer.points]
            for answer in answers
        ]

    def _id_of(self, point: Any) -> str:  # noqa: ANN401
        if self._id_field is None:
            return str(point.id)
        return str((point.payload or {}).get(self._id_field))

    def vectors(self, ids: Sequence[str]) -> dict[str, Sequence[float]]:
        """Return the vectors of those documents that are there."""
        vectors: Any = True if self._vector is None else [self._vector]
        if self._id_field is None:
            wanted = [known for name in ids if (known := _point_id(name)) is not None]
            points = self._ask(
                lambda: self._client.retrieve(
                    self._collection, wanted, with_payload=False, with_vectors=vectors
                )
            )
        else:
            points, _ = self._ask(
                lambda: self._client.scroll(
                    self._collection,
                    scroll_filter=self._having(ids),
                    limit=len(ids) + 1,
                    with_payload=[self._id_field],
                    with_vectors=vectors,
                )
            )
        return {
            self._id_of(point): point.vector if self._vector is None else point.vector[self._vector]
            for point in points
        }

    def _having(self, ids: Sequence[str]) -> Any:  # noqa: ANN401
        """Return the filter for points with one of some ids, which may be texts or numbers."""
        numbers = [int(name) for name in ids if is_number(name)]
        return self._models.Filter(
            should=[
                self._models.FieldCondition(
                    key=self._id_field, match=self._models.MatchAny(any=values)
                )
                for values in (list(ids), numbers)
                if values
            ]
        )


def _point_id(name: str) -> int | str | None:
    """Return a point's id from its text: a number or a UUID; ``None`` if it can be neither."""
    from uuid import UUID

    if name.isascii() and name.isdigit() and int(name) < 1 << 64:
        return int(name)
    try:
        return str(UUID(name))
    except ValueError:
        return None
