"""A server on loopback that speaks as much of Elasticsearch's REST interface as is used here.

It is written from Elasticsearch's reference and from the tests of its REST interface (the pages
"Paginate search results", "Multi search", "Dense vector field type", "Script score query",
"Preference"; the files 40_knn_search.yml, 240_source_synthetic_dense_vectors.yml and
msearch/10_basic.yml), not from a real server. What it does not know it refuses with 400. Words are
scored by Lucene's BM25, vectors by the formulas of the reference; all searches are exact.
"""

from __future__ import annotations

import json
import math
import re
import threading
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

K1, B = 1.2, 0.75
WINDOW = 10_000
MEDIA = re.compile(r"application/vnd\.elasticsearch\+(json|x-ndjson); compatible-with=[89]")
SORTABLE = ("keyword", "long", "integer")
SCRIPTS = {
    "Math.max(0.0, (1.0 + cosineSimilarity(params.vector, '{}')) / 2)": "cosine",
    "Math.max(0.0, (1.0 + dotProduct(params.vector, '{}')) / 2)": "dot_product",
    "1 / (1 + Math.pow(l2norm(params.vector, '{}'), 2))": "l2_norm",
    "double dot = dotProduct(params.vector, '{}'); return dot < 0 ? 1 / (1 - dot) : dot + 1":
        "max_inner_product",
}  # fmt: skip

Scores = dict[int, float]


class Refusal(Exception):
    """An error as Elasticsearch answers it."""

    def __init__(self, reason: str, kind: str = "parsing_exception", status: int = 400) -> None:
        super().__init__(reason)
        cause = {"type": kind, "reason": reason}
        self.status = status
        self.body = {"error": {"root_cause": [cause], **cause}, "status": status}


def keys(given: dict[str, Any], known: str, needed: str = "") -> None:
    """Refuse an object with a key that is not known, or without one that is needed."""
    odd = [name for name in given if name not in known.split()]
    odd += [name for name in needed.split() if name not in given]
    if odd:
        raise Refusal(f"unknown or missing key [{odd[0]}] in {json.dumps(given)[:200]}")


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


@lru_cache(maxsize=10_000)
def counted(text: str) -> Counter[str]:
    return Counter(words(text))


def as_float(value: float) -> float:
    """A score as it is written: the shortest text of a float of 32 bits."""
    return float(str(np.float32(value)))


@dataclass
class Index:
    """An index: what its fields are, and its documents in the order of their insertion."""

    properties: dict[str, Any]
    documents: list[tuple[str, dict[str, Any]]]
    shards: int = 1

    def kind(self, name: str) -> dict[str, Any]:
        base, _, under = name.partition(".")
        about = self.properties.get(base, {})
        return dict(about.get("fields", {}).get(under, {}) if under else about)

    def value(self, place: int, name: str) -> Any:
        if not self.kind(name):
            return None
        return self.documents[place][1].get(name.partition(".")[0])

    def shard(self, place: int) -> int:
        return zlib.crc32(self.documents[place][0].encode()) % self.shards

    def order(self, place: int) -> tuple[int, int]:
        return self.shard(place), place


@dataclass
class Search:
    """One search in an index."""

    index: Index
    everywhere: bool

    def run(self, query: dict[str, Any]) -> Scores:
        if len(query) != 1:
            raise Refusal(f"[bool] malformed query, expected one key: {list(query)}")
        [(name, about)] = query.items()
        ways = {
            "match_all": self.match_all, "match": self.match, "bool": self.boolean,
            "ids": self.ids, "terms": self.terms, "exists": self.exists,
            "script_score": self.script_score,
        }  # fmt: skip
        if name not in ways:
            raise Refusal(f"unknown query [{name}]")
        return ways[name](about)

    def match_all(self, about: dict[str, Any]) -> Scores:
        keys(about, "")
        return dict.fromkeys(range(len(self.index.documents)), 1.0)

    def match(self, about: dict[str, Any]) -> Scores:
        [(name, inside)] = about.items()
        keys(inside, "query", "query")
        asked = words(inside["query"])
        groups: dict[int, dict[int, Counter[str]]] = {}
        for place in range(len(self.index.documents)):
            if isinstance(value := self.index.value(place, name), str):
                # Of its shard alone, unless statistics are collected everywhere first.
                group = 0 if self.everywhere else self.index.shard(place)
                groups.setdefault(group, {})[place] = counted(value)
        scores: dict[int, float] = {}
        for group in groups.values():
            number, mean = len(group), sum(map(Counter.total, group.values())) / len(group)
            holding = {word: sum(word in times for times in group.values()) for word in asked}
            rare = {word: math.log(1 + (number - own + 0.5) / (own + 0.5))
                    for word, own in holding.items()}  # fmt: skip
            for place, times in group.items():
                norm = K1 * (1 - B + B * times.total() / mean)
                parts = [rare[word] * times[word] / (times[word] + norm)
                         for word in asked if word in times]  # fmt: skip
                if parts:
                    scores[place] = math.fsum(parts)
        return scores

    def boolean(self, about: dict[str, Any]) -> Scores:
        keys(about, "must filter")
        found = [self.run(one) for one in about.get("must", [])]
        allowed = [self.run(one) for one in about.get("filter", [])]
        return {
            place: sum(scores[place] for scores in found)
            for place in range(len(self.index.documents))
            if all(place in scores for scores in [*found, *allowed])
        }

    def ids(self, about: dict[str, Any]) -> Scores:
        keys(about, "values", "values")
        return {place: 1.0 for place, (name, _) in enumerate(self.index.documents)
                if name in about["values"]}  # fmt: skip

    def terms(self, about: dict[str, Any]) -> Scores:
        [(name, values)] = about.items()
        kind = self.index.kind(name).get("type")
        if kind not in SORTABLE or not all(isinstance(v, str if kind == "keyword" else int)
                                           for v in values):  # fmt: skip
            raise Refusal(f"failed to create query: terms {values} of a field of type {kind}")
        return {place: 1.0 for place in range(len(self.index.documents))
                if self.index.value(place, name) in values}  # fmt: skip

    def exists(self, about: dict[str, Any]) -> Scores:
        keys(about, "field", "field")
        return {place: 1.0 for place in range(len(self.index.documents))
                if self.index.value(place, about["field"]) is not None}  # fmt: skip

    def script_score(self, about: dict[str, Any]) -> Scores:
        keys(about, "query script", "query script")
        script = about["script"]
        keys(script, "source params", "source params")
        keys(script["params"], "vector", "vector")
        name = next(iter(re.findall(r"'([^']*)'", script["source"])), "")
        kind = SCRIPTS.get(script["source"].replace(f"'{name}'", "'{}'"))
        if kind is None:
            raise Refusal(f"compile error: {script['source']}", "script_exception")
        return self.vectors(self.run(about["query"]), name, kind, script["params"]["vector"])

    def knn(self, about: dict[str, Any]) -> Scores:
        keys(about, "field query_vector k num_candidates filter",
             "field query_vector k num_candidates")  # fmt: skip
        if about["num_candidates"] < about["k"]:
            raise Refusal("[num_candidates] cannot be less than [k]", "illegal_argument_exception")
        if about["num_candidates"] > WINDOW:
            raise Refusal("[num_candidates] cannot exceed [10000]", "illegal_argument_exception")
        mapping = self.index.kind(about["field"])
        allowed = self.exists({"field": about["field"]})
        for one in about.get("filter", []):
            allowed = {place: 1.0 for place in self.run(one) if place in allowed}
        scores = self.vectors(allowed, about["field"], mapping["similarity"], about["query_vector"])
        best = sorted(scores, key=lambda place: (-scores[place], self.index.order(place)))
        return {place: scores[place] for place in best[: about["k"]]}

    def vectors(self, places: Scores, name: str, kind: str, given: list[float]) -> Scores:
        query = np.array(given, dtype=np.float64)
        mapping = self.index.kind(name)
        if len(query) != mapping["dims"]:
            raise Refusal(
                f"the query vector has a different dimension [{len(query)}] than the index vectors "
                f"[{mapping['dims']}]", "illegal_argument_exception",
            )  # fmt: skip
        length = float(np.linalg.norm(query))
        if (kind == "cosine" and length == 0) or (kind == "dot_product" and abs(length - 1) > 1e-4):
            raise Refusal(f"The [{kind}] similarity can only be used with unit-length vectors")
        scores = {}
        for place in places:
            value = self.index.value(place, name)
            if value is None:
                raise Refusal("A document doesn't have a value for a vector field!")
            own = np.array(value, dtype=np.float64)
            dot = float(query @ own)
            scores[place] = {
                "cosine": (1 + dot / (length * float(np.linalg.norm(own)) or 1)) / 2,
                "dot_product": (1 + dot) / 2,
                "l2_norm": 1 / (1 + float(np.sum((query - own) ** 2))),
                "max_inner_product": dot + 1 if dot >= 0 else 1 / (1 - dot),
            }[kind]
        return scores


@dataclass
class Elasticsearch:
    """What the server has and how it is told to behave.

    Attributes:
        indexes: by their names.
        aliases: lists of indexes by name.
        key: the API key that it wants.
        product: the header by which the client knows it.
        instead: answers a request in another way, if it returns (status, body).
        asked: method, path and body of every request.
    """

    indexes: dict[str, Index]
    aliases: dict[str, list[str]] = field(default_factory=dict)
    key: str | None = None
    product: str | None = "Elasticsearch"
    instead: Callable[[str, str], tuple[int, object] | None] = lambda method, path: None
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    views: dict[str, Index] = field(default_factory=dict)
    opened: int = 0

    def index(self, name: str) -> Index:
        [name] = self.aliases.get(name, [name])
        if name not in self.indexes:
            raise Refusal(f"no such index [{name}]", "index_not_found_exception", 404)
        return self.indexes[name]

    def answer(self, method: str, target: str, body: bytes, lines: bool) -> object:
        parts = urlsplit(target)
        options = {name: own[0] for name, own in parse_qs(parts.query).items()}
        path = [unquote(part) for part in parts.path.strip("/").split("/")]
        if lines:
            if not body.endswith(b"\n"):
                raise Refusal("The msearch request must be terminated by a newline [\\n]")
            given: Any = [json.loads(line) for line in body.decode().splitlines()]
        else:
            given = json.loads(body) if body else {}
        self.asked.append((method, parts.path, given))
        match method, path:
            case "GET", [name, "_mapping"]:
                keys(options, "")
                names = self.aliases.get(name) or [name]
                return {one: {"mappings": {"properties": self.index(one).properties}}
                        for one in names}  # fmt: skip
            case "GET", ["_alias"]:
                keys(options, "expand_wildcards")
                return {one: {"aliases": {alias: {} for alias, own in self.aliases.items()
                                          if one in own}} for one in self.indexes}  # fmt: skip
            case "POST", [name, "_pit"]:
                keys(options, "keep_alive preference", "keep_alive preference")
                return {"id": self.view(self.index(name)), "_shards": {"failed": 0}}
            case "DELETE", ["_pit"]:
                keys(given, "id", "id")
                self.views.pop(given["id"])
                return {"succeeded": True, "num_freed": 1}
            case "POST", ["_search"]:
                return self.page(given)
            case "POST", [name, "_msearch"] if lines:
                self.index(name)
                pairs = zip(given[::2], given[1::2], strict=True)
                return {"took": 1, "responses": [self.one(name, *pair) for pair in pairs]}
        raise Refusal(f"no handler found for uri [{target}] and method [{method}]")

    def view(self, index: Index) -> str:
        self.opened += 1
        self.views[f"view-{self.opened}"] = index
        return f"view-{self.opened}"

    def one(self, name: str, header: dict[str, Any], body: dict[str, Any]) -> object:
        try:
            return {**self.search(self.index(name), header, body), "status": 200}
        except Refusal as error:
            return error.body

    def search(self, index: Index, header: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        keys(header, "preference search_type", "preference")
        keys(body, "query knn size track_total_hits _source fields", "size _source")
        if header["preference"].startswith("_"):
            raise Refusal(f"no Preference for [{header['preference']}]")
        if body["size"] > WINDOW:
            raise Refusal(
                "Result window is too large, from + size must be less than or equal to: [10000] "
                f"but was [{body['size']}]", "illegal_argument_exception",
            )  # fmt: skip
        kind = header.get("search_type", "query_then_fetch")
        search = Search(index, kind == "dfs_query_then_fetch")
        if "knn" in body and ("query" in body or "search_type" in header):
            raise Refusal("cannot set [search_type] when using [knn] search, since the search type "
                          "is determined automatically", "illegal_argument_exception")  # fmt: skip
        scores = search.knn(body["knn"]) if "knn" in body else search.run(body["query"])
        scores = {place: as_float(score) for place, score in scores.items()}
        best = sorted(scores, key=lambda place: (-scores[place], index.order(place)))
        found = [self.hit(index, place, body) | {"_score": scores[place]}
                 for place in best[: body["size"]]]  # fmt: skip
        return self.found(found)

    def page(self, body: dict[str, Any]) -> dict[str, Any]:
        keys(body, "pit query sort size track_total_hits _source fields search_after",
             "pit query sort size")  # fmt: skip
        keys(body["pit"], "id keep_alive", "id keep_alive")
        index = self.views.pop(body["pit"]["id"], None)
        if index is None:
            raise Refusal("No search context found", "search_context_missing_exception", 404)
        names = [next(iter(one)) for one in body["sort"]]
        for name in names[:-1]:
            if index.kind(name).get("type") not in SORTABLE:
                raise Refusal(f"Fielddata is disabled on [{name}]", "illegal_argument_exception")
        if names[-1] != "_shard_doc" or any(list(one.values()) != ["asc"] for one in body["sort"]):
            raise Refusal(f"unknown sort {body['sort']}")

        def sort(place: int) -> list[Any]:
            shard, number = index.order(place)
            return [*(index.value(place, name) for name in names[:-1]), (shard << 32) + number]

        rows = sorted(Search(index, False).run(body["query"]), key=sort)
        if "search_after" in body:
            rows = [place for place in rows if sort(place) > body["search_after"]]
        found = [self.hit(index, place, body) | {"_score": None, "sort": sort(place)}
                 for place in rows[: body["size"]]]  # fmt: skip
        return {"pit_id": self.view(index), **self.found(found)}

    def hit(self, index: Index, place: int, body: dict[str, Any]) -> dict[str, Any]:
        if body["_source"] is not False:
            raise Refusal("the source is not to be had")
        values = {name: index.value(place, name) for name in body.get("fields", [])}
        fields = {name: value if isinstance(value, list) else [value]
                  for name, value in values.items() if value is not None}  # fmt: skip
        own = {"_index": "things", "_id": index.documents[place][0]}
        return {**own, "fields": fields} if fields else own

    def found(self, hits: list[dict[str, Any]]) -> dict[str, Any]:
        shards = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
        return {"took": 1, "timed_out": False, "_shards": shards,
                "hits": {"max_score": None, "hits": hits}}  # fmt: skip


def handler_of(engine: Elasticsearch) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            told = engine.instead(self.command, urlsplit(self.path).path)
            if told is not None:
                engine.asked.append((self.command, self.path, None))
                return self.reply(*told)
            try:
                lines = self.media(body)
                self.reply(200, engine.answer(self.command, self.path, body, lines))
            except Refusal as error:
                self.reply(error.status, error.body)

        do_POST = do_DELETE = do_GET

        def media(self, body: bytes) -> bool:
            if engine.key and self.headers["Authorization"] != f"ApiKey {engine.key}":
                raise Refusal("missing authentication credentials", "security_exception", 401)
            kinds = [self.headers["Accept"], *([self.headers["Content-Type"]] if body else [])]
            if not all(MEDIA.fullmatch(kind or "") for kind in kinds):
                raise Refusal(f"Invalid media-type value {kinds}", "media_type_header_exception")
            return "ndjson" in kinds[-1]

        def reply(self, status: int, body: object) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            if engine.product:
                self.send_header("X-Elastic-Product", engine.product)
            kind = "application/vnd.elasticsearch+json;compatible-with=9"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that has gone: some tests let it."""


class Running:
    """The server, in a thread, while it is open."""

    def __init__(self, engine: Elasticsearch) -> None:
        self.engine = engine

    def __enter__(self) -> Running:
        self._server = Quiet(("127.0.0.1", 0), handler_of(self.engine))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
