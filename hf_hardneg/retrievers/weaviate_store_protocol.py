"""How a Weaviate server is spoken to: REST for the schema and the documents, gRPC for searches.

The messages of gRPC are those of Weaviate's own client. Its calls are not used: on a server that
is away they wait for a minute, whatever the time-out.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from hf_hardneg.errors import CorpusError, MissingExtraError, ParameterError
from hf_hardneg.stores import Trouble, is_remote

__all__ = ["KEY_VARIABLE", "Address", "Rest", "Search", "messages", "refuse_fork", "trouble"]

KEY_VARIABLE = "WEAVIATE_API_KEY"
STRANGE = "the answer is not one of Weaviate; is it another server?"
REFUSED = (401, 403)
TOO_MANY = 429
SERVER_FAILS = 500
REFUSED_BY_GRPC = ("UNAUTHENTICATED", "PERMISSION_DENIED")
PASSING_OF_GRPC = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED")
MESSAGE_BYTES = 104_858_000
"""Of an answer, where the server does not say how much it sends."""
AT_ONCE = 8
"""Searches under way together."""

_processes: set[int] = set()
"""The process that has asked a server by gRPC; a forked one has its parent's number here."""


@lru_cache(maxsize=1)
def messages() -> Any:  # noqa: ANN401
    """Return the modules with Weaviate's messages.

    Raises:
        MissingExtraError: the client is not installed.
    """
    try:
        # A package that the client imports warns of things that are the client's own.
        with warnings.catch_warnings(record=True):
            from weaviate.proto.v1 import (
                base_pb2,
                base_search_pb2,
                search_get_pb2,
                weaviate_pb2_grpc,
            )
    except ImportError as error:
        raise MissingExtraError(
            "weaviate-client", "weaviate", "The retriever 'weaviate'"
        ) from error
    return SimpleNamespace(
        base=base_pb2, near=base_search_pb2, search=search_get_pb2, service=weaviate_pb2_grpc
    )


def refuse_fork() -> None:
    """Refuse a process forked from one that uses gRPC: there it waits for ever.

    Raises:
        CorpusError: this is such a process.
    """
    if _processes - {os.getpid()}:
        raise CorpusError(
            "a Weaviate server cannot be searched in a worker process that was forked from one "
            "in which it was searched. Retrieve with num_proc=None."
        )
    _processes.add(os.getpid())


class Address:
    """Where a server is.

    Args:
        url: of its REST interface.
        grpc_host: of its gRPC interface; ``None`` for the host of ``url``.
        grpc_port: of its gRPC interface.

    Attributes:
        url: of the REST interface, without a slash at the end.
        grpc: host and port of the gRPC interface.
        secure: whether both are encrypted.

    Raises:
        ParameterError: the url is no address by HTTP, or holds what looks like a secret.
    """

    def __init__(self, url: object, grpc_host: str | None, grpc_port: int) -> None:
        """Take the url apart."""
        parts = urlsplit(str(url)) if is_remote("weaviate", url) else None
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            raise ParameterError(
                f"weaviate: url={url!r}; expected an address such as http://localhost:8080."
            )
        self.url = str(url).rstrip("/")
        host = grpc_host or parts.hostname
        self.grpc = f"[{host}]:{grpc_port}" if ":" in host else f"{host}:{grpc_port}"
        self.secure = parts.scheme == "https"


def trouble(error: Exception) -> Trouble:
    """Say what an exception of either interface means."""
    from grpc import RpcError
    from httpx import HTTPStatusError, TransportError

    if isinstance(error, TransportError):
        return Trouble(f"{type(error).__name__}: {error}", True)
    if isinstance(error, HTTPStatusError):
        status = error.response.status_code
        if status in REFUSED:
            return _refused(f"HTTP {status}")
        reason = f"HTTP {status} {error.response.reason_phrase}: {error.response.text}"
        return Trouble(reason, status == TOO_MANY or status >= SERVER_FAILS)
    if isinstance(error, RpcError):
        code = error.code().name
        if code in REFUSED_BY_GRPC:
            return _refused(f"gRPC {code}")
        return Trouble(f"gRPC {code}: {error.details()}", code in PASSING_OF_GRPC)
    if isinstance(error, ValueError | LookupError | TypeError | AttributeError):
        return Trouble(STRANGE, False)
    return Trouble(f"{type(error).__name__}: {error}", False)


def _refused(by: str) -> Trouble:
    given = "the one that is set" if os.environ.get(KEY_VARIABLE) else "none is set"
    return Trouble(
        f"access is refused ({by}). The key comes from the environment variable {KEY_VARIABLE}: "
        f"{given}.",
        False,
    )


class Rest:
    """The REST interface of a server, open as long as it is asked.

    Args:
        address: where it is.
        key: for access; empty for none.
        timeout: seconds to wait for an answer.
    """

    def __init__(self, address: Address, key: str, timeout: float) -> None:
        """Open the connection."""
        import httpx

        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(base_url=f"{address.url}/v1/", headers=headers, timeout=timeout)

    @classmethod
    @contextmanager
    def opened(cls, address: Address, key: str, timeout: float) -> Iterator[Rest]:
        """Open the connection for a while."""
        rest = cls(address, key, timeout)
        try:
            yield rest
        finally:
            rest._client.close()

    def get(self, path: str, asked: Mapping[str, str | int] | None = None) -> dict[str, Any] | None:
        """Return the answer of a path; ``None`` if there is no such thing."""
        answer = self._client.get(path, params=asked)
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        found = answer.json()
        if not isinstance(found, dict):
            raise TypeError(found)
        return found


class Search:
    """Searches of a server, by gRPC.

    Args:
        address: where it is.
        key: for access; empty for none.
        timeout: seconds to wait for an answer.
        meta: what the server says of itself.

    Attributes:
        version: of the server, for example ``(1, 37)``.
    """

    def __init__(self, address: Address, key: str, timeout: float, meta: dict[str, Any]) -> None:
        """Prepare; the connection is made when it is first used."""
        import grpc

        major, minor = re.findall(r"\d+", meta["version"])[:2]
        self.version = int(major), int(minor)
        self._timeout = timeout
        self._metadata = (("authorization", f"Bearer {key}"),) if key else ()
        size = int(meta.get("grpcMaxMessageSize") or MESSAGE_BYTES)
        options = [
            ("grpc.max_send_message_length", size),
            ("grpc.max_receive_message_length", size),
            # Whoever asks again decides when; a new connection is not to wait longer than that.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ]
        if address.secure:
            secret = grpc.ssl_channel_credentials()
            channel = grpc.secure_channel(address.grpc, secret, options)
        else:
            channel = grpc.insecure_channel(address.grpc, options)
        self._ask = messages().service.WeaviateStub(channel).Search

    def __call__(self, requests: Sequence[Any]) -> list[Any]:
        """Return the answers to some requests."""
        answers: list[Any] = []
        for start in range(0, len(requests), AT_ONCE):
            calls = [
                self._ask.future(request, timeout=self._timeout, metadata=self._metadata)
                for request in requests[start : start + AT_ONCE]
            ]
            answers += [call.result() for call in calls]
        return answers
