"""The command run with --push, in one process, against a Hub on loopback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hub_server import LoopbackHub
from publications import contents
from small_collection import succeed

RECIPE = Path(__file__).parents[2] / "hub_recipes" / "beir-folder.yaml"
NAME = "alice/small"


@pytest.fixture(autouse=True)
def environment(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    monkeypatch.setattr("hf_hardneg.hub.retries.default_wait", lambda _: 0.0)
    monkeypatch.setenv("HF_TOKEN", "hf_alice")


def test_the_same_recipe_again_makes_no_commit(hub: LoopbackHub, tmp_path: Path) -> None:
    """Whatever is in the cache, however many processes, however long it took."""
    asked = ["run", RECIPE, "--push", "--set", f"publish.repository={NAME}"]
    runs: list[tuple[object, ...]] = [
        ("one", "first"),
        ("two", "second", "--num-proc", 2),
        ("one", "third"),  # from what the first has kept
    ]
    said = []
    for cache, out, *more in runs:
        places = ["--cache-dir", tmp_path / str(cache), "--output", tmp_path / str(out)]
        said.append(json.loads(succeed(*asked, *places, *more, "--format", "json").stdout))
    assert [one["pushed"]["unchanged"] for one in said] == [False, True, True]
    assert len(hub.history(NAME)) == 2  # the empty repository, and the one commit
    assert contents(tmp_path / "first") == contents(tmp_path / "second")
    assert said[0]["report"]["seconds"] != said[1]["report"]["seconds"]
    plain = ["--cache-dir", tmp_path / "one", "--output", tmp_path / "fourth"]
    assert "was there already" in succeed(*asked, *plain).stdout
