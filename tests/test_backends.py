"""Models run by torch, ONNX Runtime and OpenVINO: the same vectors, or a refusal.

The packages of the latter two do not go with the versions in ``constraints.txt`` (they want older
transformers), so their tests are skipped in the environment that ``make install`` builds.
"""

from __future__ import annotations

import gc
import shutil
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from tiny_models import WORDS, save_bi_encoder

from hf_hardneg import Corpus, DenseRetriever
from hf_hardneg.backends import BACKENDS, PACKAGES, check_backend, hardware_dtype, loading_options
from hf_hardneg.encoders import EncoderSettings, SentenceEncoder, encode_checked
from hf_hardneg.errors import MissingExtraError, ModelError, ParameterError
from hf_hardneg.testing import make_queries

TEXTS = ["red car", "the slow blue boat of the night", "north", "red car and train and city"]
FILES = {"onnx": "onnx/model.onnx", "openvino": "openvino/openvino_model.bin"}
OTHERS = sorted(FILES)


def is_there(backend: str) -> bool:
    tops = [module.partition(".")[0] for module in PACKAGES[backend]]
    return all(map(find_spec, tops)) and all(map(find_spec, PACKAGES[backend]))


def needs(backend: str) -> None:
    if not is_there(backend):
        pytest.skip(f"the packages of {backend} are not installed")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bi_encoder(tmp_path_factory.mktemp("model"))


def encoder(model: Path, **settings: Any) -> SentenceEncoder:
    return SentenceEncoder(str(model), EncoderSettings(**settings), device="cpu")


def encoded(model: Path, **settings: Any) -> NDArray[np.float32]:
    return encode_checked(encoder(model, **settings), TEXTS, "document")


# -- without the packages --------------------------------------------------------------------


@pytest.mark.parametrize("backend", OTHERS)
def test_a_package_that_is_missing(model: Path, backend: str) -> None:
    if is_there(backend):
        pytest.skip(f"the packages of {backend} are installed")
    retriever = DenseRetriever(Corpus(TEXTS), model=str(model), backend=backend)
    said = rf"backend='{backend}'.* which is not installed.*pip install \"hf-hardneg\[{backend}\]\""
    with pytest.raises(MissingExtraError, match=said):
        retriever.prepare()


@pytest.mark.parametrize(
    ("backend", "dtype", "said"),
    [
        ("onnx", "bfloat16", r"dense\(backend='onnx'\): dtype='bfloat16'; expected one of float32"),
        ("onnx", "float16", "dtype='float16'; expected one of float32, auto"),
        ("openvino", "float16", "dtype='float16'; expected one of float32, bfloat16, auto"),
        ("torch", "half", "dense: dtype='half'; expected one of float32, bfloat16, float16, auto"),
        ("tflite", "float32", "backend='tflite'; expected one of torch, onnx, openvino"),
    ],
)
def test_a_dtype_that_would_not_be_heeded(backend: str, dtype: str, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        check_backend(backend, dtype)
    with pytest.raises(ParameterError, match=said):
        DenseRetriever(Corpus(TEXTS), backend=backend, dtype=dtype)


def test_what_auto_stands_for(model: Path) -> None:
    assert encoder(model, dtype="auto", backend="onnx").dtype == "float32"
    assert hardware_dtype("cuda", "openvino") == hardware_dtype("cpu")
    assert hardware_dtype("mps") == "float32"
    for name, dtypes in BACKENDS.items():
        assert hardware_dtype("cpu", name) in dtypes


def test_each_backend_has_vectors_of_its_own(model: Path) -> None:
    assert len({encoder(model, backend=name).fingerprint() for name in BACKENDS}) == len(BACKENDS)


def test_float32_of_weights_that_are_shorter(model: Path, tmp_path: Path) -> None:
    """What computes is what was asked for, whatever the weights were saved in."""
    short = SentenceTransformer(str(model), device="cpu").bfloat16()
    short.save(str(tmp_path))
    wide = SentenceTransformer(str(tmp_path), device="cpu", model_kwargs={"dtype": torch.float32})
    want = wide.encode_document(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(encoded(tmp_path), want, atol=1e-6)
    assert np.abs(encoded(tmp_path, dtype="bfloat16") - want).max() > 1e-4


# -- with them -------------------------------------------------------------------------------

# The exporters trace the model, and torch and transformers warn of that.
exporting = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Let an exported model's temporary folder go here: optimum leaves it to the collector."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@exporting
@pytest.mark.parametrize("backend", OTHERS)
def test_the_same_vectors_and_candidates(model: Path, backend: str, tmp_path: Path) -> None:
    needs(backend)
    before = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    other = encoder(model, backend=backend)
    np.testing.assert_allclose(
        encode_checked(other, TEXTS, "document"), encoded(model), atol=2e-6
    )  # fmt: skip
    assert other.unchanged()
    assert {path: path.read_bytes() for path in model.rglob("*") if path.is_file()} == before
    rng = np.random.default_rng(0)
    corpus = Corpus([" ".join(rng.choice(WORDS, rng.integers(1, 9))) for _ in range(60)])
    queries = make_queries(corpus, ["red car", "night boat"], [["red"], ["blue"]])
    one, two = (
        DenseRetriever(
            corpus, model=str(model), backend=name, top_k=9, max_length=7, device="cpu"
        ).retrieve(queries)
        for name in ("torch", backend)
    )
    np.testing.assert_allclose(one.scores, two.scores, atol=2e-6)
    np.testing.assert_allclose(one.positive_scores, two.positive_scores, atol=2e-6)


@exporting
@pytest.mark.parametrize("backend", OTHERS)
def test_an_exported_model_is_used_and_known_by_its_weights(
    model: Path, backend: str, tmp_path: Path
) -> None:
    needs(backend)
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    plain = encoder(folder, backend=backend)
    marks = {plain.fingerprint()}
    options = loading_options(backend, "float32", "cpu")
    SentenceTransformer(str(folder), **options).save_pretrained(str(folder))
    assert (folder / FILES[backend]).exists()
    assert not plain.unchanged()
    marks.add(plain.fingerprint())
    np.testing.assert_allclose(encoded(folder, backend=backend), encoded(model), atol=2e-6)
    # Another model's export in its place: its vectors, under another hash.
    (tmp_path / "other").mkdir()
    other = save_bi_encoder(tmp_path / "other", seed=1)
    SentenceTransformer(str(other), **options).save_pretrained(str(other))
    for path in (other / backend).iterdir():
        shutil.copy(path, folder / backend / path.name)
    marks.add(encoder(folder, backend=backend).fingerprint())
    np.testing.assert_allclose(encoded(folder, backend=backend), encoded(other), atol=2e-6)
    assert len(marks) == 3


@exporting
def test_openvino_computes_in_what_was_asked_for(model: Path) -> None:
    needs("openvino")
    short = encoded(model, backend="openvino", dtype="bfloat16")
    gap = np.abs(short - encoded(model, backend="openvino")).max()
    assert gap < 0.05
    # Elsewhere OpenVINO may compute in float32 all the same.
    assert gap > 1e-4 or hardware_dtype("cpu") == "float32"
    with pytest.raises(ModelError, match=r"device='cuda'.*OpenVINO is used on the CPU here"):
        loading_options("openvino", "float32", "cuda")


def test_onnx_on_a_gpu_that_it_does_not_have() -> None:
    needs("onnx")
    import onnxruntime

    assert loading_options("onnx", "float32", "cpu")["model_kwargs"] == {
        "provider": "CPUExecutionProvider"
    }
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        assert loading_options("onnx", "float32", None)["device"] == "cpu"
        with pytest.raises(ModelError, match="ONNX Runtime has no CUDA here, only"):
            loading_options("onnx", "float32", "cuda:1")
