"""Models as encoders: prompts, lengths, dimensions, and what is refused."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tiny_models import save_bi_encoder, tiny_tokenizer

from hf_hardneg.encoders import (
    AbsentEncoder,
    CallableEncoder,
    Encoder,
    EncoderSettings,
    SentenceEncoder,
    encode_checked,
)
from hf_hardneg.errors import ModelError, ParameterError

TEXTS = ["red car", "the slow blue boat of the night", "north", "red car and train and city"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    return str(save_bi_encoder(folder, prompts={"query": "query ", "document": "document "}))


def encoded(encoder: Encoder, role: str = "document") -> NDArray[np.float32]:
    return encode_checked(encoder, TEXTS, role)


def unit(values: Any) -> NDArray[np.float32]:
    array = np.asarray(values, dtype=np.float32)
    lengths: NDArray[np.float32] = np.linalg.norm(array, axis=1, keepdims=True)
    return array / lengths


def test_prompts_of_the_model_and_of_the_caller(model: str) -> None:
    plain = SentenceTransformer(model, device="cpu")
    for role in ("query", "document"):
        want = unit(plain.encode([f"{role} {text}" for text in TEXTS]))
        np.testing.assert_allclose(encoded(SentenceEncoder(model), role), want, atol=1e-6)
    own = SentenceEncoder(model, EncoderSettings(query_prompt="the ", document_prompt=""))
    for role, prompt in (("query", "the "), ("document", "")):
        want = unit(plain.encode([prompt + text for text in TEXTS], prompt=""))
        np.testing.assert_allclose(encoded(own, role), want, atol=1e-6)


def test_settings_that_change_the_vectors(model: str) -> None:
    plain = SentenceTransformer(model, device="cpu")
    short = encoded(SentenceEncoder(model, EncoderSettings(truncate_dim=5)))
    assert short.shape == (4, 5)
    np.testing.assert_allclose(short, unit(plain.encode_document(TEXTS, truncate_dim=5)), atol=1e-6)
    dot = encoded(SentenceEncoder(model, EncoderSettings(similarity="dot")))
    np.testing.assert_allclose(dot, plain.encode_document(TEXTS), atol=1e-6)
    cut = SentenceEncoder(model, EncoderSettings(max_length=4))
    plain.max_seq_length = 4
    np.testing.assert_allclose(encoded(cut), unit(plain.encode_document(TEXTS)), atol=1e-6)
    assert (cut.too_long(TEXTS), SentenceEncoder(model).too_long(TEXTS)) == (3, 0)
    half = encoded(SentenceEncoder(model, EncoderSettings(dtype="bfloat16")))
    assert half.dtype == np.float32
    assert 0 < np.abs(half - encoded(SentenceEncoder(model))).max() < 0.05


def test_texts_with_as_many_tokens_go_together(model: str) -> None:
    rng = np.random.default_rng(0)
    # Long words and short ones, so that characters and tokens do not rise together.
    texts = [" ".join(rng.choice(["a", "northsoutheastwest", "of"], rng.integers(1, 30)))
             for _ in range(50)]  # fmt: skip
    encoder = SentenceEncoder(model, batch_size=8)
    opened = encoder._open()
    shapes: list[tuple[int, int]] = []
    hook = opened[0].register_forward_pre_hook(
        lambda _, given: shapes.append(tuple(given[0]["input_ids"].shape))
    )
    found = encode_checked(encoder, texts, "document")
    hook.remove()
    asked = ["document " + text for text in texts]
    lengths = sorted((len(ids) for ids in opened.tokenizer(asked)["input_ids"]), reverse=True)
    assert shapes == [(len(lengths[at : at + 8]), lengths[at]) for at in range(0, 50, 8)]
    plain = SentenceTransformer(model, device="cpu")
    np.testing.assert_allclose(found, unit(plain.encode_document(texts)), atol=1e-6)


def test_a_fingerprint_of_all_that_decides_the_vectors(model: str, tmp_path: Path) -> None:
    settings: list[dict[str, Any]] = [
        {}, {"dtype": "bfloat16"}, {"query_prompt": "q"}, {"document_prompt": "q"},
        {"max_length": 9}, {"truncate_dim": 9}, {"similarity": "dot"}, {"backend": "onnx"},
    ]  # fmt: skip
    marks = {SentenceEncoder(model, EncoderSettings(**own)).fingerprint() for own in settings}
    marks.add(SentenceEncoder(str(save_bi_encoder(tmp_path, seed=1))).fingerprint())
    loaded = SentenceTransformer(model, device="cpu")
    marks.add(SentenceEncoder(loaded).fingerprint())
    loaded.prompts["query"] = "other "
    marks.add(SentenceEncoder(loaded).fingerprint())
    assert len(marks) == len(settings) + 3
    same = SentenceEncoder(model, device="cpu", batch_size=1)
    assert same.fingerprint() == SentenceEncoder(model).fingerprint()


def test_similarity(model: str, tmp_path: Path) -> None:
    assert SentenceEncoder(model).similarity == "cosine"
    declared = SentenceEncoder(str(save_bi_encoder(tmp_path / "e", similarity="euclidean")))
    assert declared.similarity == "euclidean"
    odd = SentenceEncoder(str(save_bi_encoder(tmp_path / "m", similarity="manhattan")))
    with pytest.raises(ModelError, match="by 'manhattan'; expected one of cosine, dot, euclidean"):
        _ = odd.similarity


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dtype": "fp32"}, "dtype='fp32'; expected one of float32"),
        ({"similarity": "cos"}, "similarity='cos'; expected one of cosine"),
        ({"backend": "tf"}, "backend='tf'; expected one of torch"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        EncoderSettings(**settings)


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        SentenceEncoder(str(tmp_path / "none")).encode(["a"], "query")
    with pytest.raises(ModelError, match="neither a folder here nor to be had from the Hub"):
        SentenceEncoder("nobody/nothing").fingerprint()


@pytest.mark.parametrize(
    "settings", [{"revision": "main"}, {"dtype": "auto"}, {"max_length": 9}, {"backend": "onnx"}]
)
def test_a_loaded_model_has_its_own_settings(model: str, settings: dict[str, Any]) -> None:
    loaded = SentenceTransformer(model, device="cpu")
    with pytest.raises(ParameterError, match=f"{next(iter(settings))}=.* with a loaded model"):
        SentenceEncoder(loaded, EncoderSettings(**settings))
    assert loaded.max_seq_length == 64


def test_a_static_model_has_no_length(tmp_path: Path) -> None:
    static = StaticEmbedding(tiny_tokenizer(), embedding_dim=8)
    SentenceTransformer(modules=[static], device="cpu").save(str(tmp_path))
    assert encoded(SentenceEncoder(str(tmp_path))).shape == (4, 8)
    assert SentenceEncoder(str(tmp_path)).too_long(TEXTS) == 0
    with pytest.raises(ModelError, match="no maximum length that could be set"):
        encoded(SentenceEncoder(str(tmp_path), EncoderSettings(max_length=4)))


# -- functions -------------------------------------------------------------------------------


def counts(texts: list[str]) -> list[list[int]]:
    return [[len(text), text.count("r")] for text in texts]


def test_a_function() -> None:
    both = CallableEncoder(counts, name="letters")
    np.testing.assert_allclose(encoded(both), unit(counts(TEXTS)))
    other = CallableEncoder(
        counts, query=lambda texts: np.ones((len(texts), 2)), name="letters", similarity="dot"
    )
    assert encoded(other, "query").tolist() == [[1, 1]] * 4
    assert encoded(other).tolist() == counts(TEXTS)
    assert both.fingerprint() != other.fingerprint()
    assert both.fingerprint() != CallableEncoder(counts, name="letters 2").fingerprint()
    assert repr(both) == "CallableEncoder(name='letters', similarity='cosine')"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"function": "model"}, "expected a function of a list of texts"),
        ({"query": 3}, "expected a function of a list of texts"),
        ({"name": " "}, "expected a text that identifies the model"),
        ({"similarity": "l2"}, "similarity='l2'"),
    ],
)
def test_a_function_that_is_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        CallableEncoder(**{"function": counts, "name": "a", **arguments})


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([[1.0, 2.0]] * 3, r"shape \(3, 2\) for 4 texts; expected \(4, dimension\)"),
        ([1.0] * 4, r"shape \(4,\)"),
        ([[]] * 4, r"shape \(4, 0\)"),
        ([[1.0], [np.nan], [np.inf], [1.0]], "nan or infinity for 2 of 4 texts, for example 'the"),
    ],
)
def test_vectors_that_are_refused(made: Any, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        encoded(CallableEncoder(lambda texts: made, name="odd"))


def test_a_zero_vector_is_like_nothing_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    rows = [[3.0, 4.0], [0.0, 0.0], [1e-30, 0.0], [-2.0, 0.0]]
    with caplog.at_level(logging.WARNING):
        got = encoded(CallableEncoder(lambda texts: rows, name="zeros"))
    np.testing.assert_allclose(got, [[0.6, 0.8], [0, 0], [1, 0], [-1, 0]], rtol=1e-6)
    assert "1 of 4 texts have a zero vector" in caplog.text


def test_an_encoder_that_is_elsewhere() -> None:
    absent = AbsentEncoder("mine", "hash")
    assert isinstance(absent, Encoder)
    assert absent.fingerprint() == "hash"
    with pytest.raises(ModelError, match="'mine' cannot be sent to another process, and 4 query"):
        absent.encode(TEXTS, "query")
