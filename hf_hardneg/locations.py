"""Corpora by address: ``qdrant://host:6333/articles``, ``faiss:///path/index.faiss?corpus=...``.

An address names an index or a database that holds documents. They become the corpus of any
strategy, and the retriever that is named as the scheme searches there without being told again.
What the parameters of that retriever cannot do without stands after the question mark::

    qdrant://localhost:6333/articles?text_field=body&id_field=name
"""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from hf_hardneg.corpus import Corpus
from hf_hardneg.encoders import AbsentEncoder
from hf_hardneg.errors import CorpusError, ParameterError, did_you_mean, listing
from hf_hardneg.registry import registered

__all__ = ["SCHEMES", "Location", "is_location", "location_of"]

DOCUMENTS = "corpus"
NO_MODEL = AbsentEncoder("none", "none")
"""Reading documents needs no vectors; what would encode says so."""


def _in_a_collection(parts: SplitResult, secure: bool, url: str) -> dict[str, Any]:
    """Return url and collection of a database: the last part of the path is the collection."""
    place, _, collection = unquote(parts.path).rstrip("/").rpartition("/")
    if not collection or not (parts.netloc or place):
        raise CorpusError(
            f"the address {url!r} names no collection; expected "
            f"{parts.scheme}://host:port/collection, or {parts.scheme}:///path/collection."
        )
    if not parts.netloc:
        return {"url": place, "collection": collection}
    scheme = "https" if secure else "http"
    return {"url": f"{scheme}://{parts.netloc}{place}", "collection": collection}


def _in_a_file(parts: SplitResult, secure: bool, url: str) -> dict[str, Any]:
    """Return the path of an index, or the name of one."""
    path = unquote(parts.netloc + parts.path)
    if not path:
        raise CorpusError(f"the address {url!r} names no index; expected {parts.scheme}:///path.")
    return {"index": path}


_READERS: dict[str, Callable[[SplitResult, bool, str], dict[str, Any]]] = {
    "qdrant": _in_a_collection,
    "milvus": _in_a_collection,
    "weaviate": _in_a_collection,
    "elasticsearch": _in_a_collection,
    "faiss": _in_a_file,
    "lucene": _in_a_file,
}
SCHEMES = tuple(_READERS)
SECURE = "+https"


@dataclass(frozen=True)
class Location:
    """What an address says.

    Attributes:
        url: the address.
        retriever: name of the retriever that searches there.
        options: its parameters, as far as the address says them.
    """

    url: str
    retriever: str
    options: Mapping[str, Any]

    def corpus(self, cache_dir: str | os.PathLike[str] | None) -> Corpus:
        """Read the documents.

        Raises:
            CorpusError: they cannot be had there.
        """
        options = dict(self.options)
        if DOCUMENTS in options:
            return Corpus.of(options[DOCUMENTS], cache_dir)
        kind = registered().retrievers[self.retriever]
        if not kind.brings_corpus:
            raise CorpusError(
                f"the address {self.url!r} names an index, which holds no texts. Say where they "
                f"are: {self.url}{'&' if '?' in self.url else '?'}{DOCUMENTS}=documents.jsonl"
            )
        if kind.defaults().get("model") is Parameter.empty:
            options.setdefault("model", NO_MODEL)
        return kind(**options, cache_dir=cache_dir).corpus  # type: ignore[call-arg]

    def given(self) -> dict[str, dict[str, Any]]:
        """Return the parameters that are said, by the name of the retriever that has them."""
        own = {name: value for name, value in self.options.items() if name != DOCUMENTS}
        return {self.retriever: own}


def is_location(source: object) -> bool:
    """Return whether a corpus is given by an address."""
    if not isinstance(source, str) or "://" not in source:
        return False
    return source.partition("://")[0].removesuffix(SECURE) in SCHEMES


def location_of(url: str) -> Location:
    """Return what an address says.

    Raises:
        CorpusError: it names no place.
        ParameterError: it holds a password, or a parameter that the retriever has not.
    """
    parts = urlsplit(url)
    name = parts.scheme.removesuffix(SECURE)
    if parts.username or parts.password:
        raise ParameterError(
            f"the address of a corpus at {parts.hostname!r} holds a user name or a password, which "
            "would be written into recipes and messages. Keys come from the environment."
        )
    parts = parts._replace(scheme=name)
    options = _READERS[name](parts, url.startswith(f"{name}{SECURE}:"), url)
    known = registered().retrievers[name].defaults()
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        if key != DOCUMENTS and (key not in known or key in options):
            allowed = [one for one in [*known, DOCUMENTS] if one not in options]
            raise ParameterError(
                f"the address {url!r} sets {key!r}, which {name!r} does not have."
                f"{did_you_mean(key, allowed)} It may set {listing(allowed, 40)}."
            )
        options[key] = _value(value, known.get(key))
    return Location(url, name, options)


def _value(text: str, default: object) -> Any:  # noqa: ANN401
    """Return a number or a truth value where the parameter is one, else the text."""
    if not isinstance(default, bool | int | float):
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text  # the retriever says what it expects
