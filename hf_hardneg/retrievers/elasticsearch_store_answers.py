"""What Elasticsearch's answers mean, and what the exceptions of its client do."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

from hf_hardneg.errors import MissingExtraError
from hf_hardneg.stores import Trouble

__all__ = ["CERTIFICATES", "KEY_VARIABLE", "package", "single", "trouble", "values_of", "whole"]

KEY_VARIABLE = "ELASTICSEARCH_API_KEY"
CERTIFICATES = "SSL_CERT_FILE"
REFUSED = (401, 403)
TOO_MANY = 429
SERVER_FAILS = 500
STRANGE = "the answer is not one of Elasticsearch; is it another server?"


@lru_cache(maxsize=1)
def package() -> Any:  # noqa: ANN401
    """Return the client's package.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import elasticsearch
    except ImportError as error:
        raise MissingExtraError(
            "elasticsearch", "elasticsearch", "The retriever 'elasticsearch'"
        ) from error
    return elasticsearch


class BadAnswer(Exception):
    """An answer that says inside that it is none, or not whole."""

    def __init__(self, status: int, body: object) -> None:
        super().__init__(status, body)
        self.status, self.body = status, body


def _reason(body: object) -> str:
    """Return what an answer says went wrong: its root cause, and what is behind that."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return str(body)
    root = next(iter(error.get("root_cause") or [error]))
    deeper = (root.get("caused_by") or error.get("caused_by") or {}).get("reason")
    said = f"{root.get('type')}: {root.get('reason')}"
    return f"{said} ({deeper})" if deeper and deeper not in said else said


def trouble(error: Exception) -> Trouble:
    """Say what an exception of the client means."""
    client = package()
    if isinstance(error, client.SSLError):
        return Trouble(
            f"{error}. Where a certificate of your own is used, name the file with it in the "
            f"environment variable {CERTIFICATES}",
            False,
        )
    if isinstance(error, client.ConnectionError | client.ConnectionTimeout):
        return Trouble(str(error), True)
    if isinstance(error, client.UnsupportedProductError):
        return Trouble(
            "the server does not say that it is Elasticsearch, and the client package "
            "'elasticsearch' speaks to no other (OpenSearch among them)",
            False,
        )
    if isinstance(error, client.SerializationError | LookupError | TypeError | AttributeError):
        return Trouble(STRANGE, False)
    status, body = getattr(error, "status_code", None), getattr(error, "body", None)
    if isinstance(error, BadAnswer):
        status = error.status
    if status is None:
        return Trouble(f"{type(error).__name__}: {error}", False)
    if status in REFUSED:
        given = "the one that is set" if os.environ.get(KEY_VARIABLE) else "none is set"
        return Trouble(
            f"access is refused (HTTP {status}). The key comes from the environment variable "
            f"{KEY_VARIABLE}: {given}.",
            False,
        )
    reason = f"HTTP {status} {_reason(body)}"
    if "media_type_header_exception" in reason:
        reason += (
            f". The client package 'elasticsearch' is of version {client.__versionstr__}; install "
            "one of the server's main version"
        )
    return Trouble(reason, status == TOO_MANY or status >= SERVER_FAILS)


def values_of(hit: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a document that were asked for; each is a list."""
    found: dict[str, Any] = hit.get("fields", {})
    return found


def single(values: Any) -> Any:  # noqa: ANN401
    """Return the value of a field that has one; a document may hold several, or none."""
    return values[0] if isinstance(values, list) and len(values) == 1 else values


def whole(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a search if all shards gave theirs.

    Raises:
        BadAnswer: it is an error, or a part is missing.
    """
    if "error" in answer:
        raise BadAnswer(int(answer.get("status", SERVER_FAILS)), answer)
    failures = answer["_shards"].get("failures") or [{"reason": {"type": "no", "reason": "reason"}}]
    if answer["_shards"]["failed"]:
        raise BadAnswer(SERVER_FAILS, {"error": failures[0]["reason"]})
    if answer["timed_out"]:
        raise BadAnswer(SERVER_FAILS, {"error": {"type": "timed_out", "reason": "in the server"}})
    return answer
