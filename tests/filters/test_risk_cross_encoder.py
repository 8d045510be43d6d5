"""The score of a cross-encoder among the signals of risk, against the model asked pair by pair."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from sentence_transformers import CrossEncoder
from tiny_models import WORDS, logits, save_cross_encoder

from hf_hardneg import BM25Retriever, Corpus, OfflineMiner, RiskFilter
from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.errors import ModelError, ParameterError
from hf_hardneg.pair_scorer import PairScorer
from hf_hardneg.risk_hidden import hidden_pairs
from hf_hardneg.risk_model import Cut, RiskModel
from hf_hardneg.risk_signals import signals_of
from hf_hardneg.testing import check_filter, make_queries

DRAW = np.random.default_rng(8)
DOCUMENTS = [" ".join(DRAW.choice(WORDS, 4 + n % 7)) + f" note {n}" for n in range(40)]
QUERIES = ["red car", "cold river night", "the city", "north road day"]
POSITIVES = [[DOCUMENTS[0], DOCUMENTS[7]], [DOCUMENTS[2]], ["warm city train"],
             [DOCUMENTS[5], "a blue boat of the north", DOCUMENTS[9]]]  # fmt: skip
BASE = ("score/positive", "score", "positive-score", "log-rank")
OWN = ("cross-encoder", "cross-encoder-difference")

Batch = tuple[BM25Retriever, Queries, Candidates]


@pytest.fixture
def batch() -> Batch:
    retriever = BM25Retriever(Corpus(DOCUMENTS), top_k=12)
    queries = make_queries(retriever.corpus, QUERIES, POSITIVES)
    found = retriever.retrieve(queries)
    return retriever, queries, found.keep(found.ranks != 3)  # with an empty slot in each row


def model_of(scorer: PairScorer | None, **changes: Any) -> RiskModel:
    names = (*BASE, *(OWN if scorer else ()))
    values = {
        "signals": names,
        "centre": (0.8, 1.0, 1.5, 2.0, 0.0, 0.0)[: len(names)],
        "scale": (0.3, 0.5, 0.5, 1.0, 2.0, 2.0)[: len(names)],
        "coefficients": (1.0, 0.5, -0.5, -1.0, 0.7, 0.9)[: len(names)],
        "intercept": -1.0, "penalty": 1.0, "penalty_from": "given", "labels": 20,
        "relevant": 0.2, "queries": 10, "origin": "judgements",
        "cuts": (Cut(0.05, 0.3, 2, "high probability", 0.1, 90, 5),),
        "cross_encoder": scorer.note() if scorer else None,
    }  # fmt: skip
    return RiskModel(**{**values, **changes})


def named(batch: Batch, scorer: PairScorer) -> dict[str, np.ndarray]:
    retriever, queries, found = batch
    signals = signals_of(queries, found, retriever, scorer)
    assert signals.names == (*BASE, *OWN)
    return dict(zip(signals.names, np.moveaxis(signals.values, -1, 0), strict=True))


def assert_against(batch: Batch, scorer: PairScorer, ask: Any) -> None:
    """Compare with every pair asked alone; ``ask`` gives the logits of pairs."""
    _, _, found = batch
    values = named(batch, scorer)
    for line, query in enumerate(QUERIES):
        highest = max(ask([(query, text) for text in POSITIVES[line]]))
        for slot in range(found.shape[1]):
            if not found.filled[line, slot]:
                assert all(np.isnan(values[name][line, slot]) for name in OWN)
                continue
            [logit] = ask([(query, DOCUMENTS[found.rows[line, slot]])])
            assert values["cross-encoder"][line, slot] == pytest.approx(logit, abs=1e-3)
            difference = values["cross-encoder-difference"][line, slot]
            assert difference == pytest.approx(logit - highest, abs=1e-3)


def test_signals_against_brute_force(tiny: Path, batch: Batch) -> None:
    scorer = PairScorer(tiny)
    assert_against(batch, scorer, lambda pairs: logits(tiny, pairs))
    # Each distinct pair once: 11 candidates a row, some of them positives.
    found = batch[2]
    pairs = {(line, DOCUMENTS[row]) for line in range(4) for row in found.rows[line] if row >= 0}
    pairs |= {(line, text) for line in range(4) for text in POSITIVES[line]}
    assert scorer.pairs_scored == len(pairs) > found.filled.sum()
    again = PairScorer(tiny)
    named(batch, again)
    assert again.pairs_scored == 0  # they are on disk


def test_signals_of_a_real_model(cross_encoder_path: Path, batch: Batch) -> None:
    import torch

    model = CrossEncoder(str(cross_encoder_path), device="cpu")

    def ask(pairs: list[tuple[str, str]]) -> list[float]:
        found = model.predict(pairs, activation_fn=torch.nn.Identity(), batch_size=1)
        return [float(one) for one in found]

    assert_against(batch, PairScorer(cross_encoder_path), ask)


def test_a_loaded_model_gives_the_same_signals(tiny: Path, batch: Batch) -> None:
    one = named(batch, PairScorer(tiny))
    other = named(batch, PairScorer(CrossEncoder(str(tiny), device="cpu")))
    for name in OWN:
        np.testing.assert_allclose(one[name], other[name], atol=1e-4)


def test_positives_by_id_are_read_from_the_corpus_and_may_be_nowhere(
    tiny: Path, batch: Batch
) -> None:
    retriever, queries, found = batch
    values = named((retriever, replace(queries, positive_texts=[]), found), PairScorer(tiny))
    filled = found.filled
    assert np.isnan(values["cross-encoder-difference"][2]).all()  # its text is not in the corpus
    assert not np.isnan(values["cross-encoder"][filled]).any()
    inside = max(logits(tiny, [(QUERIES[3], DOCUMENTS[row]) for row in (5, 9)]))
    found_here = values["cross-encoder"][3] - values["cross-encoder-difference"][3]
    np.testing.assert_allclose(found_here[filled[3]], inside, atol=1e-3)


def test_portions_batches_and_rows_have_no_say(
    tiny: Path, batch: Batch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wanted = named(batch, PairScorer(tiny, cache_dir=tmp_path / "a"))
    calls: list[int] = []
    predict = CrossEncoder.predict

    def counted(self: CrossEncoder, pairs: list[Any], **options: Any) -> Any:
        calls.append(len(pairs))
        return predict(self, pairs, **options)

    monkeypatch.setattr(CrossEncoder, "predict", counted)
    named(batch, PairScorer(tiny, cache_dir=tmp_path / "b"))
    assert len(calls) == 2  # positives and candidates of all rows, each in one call
    monkeypatch.setattr("hf_hardneg.risk_signals.PAIRS_AT_ONCE", 7)
    small = named(batch, PairScorer(tiny, batch_size=3, cache_dir=tmp_path / "c"))
    assert max(calls[2:]) <= 7
    for name in (*BASE, *OWN):
        np.testing.assert_allclose(small[name], wanted[name], atol=1e-4)


def test_no_candidates_and_nothing_is_asked(tmp_path: Path, batch: Batch) -> None:
    retriever, queries, found = batch
    empty = found.keep(np.zeros(found.shape, dtype=np.bool_))
    scorer = PairScorer(save_cross_encoder(tmp_path / "model"))
    signals = signals_of(queries, empty, retriever, scorer)
    assert np.isnan(signals.values).all()
    assert scorer.pairs_scored == 0
    assert scorer._encoder is None


def test_hidden_pairs_say_which_cross_encoder(tiny: Path, batch: Batch) -> None:
    retriever, queries, found = batch
    scorer = PairScorer(tiny)
    twice = iter([(queries, found), (queries, found)])
    pairs = hidden_pairs(twice, retriever, 0, 10, scorer)
    assert pairs is not None
    assert pairs.of(np.arange(4)).cross_encoder == pairs.cross_encoder == scorer.note()
    assert pairs.signals[-2:] == OWN


# -- the filter ----------------------------------------------------------------------------------


def test_contract_and_probabilities(tiny: Path, batch: Batch) -> None:
    retriever, queries, found = batch
    scorer = PairScorer(tiny)
    model = model_of(scorer)
    rule = RiskFilter(max=0.4, least=2, model=model, cross_encoder=tiny).bound(retriever)
    check_filter(rule, queries, found)
    signals = signals_of(queries, found, retriever, scorer)
    np.testing.assert_array_equal(
        rule.probabilities(queries, found), model.probabilities(signals.values, signals.names)
    )


def test_the_model_is_loaded_when_it_is_asked(tiny: Path, tmp_path: Path) -> None:
    model = shutil.copytree(tiny, tmp_path / "model")
    rule = RiskFilter(cross_encoder=str(model))
    assert rule.scorer._encoder is None
    rule.prepare()
    assert rule.scorer._encoder is None
    assert pickle.loads(pickle.dumps(rule)) == rule
    assert rule.scorer._encoder is None
    shutil.rmtree(model)
    with pytest.raises(ModelError):
        rule.prepare()


def test_no_model_is_looked_for_before_there_is_work(tmp_path: Path) -> None:
    text = "bm25@20+risk(cross_encoder='no/such-model')"
    miner = OfflineMiner(text, corpus=DOCUMENTS, cache_dir=tmp_path)
    assert miner.strategy == text
    with pytest.raises(ModelError, match="'no/such-model' is neither a folder"):
        miner.mine(rows())


def test_the_string_says_all_of_it_and_can_be_read_again(tiny: Path, tmp_path: Path) -> None:
    rule = RiskFilter(max=0.2, cross_encoder=tiny, max_length=32, batch_size=5, device="cpu")
    wanted = (
        f"risk(max=0.2, cross_encoder={str(tiny)!r}, max_length=32, batch_size=5, device='cpu')"
    )
    assert rule.expression() == wanted
    text = f"bm25@20+{wanted}"
    miner = OfflineMiner(text, corpus=DOCUMENTS, cache_dir=tmp_path)
    assert miner.strategy == text
    assert miner.recipe()["models"] == {
        "risk": {"model": str(tiny), "weights": rule.fingerprint(), "activation": "identity"}
    }
    assert OfflineMiner("bm25+risk", corpus=DOCUMENTS, cache_dir=tmp_path).recipe()["models"] == {}


def test_what_is_about_a_model_goes_to_the_stage_that_has_one(tmp_path: Path) -> None:
    options: dict[str, Any] = {"corpus": DOCUMENTS, "cache_dir": tmp_path}
    plain = OfflineMiner("dense@20(model='a/model')+risk", batch_size=7, **options).strategy
    assert plain == "dense@20(model='a/model', batch_size=7)+risk"
    own = OfflineMiner("bm25@20+risk", cross_encoder="a/model", batch_size=7, **options).strategy
    assert own == "bm25@20+risk(cross_encoder='a/model', batch_size=7)"
    both = "dense@20(model='a/model')+risk(cross_encoder='a/model')"
    with pytest.raises(ParameterError, match="'batch_size' is a parameter of two stages"):
        OfflineMiner(both, batch_size=7, **options)
    with pytest.raises(ParameterError, match="max_length is given without cross_encoder"):
        OfflineMiner("bm25@20+risk", max_length=7, **options)


def test_a_loaded_model_travels_as_its_hash(tiny: Path, batch: Batch) -> None:
    loaded = CrossEncoder(str(tiny), device="cpu")
    rule = RiskFilter(cross_encoder=loaded, model=model_of(PairScorer(loaded))).bound(batch[0])
    packed = pickle.dumps(rule)
    assert len(packed) < 20_000
    sent = pickle.loads(packed)
    assert sent.fingerprint() == rule.fingerprint()
    with pytest.raises(ModelError, match="cannot be sent to another process"):
        sent.mask(*batch[1:])
    wanted = rule.mask(*batch[1:])  # bound, it is still loaded
    again = pickle.loads(packed).mask(*batch[1:])  # the scores are on disk now
    np.testing.assert_array_equal(again, wanted)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_length": 8}, "max_length is given without cross_encoder"),
        ({"batch_size": 8, "device": "cpu"}, "device, batch_size is given without cross_encoder"),
        ({"revision": "main"}, "revision is given without cross_encoder"),
        ({"cross_encoder": "a/model", "batch_size": 0}, "risk: batch_size=0"),
        ({"cross_encoder": "a/model", "max_length": 0}, "risk: max_length=0"),
    ],
)
def test_parameters_that_cannot_be(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        RiskFilter(**options)


def test_a_model_wants_its_own_cross_encoder(tiny: Path, tmp_path: Path, batch: Batch) -> None:
    retriever, queries, found = batch
    scorer = PairScorer(tiny, max_length=16)
    model = model_of(scorer)
    with pytest.raises(ParameterError, match=r"none is given.*cross_encoder='checkpoint', max_len"):
        RiskFilter(model=model)
    with pytest.raises(ParameterError, match=r"fitted without one.*calibrate --cross-encoder"):
        RiskFilter(model=model_of(None), cross_encoder="no/such-model")
    other = save_cross_encoder(tmp_path / "other", seed=3)
    loaded = CrossEncoder(str(tiny), device="cpu", max_length=16)
    for given in (
        {"cross_encoder": other, "max_length": 16}, {"cross_encoder": tiny},
        {"cross_encoder": loaded},
    ):  # fmt: skip
        rule = RiskFilter(model=model, **given).bound(retriever)  # type: ignore[arg-type]
        for ask in (rule.prepare, lambda rule=rule: rule.mask(queries, found)):
            with pytest.raises(ParameterError, match="fitted with the cross-encoder 'checkpoint'"):
                ask()
    # The same weights in another place are the same model.
    copied = shutil.copytree(tiny, tmp_path / "elsewhere")
    rule = RiskFilter(model=model, cross_encoder=copied, max_length=16).bound(retriever)
    rule.prepare()
    same = RiskFilter(model=model, cross_encoder=tiny, max_length=16).bound(retriever)
    np.testing.assert_array_equal(rule.mask(queries, found), same.mask(queries, found))


def test_the_json_names_the_cross_encoder_and_no_path(tiny: Path) -> None:
    model = model_of(PairScorer(tiny, max_length=16))
    text = model.to_json()
    assert RiskModel.from_json(text) == model
    assert str(tiny.parent) not in text
    assert model.to_dict()["cross_encoder"] == {
        "model": "checkpoint", "weights": PairScorer(tiny).fingerprint(), "max_length": 16,
    }  # fmt: skip
    assert RiskModel.from_json(model.recipe()).cross_encoder == model.cross_encoder


# -- mining --------------------------------------------------------------------------------------


def rows() -> Dataset:
    """Queries with several known positives, relevant at random as the tiny model is."""
    draw = np.random.default_rng(3)
    queries = [f"{' '.join(draw.choice(WORDS, 3))} {number}" for number in range(24)]
    known = [[DOCUMENTS[one] for one in draw.choice(40, 8, replace=False)] for _ in queries]
    return Dataset.from_dict({"query": queries, "positives": known})


def test_it_is_fitted_to_hidden_positives(tiny: Path, tmp_path: Path) -> None:
    text = f"bm25@20+risk(max=0.4, least=2, cross_encoder={str(tiny)!r})"
    options: dict[str, Any] = {"corpus": DOCUMENTS, "num_negatives": 2, "cache_dir": tmp_path}
    miner = OfflineMiner(text, **options)
    mined = miner.mine(rows())
    strategy = miner.report(mined).strategy
    assert "cross-encoder-difference" in strategy
    assert f"cross_encoder={str(tiny)!r}" in strategy
    again = OfflineMiner(strategy, **options).mine(rows(), resume=False)
    shared = miner.mine(rows(), num_proc=2, resume=False)
    other = OfflineMiner(
        text[:-1] + ", batch_size=5)", corpus=DOCUMENTS, num_negatives=2,
        cache_dir=tmp_path / "else",
    ).mine(rows())  # fmt: skip
    loaded = OfflineMiner(
        "bm25@20+risk(max=0.4, least=2)", cross_encoder=CrossEncoder(str(tiny), device="cpu"),
        **options,
    ).mine(rows())  # fmt: skip
    for one in (again, shared, other, loaded):
        assert list(one["hard_negative_ids"]) == list(mined["hard_negative_ids"])
    turned = miner.mine(rows().select(range(23, -1, -1)), resume=False)
    assert list(turned["hard_negative_ids"]) == list(mined["hard_negative_ids"])[::-1]
    for store in (tmp_path / "pair_scores").iterdir():  # of the folder, of the loaded model
        files = [np.fromfile(one, dtype="<u8,<f4")["f0"] for one in store.glob("*.pairs")]
        keys = np.concatenate(files)
        assert len(keys) == len(np.unique(keys))  # no pair was scored twice in all of this


def test_filters_before_it_leave_fewer_pairs(tiny: Path, tmp_path: Path) -> None:
    data = rows().remove_columns("positives").add_column(
        "positive", [DOCUMENTS[number] for number in range(24)]
    )  # fmt: skip
    rule = RiskFilter(model=model_of(PairScorer(tiny)), cross_encoder=tiny).expression()
    options: dict[str, Any] = {"corpus": DOCUMENTS, "num_negatives": 2, "cache_dir": tmp_path}
    OfflineMiner(f"bm25@20+rank(range_max=5)+{rule}", **options).mine(data)
    files = [np.fromfile(one, dtype="<u8,<f4") for one in tmp_path.rglob("*.pairs")]
    assert 24 * 3 < sum(map(len, files)) <= 24 * (5 + 1)


def test_another_cross_encoder_is_refused_before_anything_is_mined(
    tiny: Path, tmp_path: Path
) -> None:
    other = save_cross_encoder(tmp_path / "other", seed=3)
    rule = RiskFilter(model=model_of(PairScorer(tiny)), cross_encoder=other)
    miner = OfflineMiner(f"bm25@20+{rule.expression()}", corpus=DOCUMENTS, cache_dir=tmp_path)
    with pytest.raises(ParameterError, match=r"and this is 'other' \(weights"):
        miner.mine(rows())
    assert not (tmp_path / "pair_scores").exists()


def test_the_estimate_knows_the_pairs(tiny: Path) -> None:
    data = rows()
    texts = {"corpus": DOCUMENTS, "num_negatives": 2}
    miner = OfflineMiner(f"bm25@36+risk(cross_encoder={str(tiny)!r})", **texts)  # type: ignore[arg-type]
    found = miner.estimate(data, budget=0.01)
    names = [phase.name for phase in found.phases]
    assert names[-3:] == ["risk: load the model", "risk: cross-encode", "choose and write"]
    phase = found.phases[-2]
    # 36 candidates and 8 positives of each of 24 queries, 12 bytes each.
    assert phase.disk == 12 * 24 * (36 + 8)
    assert "44.0 a query" in phase.basis
    assert [one.text for one in phase.advice] == ["retrieve 30 candidates a query"]
    assert phase.advice[0].seconds() == pytest.approx(phase.seconds * 38 / 44)
    plain = OfflineMiner("bm25@36+risk", **texts).estimate(data, budget=0.01)  # type: ignore[arg-type]
    assert not any("risk" in phase.name for phase in plain.phases)
