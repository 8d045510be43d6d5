"""The hardness of whole mined sets: of ours, of others', by a model."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from rich.console import Console
from small_collection import write_collection

from hf_hardneg import Corpus, OfflineMiner
from hf_hardneg.encoders import CallableEncoder
from hf_hardneg.errors import FormatError, ModelError
from hf_hardneg.evaluation import text_profile
from hf_hardneg.evaluation.hardness import Hardness, hardness_of
from hf_hardneg.mined_set import MinedSet

ROWS = {
    "query": ["red apple", "blue sky", "red apple"],
    "positive": ["the red apple", "sky", "an apple"],
    "hard_negatives": [["red car", "Sky  blue"], ["sky blue", "tree"], ["red car"]],
    "hard_negative_scores": [[0.9, 0.4], [0.5, None], [0.2]],
    "hard_negative_positive_scores": [[0.8], [0.5], [0.4]],
}


def shown(found: Hardness) -> str:
    console = Console(width=120, color_system=None, file=StringIO())
    console.print(found)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_a_set_by_hand() -> None:
    found = hardness_of(MinedSet.of(Dataset.from_dict(ROWS)))
    assert (found.rows, found.negatives, found.filled) == (3, 5, 0)
    assert found.scorer == "the set's own"
    scores = found.scores
    assert scores is not None
    assert (scores.compared, scores.without_score) == (4, 1)
    assert (scores.harder, scores.equal) == (0.25, 0.25)
    assert scores.rows_with_harder == pytest.approx(1 / 3)
    assert scores.relative.quantiles is not None
    assert scores.relative.quantiles[-1] == pytest.approx(0.9 / 0.8)
    assert scores.relative.quantiles[0] == pytest.approx(0.5)
    # "Sky  blue" and "sky blue" are one document.
    assert (found.reuse.distinct, found.reuse.told_apart_by) == (3, "text")
    assert sorted(found.reuse.most_reused) == [("Sky  blue", 2), ("red car", 2), ("tree", 1)]
    assert found.reuse.gini == pytest.approx(2 * (1 * 1 + 2 * 2 + 3 * 2) / (3 * 5) - 4 / 3)
    texts = found.texts
    assert texts is not None
    assert (texts.rows, texts.positive_words.mean) == (3, 2.0)
    assert texts.negative_words.mean == pytest.approx(9 / 5)
    assert texts.positive_overlap.mean == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert texts.negative_overlap.mean == pytest.approx((0.5 + 0 + 1 + 0 + 0.5) / 5)
    values = json.loads(found.to_json())
    assert values["reuse"]["distinct"] == 3
    assert "harder than the positive" in shown(found)


def test_order_of_the_rows_decides_nothing() -> None:
    rng = np.random.default_rng(0)
    rows = Dataset.from_dict(
        {
            "query": [f"query {n}" for n in range(50)],
            "positive": [f"positive {n}" for n in range(50)],
            "negatives": [[f"n {m}" for m in rng.integers(20, size=4)] for _ in range(50)],
            "hard_negative_scores": rng.random((50, 4)).tolist(),
            "hard_negative_positive_scores": rng.random((50, 1)).tolist(),
        }
    )
    one = hardness_of(MinedSet.of(rows))
    assert one.to_json() == hardness_of(MinedSet.of(rows.shuffle(seed=1))).to_json()


def test_ids_alone_and_with_a_corpus() -> None:
    rows = Dataset.from_dict(
        {"query": ["a b"], "positive_ids": [["d1"]], "hard_negative_ids": [["d2", "d3"]]}
    )
    found = hardness_of(MinedSet.of(rows))
    assert (found.scores, found.texts, found.reuse.told_apart_by) == (None, None, "id")
    assert "give a model" in " ".join(found.notes)
    corpus = Corpus({"d1": "a", "d2": "b c", "d3": "B  c", "d4": "never used"})
    found = hardness_of(MinedSet.of(rows), corpus)
    assert (found.reuse.distinct, found.reuse.most_reused) == (1, (("d2", 2),))
    # Of three different texts one is used for everything.
    assert (found.reuse.gini, found.reuse.gini_of_corpus) == (0, pytest.approx(2 / 3))
    assert found.texts is not None
    assert found.texts.negative_overlap.mean == 0.5
    assert "Gini" in shown(found)


def test_a_mined_set_and_a_model(tmp_path: Path) -> None:
    collection = write_collection(tmp_path / "beir")
    corpus = Corpus(collection.folder)
    mined = OfflineMiner("bm25", corpus=corpus, num_negatives=3).mine(collection.rows())
    found = hardness_of(MinedSet.of(mined), corpus)
    assert found.scores is not None
    assert found.scores.compared == found.negatives == 27
    assert "no cosines" in " ".join(found.notes)

    def length(queries: list[str], documents: list[str]) -> list[float]:
        return [-float(len(document)) for document in documents]

    by_length = hardness_of(MinedSet.of(mined), corpus, model=length)
    assert by_length.scorer == "length"
    batch = next(MinedSet.of(mined).joined(corpus).batches())
    lists = zip(batch.texts("positives"), batch.texts("negatives"), strict=True)
    harder = [
        len(one) < max(map(len, positives)) for positives, negatives in lists for one in negatives
    ]
    assert by_length.scores is not None
    assert by_length.scores.harder == pytest.approx(np.mean(harder))

    encoder = CallableEncoder(
        lambda texts: [[len(text), text.count("a"), 1.0] for text in texts], name="letters"
    )
    by_vectors = hardness_of(MinedSet.of(mined), corpus, model=encoder)
    assert by_vectors.scorer == "letters"
    assert by_vectors.scores is not None
    assert by_vectors.scores.negative_scores.quantiles is not None
    assert by_vectors.scores.negative_scores.quantiles[-1] <= 1.001


def test_a_real_model(static_model_path: Path) -> None:
    """The scores are the cosines of the model."""
    from sentence_transformers import SentenceTransformer

    plain = {name: ROWS[name] for name in ("query", "positive", "hard_negatives")}
    model = SentenceTransformer(str(static_model_path), device="cpu")
    found = hardness_of(MinedSet.of(Dataset.from_dict(plain)), model=model)
    queries, positives = model.encode(plain["query"]), model.encode(plain["positive"])
    wanted = [
        float(model.similarity(queries[row], model.encode(text))) - float(
            model.similarity(queries[row], positives[row])
        )
        for row, own in enumerate(plain["hard_negatives"])
        for text in own
    ]  # fmt: skip
    assert found.scores is not None
    assert found.scores.margins.mean == pytest.approx(-np.mean(wanted), abs=1e-5)
    assert found.scores.harder == pytest.approx(np.mean(np.array(wanted) > 0))


def test_a_large_set_is_sampled_by_query(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_profile, "PROFILE_ROWS", 50)
    rows = Dataset.from_dict(
        {"query": [f"q {n}" for n in range(500)], "negatives": [["one two"]] * 500}
    )
    found = hardness_of(MinedSet.of(rows))
    other = hardness_of(MinedSet.of(rows.shuffle(seed=3)))
    assert found.texts == other.texts
    assert found.texts is not None
    assert 20 < found.texts.rows < 80
    assert f"{found.texts.rows} of 500 rows" in " ".join(found.notes)


def test_what_cannot_be_measured_is_refused() -> None:
    wrong = {**ROWS, "hard_negative_scores": [[0.9], [0.5, 0.1], [0.2]]}
    with pytest.raises(FormatError, match="another number of negative scores"):
        hardness_of(MinedSet.of(Dataset.from_dict(wrong)))
    ids = Dataset.from_dict({"query": ["a"], "hard_negative_ids": [["d2"]]})
    with pytest.raises(FormatError, match="no texts of its positives and negatives"):
        hardness_of(MinedSet.of(ids), model=lambda queries, documents: [0.0] * len(documents))
    rows = MinedSet.of(Dataset.from_dict(ROWS))
    with pytest.raises(ModelError, match="expected"):
        hardness_of(rows, model=3)
    with pytest.raises(ModelError, match="shape"):
        hardness_of(rows, model=lambda queries, documents: [0.0])
