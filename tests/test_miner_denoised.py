"""Mining with a cross-encoder as the last word."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mining import assert_same_rows, pairs_on_disk, word_documents, word_rows
from tiny_models import logits, save_cross_encoder

from hf_hardneg import BM25Retriever, Corpus, CrossEncoderDenoiser, OfflineMiner
from hf_hardneg.errors import ModelError

DOCUMENTS = word_documents(60)
TEXTS = list(DOCUMENTS.values())
ROWS = word_rows(DOCUMENTS, 25)


def mining(strategy: Any = "bm25@30", **options: Any) -> OfflineMiner:
    return OfflineMiner(strategy, **{"corpus": DOCUMENTS, "num_negatives": 4, **options})


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_cross_encoder(tmp_path_factory.mktemp("model"))


def test_the_denoiser_keeps_what_scores_low(tiny: Path) -> None:
    rows = ROWS.select(range(8))
    pool = mining("bm25@12").retrieve(rows)
    known = mining("bm25@12+denoised(promote=True)", model=str(tiny), threshold=0.4)
    mined = known.mine(rows)
    for row, candidates in zip(mined, pool, strict=True):
        own = [place for place in candidates["candidate_rows"] if place != row["number"]]
        values = logits(tiny, [(row["query"], TEXTS[place]) for place in own])
        scores = [1 / (1 + math.exp(-value)) for value in values]
        kept = [place for place, score in enumerate(scores) if score < 0.4][:4]
        assert row["hard_negative_ids"] == [f"d{own[place]}" for place in kept]
        asked = scores[: kept[-1] + 1] if len(kept) == 4 else scores
        above = [f"d{own[place]}" for place, score in enumerate(asked) if score > 0.9]
        assert row["promoted_ids"] == above
    assert any(row["promoted_ids"] for row in mined)
    report = known.report(mined)
    assert report.stages[-1].promoted == sum(map(len, mined["promoted_ids"]))
    assert report.stages[-1].asked < len(rows) * 11
    assert_same_rows(known.select(mining("bm25@12").retrieve(rows)), mined)


def test_a_pair_is_scored_once(tiny: Path, cache: Path) -> None:
    rows = ROWS.select(range(8))
    denoiser = CrossEncoderDenoiser(str(tiny))
    known = OfflineMiner(BM25Retriever(Corpus(DOCUMENTS), top_k=12), filters=[denoiser])
    known.mine(rows)
    scored = denoiser.pairs_scored
    assert scored == pairs_on_disk(cache) > 0
    denoiser.threshold = 0.2
    known.mine(rows, "n-tuple")
    assert denoiser.pairs_scored == pairs_on_disk(cache)
    denoiser.threshold = 0.1
    before = denoiser.pairs_scored
    rows.map(known.knowing(rows), batched=True)
    assert denoiser.pairs_scored == before


def test_a_real_cross_encoder(cross_encoder_path: Path) -> None:
    rows = ROWS.select(range(4))
    known = mining("denoised", model=str(cross_encoder_path), num_negatives=3)
    mined = known.mine(rows, "n-tuple")
    assert mined.column_names == ["anchor", "positive", *(f"negative_{n}" for n in (1, 2, 3))]
    assert known.report(mined).stages[-1].asked >= 3 * len(mined)


@pytest.fixture
def impatient() -> Iterator[None]:
    """Turns a deadlock into a failure."""

    def fail(*arguments: object) -> None:
        raise TimeoutError("workers wait for ever")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("impatient")
def test_workers_open_the_model_themselves(tiny: Path, tmp_path: Path) -> None:
    strategy = "random@12+denoised(promote=True)+random"
    rows = ROWS.select(range(9))
    expected = mining(strategy, model=str(tiny)).mine(rows)  # this process has asked the model
    elsewhere = mining(strategy, model=str(tiny), cache_dir=tmp_path / "other")
    assert_same_rows(elsewhere.mine(rows, num_proc=2), expected)


@pytest.mark.usefixtures("impatient")
def test_a_loaded_model_stays_in_its_process(tiny: Path) -> None:
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(tiny), device="cpu")
    known = mining("random@12+denoised", model=model)
    with pytest.raises(ModelError, match=r"cannot be sent to another process.*name or path"):
        known.mine(ROWS, num_proc=2)
    expected = mining("random@12+denoised", model=str(tiny)).mine(ROWS)
    assert_same_rows(known.mine(ROWS), expected)
