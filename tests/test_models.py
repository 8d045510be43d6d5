"""What identifies a model, and which models are refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from tiny_models import save_cross_encoder

from hf_hardneg.errors import ModelError
from hf_hardneg.filters import CrossEncoderDenoiser
from hf_hardneg.models import (
    LoadedModel,
    load_cross_encoder,
    model_fingerprint,
    model_name,
)


def load(model: object) -> object:
    return load_cross_encoder(model, revision=None, max_length=None, device="cpu")


def test_a_folder_is_known_by_the_content_of_its_files(tmp_path: Path) -> None:
    one = save_cross_encoder(tmp_path / "a" / "model", seed=0)
    copy = Path(shutil.copytree(one, tmp_path / "b" / "another-name"))
    other = save_cross_encoder(tmp_path / "c" / "model", seed=1)
    assert model_fingerprint(one) == model_fingerprint(str(copy))
    assert model_fingerprint(one) != model_fingerprint(other)
    (copy / "README.md").write_text("no influence")
    assert model_fingerprint(one) == model_fingerprint(copy)
    with (copy / "model.safetensors").open("r+b") as weights:
        weights.seek(-1, 2)
        last = weights.read(1)
        weights.seek(-1, 2)
        weights.write(bytes([last[0] ^ 1]))
    assert model_fingerprint(one) != model_fingerprint(copy)


def test_another_tokenizer_or_configuration_is_another_model(tmp_path: Path) -> None:
    one = save_cross_encoder(tmp_path / "one")
    for name in ("tokenizer.json", "config.json"):
        copy = Path(shutil.copytree(one, tmp_path / name))
        (copy / name).write_text((copy / name).read_text() + " ")
        assert model_fingerprint(copy) != model_fingerprint(one)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_loaded_model_is_known_by_its_parameters(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2).to(dtype)
    twin = torch.nn.Linear(3, 2).to(dtype)
    twin.load_state_dict(layer.state_dict())
    assert model_fingerprint(layer) == model_fingerprint(twin)
    with torch.no_grad():
        twin.bias[1] += 1
    assert model_fingerprint(layer) != model_fingerprint(twin)
    assert model_fingerprint(layer) != model_fingerprint(layer.to(torch.float64))


def test_names() -> None:
    assert model_name("a/model") == "a/model"
    assert model_name(Path("folder")) == "folder"
    assert model_name(LoadedModel("a/model", "123")) == "a/model"
    assert model_name(torch.nn.Linear(1, 1)) == "Linear"
    assert model_fingerprint(LoadedModel("a/model", "123")) == "123"


def test_models_that_are_not_there(tmp_path: Path) -> None:
    for name in ("nobody/no-such-model", str(tmp_path / "no" / "folder"), "no folder"):
        with pytest.raises(ModelError, match="neither a folder here nor to be had from the Hub"):
            CrossEncoderDenoiser(name).prepare()
    with pytest.raises(ModelError, match="holds no model"):
        CrossEncoderDenoiser(str(tmp_path)).prepare()
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(tmp_path)


def test_models_that_cannot_judge(tmp_path: Path) -> None:
    two = save_cross_encoder(tmp_path / "two", outputs=2)
    with pytest.raises(ModelError, match=r"has 2 outputs; .* one output"):
        load(two)
    with pytest.raises(ModelError, match="'Linear' has None outputs"):
        CrossEncoderDenoiser(torch.nn.Linear(1, 1)).prepare()
    for model in (5, None, ["a/model"]):
        with pytest.raises(ModelError, match=f"a model of type {type(model).__name__}"):
            CrossEncoderDenoiser(model).prepare()
    with pytest.raises(ModelError, match="cannot be sent to another process"):
        load(LoadedModel("a/model", "123"))


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path) -> None:
    model = save_cross_encoder(tmp_path / "model")
    config = (model / "config.json").read_text()
    (model / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Model: pass\n")
    code = '{"auto_map": {"AutoModelForSequenceClassification": "evil.Model"}, "model_type": "odd",'
    (model / "config.json").write_text(
        code + config.lstrip()[1:].replace('"model_type": "bert"', '"was": "bert"')
    )
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(model)
    assert not (tmp_path / "ran").exists()
