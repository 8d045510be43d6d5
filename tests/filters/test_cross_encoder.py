"""The verdicts of a cross-encoder, against the model asked pair by pair."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from tiny_models import WORDS, logits, save_cross_encoder

from hf_hardneg import Corpus, CrossEncoderDenoiser, OfflineMiner, RandomRetriever
from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.errors import ModelError, ParameterError
from hf_hardneg.filters import Verdict
from hf_hardneg.testing import check_veto, make_queries

RNG = np.random.default_rng(4)
DOCUMENTS = [" ".join(RNG.choice(WORDS, size)) for size in (3, 9, 5, 6, 4, 7, 8, 5, 12, 6, 1, 3)]
QUESTIONS = ["red car", "cold river night", "the query of the city"]
POSITIVES = [[DOCUMENTS[0]], [DOCUMENTS[1], "warm night road", DOCUMENTS[5]], ["north of east"]]
IDENTITY = "torch.nn.modules.linear.Identity"


def sigmoid(values: list[float]) -> np.ndarray:
    return 1 / (1 + np.exp(-np.array(values)))


def expected(model: Path, question: int, documents: list[str]) -> np.ndarray:
    return sigmoid(logits(model, [(QUESTIONS[question], text) for text in documents]))


@pytest.fixture
def corpus() -> Corpus:
    return Corpus(DOCUMENTS)


@pytest.fixture
def batch(corpus: Corpus) -> tuple[Queries, Candidates]:
    queries = make_queries(corpus, QUESTIONS, POSITIVES)
    return queries, RandomRetriever(corpus, top_k=len(DOCUMENTS)).retrieve(queries)


def verdicts(
    veto: CrossEncoderDenoiser, batch: tuple[Queries, Candidates], corpus: Corpus
) -> np.ndarray:
    lines, slots = np.nonzero(batch[1].filled)
    return veto.judge(*batch, lines, slots, corpus).reshape(batch[1].shape)


@pytest.mark.parametrize(("threshold", "promote_above"), [(0.1, 0.9), (0.5, 0.5), (0.02, 0.98)])
def test_below_is_kept_between_is_dropped_above_is_promoted(
    tiny: Path,
    batch: tuple[Queries, Candidates],
    corpus: Corpus,
    threshold: float,
    promote_above: float,
) -> None:
    veto = CrossEncoderDenoiser(str(tiny), threshold=threshold, promote_above=promote_above)
    check_veto(veto, *batch, corpus)
    found = verdicts(veto, batch, corpus)
    for line, rows in enumerate(batch[1].rows.tolist()):
        for verdict, score in zip(
            found[line], expected(tiny, line, [DOCUMENTS[row] for row in rows]), strict=True
        ):
            wanted = Verdict.KEEP if score < threshold else Verdict.DROP
            assert verdict == (Verdict.PROMOTE if score > promote_above else wanted)
    assert set(found.ravel().tolist()) == ({1, 2} if threshold == promote_above else {0, 1, 2})


@pytest.mark.parametrize("by_id_only", [False, True])
def test_a_margin_below_the_lowest_of_the_positives(
    tiny: Path, batch: tuple[Queries, Candidates], corpus: Corpus, by_id_only: bool
) -> None:
    queries, candidates = batch
    positives = POSITIVES
    if by_id_only:
        positives = [[DOCUMENTS[0]], [DOCUMENTS[1], DOCUMENTS[5]], [DOCUMENTS[2]]]
        queries = replace(make_queries(corpus, QUESTIONS, positives), positive_texts=[])
    veto = CrossEncoderDenoiser(str(tiny), positive_margin=0.05, promote_above=0.97)
    check_veto(veto, queries, candidates, corpus)
    found = verdicts(veto, (queries, candidates), corpus)
    for line, rows in enumerate(candidates.rows.tolist()):
        lowest = expected(tiny, line, positives[line]).min()
        scores = expected(tiny, line, [DOCUMENTS[row] for row in rows])
        wanted = np.where(scores < lowest - 0.05, Verdict.KEEP, Verdict.DROP)
        assert found[line].tolist() == np.where(scores > 0.97, Verdict.PROMOTE, wanted).tolist()
    assert len(set(found.ravel().tolist())) == 3


def test_a_positive_that_is_nowhere_cannot_be_scored(
    tiny: Path, batch: tuple[Queries, Candidates], corpus: Corpus
) -> None:
    queries = replace(batch[0], positive_texts=[])
    with pytest.raises(ModelError, match="neither a text nor a document"):
        verdicts(CrossEncoderDenoiser(str(tiny), positive_margin=0.1), (queries, batch[1]), corpus)


@pytest.mark.parametrize("configured", [None, IDENTITY])
def test_the_scale_is_a_sigmoid_whatever_the_model_is_configured_to_give(
    tiny: Path, tmp_path: Path, configured: str | None
) -> None:
    model = save_cross_encoder(tmp_path / "model", activation=configured)
    asked = [QUESTIONS[0]] * 4
    plain = np.array(logits(model, [(QUESTIONS[0], text) for text in DOCUMENTS[:4]]))
    for activation, wanted in (
        ("sigmoid", sigmoid(plain.tolist())),
        ("identity", plain),
        ("model", plain if configured else sigmoid(plain.tolist())),
    ):
        veto = CrossEncoderDenoiser(model, activation=activation)
        np.testing.assert_allclose(veto.score(asked, DOCUMENTS[:4]), wanted, rtol=1e-4, atol=1e-6)
    veto = CrossEncoderDenoiser(model)
    np.testing.assert_allclose(
        veto.score(asked, DOCUMENTS[:4]), sigmoid(plain.tolist()), rtol=1e-4, atol=1e-6
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[str, str]]]:
    """What the model was really asked, one list for each call."""
    from sentence_transformers import CrossEncoder

    calls: list[list[tuple[str, str]]] = []
    predict = CrossEncoder.predict

    def counted(self: CrossEncoder, pairs: list[tuple[str, str]], **options: object) -> object:
        calls.append(list(pairs))
        return predict(self, pairs, **options)

    monkeypatch.setattr(CrossEncoder, "predict", counted)
    return calls


def test_each_pair_is_scored_once(tiny: Path, asked: list[list[tuple[str, str]]]) -> None:
    veto = CrossEncoderDenoiser(str(tiny))
    scores = veto.score(["red", "red", "blue", "red"], ["car", "boat", "car", "car"])
    assert sorted(map(sorted, asked)) == [[("blue", "car"), ("red", "boat"), ("red", "car")]]
    assert scores[0] == scores[3]
    assert veto.score(["car", "red"], ["red", "car"])[1] == scores[0]
    assert asked[1:] == [[("car", "red")]]
    veto.score(["red", "Red"], ["car", "car"])
    assert asked[2:] == [[("Red", "car")]]
    assert veto.pairs_scored == 5
    again = CrossEncoderDenoiser(str(tiny), threshold=0.2)
    assert again.score(["red", "red"], ["car", "boat"]).tolist() == scores[:2].tolist()
    assert len(asked) == 3
    assert again.pairs_scored == 0


def test_another_scale_length_or_model_is_asked_anew(
    tiny: Path, tmp_path: Path, asked: list[list[tuple[str, str]]]
) -> None:
    """Two checkpoints in folders of the same name are two models."""
    other = save_cross_encoder(tmp_path / tiny.name, seed=1)
    assert other.name == tiny.name
    pair = ["cold river night"], [DOCUMENTS[8]]
    scores = [
        CrossEncoderDenoiser(str(tiny)).score(*pair)[0],
        CrossEncoderDenoiser(str(tiny), activation="identity").score(*pair)[0],
        CrossEncoderDenoiser(str(tiny), max_length=8).score(*pair)[0],
        CrossEncoderDenoiser(str(other)).score(*pair)[0],
    ]
    assert len(asked) == 4
    assert len(set(scores)) == 4
    CrossEncoderDenoiser(str(other), batch_size=3, keep_top_k=5).score(*pair)
    assert len(asked) == 4


def test_a_checkpoint_that_was_overwritten_is_another_model(
    tmp_path: Path, asked: list[list[tuple[str, str]]]
) -> None:
    model = save_cross_encoder(tmp_path / "model", seed=2)
    veto = CrossEncoderDenoiser(str(model))
    veto.prepare()
    before = veto.score(["red"], ["car"])
    save_cross_encoder(model, seed=3)
    veto.prepare()
    after = veto.score(["red"], ["car"])
    assert before != after
    np.testing.assert_allclose(after, sigmoid(logits(model, [("red", "car")])), rtol=1e-4)
    assert len(asked) == 2


def test_what_was_scored_before_a_kill_is_not_scored_again(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, asked: list[list[tuple[str, str]]]
) -> None:
    monkeypatch.setattr("hf_hardneg.pair_scorer.PAIRS_AT_ONCE", 3)
    veto = CrossEncoderDenoiser(str(tiny))
    predict = veto.scorer.predict

    def killed(pairs: list[tuple[str, str]]) -> np.ndarray:
        if len(asked) == 2:
            raise KeyboardInterrupt
        return predict(pairs)

    monkeypatch.setattr(veto.scorer, "predict", killed)
    questions = ["red"] * len(DOCUMENTS)
    with pytest.raises(KeyboardInterrupt):
        veto.score(questions, DOCUMENTS)
    again = CrossEncoderDenoiser(str(tiny))
    scores = again.score(questions, DOCUMENTS)
    assert again.pairs_scored == len(DOCUMENTS) - 6
    assert [len(pairs) for pairs in asked] == [3, 3, 3, 3]
    assert len({pair for pairs in asked for pair in pairs}) == len(DOCUMENTS)
    wanted = sigmoid(logits(tiny, [("red", text) for text in DOCUMENTS]))
    np.testing.assert_allclose(scores, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"threshold": 0.9, "promote_above": 0.1}, "threshold=0.9 is above promote_above=0.1"),
        ({"threshold": float("nan")}, "threshold=nan"),
        ({"keep_top_k": 0}, "keep_top_k=0"),
        ({"positive_margin": -0.1}, "positive_margin=-0.1"),
        ({"activation": "sigmiod"}, "Did you mean 'sigmoid'"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"max_length": 0}, "max_length=0"),
        ({"fill_beyond": 0}, "fill_beyond=0; expected a whole number of at least 1"),
        ({"fill_beyond": 2.5}, "fill_beyond=2.5"),
    ],
)
def test_parameters_that_cannot_be(options: dict[str, object], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        CrossEncoderDenoiser("a/model", **options)  # type: ignore[arg-type]


def test_a_real_model_tells_relevant_from_not(cross_encoder_path: Path) -> None:
    veto = CrossEncoderDenoiser(cross_encoder_path)
    question = "how many people live in berlin"
    related, other = veto.score(
        [question] * 2,
        ["Berlin has a population of 3,520,031 registered people.", "A recipe for apple cake."],
    )
    assert related > 0.9
    assert other < 0.1


def test_short_rows_are_filled_from_beyond_a_rank(
    tiny: Path, asked: list[list[tuple[str, str]]]
) -> None:
    """RocketQA's fallback: unasked, in the sampler's order, marked and counted."""
    documents = {f"d{place}": text for place, text in enumerate(dict.fromkeys(DOCUMENTS))}
    rows = Dataset.from_dict({"query": QUESTIONS, "positive": POSITIVES})
    options = {"corpus": documents, "num_negatives": 4, "model": str(tiny), "threshold": 0.3}
    plain = OfflineMiner("random@11+denoised", keep_top_k=6, **options)
    full = OfflineMiner("random@11", corpus=documents, num_negatives=11)
    alone = plain.mine(rows)
    before = {pair for call in asked for pair in call}
    miner = OfflineMiner("random@11+denoised", keep_top_k=6, fill_beyond=7, **options)
    assert "fill_beyond=7" in miner.strategy
    mined = miner.mine(rows)
    assert {pair for call in asked for pair in call} == before  # fill is not asked about
    names = {text: name for name, text in documents.items()}
    filled = 0
    for row, short, line in zip(mined, alone, full.retrieve(rows), strict=True):
        first = short["hard_negative_ids"]
        beyond = [f"d{number}" for number in line["candidate_rows"][7:]]
        own = {names.get(text) for text in row["positive"]}
        was_asked = {names[text] for query, text in before if query == row["query"]}
        rest = [name for name in beyond if name not in own | was_asked]
        wanted = [*first, *rest][:4]
        assert row["hard_negative_ids"] == wanted
        marks = [False] * len(first) + [True] * (len(wanted) - len(first))
        assert row["hard_negative_filled"] == marks
        filled += sum(marks)
    assert filled > 2
    assert miner.report(mined).slots_filled == filled
    assert "hard_negative_filled" not in alone.column_names


def test_nothing_is_filled_where_enough_survive_or_nothing_is_beyond(tiny: Path) -> None:
    documents = {f"d{place}": text for place, text in enumerate(dict.fromkeys(DOCUMENTS))}
    rows = Dataset.from_dict({"query": QUESTIONS, "positive": POSITIVES})
    plain = {"corpus": documents, "model": str(tiny), "num_negatives": 3}
    for more in ({"threshold": 1.0, "promote_above": 1.0}, {"fill_beyond": 50}):
        how = {**plain, **more}
        beyond = OfflineMiner("random@11+denoised", **{"fill_beyond": 1, **how}).mine(rows)
        how.pop("fill_beyond", None)
        alone = OfflineMiner("random@11+denoised", **how).mine(rows)
        assert beyond["hard_negative_ids"] == alone["hard_negative_ids"]
        assert not any(map(any, beyond["hard_negative_filled"]))


def test_fill_beyond_is_part_of_the_recipe() -> None:
    veto = CrossEncoderDenoiser("a/model", fill_beyond=50)
    assert veto.fill_beyond == 50
    assert veto.parameters() == {"model": "a/model", "fill_beyond": 50}
    assert CrossEncoderDenoiser("a/model").fill_beyond is None
    assert veto != CrossEncoderDenoiser("a/model")
