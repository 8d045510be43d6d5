"""A mined set that the tests of this folder share."""

from __future__ import annotations

import os

import pytest
from card_cases import Case, make_case


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
