"""A collection of a Weaviate server."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.errors import CorpusError, listing
from hf_hardneg.retrievers.weaviate_store_protocol import (
    KEY_VARIABLE,
    Address,
    Rest,
    Search,
    messages,
    refuse_fork,
    trouble,
)
from hf_hardneg.stores import Found, Patience, document_of, is_number

__all__ = ["WeaviateStore"]

PAGE = 1000
PROBED = 100
"""Documents that are looked at for a vector, to know its dimension."""
WIDEST = 10_000
"""More than this a server refuses, unless it is set up otherwise."""
OLDEST = (1, 27)
NEWER_VECTORS = (1, 29)
"""From here on a vector says what kind it is."""
SIMILARITIES = {"cosine": "cosine", "dot": "dot", "l2-squared": "euclidean"}
TEXT_TYPES = ("text", "string")
ID_TYPES = (*TEXT_TYPES, "uuid", "int")


class WeaviateStore:
    """A collection, opened.

    Args:
        url: of the server's REST interface.
        collection: its name.
        grpc_host: of the gRPC interface; ``None`` for the host of ``url``.
        grpc_port: of the gRPC interface.
        vector_name: which of the named vectors; ``None`` for the one without a name, or the only
            one.
        text_field: the property with the text.
        id_field: the property with the document's id; ``None`` for the object's UUID.
        timeout: seconds to wait for an answer.
        retries: how often to ask again.
        top_k: how many documents will be asked for.

    Attributes:
        title: what it is and where, for messages.
        similarity: ``cosine``, ``dot`` or ``euclidean``.

    Raises:
        CorpusError: the collection is not there, its server gives no answer, or it has no such
            vector or property.
        MissingExtraError: ``weaviate-client`` is not installed.
    """

    def __init__(
        self,
        url: str,
        collection: str,
        *,
        grpc_host: str | None,
        grpc_port: int,
        vector_name: str | None,
        text_field: str,
        id_field: str | None,
        timeout: float,
        retries: int,
        top_k: int,
    ) -> None:
        """Connect, and read what the collection is like."""
        self._messages = messages()
        refuse_fork()
        self._text_field, self._id_field = text_field, id_field
        self._widest = max(WIDEST, top_k)
        # Weaviate writes the first letter of a collection's name large, whatever was given.
        self._name = collection[:1].upper() + collection[1:]
        address = Address(url, grpc_host, grpc_port)
        self.title = f"the collection {collection!r} of the Weaviate server at {url!r}"
        key = os.environ.get(KEY_VARIABLE, "")
        self._rest = (address, key, timeout)
        self._ask = Patience(self.title, timeout, retries, trouble, (key,))
        by_grpc = f"{self.title} (gRPC at {address.grpc}, set by grpc_port=...)"
        self._ask_grpc = Patience(by_grpc, timeout, retries, trouble, (key,))
        with Rest.opened(*self._rest) as rest:
            meta = self._ask(lambda: rest.get("meta")) or {}
            self._search = self._ask(lambda: Search(address, key, timeout, meta))
            self._refuse_old(meta)
            schema = self._schema(rest)
        # What does not read like a schema is told as an answer of another server.
        self._id_type, self._exact_ids = self._ask(lambda: self._check_properties(schema))
        self._vector, self.similarity = self._ask(lambda: self._vector_kind(schema, vector_name))

    def _refuse_old(self, meta: dict[str, Any]) -> None:
        if self._search.version < OLDEST:
            raise CorpusError(
                f"{self.title}: the server is of version {meta['version']}; expected "
                f"{OLDEST[0]}.{OLDEST[1]} or newer."
            )

    # -- what it is like ---------------------------------------------------------------------

    def _schema(self, rest: Rest) -> dict[str, Any]:
        found = self._ask(lambda: rest.get(f"schema/{self._name}"))
        if found is None:
            every = self._ask(lambda: rest.get("schema")) or {}
            names = [repr(one.get("class")) for one in every.get("classes") or []]
            raise CorpusError(f"{self.title} does not exist; there are: {listing(sorted(names))}.")
        if (found.get("multiTenancyConfig") or {}).get("enabled"):
            raise CorpusError(
                f"{self.title} is divided among tenants; expected one that is not. Copy the "
                "documents of a tenant to a collection of their own."
            )
        return found

    def _check_properties(self, schema: dict[str, Any]) -> tuple[str, bool]:
        """Return the type of the ids, and whether a filter finds them and nothing else."""
        properties = {one["name"]: one for one in schema.get("properties") or []}
        for parameter, field, types in (
            ("text_field", self._text_field, TEXT_TYPES),
            ("id_field", self._id_field, ID_TYPES),
        ):
            if field is None:
                continue
            kind = listing((properties.get(field) or {}).get("dataType") or [])
            if field not in properties:
                raise CorpusError(
                    f"{self.title} has no property {field!r}; its properties are: "
                    f"{listing(sorted(properties))}. Name the right one with {parameter}=..."
                )
            if kind not in types:
                raise CorpusError(
                    f"{self.title}: the property {field!r} is of type {kind}; {parameter} needs "
                    f"one of {listing(types)}. Name another one with {parameter}=..."
                )
        if self._id_field is None:
            return "uuid", True
        own = properties[self._id_field]
        kind = str(own["dataType"][0])
        return kind, kind not in TEXT_TYPES or own.get("tokenization") == "field"

    def _vector_kind(self, schema: dict[str, Any], asked: str | None) -> tuple[str | None, str]:
        """Return the name of the vector, if it has one, and how it is compared."""
        kinds: dict[str | None, Any] = {
            name: one.get("vectorIndexConfig")
            for name, one in (schema.get("vectorConfig") or {}).items()
        }
        named = sorted(map(repr, kinds))
        if schema.get("vectorIndexConfig"):
            kinds[None] = schema["vectorIndexConfig"]
        name = next(iter(kinds)) if asked is None and len(kinds) == 1 else asked
        if name not in kinds:
            raise CorpusError(
                f"{self.title} has no vector named {asked!r}; its vectors are: {listing(named)}. "
                "Choose with vector_name=..."
            )
        config = kinds[name] or {}
        distance = config.get("distance")
        if distance not in SIMILARITIES or (config.get("multivector") or {}).get("enabled"):
            kind = "several vectors an object" if distance in SIMILARITIES else distance
            raise CorpusError(
                f"{self.title} compares by {kind}; expected one vector an object, and one of "
                f"{listing(SIMILARITIES)}."
            )
        return name, SIMILARITIES[distance]

    @cached_property
    def dimension(self) -> int:
        """Dimension of the vectors, which no schema says.

        Raises:
            CorpusError: none of the first documents has one.
        """
        request = self._request(PROBED, self._wanted(vectors=True))
        [answer] = self._ask_grpc(lambda: self._search([request]))
        found = [len(vector) for vector in map(self._vector_of, answer.results) if len(vector)]
        if not found:
            kind = "vectors" if self._vector is None else f"vectors {self._vector!r}"
            raise CorpusError(f"{self.title}: none of its first {PROBED} documents has {kind}.")
        return found[0]

    # -- requests and answers ----------------------------------------------------------------

    def _wanted(self, *, vectors: bool = False, distance: bool = False) -> Any:  # noqa: ANN401
        """Return the request for what comes with an object."""
        return self._messages.search.MetadataRequest(
            uuid=True,
            distance=distance,
            vector=vectors and self._vector is None,
            vectors=[self._vector] if vectors and self._vector is not None else [],
        )

    def _request(self, limit: int, wanted: Any, **options: Any) -> Any:  # noqa: ANN401
        """Return a request for objects, with no property but the id."""
        fields = [] if self._id_field is None else [self._id_field]
        search = self._messages.search
        return search.SearchRequest(
            collection=self._name,
            limit=limit,
            metadata=wanted,
            properties=search.PropertiesRequest(non_ref_properties=fields),
            uses_123_api=True,
            uses_125_api=True,
            uses_127_api=True,
            **options,
        )

    def _near(self, vector: NDArray[np.float32]) -> Any:  # noqa: ANN401
        """Return the request for what is near a vector."""
        near, base = self._messages.near, self._messages.base
        data = vector.astype("<f4").tobytes()
        targets = None if self._vector is None else near.Targets(target_vectors=[self._vector])
        if self._search.version < NEWER_VECTORS:
            return near.NearVector(vector_bytes=data, targets=targets)
        kind = base.Vectors.VECTOR_TYPE_SINGLE_FP32
        return near.NearVector(
            vectors=[base.Vectors(vector_bytes=data, type=kind)], targets=targets
        )

    def _vector_of(self, found: Any) -> NDArray[np.float32]:  # noqa: ANN401
        """Return the vector of an object; empty where it has none."""
        data = found.metadata.vector_bytes if self._vector is None else b""
        for own in found.metadata.vectors:
            if own.name == self._vector:
                data = own.vector_bytes
        return np.frombuffer(data, dtype="<f4")

    def _id_of(self, found: Any) -> str:  # noqa: ANN401
        if self._id_field is None:
            data = found.metadata.id_as_bytes
            return str(UUID(bytes=data)) if data else str(found.metadata.id)
        value = found.properties.non_ref_props.fields[self._id_field]
        kind = value.WhichOneof("kind")
        return str(getattr(value, kind)) if kind and kind != "null_value" else ""

    def _score(self, distance: float) -> float:
        if self.similarity == "euclidean":
            return -math.sqrt(max(distance, 0.0))
        return 1.0 - distance if self.similarity == "cosine" else -distance

    # -- documents ---------------------------------------------------------------------------

    def documents(self) -> Iterator[tuple[str, str]]:
        """Yield (id, text) of all objects, in the order of their UUIDs."""
        asked: dict[str, str | int] = {"class": self._name, "limit": PAGE}
        with Rest.opened(*self._rest) as rest:
            while page := self._ask(lambda: self._page(rest, asked)):
                for identity, values in page:
                    yield document_of(
                        values, identity, self._text_field, self._id_field, self.title
                    )
                asked["after"] = page[-1][0]

    def _page(self, rest: Rest, asked: dict[str, str | int]) -> list[tuple[str, dict[str, Any]]]:
        """Return UUIDs and properties of some objects; none after the last one."""
        answer = rest.get("objects", asked)
        if answer is None:
            raise CorpusError(f"{self.title} has gone while its documents were read.")
        return [(one["id"], one.get("properties") or {}) for one in answer["objects"] or []]

    def nearest(self, vectors: NDArray[np.float32], k: int) -> list[Found]:
        """Return (id, score) of the nearest objects of each vector, best first."""
        wanted = self._wanted(distance=True)
        limit = min(k, self._widest)
        requests = [self._request(limit, wanted, near_vector=self._near(one)) for one in vectors]
        return [
            [(self._id_of(one), self._score(one.metadata.distance)) for one in answer.results]
            for answer in self._ask_grpc(lambda: self._search(requests))
        ]

    def vectors(self, ids: Sequence[str]) -> dict[str, Sequence[float]]:
        """Return the vectors of those documents that are there.

        Raises:
            CorpusError: a filter by these ids finds too many others.
        """
        filters = self._having(ids)
        if filters is None:
            return {}
        limit = len(ids) if self._exact_ids else WIDEST
        request = self._request(limit, self._wanted(vectors=True), filters=filters)
        [answer] = self._ask_grpc(lambda: self._search([request]))
        wanted = set(ids)
        found = {
            name: vector
            for one in answer.results
            if (name := self._id_of(one)) in wanted and len(vector := self._vector_of(one))
        }
        if not self._exact_ids and len(answer.results) >= limit and len(found) < len(wanted):
            raise CorpusError(
                f"{self.title}: the property {self._id_field!r} is stored as words, and too many "
                "documents have words of the ids. Store it with the tokenization 'field', or "
                "name another property with id_field=..."
            )
        return {name: vector.tolist() for name, vector in found.items()}

    def _having(self, ids: Sequence[str]) -> Any:  # noqa: ANN401
        """Return the filter for objects with one of some ids; ``None`` if none can be one."""
        base = self._messages.base
        kind = self._id_type
        numbers = [int(name) for name in ids if is_number(name)] if kind == "int" else []
        texts = [] if kind == "int" else [one for one in ids if kind != "uuid" or _is_uuid(one)]
        if not numbers and not texts:
            return None
        return base.Filters(
            operator=base.Filters.OPERATOR_CONTAINS_ANY,
            target=base.FilterTarget(property=self._id_field or "_id"),
            value_int_array=base.IntArray(values=numbers) if numbers else None,
            value_text_array=base.TextArray(values=texts) if texts else None,
        )


def _is_uuid(name: str) -> bool:
    try:
        UUID(name)
    except ValueError:
        return False
    return True
