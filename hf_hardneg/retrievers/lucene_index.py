"""A Lucene index made by Pyserini or Anserini: where it is, what it holds, and how to ask it."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import xxhash

from hf_hardneg.errors import (
    CorpusError,
    MissingExtraError,
    did_you_mean,
    listing,
)
from hf_hardneg.retrievers.lucene_index_process import engine_of

__all__ = ["LuceneIndex", "commit_of", "is_path", "record_of"]

LEAST_SHARE = 16
"""Fewer queries are not worth another Java."""
Hits = list[tuple[str, float]]


# -- where it is -----------------------------------------------------------------------------


def is_path(index: str) -> bool:
    """Return whether ``index`` names a folder here; else it is the name of a prebuilt index."""
    return os.path.exists(os.path.expanduser(index)) or (
        index.startswith((".", "~")) or os.sep in index or "/" in index
    )


def commit_of(folder: Path) -> str:
    """Return what changes when an index does: the hash of its last commit.

    Raises:
        CorpusError: it is no folder, or holds no index.
    """
    if not folder.is_dir():
        raise CorpusError(
            f"the Lucene index {str(folder)!r} does not exist; expected a folder made by Pyserini, "
            "or the name of one of its prebuilt indexes."
            if not folder.exists()
            else f"the Lucene index {str(folder)!r} is a file; expected a folder. Unpack it first."
        )
    commits = [one for one in folder.glob("segments_*") if one.is_file()]
    if not commits:
        raise CorpusError(
            f"the folder {str(folder)!r} holds no Lucene index: it has no file 'segments_...'. It "
            f"holds: {listing(sorted(one.name for one in folder.iterdir()), limit=6)}."
        )
    last = max(commits, key=lambda one: (len(one.name), one.name))  # numbers in base 36
    return f"{last.name} {xxhash.xxh3_128_hexdigest(last.read_bytes())}"


def _need_pyserini() -> None:
    if importlib.util.find_spec("pyserini") is None:
        raise MissingExtraError("pyserini", "lucene", "The retriever 'lucene'")


# -- what it holds ---------------------------------------------------------------------------


def record_of(
    document: Sequence[str | None], text_field: str, title_field: str | None, title: str
) -> dict[str, str]:
    """Return id, text and title of a document as the index has stored it.

    Args:
        document: its id, the raw document and the stored field ``text_field``; ``None`` for what
            was not stored.
        text_field: which field of a raw document in JSON is the text. Where the raw document is
            no JSON object, all of it is.
        title_field: which field of it is the title.
        title: of the index, for messages.

    Raises:
        CorpusError: no text was stored, or not under this name.
    """
    name, raw, stored = document
    fields = _json_object(raw)
    if fields is None:
        text = stored if raw is None else raw
        if text is None or not name:
            raise CorpusError(
                f"{title} has stored no {'id' if text is not None else 'text'} for the document "
                f"{name!r}. Make it with --storeRaw, or give the documents: corpus=..."
            )
        return {"id": name, "text": text, "title": ""}
    text = fields.get(text_field, stored)
    if not isinstance(text, str) or not name:
        raise CorpusError(
            f"{title}: the document {name!r} has no text {text_field!r}; its fields are: "
            f"{listing(sorted(fields))}. Name the right one with text_field=..."
        )
    heading = fields.get(title_field, "") if title_field else ""
    if not isinstance(heading, str):
        raise CorpusError(
            f"{title}: the {title_field!r} of the document {name!r} is no text; its fields are: "
            f"{listing(sorted(fields))}. Name the right one with title_field=..."
        )
    return {"id": name, "text": text, "title": heading}


def _json_object(raw: str | None) -> dict[str, Any] | None:
    if raw is None or not raw.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(raw)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _prebuilt(name: str) -> Path:
    """Return the folder of a prebuilt index; Pyserini downloads it unless it is there.

    Raises:
        CorpusError: there is no such index for BM25, or it cannot be downloaded.
    """
    _need_pyserini()
    answer = engine_of(0).ask({"ask": "prebuilt", "name": name})
    if "trouble" in answer:
        raise CorpusError(
            f"the prebuilt index {name!r} of Pyserini cannot be downloaded: {answer['trouble']} "
            "Check the network and the space in the folder of PYSERINI_CACHE, or give the folder "
            "of an index that is here."
        )
    found = answer["value"]
    if "folder" not in found:
        names = found["names"]
        raise CorpusError(
            f"the Lucene index {name!r} is neither a folder here nor a prebuilt index of Pyserini "
            f"for BM25.{did_you_mean(name, names)} There are {len(names)}, for example "
            f"{listing(names[:3])}."
        )
    return Path(found["folder"])


# -- how to ask it ---------------------------------------------------------------------------


class LuceneIndex:
    """An index that is asked by BM25.

    Args:
        index: its folder, or the name of a prebuilt index of Pyserini.
        k1, b: parameters of BM25.
        language, stemmer, stopwords: what turns a query into words, as the index was made.
        threads: how many queries are searched at once, each by an engine of its own.

    Attributes:
        title: what it is and where, for messages.

    Raises:
        CorpusError: there is no such index, it cannot be read, or holds no words.
        MissingExtraError: Pyserini is not installed.
        EngineError: there is no Java to run Lucene, or it ends.
    """

    def __init__(
        self,
        index: str,
        *,
        k1: float,
        b: float,
        language: str,
        stemmer: str | None,
        stopwords: bool,
        threads: int,
    ) -> None:
        """Find the index and look at it."""
        _need_pyserini()
        self.title = f"the Lucene index {index!r}"
        folder = Path(index).expanduser() if is_path(index) else _prebuilt(index)
        self._spec = {
            "folder": str(folder.absolute()),
            "commit": commit_of(folder),
            "k1": k1,
            "b": b,
            "language": language,
            "stemmer": stemmer,
            "stopwords": stopwords,
        }
        self._threads = threads
        if not self._ask("facts")["words"]:
            raise CorpusError(
                f"{self.title} has no words in the field 'contents', so that BM25 finds nothing; "
                "expected an index of texts made by Pyserini or Anserini."
            )

    def _ask(self, kind: str, engine: int = 0, **more: Any) -> Any:  # noqa: ANN401
        answer = engine_of(engine).ask({"ask": kind, "index": self._spec, **more})
        if "trouble" in answer:
            raise CorpusError(f"{self.title}: {answer['trouble']}")
        return answer["value"]

    def _shared(self, kind: str, lists: dict[str, Sequence[Any]], **more: Any) -> list[Any]:  # noqa: ANN401
        """Ask about the items of some lists of one length, shared among the engines."""
        items = len(next(iter(lists.values())))
        engines = min(self._threads, -(-items // LEAST_SHARE)) or 1
        size = -(-items // engines)

        def ask(engine: int) -> list[Any]:
            own = slice(engine * size, (engine + 1) * size)
            part: list[Any] = self._ask(
                kind, engine, **{name: list(values[own]) for name, values in lists.items()}, **more
            )
            return part

        if engines == 1:
            return ask(0)
        with ThreadPoolExecutor(engines) as pool:
            return list(chain.from_iterable(pool.map(ask, range(engines))))

    def records(self, text_field: str, title_field: str | None) -> Iterator[dict[str, str]]:
        """Yield id, text and title of all documents, in the order of the index."""
        start: int | None = 0
        while start is not None:
            answer = self._ask("documents", start=start, field=text_field)
            for document in answer["page"]:
                yield record_of(document, text_field, title_field, self.title)
            start = answer["next"]

    def search(self, texts: Sequence[str], k: int) -> list[Hits]:
        """Return (id, score) of the k best documents of each query, and of all that tie with k."""
        return self._shared("search", {"texts": texts}, k=k)

    def scores(
        self, texts: Sequence[str], ids: Sequence[Sequence[str]]
    ) -> list[list[float | None]]:
        """Return scores of documents by id for each query; ``None`` for one that is not there."""
        return self._shared("scores", {"texts": texts, "others": ids})

    def text_scores(
        self, texts: Sequence[str], others: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """Return what texts would score for each query if they were in the index."""
        return self._shared("text_scores", {"texts": texts, "others": others})
