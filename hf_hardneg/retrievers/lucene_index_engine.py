"""The program that holds Java and Lucene. :mod:`hf_hardneg.retrievers.lucene_index` starts it.

It is a process of its own because a Java virtual machine can be started once in a process, with
one set of options, and does not survive a fork, which is how ``Dataset.map`` makes workers. It
reads requests and writes answers, one JSON a line, and ends when its input does. It imports
nothing of this package, so that it starts quickly. One thread does it all: pyjnius keeps the
object that a method is called on where the next thread writes its own.

Lucene itself searches, with the analyzers of Pyserini and the query that Anserini builds. What
``LuceneSearcher`` of Pyserini gives is not Lucene's score: it is rounded to four digits, and
lowered where documents tie.
"""

from __future__ import annotations

import json
import os
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import cache, lru_cache
from typing import Any

__all__ = ["Index", "serve", "start_java"]

FIELD = "contents"
ID = "id"
RAW = "raw"
EXTRA = 16
"""Asked for beyond k, so that a tie at the end can be broken by the lower row."""
PAGE = 256
NO_LIMIT = 2**31 - 1

Hits = list[tuple[str, float]]


class Refusal(Exception):
    """What is asked cannot be done, for a reason that can be shown as it stands."""


def start_java(vector: bool) -> None:
    """Start the virtual machine, in JAVA_HOME, with the classes of Pyserini.

    Args:
        vector: whether that Java has the module that Pyserini asks for. Without it the machine
            would not start.
    """
    import jnius_config
    import pyserini
    from pyserini.setup import configure_classpath

    beside = os.path.join(os.path.dirname(str(pyserini.__file__)), "resources", "jars")
    configure_classpath(os.environ.get("ANSERINI_CLASSPATH") or beside)
    if not vector:
        options = [one for one in jnius_config.get_options() if "jdk.incubator.vector" not in one]
        jnius_config.set_options(*options)
    _class("java.lang.System")


@cache
def _class(name: str) -> Any:  # noqa: ANN401
    from jnius import autoclass

    return autoclass(name)


def _text(text: str) -> Any:  # noqa: ANN401
    """Return a Java string. The one that pyjnius makes by itself is cut short by an emoji."""
    return _class("java.lang.String")(text.encode("utf-8", "replace"), "UTF-8")


def _analyzer(language: str, stemmer: str | None, stopwords: bool) -> Any:  # noqa: ANN401
    from pyserini.analysis import JWhiteSpaceAnalyzer, get_lucene_analyzer

    if language == "whitespace":
        return JWhiteSpaceAnalyzer()
    return get_lucene_analyzer(language, stemmer is not None, stemmer or "porter", stopwords)


class Index:
    """An open index.

    Args:
        folder: where it is.
        k1, b: parameters of BM25.
        language, stemmer, stopwords: what turns text into words.
    """

    def __init__(
        self, folder: str, k1: float, b: float, language: str, stemmer: str | None, stopwords: bool
    ) -> None:
        """Open the index."""
        lucene = "org.apache.lucene"
        directory = _class(f"{lucene}.store.FSDirectory").open(
            _class("java.io.File")(_text(folder)).toPath()
        )
        self._reader = _class(f"{lucene}.index.DirectoryReader").open(directory)
        searcher = _class(f"{lucene}.search.IndexSearcher")
        searcher.setMaxClauseCount(NO_LIMIT)
        self._searcher = searcher(
            self._reader, signature=f"(L{lucene.replace('.', '/')}/index/IndexReader;)V"
        )
        self._similarity = _class(f"{lucene}.search.similarities.BM25Similarity")(k1, b)
        self._searcher.setSimilarity(self._similarity)
        self._analyzer = _analyzer(language, stemmer, stopwords)
        self._leaves = list(self._reader.leaves().toArray())
        self._starts = [leaf.docBase for leaf in self._leaves]
        self._names: dict[int, str] = {}

    # -- what it holds -----------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """Return how many documents it has, and how many words of text can be searched."""
        statistics = self._searcher.collectionStatistics(FIELD)
        words = 0 if statistics is None else statistics.sumTotalTermFreq()
        return {"documents": self._reader.numDocs(), "words": words}

    def documents(self, start: int, field: str) -> dict[str, Any]:
        """Return [id, raw document, stored field] of documents from ``start`` on, and the next."""
        stored = self._reader.storedFields()
        live = _class("org.apache.lucene.index.MultiBits").getLiveDocs(self._reader)
        end = min(start + PAGE, self._reader.maxDoc())
        page = []
        for number in range(start, end):
            if live is None or live.get(number):
                document = stored.document(number)
                page.append([document.get(name) for name in (ID, RAW, field)])
        return {"page": page, "next": end if end < self._reader.maxDoc() else None}

    def _names_of(self, numbers: Sequence[int]) -> list[str]:
        """Return the ids of documents from their numbers in Lucene."""
        columns: dict[int, Any] = {}
        stored = None
        for number in sorted(set(numbers) - self._names.keys()):
            place = bisect_right(self._starts, number) - 1
            if place not in columns:
                columns[place] = self._leaves[place].reader().getBinaryDocValues(ID)
            column = columns[place]
            if column is not None and column.advanceExact(number - self._starts[place]):
                self._names[number] = column.binaryValue().utf8ToString()
            else:
                stored = stored or self._reader.storedFields()
                self._names[number] = stored.document(number).get(ID)
        return [self._names[number] for number in numbers]

    # -- scores ------------------------------------------------------------------------------

    def _words(self, text: str) -> list[str]:
        analyze = _class("io.anserini.analysis.AnalyzerUtils").analyze
        return list(analyze(self._analyzer, _text(text)).toArray())

    def _query(self, text: str) -> Any:  # noqa: ANN401
        build = _class("io.anserini.search.query.BagOfWordsQueryGenerator")().buildQuery
        return build(FIELD, self._analyzer, _text(text))

    def search(self, text: str, k: int) -> Hits:
        """Return (id, score) of the k best documents and of all that tie with the last one."""
        query, width = self._query(text), min(k + EXTRA, max(self._reader.maxDoc(), 1))
        while True:
            found = [(hit.doc, hit.score) for hit in self._searcher.search(query, width).scoreDocs]
            tied = len(found) == width > k and found[-1][1] == found[k - 1][1]
            if not tied or width >= self._reader.maxDoc():
                break
            width = min(2 * width, self._reader.maxDoc())
        last = found[k - 1][1] if len(found) >= k else 0.0
        best = [(number, score) for number, score in found if score >= last]
        names = self._names_of([number for number, _ in best])
        return [(name, score) for name, (_, score) in zip(names, best, strict=True)]

    def scores(self, text: str, ids: Sequence[str]) -> list[float | None]:
        """Return the score of documents by id, 0 without a shared word; ``None`` if not there.

        The search is restricted to these documents by a filter, which adds nothing to a score.
        """
        search = "org.apache.lucene.search"
        occur = _class(f"{search}.BooleanClause$Occur")
        term = _class("org.apache.lucene.index.Term")
        among = _class(f"{search}.BooleanQuery$Builder")()
        for name in set(ids):
            among.add(_class(f"{search}.TermQuery")(term(ID, _text(name))), occur.SHOULD)
        both = _class(f"{search}.BooleanQuery$Builder")()
        both.add(self._query(text), occur.SHOULD)
        both.add(among.build(), occur.FILTER)
        found = self._searcher.search(both.build(), 2 * len(ids)).scoreDocs
        names = self._names_of([hit.doc for hit in found])
        values: dict[str, float] = {}
        for name, hit in zip(names, found, strict=True):
            if name in values:
                raise Refusal(f"the document {name!r} stands in it more than once.")
            values[name] = float(hit.score)
        return [values.get(name) for name in ids]

    def text_scores(self, text: str, others: Sequence[str]) -> list[float]:
        """Return what texts that are not in the index would score, by its statistics."""
        weights = self._weights(text)
        norm = _class("org.apache.lucene.util.SmallFloat").intToByte4
        scores = []
        for other in others:
            words = self._words(other)
            frequency, length = Counter(words), norm(len(words))
            shared = [(weight, frequency[word]) for word, weight in weights if word in frequency]
            scores.append(sum(weight.score(float(count), length) for weight, count in shared))
        return scores

    def _weights(self, text: str) -> list[tuple[str, Any]]:
        """Return the words of a query that the index knows, with what scores a document by each."""
        statistics = self._searcher.collectionStatistics(FIELD)
        weights = []
        for word, count in Counter(self._words(text)).items():
            term = _class("org.apache.lucene.index.Term")(FIELD, _text(word))
            documents = self._reader.docFreq(term)
            if documents:
                own = self._searcher.termStatistics(
                    term, documents, self._reader.totalTermFreq(term)
                )
                weights.append((word, self._similarity.scorer(float(count), statistics, own)))
        return weights


# -- requests ------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _opened(**spec: Any) -> Index:  # noqa: ANN401
    spec.pop("commit")
    return Index(**spec)


def _prebuilt(name: str, progress: int | None) -> dict[str, Any]:
    """Return the folder of a prebuilt index, downloaded if need be, or the names that there are.

    Args:
        name: of an index for BM25.
        progress: file descriptor on which Pyserini says how far it is.
    """
    with (
        open(os.devnull if progress is None else progress, "w", closefd=progress is None) as shown,
        redirect_stdout(shown),
        redirect_stderr(shown),
    ):
        from pyserini.prebuilt_index_info import TF_INDEX_INFO
        from pyserini.util import download_prebuilt_index

        if name not in TF_INDEX_INFO:
            return {"names": list(TF_INDEX_INFO)}
        return {"folder": str(download_prebuilt_index(name, verbose=False))}


def _answer(request: dict[str, Any], progress: int | None) -> Any:  # noqa: ANN401
    kind = request["ask"]
    if kind == "prebuilt":
        return _prebuilt(request["name"], progress)
    index = _opened(**request["index"])
    if kind == "facts":
        return index.facts()
    if kind == "documents":
        return index.documents(request["start"], request["field"])
    texts = request["texts"]
    if kind == "search":
        return [index.search(text, request["k"]) for text in texts]
    work: Any = index.scores if kind == "scores" else index.text_scores
    return list(map(work, texts, request["others"]))


def serve(vector: bool, progress: int | None) -> None:
    """Start Java, say so, and answer requests until there are none.

    Args:
        vector: as :func:`start_java`.
        progress: file descriptor on which a download may say how far it is.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # whatever Java prints must not stand among the answers

    def write(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    start_java(vector)
    from jnius import JavaException

    write({"value": "ready"})
    for line in sys.stdin:
        try:
            write({"value": _answer(json.loads(line), progress)})
        except JavaException as error:
            kind = str(error.classname).rpartition(".")[2]
            write({"trouble": f"{kind}: {error.innermessage}"})
        except Refusal as error:
            write({"trouble": str(error)})
        except Exception as error:  # the one who asked has to know
            write({"trouble": f"{type(error).__name__}: {error}"})
    os._exit(0)  # threads that have been in Java would keep it up


if __name__ == "__main__":
    serve(sys.argv[1] == "vector", int(sys.argv[2]) if len(sys.argv) > 2 else None)
