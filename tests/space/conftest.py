"""The app of a small mined set, and a browser that looks at it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# The loopback Hub of the tests of publishing is a Hub for the Space too.
sys.path.append(str(Path(__file__).parents[1] / "hub"))

from space_server import App, inspect
from space_sets import PLAIN, write_docstrings, write_hostile

CHROMIUM = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="session")
def space_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("space")


@pytest.fixture(scope="session")
def space_cache(space_folder: Path) -> Iterator[Path]:
    """The cache of the apps; sets are mined in it too."""
    before = os.environ.get("HF_HARDNEG_CACHE")
    os.environ["HF_HARDNEG_CACHE"] = str(space_folder / "cache")
    yield space_folder / "cache"
    if before is None:
        os.environ.pop("HF_HARDNEG_CACHE", None)
    else:
        os.environ["HF_HARDNEG_CACHE"] = before


@pytest.fixture(scope="session")
def docs(space_folder: Path, space_cache: Path) -> Path:
    """Docstrings, mined with a margin."""
    return write_docstrings(space_folder / "docs")


@pytest.fixture(scope="session")
def docs_plain(space_folder: Path, space_cache: Path) -> Path:
    """The same queries, mined without a margin."""
    return write_docstrings(space_folder / "plain", PLAIN)


@pytest.fixture(scope="session")
def hostile(space_folder: Path, space_cache: Path) -> Path:
    """A folder with rows and a pool whose texts mean harm."""
    return write_hostile(space_folder / "hostile")


@pytest.fixture(scope="session")
def app(docs: Path, space_folder: Path, space_cache: Path) -> Iterator[App]:
    """``hf-hardneg inspect`` on the docstrings."""
    pytest.importorskip("gradio")
    running = inspect(docs, space_folder / "labels", space_cache, "--annotator", "ann")
    yield running
    try:
        running.check()
    finally:
        running.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless Chromium: that of $CHROMIUM, or the one on the path."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not found:
        pytest.skip("no Chromium: install one, or name it in $CHROMIUM")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=found, args=list(CHROMIUM))
        yield browser
        browser.close()


@pytest.fixture
def window(chromium: Any) -> Iterator[Any]:
    """Open windows; whatever goes wrong in one of them fails the test.

    That is: an error on the console or of a script, a dialog, or a request to another host than
    that of the page.
    """
    from viewing import View

    views: list[View] = []

    def open_window(url: str, **options: Any) -> View:
        views.append(View.open(chromium, url, **options))
        return views[-1]

    yield open_window
    wrong = [line for view in views for line in view.wrong]
    for view in views:
        view.close()
    assert not wrong, wrong
