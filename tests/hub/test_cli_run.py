"""The command run with --push, in one process, against a Hub on loopback."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_server import LoopbackHub
from publications import card, contents
from small_collection import fail, invoke, succeed

from hf_hardneg import OfflineMiner

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


def test_a_recipe_that_does_not_say_who_sees_it_leaves_that_as_it_is(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    hub.create(NAME, private=True)
    asked = ["run", RECIPE, "--push", "--set", f"publish.repository={NAME}"]
    succeed(*asked, "--cache-dir", tmp_path / "cache", "--output", tmp_path / "out")
    assert hub.repo(NAME).private
    assert "private" not in (tmp_path / "out" / "hardneg" / "recipe.yaml").read_text()
    public = [*asked, "--set", "publish.private=false", "--output", tmp_path / "public"]
    assert "is private; public was asked for" in fail(*public)


def test_a_push_that_fails_after_the_mining_says_how_to_go_on(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    """The same command would refuse the folder, which is there now."""
    hub.create(NAME, private=True)
    hub.fail("/commit/", status=403)
    out = tmp_path / "a set"
    asked = ["run", RECIPE, "--push", "--set", f"publish.repository={NAME}"]
    asked += ["--set", "publish.private=true", "--append-config"]
    result = invoke(*asked, "--cache-dir", tmp_path / "cache", "--output", out)
    assert result.exit_code == 1
    said, told = result.stderr.strip().splitlines()[-2:]
    assert "may not write" in said
    words = shlex.split(told.partition("publishes it: ")[2])
    command = words[words.index("push") :]
    assert command == ["push", str(out), NAME, "--private", "--append-config"]
    succeed(*command)
    assert len(hub.history(NAME)) == 2


def test_an_interrupted_run_is_not_said_to_need_an_option_that_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(OfflineMiner, "retrieve", interrupted)
    result = invoke("run", RECIPE, "--cache-dir", tmp_path / "cache", "--output", tmp_path / "out")
    assert result.exit_code == 130
    assert "interrupted; the same command goes on" in result.stderr
    assert "--resume" not in result.stderr


def foreign_card(hub: LoopbackHub) -> None:
    hub.create(NAME)
    hub.add(NAME, {"README.md": "# Mine\n"})


def half_a_mark(hub: LoopbackHub) -> None:
    hub.create(NAME)
    hub.add(NAME, {"README.md": card(["ids"]).replace("<!-- /hf-hardneg -->", "")})


def foreign_data(hub: LoopbackHub) -> None:
    hub.create(NAME)
    hub.add(NAME, {"README.md": card(["triplet"]), "data/ids/train-00000-of-00001.parquet": "x"})


def loose_data(hub: LoopbackHub) -> None:
    hub.create(NAME)
    hub.add(NAME, {"rows.csv": "a,b"})


def nothing(hub: LoopbackHub) -> None:
    pass


@pytest.mark.parametrize(
    ("prepare", "more", "token", "said"),
    [
        (foreign_card, [], "hf_alice", "has a card that hf-hardneg did not write"),
        (half_a_mark, [], "hf_alice", "is not closed"),
        (foreign_data, ["--append-config"], "hf_alice", "data/ids/ in the repository holds files"),
        (loose_data, ["--append-config"], "hf_alice", "names in no config"),
        (lambda hub: hub.create(NAME, "models"), [], "hf_alice", "is a model, and no data set"),
        (lambda hub: hub.create(NAME), ["--set", "publish.private=true"], "hf_alice", "is public"),
        (nothing, [], "hf_alice_read", "may only read"),
        (nothing, ["--set", "publish.repository=bob/small"], "hf_alice", "namespace 'bob'"),
        (nothing, [], "", "No access token"),
        (nothing, ["--pr"], "hf_alice", "a pull request needs one"),
        (nothing, ["--set", "publish.licence=cc-by-sa-4"], "hf_alice", "mean 'cc-by-sa-4.0'"),
        (nothing, ["--set", "publish.repository=null"], "hf_alice", "names no repository"),
    ],
)
def test_what_cannot_be_published_is_refused_before_anything_is_mined(
    prepare: Callable[[LoopbackHub], Any], more: list[str], token: str, said: str,
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def mined(*_: object, **__: object) -> None:
        pytest.fail("it was mined")

    for name in ("mine", "retrieve", "select", "knowing"):
        monkeypatch.setattr(OfflineMiner, name, mined)
    monkeypatch.setattr("hf_hardneg.hub.mined_recipe.load_data", mined)
    monkeypatch.setenv("HF_TOKEN", token)
    prepare(hub)
    before = {name: dict(repo.refs) for name, repo in hub.store.repos.items()}
    named = [] if any("publish.repository" in one for one in more) else [
        "--set", f"publish.repository={NAME}"
    ]  # fmt: skip
    asked = ["run", RECIPE, "--push", *named, *more]
    assert said in fail(*asked, "--output", tmp_path / "out", "--cache-dir", tmp_path / "cache")
    assert {name: dict(repo.refs) for name, repo in hub.store.repos.items()} == before
    assert not (tmp_path / "out").exists()


def test_beside_a_foreign_card_with_append_config(hub: LoopbackHub, tmp_path: Path) -> None:
    foreign_card(hub)
    asked = ["run", RECIPE, "--push", "--append-config", "--set", f"publish.repository={NAME}"]
    succeed(*asked, "--output", tmp_path / "out", "--cache-dir", tmp_path / "cache")
    assert hub.files(NAME)["README.md"].decode().count("# Mine\n") == 1
