"""Models by name, by path, or already loaded; and what identifies their weights.

A model is known by its weights, never by its name: a local folder by the content of its files,
a model on the Hub by the commit that its revision stands for, a loaded model by its parameters.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from hf_hardneg.cache import content_hash
from hf_hardneg.devices import model_device
from hf_hardneg.errors import ModelError
from hf_hardneg.workers import limit_torch_threads

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

__all__ = [
    "LoadedModel",
    "load_cross_encoder",
    "model_commit",
    "model_fingerprint",
    "model_name",
    "module_settings",
]

WEIGHT_SUFFIXES = (
    ".safetensors", ".bin", ".onnx", ".onnx_data", ".data", ".xml", ".json", ".txt", ".model",
    ".msgpack", ".metadata",
)  # fmt: skip
"""ONNX keeps weights of more than 2 GB in a file beside: ``model.onnx_data``, ``.onnx.data``; in
``.metadata`` ColBERT's own format keeps its lengths and marks."""
COMMIT_FOLDER = "snapshots"
EMBEDDING_SETTINGS = ("prompts", "default_prompt_name", "similarity_fn_name", "truncate_dim")
HUB_FILES = ("config.json", "modules.json")
"""A transformer has the first, a static embedding model the second alone."""
READ = 1 << 22
FOUND_OUT = ("embedding_dimension", "word_embedding_dimension")
"""Settings that a module sets by itself when it is first used."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """What stands for a loaded model where the model itself cannot go.

    Attributes:
        name: the name or path the model was loaded from.
        fingerprint: hash of its parameters.
    """

    name: str
    fingerprint: str


@lru_cache(maxsize=512)
def _file_hash(path: str, size: int, modified: int) -> str:
    """Hash a file's content; size and time are there for the memory of the cache only."""
    hasher = xxhash.xxh3_128()
    with open(path, "rb") as stream:
        while block := stream.read(READ):
            hasher.update(block)
    return hasher.hexdigest()


def _folder_fingerprint(folder: Path) -> str:
    files = sorted(
        path for path in folder.rglob("*") if path.is_file() and path.suffix in WEIGHT_SUFFIXES
    )
    if not files:
        raise ModelError(
            f"the folder {str(folder)!r} holds no model: expected configuration and weights such "
            "as config.json and model.safetensors."
        )
    hashes = []
    for path in files:
        stat = path.stat()
        digest = _file_hash(str(path), stat.st_size, stat.st_mtime_ns)
        hashes.append([str(path.relative_to(folder)), digest])
    return content_hash("folder", hashes)


def _hub_fingerprint(name: str, revision: str | None) -> str:
    """Return the commit that a Hub model's revision stands for now."""
    commit = model_commit(name, revision)
    return content_hash("hub", name, commit or list(_hub_file(name, revision).parts))


def model_commit(name: str, revision: str | None = None) -> str | None:
    """Return the commit that a Hub model's revision stands for; ``None`` where it is not told.

    Raises:
        ModelError: there is no such model.
    """
    parts = _hub_file(name, revision).parts
    return parts[parts.index(COMMIT_FOLDER) + 1] if COMMIT_FOLDER in parts else None


def _hub_file(name: str, revision: str | None) -> Path:
    """Return a file of a Hub model, from the cache or fetched."""
    from transformers.utils.hub import cached_file

    failure: Exception | None = None
    for file in HUB_FILES:
        try:
            return Path(str(cached_file(name, file, revision=revision)))
        except (OSError, ValueError) as error:
            failure = failure or error
    raise ModelError(
        f"the model {name!r} is neither a folder here nor to be had from the Hub: "
        f"{str(failure).rstrip('. ')}. "
        "Give a path, check the name, or log in if the model is private."
    ) from failure


def _loaded_fingerprint(model: Any) -> str:  # noqa: ANN401
    """Hash all that decides the scores of a loaded model: its parameters and its settings."""
    if not hasattr(model, "state_dict"):
        raise ModelError(
            f"a model of type {type(model).__name__}; expected a name on the Hub, a path, or a "
            "loaded model."
        )
    hasher = xxhash.xxh3_128()
    for key, tensor in sorted(model.state_dict().items()):
        hasher.update(key.encode())
        array = tensor.detach().cpu()
        hasher.update(str(array.dtype).encode())
        # Raw bytes by way of a byte view: numpy knows no bfloat16.
        import torch

        hasher.update(array.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return content_hash("loaded", hasher.hexdigest(), _settings(model))


def _settings(model: Any) -> list[Any]:  # noqa: ANN401
    """Return what else decides the scores: configuration, activation, tokenizer, input length."""
    values: dict[str, Any] = getattr(getattr(model, "config", None), "to_dict", dict)()
    tokenizer = getattr(model, "tokenizer", None)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        words = json.loads(backend.to_str())
    else:
        words = tokenizer.get_vocab() if tokenizer is not None else {}
    # Cutting and padding are set anew by every call: they say what was asked, not what is there.
    passing = {"_name_or_path", "transformers_version", "truncation", "padding"}
    length = getattr(model, "max_seq_length", None) or getattr(model, "max_length", None)
    return [
        {name: value for name, value in values.items() if name not in passing},
        {name: value for name, value in words.items() if name not in passing},
        str(getattr(model, "activation_fn", None)),
        length,
        [str(getattr(model, name, None)) for name in EMBEDDING_SETTINGS],
    ]


def module_settings(model: Any) -> list[Any]:  # noqa: ANN401
    """Return what decides the vectors of a loaded model beside weights and configuration."""
    settings: list[Any] = [getattr(model, "max_active_dims", None)]
    for module in getattr(model, "modules", list)():
        names = [name for name in getattr(module, "config_keys", ()) if name not in FOUND_OUT]
        if names:
            values = {name: str(getattr(module, name, None)) for name in names}
            settings.append([type(module).__name__, values])
    return settings


def model_name(model: Any) -> str:  # noqa: ANN401
    """Return the name or path of a model, given as such or loaded."""
    if isinstance(model, str | Path):
        return str(model)
    if isinstance(model, LoadedModel):
        return model.name
    config = getattr(model, "config", None)
    return str(getattr(config, "_name_or_path", "") or type(model).__name__)


def model_fingerprint(model: Any, revision: str | None = None) -> str:  # noqa: ANN401
    """Return a hash that changes with the model's weights.

    Args:
        model: a name on the Hub, a path, a loaded model, or what stands for one.
        revision: branch, tag or commit on the Hub.

    Raises:
        ModelError: there is no such model.
    """
    if isinstance(model, LoadedModel):
        return model.fingerprint
    if isinstance(model, str | Path):
        folder = Path(model).expanduser()
        return (
            _folder_fingerprint(folder)
            if folder.is_dir()
            else _hub_fingerprint(str(model), revision)
        )
    return _loaded_fingerprint(model)


def load_cross_encoder(
    model: Any,  # noqa: ANN401
    *,
    revision: str | None,
    max_length: int | None,
    device: str | None,
) -> CrossEncoder:
    """Return a loaded cross-encoder with one output, ready to score.

    Code that comes with a model is never run.

    Raises:
        ModelError: no such model, more than one output, or a loaded model that was sent to
            another process.
    """
    if isinstance(model, LoadedModel):
        raise ModelError(
            f"the loaded model {model.name!r} cannot be sent to another process. Give its name or "
            "path instead, or use num_proc=None."
        )
    if not isinstance(model, str | Path):
        return _checked(model)
    limit_torch_threads()
    from sentence_transformers import CrossEncoder

    try:
        loaded = CrossEncoder(
            str(model), revision=revision, max_length=max_length, device=model_device(device)
        )
    except Exception as error:  # the loaders below have no common base for their failures
        raise ModelError(f"the cross-encoder {str(model)!r} cannot be loaded: {error}") from error
    return _checked(loaded)


def _checked(model: Any) -> CrossEncoder:  # noqa: ANN401
    outputs = getattr(model, "num_labels", None)
    if outputs != 1:
        raise ModelError(
            f"the model {model_name(model)!r} has {outputs} outputs; a relevance judge is a "
            "sentence_transformers.CrossEncoder with one output (num_labels=1)."
        )
    checked: CrossEncoder = model
    return checked
