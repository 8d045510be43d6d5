"""A mined set, a Hub on loopback, and a client that may reach it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from card_cases import Case, make_case
from hub_server import LoopbackHub


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Let the Hub's client speak to loopback, by LFS, without waits and with no token of yours."""
    from huggingface_hub import constants
    from huggingface_hub import logging as hub_logging
    from huggingface_hub.utils import _http, disable_progress_bars, enable_progress_bars

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=lambda _: None))
    disable_progress_bars()
    level = hub_logging.get_verbosity()
    hub_logging.set_verbosity(logging.ERROR)
    yield
    hub_logging.set_verbosity(level)
    enable_progress_bars()
    _http.close_session()


@pytest.fixture
def hub(tmp_path: Path, client: None) -> Iterator[LoopbackHub]:
    with LoopbackHub(tmp_path / "hub") as server:
        yield server


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """The tiny collection, mined."""
    folder = tmp_path_factory.mktemp("card")
    before = os.environ.get("HF_HARDNEG_CACHE")
    os.environ["HF_HARDNEG_CACHE"] = str(folder / "cache")
    try:
        return make_case(folder)
    finally:
        if before is None:
            del os.environ["HF_HARDNEG_CACHE"]
        else:
            os.environ["HF_HARDNEG_CACHE"] = before
