"""A push: what is in the repository afterwards, and what is refused before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub_server import LoopbackHub
from publications import NAME, card, contents, publication, push

from hf_hardneg.errors import HubError


def test_one_commit_has_everything(hub: LoopbackHub, tmp_path: Path) -> None:
    said: list[str] = []
    folder = publication(tmp_path / "set")
    done = push(hub, folder, say=said.append, message="The first\nversion")
    assert hub.files(NAME) == contents(folder)
    made, initial = hub.history(NAME)
    assert (made.sha, made.title, made.author) == (done.commit, "The first version", "alice")
    assert initial.title == "initial commit"
    assert (done.tries, done.unchanged, done.pull_request) == (1, False, None)
    assert done.url == f"{hub.url}/datasets/{NAME}"
    assert done.revision == "main"
    assert f"{NAME}: created" in said
    assert done.commit in said[-1]
    assert not hub.repo(NAME).private


def test_the_same_again_makes_no_commit(hub: LoopbackHub, tmp_path: Path) -> None:
    folder = publication(tmp_path / "set")
    first = push(hub, folder)
    said: list[str] = []
    again = push(hub, folder, say=said.append)
    assert again.unchanged
    assert again.commit == first.commit
    assert len(hub.history(NAME)) == 2
    assert "nothing differs" in said[-1]
    assert len(hub.requests("POST", "/commit/")) == 1
