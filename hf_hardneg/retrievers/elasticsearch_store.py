"""An index of an Elasticsearch server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.errors import CorpusError, listing
from hf_hardneg.retrievers.elasticsearch_store_answers import (
    CERTIFICATES,
    KEY_VARIABLE,
    package,
    single,
    trouble,
    values_of,
    whole,
)
from hf_hardneg.retrievers.elasticsearch_store_fields import (
    NUMBERS,
    VectorField,
    common_fields,
    need_field,
    need_vector,
)
from hf_hardneg.stores import Found, Patience, document_of, is_number

__all__ = ["MOST", "ElasticsearchStore", "Query"]

PAGE = 1024
KEPT_ALIVE = "5m"
MOST = 10_000
"""Documents that Elasticsearch gives to one query, and vectors it looks at in one shard."""
NEAREST_AT_LEAST = 100
PREFERENCE = "hf-hardneg"
"""Any fixed text: the same copy of a shard answers each time, and copies may differ in scores."""
Query = str | NDArray[np.float32]
"""A text for the lexical search, a vector for the search in vectors."""


class ElasticsearchStore:
    """An index, opened.

    Args:
        url: an address with scheme, host and port.
        collection: the index, an alias or a data stream.
        text_field: the field with the text.
        id_field: the field with the document's id; ``None`` for ``_id``.
        vectors: whether vectors are searched; else the words of the text field.
        vector_field: the field with them; ``None`` where there is one.
        exact: whether every document is compared.
        num_candidates: how many vectors the approximate search looks at in each shard.
        timeout: seconds to wait for an answer.
        retries: how often to ask again.

    Attributes:
        title: what it is and where, for messages.
        vector: the field with the vectors; ``None`` for the lexical search.

    Raises:
        CorpusError: the index is not there, its server gives no answer, or it has no such field.
        MissingExtraError: ``elasticsearch`` is not installed.
    """

    def __init__(
        self,
        url: str,
        collection: str,
        *,
        text_field: str,
        id_field: str | None,
        vectors: bool,
        vector_field: str | None,
        exact: bool,
        num_candidates: int | None,
        timeout: float,
        retries: int,
    ) -> None:
        """Connect, and read what the index is like."""
        self._collection, self._text_field, self._id_field = collection, text_field, id_field
        self._exact, self._num_candidates = exact, num_candidates or NEAREST_AT_LEAST
        self.title = f"the index {collection!r} of the Elasticsearch server at {url!r}"
        key = os.environ.get(KEY_VARIABLE) or None
        self._ask = Patience(self.title, timeout, retries, trouble, (key or "",))
        trusted = os.environ.get(CERTIFICATES) if url.startswith("https") else None
        more = {"ca_certs": trusted} if trusted else {}
        opened = package().Elasticsearch
        self._client = self._ask(
            lambda: opened(url, api_key=key, request_timeout=timeout, max_retries=0, **more)
        )
        fields = self._fields()
        need_field(fields, text_field, "text_field", self.title, lexical=not vectors)
        self._id_type = "keyword"
        if id_field is not None:
            self._id_type = need_field(fields, id_field, "id_field", self.title)
        self.vector = need_vector(fields, vector_field, self.title) if vectors else None

    # -- the index ---------------------------------------------------------------------------

    def _fields(self) -> dict[str, dict[str, Any]]:
        """Return what the index says of its fields."""
        found = self._ask(self._mappings)
        if not found:
            there = "unknown: they cannot be listed"
            with suppress(CorpusError):  # a key may open an index, and not the list of all
                there = listing(sorted(map(repr, self._ask(self._names))))
            raise CorpusError(f"{self.title} does not exist; there are: {there}.")
        return common_fields(found)

    def _mappings(self) -> dict[str, Any]:
        try:
            found = self._client.indices.get_mapping(index=self._collection)
        except package().NotFoundError as error:
            if "index_not_found_exception" not in str(error.body):
                raise
            return {}
        return {name: {"mappings": dict(one["mappings"])} for name, one in found.body.items()}

    def _names(self) -> list[str]:
        """Return the indexes and aliases of the server, without its own."""
        found = self._client.indices.get_alias(expand_wildcards="open").body
        names = {*found, *(alias for one in found.values() for alias in one["aliases"])}
        return [name for name in names if not name.startswith(".")]

    def documents(self) -> Iterator[tuple[str, str]]:
        """Yield (id, text) of all documents: by the field with ids, else as the index has them."""
        sort = [{self._id_field: "asc"}] if self._id_field else []
        body = {"query": {"match_all": {}}, "sort": [*sort, {"_shard_doc": "asc"}],
                "size": PAGE, "track_total_hits": False,
                **self._with([self._text_field])}  # fmt: skip
        view = self._ask(
            lambda: self._client.open_point_in_time(
                index=self._collection, keep_alive=KEPT_ALIVE, preference=PREFERENCE
            )["id"]
        )
        try:
            while True:
                page = self._page(view, body)
                view = page.get("pit_id", view)
                for hit in page["hits"]["hits"]:
                    values = {name: single(value) for name, value in values_of(hit).items()}
                    yield document_of(
                        values, hit["_id"], self._text_field, self._id_field, self.title
                    )
                if len(page["hits"]["hits"]) < PAGE:
                    break
                body["search_after"] = page["hits"]["hits"][-1]["sort"]
        finally:
            # Once, and not again: it ends by itself.
            with suppress(package().ApiError, package().TransportError):
                self._client.close_point_in_time(id=view)

    def _page(self, view: str, body: dict[str, Any]) -> dict[str, Any]:
        asked = {"pit": {"id": view, "keep_alive": KEPT_ALIVE}, **body}
        return self._ask(lambda: whole(self._client.search(body=asked).body))

    def held(self, ids: Sequence[str]) -> dict[str, list[float]]:
        """Return which of some documents are there, with their vectors: empty without one."""
        wanted = [] if self.vector is None else [self.vector.name]
        query = {"bool": {"filter": [self._having(ids)]}}
        body = {"query": query, "size": len(ids), **self._with(wanted)}
        [hits] = self._search([body])
        vector = self.vector.name if self.vector else ""
        return {self._id_of(hit): values_of(hit).get(vector, []) for hit in hits}

    # -- search ------------------------------------------------------------------------------

    def best(self, queries: Sequence[Query], k: int) -> list[Found]:
        """Return (id, score) of the k best documents of each query, best first."""
        return self._found([self._request(query, k, None) for query in queries])

    def scores(self, queries: Sequence[Query], ids: Sequence[Sequence[str]]) -> list[Found]:
        """Return (id, score) of some documents of each query: of those that the search can find."""
        pairs = zip(queries, ids, strict=True)
        return self._found([self._request(query, len(own), own) for query, own in pairs])

    def _found(self, bodies: list[dict[str, Any]]) -> list[Found]:
        turn: Callable[[float], float] = float if self.vector is None else self.vector.back
        return [
            [(self._id_of(hit), turn(float(hit["_score"]))) for hit in hits]
            for hits in self._search(bodies)
        ]

    def _request(self, query: Query, k: int, ids: Sequence[str] | None) -> dict[str, Any]:
        """Return a search for the k best documents, of all or of some."""
        among: list[dict[str, Any]] = [] if ids is None else [self._having(ids)]
        common = {"size": k, "track_total_hits": False, **self._with([])}
        if isinstance(query, str):
            match: dict[str, Any] = {"match": {self._text_field: {"query": query}}}
            # A filter chooses documents and leaves their scores as they are.
            chosen = {"filter": among} if among else {}
            return {"query": {"bool": {"must": [match], **chosen}}, **common}
        field, vector = self.searched(), query.tolist()
        if self._exact:
            # The script fails for a document without a vector.
            chosen = {"filter": [{"exists": {"field": field.name}}, *among]}
            script = {"source": field.script, "params": {"vector": vector}}
            return {"query": {"script_score": {"query": {"bool": chosen}, "script": script}},
                    **common}  # fmt: skip
        looked_at = min(MOST, max(self._num_candidates, k + k // 2))
        knn: dict[str, Any] = {"field": field.name, "query_vector": vector, "k": k}
        chosen = {"filter": among} if among else {}
        return {"knn": {**knn, "num_candidates": looked_at, **chosen}, **common}

    def searched(self) -> VectorField:
        """Return the field with the vectors.

        Raises:
            CorpusError: there is none: words are searched.
        """
        if self.vector is None:
            raise CorpusError(f"{self.title} is searched by words, and was given a vector.")
        return self.vector

    def _search(self, bodies: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
        """Return the documents that each search finds."""
        lines: list[dict[str, Any]] = []
        for body in bodies:
            header = {"preference": PREFERENCE}
            if "knn" not in body:  # which says by itself how its shards are asked
                header["search_type"] = "dfs_query_then_fetch"
            lines += [header, body]

        def ask() -> list[list[dict[str, Any]]]:
            found = self._client.msearch(index=self._collection, searches=lines)
            return [whole(one)["hits"]["hits"] for one in found["responses"]]

        return self._ask(ask)

    # -- ids and fields ----------------------------------------------------------------------

    def _with(self, fields: list[str]) -> dict[str, Any]:
        """Return what asks for some fields of each document, and for its id."""
        wanted = [*fields, *([self._id_field] if self._id_field else [])]
        return {"_source": False, **({"fields": wanted} if wanted else {})}

    def _id_of(self, hit: dict[str, Any]) -> str:
        if self._id_field is None:
            return str(hit["_id"])
        return str(single(values_of(hit).get(self._id_field)))

    def _having(self, ids: Sequence[str]) -> dict[str, Any]:
        """Return the filter for documents with one of some ids."""
        if self._id_field is None:
            return {"ids": {"values": list(ids)}}
        numbers = self._id_type in NUMBERS
        values = [int(name) for name in ids if is_number(name)] if numbers else list(ids)
        return {"terms": {self._id_field: values}}
