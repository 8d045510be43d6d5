"""Fixtures that several tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before anything imports them: no test may look for the network, and torch and numba use one
# thread a worker, because pytest runs several.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from hypothesis import HealthCheck, settings

settings.register_profile(
    "hf-hardneg",
    deadline=None,
    derandomize=True,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("hf-hardneg")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("HF_HARDNEG_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """No progress bars of ``datasets``."""
    import datasets

    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def shared(*parts: str) -> Path:
    """A file of the collections beside the checkout; the test is skipped where there are none."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path.name} is not beside this checkout")
    return path


@pytest.fixture
def cross_encoder_path() -> Path:
    """A small real cross-encoder."""
    return shared("models", "cross-encoder-tiny")


@pytest.fixture
def static_model_path() -> Path:
    """A small real static embedding model."""
    return shared("models", "potion-4m-static")


@pytest.fixture
def scifact() -> Path:
    """SciFact in BEIR layout."""
    return shared("data", "scifact")


@pytest.fixture
def cacm_path() -> Path:
    """Abstracts with queries that have many positives, in BEIR layout."""
    return shared("data", "cacm")
