"""A cross-encoder that is given loaded: known by its weights, never sent to another process."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder
from tiny_models import logits

from hf_hardneg import CrossEncoderDenoiser
from hf_hardneg.errors import ModelError, ParameterError

PAIRS = ["cold river", "red car"], ["the night of the red train", "blue boat"]


@pytest.fixture
def loaded(tiny: Path) -> CrossEncoder:
    return CrossEncoder(str(tiny), device="cpu")


def test_scores_as_its_folder_and_is_left_as_it_was(tiny: Path, loaded: CrossEncoder) -> None:
    before = str(loaded.activation_fn)
    veto = CrossEncoderDenoiser(loaded, activation="identity")
    veto.prepare()
    scores = veto.score(*PAIRS)
    wanted = logits(tiny, list(zip(*PAIRS, strict=True)))
    np.testing.assert_allclose(scores, wanted, rtol=1e-4, atol=1e-5)
    assert str(loaded.activation_fn) == before


def test_weights_and_settings_identify_it(tiny: Path, loaded: CrossEncoder) -> None:
    fingerprint = CrossEncoderDenoiser(loaded).fingerprint()
    loaded.predict([("red", "car")])
    assert CrossEncoderDenoiser(loaded).fingerprint() == fingerprint
    again = CrossEncoder(str(tiny), device="cpu")
    assert CrossEncoderDenoiser(again).fingerprint() == fingerprint
    shorter = CrossEncoder(str(tiny), device="cpu", max_length=8)
    assert CrossEncoderDenoiser(shorter).fingerprint() != fingerprint
    plain = CrossEncoder(str(tiny), device="cpu", activation_fn=torch.nn.Identity())
    assert CrossEncoderDenoiser(plain).fingerprint() != fingerprint
    with torch.no_grad():
        next(loaded.parameters())[7, 0] += 1e-3
    assert CrossEncoderDenoiser(loaded).fingerprint() != fingerprint


def test_a_model_that_was_trained_on_is_asked_anew(loaded: CrossEncoder) -> None:
    veto = CrossEncoderDenoiser(loaded)
    veto.prepare()
    before = veto.score(*PAIRS)
    with torch.no_grad():
        for weights in loaded.parameters():
            weights.mul_(0.5)
    veto.prepare()
    after = veto.score(*PAIRS)
    assert (before != after).all()
    np.testing.assert_allclose(after, loaded.predict(list(zip(*PAIRS, strict=True))), rtol=1e-5)


def test_its_own_length_and_device_stand(loaded: CrossEncoder) -> None:
    for options in ({"max_length": 8}, {"device": "cpu"}, {"revision": "main"}):
        [name] = options
        with pytest.raises(ParameterError, match=f"{name}=.* is given with a loaded model"):
            CrossEncoderDenoiser(loaded, **options)  # type: ignore[arg-type]


def test_in_another_process_it_is_known_but_cannot_be_asked(loaded: CrossEncoder) -> None:
    veto = CrossEncoderDenoiser(loaded, threshold=0.3)
    packed = pickle.dumps(veto)
    assert len(packed) < 1000
    sent = pickle.loads(packed)
    assert sent.fingerprint() == veto.fingerprint()
    assert (sent.threshold, repr(sent)) == (0.3, repr(veto))
    with pytest.raises(ModelError, match="cannot be sent to another process"):
        sent.score(*PAIRS)
    scores = veto.score(*PAIRS)
    assert pickle.loads(packed).score(*PAIRS).tolist() == scores.tolist()
    assert pickle.dumps(pickle.loads(packed)) == packed


def test_a_model_that_gives_nan_is_an_error_and_nothing_is_kept(loaded: CrossEncoder) -> None:
    with torch.no_grad():
        list(loaded.parameters())[-1].fill_(float("nan"))
    veto = CrossEncoderDenoiser(loaded)
    for _ in range(2):
        with pytest.raises(ModelError, match="gave nan for 2 of 2 pairs"):
            veto.score(*PAIRS)
