"""Models that come from a Hub: the commit that was read stands in the recipe as run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hub_server import LoopbackHub
from publications import contents
from tiny_models import save_bi_encoder, save_cross_encoder

from hf_hardneg.errors import ModelError, RecipeError
from hf_hardneg.hub.model_revisions import models_resolved
from hf_hardneg.hub.recipe import load_recipe
from hf_hardneg.hub.recipe_schema import Recipe
from hf_hardneg.hub.yaml_nodes import scalar_of

RECIPES = Path(__file__).parents[2] / "hub_recipes"
ENCODER, JUDGE = "alice/encoder", "alice/judge"
COMMIT = "c" * 40


def recipe_of(strategy: str, **settings: object) -> Recipe:
    changes = {"mining.strategy": strategy, "mining.settings": settings}
    return load_recipe(RECIPES / "stdlib-docstrings.yaml", changes)


def commit_of(name: str, revision: str | None) -> str:
    """Return something that tells which model was asked for at which revision."""
    return f"{name}/{revision or 'newest'}"


@pytest.mark.parametrize(
    ("strategy", "settings", "pinned", "becomes"),
    [
        ("dense", {"model": "o/m"}, "dense", {"model": "o/m@o/m/newest"}),
        ("dense", {"model": "o/m@v1"}, "dense", {"model": "o/m@o/m/v1"}),
        (
            "dense",
            {"dense.model": "o/m", "revision": "v1"},
            "dense",
            {"dense.model": "o/m", "revision": "o/m/v1"},
        ),
        (
            "nv-retriever",
            {},
            "nv-retriever",
            {"dense.revision": "sentence-transformers/all-MiniLM-L6-v2/newest"},
        ),
        ("dense(model='o/m')", {}, "dense(model='o/m')", {"dense.revision": "o/m/newest"}),
        (
            "dense(model='o/m', revision='v1')+margin",
            {},
            "dense(model='o/m', revision='o/m/v1')+margin",
            {},
        ),
        (
            "dense(model='o/m'),dense(model='o/n')",
            {},
            "dense(model='o/m', revision='o/m/newest'),"
            "dense(model='o/n', revision='o/n/newest')+fusion",
            {},
        ),
        (
            "bm25+risk",
            {"risk.cross_encoder": "o/j@v2"},
            "bm25+risk",
            {"risk.cross_encoder": "o/j@o/j/v2"},
        ),
        ("bm25+margin", {"relative": 0.1}, "bm25+margin", {"relative": 0.1}),
        ("bm25+risk", {"max": 0.5}, "bm25+risk", {"max": 0.5}),
    ],
)
def test_a_commit_stands_where_the_revision_stood(
    strategy: str, settings: dict[str, Any], pinned: str, becomes: dict[str, Any]
) -> None:
    found = models_resolved(recipe_of(strategy, **settings), commit_of).mining
    assert (found.strategy, dict(found.settings)) == (pinned, becomes)


def test_a_recipe_whose_models_are_resolved_is_one(tmp_path: Path) -> None:
    first = models_resolved(
        recipe_of("dense+denoised", **{"dense.model": "o/m", "denoised.model": "o/j@v1"}),
        lambda *_: COMMIT,
    )
    path = tmp_path / "again.yaml"
    path.write_text(first.to_yaml())
    again = load_recipe(path)
    assert again == first
    strategy, _ = again.mining_call()
    assert strategy.count(COMMIT) == 2


def test_a_model_in_a_folder_has_no_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for name in ("./my/model", "my/model"):
        recipe = recipe_of("dense", model=name)
        assert models_resolved(recipe, commit_of).mining == recipe.mining


def test_a_model_that_is_not_there_is_said_with_its_place() -> None:
    def nothing(name: str, revision: str | None) -> str:
        raise ModelError("gone")

    with pytest.raises(RecipeError) as caught:
        models_resolved(recipe_of("dense", model="o/m@v1"), nothing)
    said = str(caught.value)
    assert said.startswith("--set mining.settings: mining.settings.model names the model 'o/m'")
    assert "at the revision 'v1'" in said
    with pytest.raises(RecipeError, match=r"mining\.strategy names the model 'sentence-"):
        models_resolved(recipe_of("dense"), nothing)


def run(hub: LoopbackHub, folder: Path, *arguments: object, status: int = 0) -> str:
    environment = {
        **os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_alice", "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "0", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    line = [sys.executable, "-m", "hf_hardneg", *map(str, arguments)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def put(hub: LoopbackHub, folder: Path, seed: int) -> dict[str, str]:
    """Publish both models, with other weights for another seed; return their commits."""
    made = {
        ENCODER: save_bi_encoder(folder / f"encoder-{seed}", seed=seed),
        JUDGE: save_cross_encoder(folder / f"judge-{seed}", seed=seed),
    }
    return {name: hub.put(name, contents(path), "models").sha for name, path in made.items()}


def test_newer_weights_do_not_change_what_is_made_again(hub: LoopbackHub, tmp_path: Path) -> None:
    for name in (ENCODER, JUDGE):
        hub.create(name, "models")
    first = put(hub, tmp_path, 0)
    settings = {"dense.model": ENCODER, "denoised.model": f"{JUDGE}@main", "threshold": 0.9}
    asked: list[object] = ["run", RECIPES / "beir-folder.yaml", "--set"]
    asked += ["mining.strategy=dense+denoised", "--set", f"mining.settings={json.dumps(settings)}"]
    asked += ["--set", "outputs=[ids, pool]"]
    run(hub, tmp_path, *asked, "--output", tmp_path / "one", "--cache-dir", tmp_path / "c1")
    as_run = (tmp_path / "one" / "hardneg" / "recipe.yaml").read_text()
    told = scalar_of(as_run)["mining"]["settings"]
    assert told["dense.model"] == f"{ENCODER}@{first[ENCODER]}"
    assert told["denoised.model"] == f"{JUDGE}@{first[JUDGE]}"
    assert first != put(hub, tmp_path, 7)
    run(hub, tmp_path, *asked, "--output", tmp_path / "two", "--cache-dir", tmp_path / "c2")
    one, two = (contents(tmp_path / name / "data") for name in ("one", "two"))
    assert one != two  # the weights do make a difference
    again = ["reproduce", tmp_path / "one", "--data", RECIPES, "--cache-dir", tmp_path / "c3"]
    assert "Identical" in run(hub, tmp_path, *again)
