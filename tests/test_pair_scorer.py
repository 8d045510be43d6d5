"""Which model scores pairs: what is written of it, and when it counts as another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import CrossEncoder
from tiny_models import logits, save_cross_encoder

from hf_hardneg.errors import ParameterError
from hf_hardneg.pair_scorer import PairScorer, ScorerNote

PAIRS = ["cold river", "red car"], ["the night of the red train", "blue boat"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_cross_encoder(tmp_path_factory.mktemp("models") / "checkpoint")


def test_logits_are_the_default(model: Path) -> None:
    scorer = PairScorer(model)
    wanted = logits(model, list(zip(*PAIRS, strict=True)))
    np.testing.assert_allclose(scorer.score(*PAIRS), wanted, rtol=1e-4, atol=1e-5)
    assert scorer.score([], []).shape == (0,)
    assert scorer.pairs_scored == 2


def test_a_note_names_the_folder_and_not_where_it_is(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = PairScorer(model, max_length=9).note()
    assert (note.model, note.max_length) == ("checkpoint", 9)
    loaded = CrossEncoder(str(model), device="cpu")
    assert PairScorer(loaded).note().model == "checkpoint"
    monkeypatch.chdir(model)
    assert PairScorer(".", max_length=9).note() == note
    hub = PairScorer("cross-encoder/some-model")
    hub.known("0123")
    assert hub.note() == ScorerNote("cross-encoder/some-model", "0123", None)
    assert str(note).startswith("'checkpoint' (weights ")
    assert str(note).endswith(", max_length=9)")


def test_weights_and_length_make_another_and_a_name_does_not() -> None:
    note = ScorerNote("a", "0123", None)
    assert note.same(ScorerNote("b", "0123", None))
    assert not note.same(ScorerNote("a", "0124", None))
    assert not note.same(ScorerNote("a", "0123", 16))


def test_its_parameters_make_the_same_again(model: Path) -> None:
    assert PairScorer(model).parameters() == {}
    given = {"max_length": 8, "batch_size": 3, "device": "cpu"}
    assert PairScorer(model, **given).parameters() == given  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="mine: batch_size=0"):
        PairScorer(model, batch_size=0, owner="mine")
