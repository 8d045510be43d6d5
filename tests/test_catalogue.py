from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hf_hardneg.catalogue import Entry, catalogue, details, entries_of, markdown
from hf_hardneg.errors import StrategyError
from hf_hardneg.presets import PRESETS
from hf_hardneg.registry import ALIASES, registered
from hf_hardneg.strategy import parse

PAGE = Path(__file__).parents[1] / "docs" / "stages.md"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hf_hardneg", "strategies", *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_page_of_the_documentation_is_made_from_this() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(), "run: make stages"


def test_everything_stands_in_it_once() -> None:
    pairs = [(entry.kind == "preset", entry.name, entry.kind) for entry in catalogue()]
    assert len(set(pairs)) == len(pairs)
    assert {name for preset, name, _ in pairs if preset} == set(PRESETS)
    assert sorted(name for preset, name, _ in pairs if not preset) == sorted(
        stage.name for stage in registered().all
    )


@pytest.mark.parametrize("entry", catalogue(), ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_an_entry_says_what_it_does(entry: Entry) -> None:
    assert entry.about
    assert not entry.about.startswith(" ")
    assert entry.name in details(entry.name)
    assert entry.source or entry.kind != "preset"


def test_every_sampler_and_preset_says_its_source_or_that_there_is_none() -> None:
    plain = {"top", "random", "rank", "score"}
    for entry in catalogue():
        if entry.kind in {"sampler", "row filter", "veto", "diversity", "filter"}:
            assert entry.source or entry.name in plain, entry.name


@pytest.mark.parametrize("name", sorted(ALIASES))
def test_an_alias_leads_to_its_stage(name: str) -> None:
    assert ALIASES[name] in {entry.name for entry in entries_of(name)}
    assert parse(f"bm25+{name}").classes[-1].name == ALIASES[name]


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(StrategyError, match="Did you mean 'margin'"):
        entries_of("margine")
    failed = run("margine")
    assert failed.returncode == 1
    assert "Did you mean 'margin'" in failed.stderr


def test_the_command_lists_them_all() -> None:
    shown = run()
    assert (shown.returncode, shown.stderr) == (0, "")
    for entry in catalogue():
        assert entry.name in shown.stdout
    rows = json.loads(run("--format", "json").stdout)
    assert [row["name"] for row in rows] == [entry.name for entry in catalogue()]
    one = run("denoised").stdout
    assert "threshold: a negative scores below" in one
    assert "Strategy: bm25+denoised" in one
