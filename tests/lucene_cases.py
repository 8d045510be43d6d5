"""Small Lucene indexes, and the scores that they must give, by Lucene's formula in plain Python.

The indexes are built by Pyserini, in a process of its own: Java can be started once in a process.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hf_hardneg.retrievers.lucene_index_process_java import find_java

STOP_WORDS = {
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it",
    "no", "not", "of", "on", "or", "such", "that", "the", "their", "then", "there", "these", "they",
    "this", "to", "was", "will", "with",
}  # fmt: skip
"""Of Lucene's EnglishAnalyzer."""

BUILDER = """
import json, sys
from hf_hardneg.retrievers.lucene_index_engine import start_java

asked = json.load(sys.stdin)
start_java(asked["vector"])
from pyserini.index.lucene import LuceneIndexer, LuceneIndexReader
from pyserini.pyclass import autoclass

lucene = "org.apache.lucene."
scores = []
for index in asked["indexes"]:
    for part, documents in enumerate(index["segments"]):
        writer = LuceneIndexer(args=["-index", index["folder"], *index["options"]],
                               append=part > 0, threads=1)
        for document in documents:  # as ASCII: pyjnius would cut a text with an emoji short
            writer.add_doc_raw(json.dumps(document))
        writer.close()
    if index["deleted"]:
        config = autoclass(lucene + "index.IndexWriterConfig")()
        config.setMergePolicy(autoclass(lucene + "index.NoMergePolicy").INSTANCE)
        folder = autoclass("java.io.File")(index["folder"]).toPath()
        directory = autoclass(lucene + "store.FSDirectory").open(folder)
        writer = autoclass(lucene + "index.IndexWriter")(directory, config)
        for name in index["deleted"]:
            term = autoclass(lucene + "index.Term")("id", name)
            writer.deleteDocuments(autoclass(lucene + "search.TermQuery")(term))
        writer.close()
    if index["pairs"]:
        reader = LuceneIndexReader(index["folder"])
        scores.append([reader.compute_query_document_score(name, text)
                       for text, name in index["pairs"]])
answer = {"scores": scores}
if asked["prebuilt"]:
    from pyserini.prebuilt_index_info import TF_INDEX_INFO

    facts = TF_INDEX_INFO[asked["prebuilt"]]
    answer["folder"] = facts["urls"][0].split("/")[-1].split(".tar.gz")[0] + "." + facts["md5"]
print("\\n" + json.dumps(answer))
"""


def index_of(
    folder: Path,
    *segments: Sequence[dict[str, str]],
    options: Sequence[str] = ("-storeRaw",),
    deleted: Sequence[str] = (),
    pairs: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """What to build: documents, in one or more segments.

    Args:
        folder: where.
        segments: documents with ``id`` and ``contents``.
        options: of Anserini's indexer.
        deleted: ids of documents to delete afterwards.
        pairs: (query, id) of which Pyserini's own score is wanted.
    """
    return {"folder": str(folder), "segments": segments, "options": list(options),
            "deleted": list(deleted), "pairs": list(pairs)}  # fmt: skip


def build(*indexes: dict[str, Any], prebuilt: str | None = None) -> dict[str, Any]:
    """Build indexes.

    Args:
        indexes: as :func:`index_of`.
        prebuilt: name of an index that Pyserini can download.

    Returns:
        ``scores``: what Pyserini says of the pairs of those that have any; ``folder``: the name of
        the folder in which it would keep the prebuilt index.
    """
    java = find_java()
    done = subprocess.run(
        [sys.executable, "-c", BUILDER],
        input=json.dumps({"vector": java.vector, "indexes": indexes, "prebuilt": prebuilt}),
        env={**os.environ, "JAVA_HOME": str(java.home), "LC_ALL": "C.UTF-8"},
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def as_documents(texts: Sequence[str], first: int = 0) -> list[dict[str, str]]:
    return [{"id": f"d{first + row}", "contents": text} for row, text in enumerate(texts)]


# -- the formula ---------------------------------------------------------------------------------


def english(text: str) -> list[str]:
    """The words of a simple text, as Anserini's default analyzer gives them."""
    import Stemmer

    stemmer = Stemmer.Stemmer("porter")
    words = re.findall(r"\w+", text.lower())
    return stemmer.stemWords([word for word in words if word not in STOP_WORDS])


def _to_4_bits(number: int) -> int:
    """SmallFloat.longToInt4 of Lucene: four significant bits and an exponent."""
    bits = number.bit_length()
    if bits < 4:
        return number
    shift = bits - 4
    return ((number >> shift) & 0x07) | (shift + 1) << 3


def _from_4_bits(number: int) -> int:
    """SmallFloat.int4ToLong of Lucene."""
    shift = (number >> 3) - 1
    return number & 0x07 if shift == -1 else ((number & 0x07) | 0x08) << shift


FREE = 255 - _to_4_bits(2**31 - 1)
"""Lengths below this are kept as they are."""


def kept_length(length: int) -> int:
    """What is left of a document's length after Lucene has kept it in one byte."""
    return length if length < FREE else FREE + _from_4_bits(_to_4_bits(length - FREE))


class Reference:
    """BM25 by the formula of Lucene's BM25Similarity, every step in its precision.

    Args:
        texts: all documents of the index, those deleted included.
        words: what gives the words of a text.
        k1, b: the parameters.
    """

    def __init__(
        self, texts: Sequence[str], words: Callable[[str], list[str]], k1: float, b: float
    ) -> None:
        self._words, self._k1, self._b = words, np.float32(k1), np.float32(b)
        lists = [own for own in map(words, texts) if own]
        self._documents = len(lists)
        self._frequency = Counter(word for own in lists for word in set(own))
        self._average = np.float32(sum(map(len, lists)) / len(lists))

    def eligible(self, query: str, document: str) -> bool:
        return not set(self._words(query)).isdisjoint(self._words(document))

    def score(self, query: str, document: str) -> float:
        one, own = np.float32(1), self._words(document)
        kept = np.float32(kept_length(len(own)))
        with np.errstate(divide="ignore"):  # without k1, a word counts once
            norm = one / (self._k1 * ((one - self._b) + self._b * kept / self._average))
        held, total = Counter(own), 0.0
        for word, count in Counter(self._words(query)).items():
            if held[word] and self._frequency[word]:
                documents = self._frequency[word]
                idf = math.log(1 + (self._documents - documents + 0.5) / (documents + 0.5))
                weight = np.float32(count) * np.float32(idf)
                total += float(weight - weight / (one + np.float32(held[word]) * norm))
        return float(np.float32(total))
