"""Stages of other packages, which entry points bring."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_hardneg.errors import StrategyError
from hf_hardneg.registry import registered
from hf_hardneg.strategy import check

MODULE = '''
from hf_hardneg.filters import Filter
from hf_hardneg.retrievers import BM25Retriever


class EvenRanks(Filter):
    """Keeps even ranks."""

    name = "even-ranks"

    def mask(self, queries, candidates):
        return candidates.ranks % 2 == 0


class Margin(EvenRanks):
    name = "margin"


class NoStage:
    name = "no-stage"


'''


def install(folder: Path, entries: str) -> None:
    """Lay a package with entry points into a folder, as pip does."""
    (folder / "even_ranks.py").write_text(MODULE)
    about = folder / "even_ranks-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: even-ranks\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[hf_hardneg.stages]\n{entries}\n")


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    registered.cache_clear()
    yield tmp_path
    registered.cache_clear()
    sys.modules.pop("even_ranks", None)


def test_a_stage_of_another_package(fresh: Path) -> None:
    install(fresh, "even-ranks = even_ranks:EvenRanks")
    check("bm25+even-ranks+margin", {})
    assert registered().selecting["even-ranks"].__module__ == "even_ranks"


def test_from_the_command_line(tmp_path: Path) -> None:
    install(tmp_path, "even-ranks = even_ranks:EvenRanks")
    done = subprocess.run(
        [sys.executable, "-m", "hf_hardneg", "strategies", "even-ranks"],
        capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert "Keeps even ranks." in done.stdout


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ("other = even_ranks:EvenRanks", "whose own name is 'even-ranks'"),
        ("no-stage = even_ranks:NoStage", "is no stage"),
        ("margin = even_ranks:Margin", "takes a name that is taken"),
        ("even-ranks = even_ranks:Missing", "cannot be loaded: AttributeError"),
        ("even-ranks = not_there:Missing", "cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_entry_points_that_make_no_sense(fresh: Path, entries: str, said: str) -> None:
    install(fresh, entries)
    with pytest.raises(StrategyError, match=said):
        registered()
