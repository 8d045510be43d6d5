"""What a job is expected to take: the arithmetic, and what a trial leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import (
    WORDS,
    save_bi_encoder,
    save_cross_encoder,
    save_multi_vector,
)

from hf_hardneg import BM25Retriever, CallableEncoder, Corpus, DenseRetriever, OfflineMiner
from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.cost import Estimate, duration, require, size, worth_estimating
from hf_hardneg.errors import CostError, ParameterError
from hf_hardneg.filters import Verdict, Veto
from hf_hardneg.filters.cross_encoder_cost import Asking
from hf_hardneg.retrievers.dense_cost import SearchRate, approximate_seconds
from hf_hardneg.strategy import build
from hf_hardneg.workload import Advice, Nearest, Phase, Workload

GB = 10**9
SHARED = Path(__file__).resolve().parents[2] / "shared"
BUDGET = 0.001


def made_estimate(*phases: Phase, free_memory: int = 8 * GB, free_disk: int = 8 * GB) -> Estimate:
    return Estimate("dense", 10, 100, phases, GB, free_memory, free_disk)


def encode(texts: list[str]) -> Any:
    return np.array([[1 + text.split().count(word) for word in WORDS[:8]] for text in texts], float)


@pytest.fixture
def corpus() -> Corpus:
    rng = np.random.default_rng(0)
    return Corpus([" ".join(rng.choice(WORDS, rng.integers(2, 12))) for _ in range(400)])


@pytest.fixture
def rows(corpus: Corpus) -> Dataset:
    texts = corpus.texts(range(0, 300, 3))
    return Dataset.from_dict({"query": [t[:-1] for t in texts], "positive": texts})


# -- the arithmetic --------------------------------------------------------------------------


def test_totals() -> None:
    found = made_estimate(
        Phase("one", 10.0, memory=2 * GB, disk=5), Phase("two", 2.0, memory=GB, disk=7)
    )
    assert (found.seconds, found.memory, found.disk) == (12.0, 3 * GB, 12)


def test_other_ways_are_those_that_help_the_quickest_first() -> None:
    lower, gpu = Advice("bf16", lambda: 30.0), Advice("a GPU", lambda: 1.0)
    none = Advice("nothing", lambda: 99.0)
    documents = Phase("documents", 100.0, advice=(lower, gpu, none))
    queries = Phase("queries", 50.0, advice=(Advice("bf16", lambda: 15.0), gpu))
    options = made_estimate(documents, queries, Phase("search", 20.0)).options()
    assert [(one.text, one.seconds) for one in options] == [("a GPU", 22.0), ("bf16", 65.0)]


@pytest.mark.parametrize(
    ("phase", "free_memory", "free_disk", "said"),
    [
        (Phase("encode", 3 * 3600.0), 8 * GB, 8 * GB, "3.0 h"),
        (Phase("index", 1.0, memory=9 * GB), 8 * GB, 8 * GB, "10.0 GB of memory, and 9.0 GB"),
        (Phase("index", 1.0, disk=9 * GB), 8 * GB, 8 * GB, "write about 9.0 GB, and 8.0 GB"),
    ],
)
def test_refused(phase: Phase, free_memory: int, free_disk: int, said: str) -> None:
    found = made_estimate(phase, free_memory=free_memory, free_disk=free_disk)
    with pytest.raises(CostError, match=said) as caught:
        require(found, 1.0)
    assert "--yes" in str(caught.value)


def test_refused_with_what_to_do_instead() -> None:
    advice = (Advice("encode in bfloat16: dtype='auto'", lambda: 1800.0),)
    with pytest.raises(CostError, match="Instead: encode in bfloat16: dtype='auto': about 30 min"):
        require(made_estimate(Phase("encode", 7200.0, advice=advice)), 1.0)


def test_allowed() -> None:
    require(made_estimate(Phase("encode", 3599.0, memory=7 * GB, disk=7 * GB)), 1.0)
    require(made_estimate(Phase("encode", 3601.0)), 2.0)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (9.0, "9.0 s"), (42.4, "42 s"), (120, "2 min"), (5300, "88 min"),
     (36000, "10.0 h")],
)  # fmt: skip
def test_times_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 B"), (999, "999 B"), (2e3, "2 kB"), (3.4e6, "3 MB"), (65e9, "65.0 GB")],
)
def test_sizes_as_people_say_them(number: float, said: str) -> None:
    assert size(number) == said


@given(st.integers(1, 10**6), st.integers(1, 10**7), st.integers(1, 10**6))
def test_exact_search_in_blocks(queries: int, vectors: int, block: int) -> None:
    rate = SearchRate(query=1e-5, pair=1e-9)
    blocks = len(range(0, vectors, block))
    expected = queries * blocks * 1e-5 + queries * vectors * 1e-9
    assert rate.seconds(queries, vectors, block) == pytest.approx(expected)


def test_an_inverted_file_is_quicker_where_there_is_much_to_search() -> None:
    few = approximate_seconds("IVF4096,SQ8", 1_000, 1_000_000, 1e-9)
    many = approximate_seconds("IVF4096,SQ8", 1_000_000, 1_000_000, 1e-9)
    assert few is not None
    assert many is not None
    assert few > 1e-9 * 1e3 * 1e6  # building it costs more than it saves
    assert many < 1e-9 * 1e6 * 1e6
    assert approximate_seconds("HNSW32", 10, 10, 1e-9) is None


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.0, 0.0, 0.0, 0.0], 3),
        ([0.9, 0.0, 0.9, 0.0, 0.0, 0.0], 5),
        ([0.9, 0.9, 0.9, 0.0], 4 + 2 / (2 / 6)),
        ([0.9, 0.9, 0.9, 0.9], 20),
    ],
)
def test_how_many_candidates_are_asked_about(scores: list[float], expected: float) -> None:
    asking = Asking(wanted=3, threshold=0.5, most=20, positives=False)
    found = asking.count(np.array(scores, dtype=np.float32))
    assert found == pytest.approx(min(expected, 20))
    with_positive = Asking(wanted=3, threshold=0.5, most=20, positives=True)
    assert with_positive.count(np.array(scores, dtype=np.float32)) == pytest.approx(found + 1)


def test_json_has_all_figures() -> None:
    phase = Phase("encode", 2.0, 3, 4, "64 texts", (Advice("x", lambda: 1.0),))
    values = json.loads(made_estimate(phase).to_json())
    assert values["phases"] == [
        {"name": "encode", "seconds": 2.0, "memory": 3, "disk": 4, "basis": "64 texts"}
    ]
    assert (values["seconds"], values["memory"], values["disk"]) == (2.0, GB + 3, 4)


# -- trials ----------------------------------------------------------------------------------


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def names(found: Estimate) -> list[str]:
    return [phase.name for phase in found.phases]


@pytest.mark.parametrize(
    ("strategy", "phases"),
    [
        ("bm25@20", ["bm25: index", "bm25: search"]),
        ("random@20", ["random: search"]),
        (
            "bm25@20,random@10",
            ["bm25: index", "bm25: search", "random: search"],
        ),
    ],
)
def test_phases_without_a_model(
    corpus: Corpus, rows: Dataset, cache: Path, strategy: str, phases: list[str]
) -> None:
    miner = OfflineMiner(strategy, corpus=corpus)
    miner.knowing(rows)
    before = files(cache)
    found = miner.estimate(rows, budget=BUDGET)
    assert names(found) == [*phases, "choose and write"]
    assert files(cache) == before
    assert all(phase.seconds >= 0 for phase in found.phases)
    assert (found.rows, found.documents) == (100, 400)
    assert str(found)


def test_dense_by_a_function(corpus: Corpus, rows: Dataset, cache: Path) -> None:
    retriever = DenseRetriever(corpus, model=CallableEncoder(encode, name="words"))
    miner = OfflineMiner(retriever)
    found = miner.estimate(rows, budget=BUDGET)
    disk = {phase.name: phase.disk for phase in found.phases}
    distinct = len(set(corpus.texts(range(400))))
    assert disk["dense: encode documents"] == 32 * distinct
    assert disk["dense: encode queries"] == 32 * len(set(rows["query"]))
    assert not any("vectors-" in name or ".keys." in name for name in files(cache))


def test_what_is_encoded_already_costs_nothing(corpus: Corpus, rows: Dataset) -> None:
    calls: list[int] = []

    def watched(texts: list[str]) -> Any:
        calls.append(len(texts))
        return encode(texts)

    miner = OfflineMiner(DenseRetriever(corpus, model=CallableEncoder(watched, name="words")))
    miner.mine(rows)
    found = miner.estimate(rows, budget=BUDGET)
    encoding = [phase for phase in found.phases if "encode" in phase.name]
    assert [(phase.seconds, phase.disk) for phase in encoding] == [(0.0, 0), (0.0, 0)]


def test_a_trial_changes_nothing_of_the_result(
    corpus: Corpus, rows: Dataset, tmp_path: Path
) -> None:
    def mined(tried: bool, cache_dir: Path) -> Dataset:
        encoder = CallableEncoder(encode, name="words")
        miner = OfflineMiner(DenseRetriever(corpus, model=encoder, cache_dir=cache_dir))
        if tried:
            miner.estimate(rows, budget=BUDGET)
        return miner.mine(rows)

    one, two = mined(True, tmp_path / "with"), mined(False, tmp_path / "without")
    assert one.to_list() == two.to_list()


def test_a_model_can_be_in_bfloat16_or_on_a_gpu(
    corpus: Corpus, rows: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = str(save_bi_encoder(tmp_path / "model"))
    # So that the test does not depend on the processor.
    monkeypatch.setattr("hf_hardneg.encoders.hardware_dtype", lambda *_: "bfloat16")
    found = OfflineMiner("dense", corpus=corpus, model=model).estimate(rows, budget=BUDGET)
    advice = {one.text for phase in found.phases for one in phase.advice}
    assert any("dtype='auto'" in text for text in advice)
    assert any("GPU" in text for text in advice)
    assert all(one.seconds() >= 0 for phase in found.phases for one in phase.advice)
    assert names(found)[:3] == [
        "dense: load the model", "dense: encode documents", "dense: encode queries"
    ]  # fmt: skip


class Watched(Veto):
    """Keeps what it was tried on."""

    name = "watched"

    def __init__(self) -> None:
        self._nearest: Nearest = []

    def judge(
        self, queries: Queries, candidates: Candidates, lines: Any, slots: Any, corpus: Corpus
    ) -> Any:
        return np.full(len(lines), Verdict.KEEP, np.int8)

    def trial(self, work: Workload, nearest: Nearest, corpus: Corpus) -> tuple[Phase, ...]:
        self._nearest[:] = nearest
        return (Phase("watched", 1.0),)


@pytest.mark.parametrize("kind", ["bm25", "dense", "random"])
def test_vetoes_are_tried_on_candidates_that_are_no_positives(
    corpus: Corpus, rows: Dataset, kind: str
) -> None:
    made = {
        "bm25": lambda: BM25Retriever(corpus),
        "dense": lambda: DenseRetriever(corpus, model=CallableEncoder(encode, name="words")),
        "random": lambda: build("random", {"corpus": corpus, "cache_dir": None, "seed": 0}, {})
        .retriever,
    }  # fmt: skip
    watched = Watched()
    found = OfflineMiner(made[kind](), filters=[watched]).estimate(rows, budget=BUDGET)
    assert "watched" in names(found)
    positives = dict(zip(rows["query"], rows["positive"], strict=True))
    assert len(watched._nearest) > 100
    for query, row in watched._nearest:
        assert corpus.texts([row]) != [positives[query]] or corpus.rows_of_keys(
            corpus.document_keys[[row]]
        ) != [row]


def test_cross_encoding(corpus: Corpus, rows: Dataset, tmp_path: Path) -> None:
    model = str(save_cross_encoder(tmp_path / "model"))
    every = OfflineMiner("bm25+denoised", corpus=corpus, model=model, threshold=0.999,
                         promote_above=0.9999)  # fmt: skip
    none = OfflineMiner("bm25+denoised", corpus=corpus, model=model, threshold=-1.0)

    def asked(miner: OfflineMiner) -> float:
        [phase] = [one for one in miner.estimate(rows, budget=BUDGET).phases
                   if "cross-encode" in one.name]  # fmt: skip
        return float(phase.basis.split(";")[1].split()[0])  # "64 pairs; 5.0 a query, ..."

    assert 5.0 <= asked(every) < 5.5
    assert asked(none) == 50.0


def test_small_work_without_a_model_is_not_tried_first(corpus: Corpus) -> None:
    context = {"corpus": corpus, "cache_dir": None, "seed": 0}
    assert not worth_estimating(build("bm25+margin", context, {}), 1_000)
    assert worth_estimating(build("bm25", context, {}), 1_000_000)
    assert worth_estimating(build("bm25+denoised", context, {}), 10)
    assert worth_estimating(build("bm25,dense", context, {}), 10)


def test_a_budget_below_zero(corpus: Corpus, rows: Dataset) -> None:
    with pytest.raises(ParameterError, match="budget=-1"):
        OfflineMiner("bm25", corpus=corpus).estimate(rows, budget=-1)


def test_late_interaction(corpus: Corpus, rows: Dataset, cache: Path, tmp_path: Path) -> None:
    model = str(save_multi_vector(tmp_path / "model"))
    miner = OfflineMiner("bm25@20+multi-vector", corpus=corpus, model=model)
    found = miner.estimate(rows, budget=BUDGET)
    assert names(found) == [
        "bm25: index", "bm25: search", "multi-vector: load the model",
        "multi-vector: encode documents", "multi-vector: encode queries", "multi-vector: score",
        "choose and write",
    ]  # fmt: skip
    assert not any("multi-vector" in name for name in files(cache))
    disk = {phase.name: phase.disk for phase in found.phases}
    miner.mine(rows)
    stored = sum(path.stat().st_size for path in (cache / "multi-vector").rglob("document/*/*"))
    assert 0.5 * stored < disk["multi-vector: encode documents"] < 2 * stored


def test_an_index_that_somebody_else_made(
    corpus: Corpus, rows: Dataset, cache: Path, tmp_path: Path
) -> None:
    texts = corpus.texts(range(len(corpus)))
    index = faiss.IndexFlatIP(8)
    vectors = encode(texts)
    index.add((vectors / np.linalg.norm(vectors, axis=1)[:, None]).astype(np.float32))
    faiss.write_index(index, str(tmp_path / "a.index"))
    miner = OfflineMiner(
        "faiss@20", corpus=corpus, model=CallableEncoder(encode, name="words"),
        index=str(tmp_path / "a.index"),
    )  # fmt: skip
    found = miner.estimate(rows, budget=BUDGET)
    assert names(found) == [
        "faiss: load the model", "faiss: encode queries", "faiss: search", "choose and write"
    ]  # fmt: skip
    assert not any(".keys." in name for name in files(cache))


def test_a_sparse_model(corpus: Corpus, rows: Dataset, cache: Path) -> None:
    model = str(SHARED / "models" / "splade-tiny")
    if not Path(model).exists():
        pytest.skip("splade-tiny is not beside this checkout")
    found = OfflineMiner("sparse@20", corpus=corpus, model=model).estimate(rows, budget=BUDGET)
    assert names(found) == ["sparse: index", "sparse: search", "choose and write"]
    assert not any("sparse" in name for name in files(cache))
