"""A tiny cross-encoder for all tests of the session; no test writes into its folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_models import save_cross_encoder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_cross_encoder(tmp_path_factory.mktemp("models") / "checkpoint")
