"""The command push."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hub_server import LoopbackHub
from publications import NAME, contents, publication
from small_collection import fail, invoke, succeed


@pytest.fixture
def folder(hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A publication, while the Hub of the environment is on loopback and the token is there."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    monkeypatch.setattr("hf_hardneg.hub.retries.default_wait", lambda _: 0.0)
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    return publication(tmp_path / "set")


def test_push(hub: LoopbackHub, folder: Path) -> None:
    result = succeed("push", folder, NAME, "--private", "--message", "First")
    assert result.stdout == f"Published: {hub.url}/datasets/{NAME}\n"
    assert f"{NAME}: created" in result.stderr
    assert hub.files(NAME) == contents(folder)
    assert hub.repo(NAME).private
    assert hub.history(NAME)[0].title == "First"
    assert succeed("push", folder, NAME).stdout.startswith("Unchanged: ")


def test_push_as_json(hub: LoopbackHub, folder: Path) -> None:
    result = succeed("push", folder, NAME, "--revision", "v2", "--format", "json")
    values = json.loads(result.stdout)
    assert values == {
        "repository": NAME, "url": f"{hub.url}/datasets/{NAME}/tree/v2", "revision": "v2",
        "commit": hub.history(NAME, "refs/heads/v2")[0].sha, "pull_request": None, "tries": 1,
        "unchanged": False,
    }  # fmt: skip


def test_beside_as_a_pull_request(hub: LoopbackHub, folder: Path) -> None:
    hub.create("bob/set")
    hub.add("bob/set", {"README.md": "# Theirs\n"}, "bob")
    assert "did not write" in fail("push", folder, "bob/set", "--pr")
    result = succeed("push", folder, "bob/set", "--pr", "--append-config")
    assert result.stdout == f"Published: {hub.url}/datasets/bob/set/discussions/1\n"
    assert hub.files("bob/set") == {"README.md": b"# Theirs\n"}
    assert b"# Theirs" in hub.files("bob/set", "refs/pr/1")["README.md"]


def test_errors(hub: LoopbackHub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "expected NAMESPACE/NAME" in fail("push", folder, "set")
    assert "namespace 'bob'" in fail("push", folder, "bob/set")
    monkeypatch.delenv("HF_TOKEN")
    message = fail("push", folder, NAME)
    assert "No access token was found" in message
    result = invoke("push", folder, NAME, "--format", "json")
    assert json.loads(result.stdout) == {"error": "HubError", "message": message}
    assert result.exit_code == 1
    assert not hub.requests("POST", "/commit/")
