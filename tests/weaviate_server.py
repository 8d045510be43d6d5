"""A server on loopback that speaks as much of Weaviate's protocol as is used here.

What is asked is what Weaviate's documentation and its own client ask; anything else is refused,
and remembered. Distances are really computed.
"""

from __future__ import annotations

import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import grpc
import numpy as np

from hf_hardneg.retrievers.weaviate_store_protocol import messages

base_pb2, search_get_pb2 = messages().base, messages().search
service = messages().service

MOST = 10_000
SEARCHED = {"collection", "properties", "metadata", "limit", "filters", "near_vector",
            "uses_123_api", "uses_125_api", "uses_127_api"}  # fmt: skip


@dataclass
class Thing:
    """An object: its UUID, its properties, its vectors by name (``None`` for the one without)."""

    uuid: str
    properties: dict[str, Any]
    vectors: dict[str | None, list[float]]


@dataclass
class Weaviate:
    """One server with one collection, ``Things``."""

    schema: dict[str, Any]
    things: list[Thing]
    version: str = "1.37.2"
    key: str = ""
    failures: list[str] = field(default_factory=list)
    """Names of gRPC codes with which the next searches fail."""
    pause: float = 0.0
    """Seconds before a search is answered."""
    gone_after: str = "z"
    """From this UUID on the collection is not there."""
    asked: list[str] = field(default_factory=list)
    searches: list[Any] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.things.sort(key=lambda one: one.uuid)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._grpc = grpc.server(ThreadPoolExecutor(4))
        service.add_WeaviateServicer_to_server(_Servicer(self), self._grpc)
        self.grpc_port = self._grpc.add_insecure_port("127.0.0.1:0")
        self._grpc.start()

    def stop_grpc(self) -> None:
        self._grpc.stop(None).wait()

    def stop(self) -> None:
        self.stop_grpc()
        self._http.shutdown()
        self._http.server_close()

    # -- REST --------------------------------------------------------------------------------

    def answer(self, path: str, asked: dict[str, str]) -> tuple[int, object]:
        """Return status and body of a GET request."""
        if path == "/v1/meta":
            return 200, {"hostname": "x", "version": self.version, "modules": {},
                         "grpcMaxMessageSize": 104858000}  # fmt: skip
        if path == "/v1/schema":
            return 200, {"classes": [self.schema]}
        if re.fullmatch(r"/v1/schema/[A-Z]\w*", path):
            found = path == "/v1/schema/" + self.schema["class"]
            return (200, self.schema) if found else (404, None)
        if path == "/v1/objects" and asked.get("class") == self.schema["class"]:
            unknown = set(asked) - {"class", "limit", "after"}
            if unknown or int(asked["limit"]) > MOST:
                return 422, {"error": [{"message": f"{unknown or 'limit'}"}]}
            after = asked.get("after", "")
            if after >= self.gone_after:
                return 404, None
            rest = [one for one in self.things if one.uuid > after][: int(asked["limit"])]
            objects = [
                {"class": asked["class"], "id": one.uuid, "properties": one.properties}
                for one in rest
            ]
            return 200, {"deprecations": [], "objects": objects, "totalResults": len(objects)}
        self.refused.append(path)
        return 404, {"code": 404, "message": "path was not found"}

    # -- gRPC --------------------------------------------------------------------------------

    def search(self, request: Any) -> Any:
        """Return the answer to a search.

        Raises:
            ValueError: it is none that is known here.
        """
        names = {one.name for one, _ in request.ListFields()}
        if names - SEARCHED or not (request.uses_123_api and request.uses_127_api):
            raise ValueError(f"request: {sorted(names)}")
        if request.collection != self.schema["class"]:
            raise ValueError(f"could not find class {request.collection} in schema")
        if not 0 < request.limit <= MOST:
            raise ValueError("query maximum results exceeded")
        found = [one for one in self.things if self._matches(one, request)]
        distances: dict[str, float] = {}
        if request.HasField("near_vector"):
            name, vector = self._target(request.near_vector)
            found = [one for one in found if name in one.vectors]
            distances = {one.uuid: self._distance(name, vector, one) for one in found}
            found.sort(key=lambda one: distances[one.uuid])
        reply = search_get_pb2.SearchReply()
        for one in found[: request.limit]:
            self._fill(reply.results.add(), one, request, distances)
        return reply

    def _config(self, name: str | None) -> dict[str, Any]:
        own = self.schema if name is None else self.schema["vectorConfig"][name]
        return own["vectorIndexConfig"]

    def _target(self, near: Any) -> tuple[str | None, np.ndarray]:
        """Return which vectors are searched, and for what."""
        data = near.vector_bytes
        newer = tuple(map(int, self.version.split(".")[:2])) >= (1, 29)
        if newer:
            [own] = near.vectors
            if data or own.type != base_pb2.Vectors.VECTOR_TYPE_SINGLE_FP32:
                raise ValueError("near_vector: this is the form of older servers")
            data = own.vector_bytes
        elif near.vectors:
            raise ValueError("near_vector: vector is required")
        targets = list(near.targets.target_vectors)
        if set(targets) - set(self.schema.get("vectorConfig", {})) or len(targets) > 1:
            raise ValueError(f"class does not have named vector {targets}")
        return (targets[0] if targets else None), np.frombuffer(data, "<f4").astype(np.float64)

    def _distance(self, name: str | None, vector: np.ndarray, one: Thing) -> float:
        kind, own = self._config(name)["distance"], np.array(one.vectors[name])
        if len(own) != len(vector):
            raise ValueError(f"vector lengths don't match: {len(vector)} vs {len(own)}")
        if kind == "l2-squared":
            return float(((own - vector) ** 2).sum())
        if kind == "dot":
            return float(-(own @ vector))
        return float(1 - own @ vector / np.linalg.norm(own) / np.linalg.norm(vector))

    def _matches(self, one: Thing, request: Any) -> bool:
        if not request.HasField("filters"):
            return True
        asked, field_name = request.filters, request.filters.target.property
        if asked.operator != base_pb2.Filters.OPERATOR_CONTAINS_ANY or not field_name:
            raise ValueError(f"filters: {asked}")
        if field_name == "_id":
            return one.uuid in [str(UUID(value)) for value in asked.value_text_array.values]
        [own] = [prop for prop in self.schema["properties"] if prop["name"] == field_name]
        value = one.properties[field_name]
        if own["dataType"] == ["int"]:
            return value in list(asked.value_int_array.values)
        if own.get("tokenization") != "word":
            return value in list(asked.value_text_array.values)
        words = set(_words(value))
        return any(words.issuperset(_words(text)) for text in asked.value_text_array.values)

    def _fill(self, result: Any, one: Thing, request: Any, distances: dict[str, float]) -> None:
        kinds = {prop["name"]: prop["dataType"][0] for prop in self.schema["properties"]}
        for name in request.properties.non_ref_properties:
            value = result.properties.non_ref_props.fields[name]
            if one.properties.get(name) is None:
                value.null_value = 0
            else:
                setattr(value, f"{kinds[name]}_value", one.properties[name])
        wanted, meta = request.metadata, result.metadata
        if wanted.uuid:
            meta.id, meta.id_as_bytes = one.uuid, UUID(one.uuid).bytes
        if wanted.distance and one.uuid in distances:
            meta.distance, meta.distance_present = distances[one.uuid], True
        if wanted.vector and None in one.vectors:
            meta.vector_bytes = np.array(one.vectors[None], "<f4").tobytes()
        for name in wanted.vectors:
            if name in one.vectors:
                data = np.array(one.vectors[name], "<f4").tobytes()
                meta.vectors.add(name=name, vector_bytes=data)


def _words(text: str) -> list[str]:
    """Split a text as the tokenization ``word`` does."""
    return re.findall(r"[a-z0-9]+", text.lower())


def _handler(server: Weaviate) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append(self.path)
            parts = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            wanted = f"Bearer {server.key}" if server.key else None
            if self.headers["Authorization"] != wanted:
                status, body = 401, {"code": 401, "message": "anonymous access not enabled"}
            else:
                status, body = server.answer(parts.path, asked)
            content = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


class _Servicer(service.WeaviateServicer):
    def __init__(self, server: Weaviate) -> None:
        self._server = server

    def Search(self, request: Any, context: Any) -> Any:
        server = self._server
        server.searches.append(request)
        wanted = f"Bearer {server.key}" if server.key else None
        if dict(context.invocation_metadata()).get("authorization") != wanted:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "unauthorized: invalid api key")
        time.sleep(server.pause)
        if server.failures:
            context.abort(grpc.StatusCode[server.failures.pop(0)], "as it was told")
        try:
            return server.search(request)
        except (ValueError, KeyError) as error:
            server.refused.append(str(error))
            return context.abort(grpc.StatusCode.UNKNOWN, str(error))
