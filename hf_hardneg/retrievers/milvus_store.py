"""A collection of a Milvus server, or of a Milvus Lite file."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.encoders import unit_vectors
from hf_hardneg.errors import CorpusError, MissingExtraError, listing
from hf_hardneg.stores import (
    Found,
    Patience,
    Trouble,
    document_of,
    is_number,
    is_remote,
)
from hf_hardneg.vector_search import pair_similarity

__all__ = ["MilvusStore"]

TOKEN_VARIABLE = "MILVUS_TOKEN"
PAGE = 1024
SIMILARITIES = {"COSINE": "cosine", "IP": "dot", "L2": "euclidean"}
LITE_SUFFIX = ".db"
LOGGERS = ("pymilvus", "milvus_lite")
PASSING = (2, 8)
"""Codes of Milvus: no connection, and too many requests."""

Value = TypeVar("Value")

_processes: set[int] = set()
"""The process that has asked a Milvus server; a forked one has its parent's number here."""


def _package() -> Any:  # noqa: ANN401
    try:
        import pymilvus
    except ImportError as error:
        raise MissingExtraError("pymilvus", "milvus", "The retriever 'milvus'") from error
    return pymilvus


def _refuse_fork() -> None:
    """Refuse a process forked from one that uses gRPC: there it waits for ever.

    Raises:
        CorpusError: this is such a process.
    """
    if _processes - {os.getpid()}:
        raise CorpusError(
            "the client of Milvus does not work in a worker process that was forked from one in "
            "which it was used. Retrieve with num_proc=None."
        )
    _processes.add(os.getpid())


def _not_lite(record: logging.LogRecord) -> bool:
    """Keep a stack out of the log: Milvus Lite lacks a method that is not needed."""
    return not (record.exc_info and isinstance(record.exc_info[1], NotImplementedError))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the client from writing the stacks of its exceptions; they are told by ours."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _trouble(error: Exception) -> Trouble:
    """Say what an exception of the client means."""
    import grpc

    if isinstance(error, grpc.RpcError | grpc.FutureTimeoutError):
        return Trouble(f"{type(error).__name__}: {error}", True)
    message = str(getattr(error, "message", "") or error)
    if "auth" in message.lower() or "permission" in message.lower():
        given = "the one that is set" if os.environ.get(TOKEN_VARIABLE) else "none is set"
        return Trouble(
            f"{message}. The token comes from the environment variable {TOKEN_VARIABLE}: {given}",
            False,
        )
    known = isinstance(error, _package().MilvusException)
    return Trouble(message, known and getattr(error, "code", None) in PASSING)


class MilvusStore:
    """A collection, opened.

    Args:
        url: an address, or the path of a Milvus Lite file.
        collection: its name.
        vector_name: which field with vectors; ``None`` where there is one.
        text_field: the field with the text.
        id_field: the field with the document's id; ``None`` for the primary key.
        timeout: seconds to wait for an answer.
        retries: how often to ask again.

    Attributes:
        title: what it is and where, for messages.
        dimension: of the vectors.
        similarity: ``cosine``, ``dot`` or ``euclidean``.

    Raises:
        CorpusError: the collection is not there, its server gives no answer, or it has no such
            field.
        MissingExtraError: ``pymilvus``, or ``milvus-lite`` for a file, is not installed.
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
        package = _package()
        _refuse_fork()
        self._collection, self._timeout = collection, timeout
        self._text_field = text_field
        remote = is_remote("milvus", url)
        where = f"the Milvus server at {url!r}" if remote else f"the Milvus Lite file {url!r}"
        self.title = f"the collection {collection!r} of {where}"
        token = os.environ.get(TOKEN_VARIABLE, "")
        self._patience = Patience(self.title, timeout, retries, _trouble, (token,))
        address = url if remote else _lite_file(url, self.title)
        self._client = self._ask(
            lambda: package.MilvusClient(uri=address, token=token, timeout=timeout)
        )
        self._fields, self._dynamic = self._schema()
        self._key = next(name for name, field in self._fields.items() if field.get("is_primary"))
        self._id_field = id_field or self._key
        for parameter, field in (("text_field", text_field), ("id_field", self._id_field)):
            self._need(field, parameter)
        self._vector, self.dimension = self._vector_field(vector_name)
        self.similarity = self._similarity()
        self._load()

    def _ask(self, ask: Callable[[], Value]) -> Value:
        with _quiet():
            return self._patience(ask)

    def _call(self, method: str, *given: object, **options: object) -> Any:  # noqa: ANN401
        """Call a method of the client for this collection."""
        call = getattr(self._client, method)
        return self._ask(lambda: call(self._collection, *given, timeout=self._timeout, **options))

    def _schema(self) -> tuple[dict[str, Any], bool]:
        """Return the fields by name, and whether records may have more than these."""
        if not self._call("has_collection"):
            there = self._ask(lambda: self._client.list_collections(timeout=self._timeout))
            raise CorpusError(
                f"{self.title} does not exist; there are: {listing(sorted(map(repr, there)))}."
            )
        found = self._call("describe_collection")
        fields = {field["name"]: field for field in found["fields"]}
        return fields, bool(found.get("enable_dynamic_field"))

    def _need(self, field: str, parameter: str) -> None:
        if field not in self._fields and not self._dynamic:
            raise CorpusError(
                f"{self.title} has no field {field!r}; its fields are: {listing(self._fields)}. "
                f"Name the right one with {parameter}=..."
            )

    def _vector_field(self, asked: str | None) -> tuple[str, int]:
        """Return name and dimension of the field with the vectors."""
        kind = _package().DataType.FLOAT_VECTOR
        found = {
            name: int(field["params"]["dim"])
            for name, field in self._fields.items()
            if field["type"] == kind
        }
        name = next(iter(found)) if asked is None and len(found) == 1 else asked
        if name not in found:
            raise CorpusError(
                f"{self.title}: vector_name={asked!r}; expected one of its fields of float "
                f"vectors: {listing(map(repr, found))}."
            )
        return name, found[name]

    def _similarity(self) -> str:
        """Return how the index on the vectors compares."""
        names = self._call("list_indexes", field_name=self._vector)
        about = [self._call("describe_index", name) for name in names]
        metrics = [str(one["metric_type"]) for one in about if one and "metric_type" in one]
        if not metrics or metrics[0] not in SIMILARITIES:
            raise CorpusError(
                f"{self.title} compares {self._vector!r} by {listing(metrics)}; expected an index "
                f"with one of {listing(SIMILARITIES)}."
            )
        return SIMILARITIES[metrics[0]]

    def _load(self) -> None:
        """Load the collection where it is not; a file has nobody else to do it."""
        state = self._call("get_load_state").get("state")
        if getattr(state, "name", state) != "Loaded":
            self._call("load_collection")

    # -- documents ---------------------------------------------------------------------------

    def documents(self) -> Iterator[tuple[str, str]]:
        """Yield (id, text) of all records, in the order of their primary keys."""
        fields = list(dict.fromkeys([self._key, self._id_field, self._text_field]))
        pages = self._call("query_iterator", batch_size=PAGE, output_fields=fields)
        try:
            while page := self._ask(pages.next):
                for record in page:
                    yield document_of(
                        record, record.get(self._key), self._text_field, self._id_field, self.title
                    )
        finally:
            pages.close()

    def nearest(self, vectors: NDArray[np.float32], k: int) -> list[Found]:
        """Return (id, score) of the nearest records of each vector, best first.

        Milvus compares a batch by matrix products, whose rounding depends on the batch; so what
        it finds comes with its vectors and is scored here.
        """
        answers = self._call(
            "search",
            data=vectors.tolist(),
            limit=k,
            anns_field=self._vector,
            output_fields=[self._id_field, self._vector],
        )
        return [self._scored(vector, hits) for vector, hits in zip(vectors, answers, strict=True)]

    def _scored(self, vector: NDArray[np.float32], hits: Any) -> Found:  # noqa: ANN401
        names = [str(self._value(hit, self._id_field)) for hit in hits]
        if not names:
            return []
        stored = np.array([hit["entity"][self._vector] for hit in hits], dtype=np.float32)
        scores = pair_similarity(
            np.ascontiguousarray(vector[None]),
            np.zeros(len(names), np.int64),
            unit_vectors(stored) if self.similarity == "cosine" else stored,
            np.arange(len(names)),
            self.similarity,
        )
        order = np.argsort(-scores, kind="stable")
        return [(names[place], float(scores[place])) for place in order]

    def _value(self, hit: Any, field: str) -> object:  # noqa: ANN401
        return hit[field] if field == self._key else hit["entity"].get(field)

    def vectors(self, ids: Sequence[str]) -> dict[str, Sequence[float]]:
        """Return the vectors of those documents that are there."""
        found: dict[str, Sequence[float]] = {}
        for values in self._literals(ids):
            condition = f"{self._id_field} in {json.dumps(values, ensure_ascii=False)}"
            records = self._call(
                "query", filter=condition, output_fields=[self._id_field, self._vector]
            )
            found.update({str(one[self._id_field]): one[self._vector] for one in records})
        return found

    def _literals(self, ids: Sequence[str]) -> list[list[Any]]:
        """Return ids as the field has them: as texts, as numbers, or either in a free field."""
        texts: list[Any] = list(ids)
        numbers: list[Any] = [int(name) for name in ids if is_number(name)]
        kinds = _package().DataType
        field = self._fields.get(self._id_field)
        if field is None:
            parts = [texts, numbers]
        else:
            parts = [texts if field["type"] == kinds.VARCHAR else numbers]
        return [part for part in parts if part]


def _lite_file(url: str, title: str) -> str:
    """Return the path of a Milvus Lite file, which must be there: the client would make one.

    Raises:
        CorpusError: there is no such file.
        MissingExtraError: ``milvus-lite`` is not installed.
    """
    path = Path(url).expanduser().absolute()
    if path.suffix != LITE_SUFFIX or not path.exists():
        raise CorpusError(
            f"{title}: there is no such file; expected the path of one that ends in "
            f"{LITE_SUFFIX!r}, or an address such as http://localhost:19530."
        )
    try:
        import milvus_lite  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("milvus-lite", "milvus", "A Milvus Lite file") from error
    logging.getLogger("grpc._server").addFilter(_not_lite)
    return str(path)
