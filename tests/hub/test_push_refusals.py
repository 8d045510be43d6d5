"""What is refused, with what to do about it; and the token, which is told to nobody."""

from __future__ import annotations

import json
import logging
import shutil
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_handler import USERS, User
from hub_server import LoopbackHub
from publications import NAME, card, contents, publication, push

from hf_hardneg.errors import HubError
from hf_hardneg.hub.folder import sha256_of
from hf_hardneg.hub.publication import Publication


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return publication(tmp_path / "set")


def refused(hub: LoopbackHub, folder: Path, name: str = NAME, **values: Any) -> str:
    """Push in vain; nothing may have been sent or created."""
    repos = set(hub.store.repos)
    with pytest.raises(HubError) as caught:
        push(hub, folder, name, **values)
    assert not hub.requests("PUT", "/_lfs/")
    assert not hub.requests("POST", "/commit/")
    assert set(hub.store.repos) == repos
    return str(caught.value)


@pytest.mark.parametrize(
    "name", ["set", "alice/", "alice/a b", "a/b/c", "alice/a--b", "datasets/alice/x", "alice/.x"]
)
def test_no_name(name: str, hub: LoopbackHub, folder: Path) -> None:
    message = refused(hub, folder, name)
    assert f"{name!r} is no name of a repository; expected NAMESPACE/NAME" in message
    assert not hub.settings.log


def test_tokens(hub: LoopbackHub, folder: Path) -> None:
    assert "No access token was found" in refused(hub, folder, token=None)
    assert "No access token was found" in refused(hub, folder, token="  ")
    assert "has blanks" in refused(hub, folder, token="hf_a lice")
    assert "does not know this access token" in refused(hub, folder, token="hf_nobody")
    assert "'alice' may only read" in refused(hub, folder, token="hf_alice_read")
    assert push(hub, folder, token="hf_alice\n").tries == 1


def test_the_token_of_the_environment(
    hub: LoopbackHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    assert not push(hub, folder, token=None).unchanged
    assert hub.settings.tokens_seen == {"hf_alice"}


def test_namespaces(hub: LoopbackHub, folder: Path) -> None:
    message = refused(hub, folder, "bob/set")
    assert "is in the namespace 'bob'; the access token is of 'alice'" in message
    assert "acme, readers" in message
    assert "may only read in the organisation 'readers'" in refused(hub, folder, "readers/set")


def test_models_and_spaces(hub: LoopbackHub, folder: Path) -> None:
    hub.create("alice/model", "models")
    hub.create("alice/space", "spaces")
    assert "'alice/model' is a model, and no data set" in refused(hub, folder, "alice/model")
    assert "'alice/space' is a Space, and no data set" in refused(hub, folder, "alice/space")


def test_gated_by_others(hub: LoopbackHub, folder: Path) -> None:
    hub.create("bob/set").gated = True
    assert "'bob/set' is gated" in refused(hub, folder, "bob/set", create_pr=True)


def test_revisions(hub: LoopbackHub, folder: Path) -> None:
    repo = hub.create(NAME)
    repo.refs["refs/tags/v1"] = repo.refs["refs/heads/main"]
    assert "is a tag" in refused(hub, folder, revision="v1")
    assert "is a commit" in refused(hub, folder, revision="0" * 40)
    assert "has no such revision" in refused(hub, folder, revision="refs/pr/7")


def test_no_rights_after_all(hub: LoopbackHub, folder: Path) -> None:
    """A fine-grained token does not tell what it may do."""
    hub.fail("^/api/repos/create", status=403, text="no rights")
    assert "may not write to 'alice/set'" in refused(hub, folder)


def test_offline(hub: LoopbackHub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in refused(hub, folder)
    assert not hub.settings.log


def bad_folders(folder: Path) -> Iterator[tuple[Any, str]]:
    """Ways to spoil a publication, and what is said of each."""
    token = "hf_" + "a1B2" * 9
    yield (lambda: (folder / "README.md").unlink()), "has no README.md"
    yield (lambda: (folder / "README.md").write_bytes(b"\xff")), "README.md is not UTF-8"
    yield (lambda: (folder / ".env").write_text("x")), ".env .* is hidden"
    yield (lambda: (folder / "link").symlink_to("README.md")), "link .* is a link"
    yield (lambda: (folder / "hardneg/recipe.yaml").write_text(f"x: {token}")), "token stands in"
    yield (lambda: (folder / "hardneg/x.json").write_text('"hf_alice"')), "token stands in"
    yield (lambda: (folder / "README.md").write_text("no mark")), "names the configs none"
    yield (lambda: (folder / "README.md").write_text(card(["ids"]))), "configs ids; the folders"
    yield (lambda: (folder / "README.md").write_text(
        card(["n-tuple", "ids"]).replace("hf-hardneg: n-tuple,ids", "hf-hardneg: ids"))
    ), "names the configs ids; 'configs' of its YAML: ids, n-tuple"  # fmt: skip


@pytest.mark.parametrize("case", range(9))
def test_bad_folders(case: int, hub: LoopbackHub, folder: Path) -> None:
    spoil, message = list(bad_folders(folder))[case]
    spoil()
    with pytest.raises(HubError, match=message):
        push(hub, folder)
    assert not hub.settings.log


def test_no_folder(hub: LoopbackHub, tmp_path: Path) -> None:
    assert "is no folder" in refused(hub, tmp_path / "none")


def everything(error: BaseException | None) -> Iterator[str]:
    """Every text that an error and those behind it can show."""
    while error is not None:
        yield str(error)
        yield repr(error)
        yield from traceback.format_exception(error)
        yield repr(vars(error))
        error = error.__cause__ or error.__context__


def test_nobody_is_told_the_token(
    hub: LoopbackHub,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Not even where the server says it back."""
    token = "hf_secret" + "0" * 20
    monkeypatch.setitem(USERS, token, User("alice"))
    caplog.set_level(logging.DEBUG)
    for name in ("huggingface_hub", "httpx2", "httpcore"):
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
    said: list[str] = []
    shown: list[str] = []
    said_back = f"your token {token} is bad"
    for path, values in [
        ("whoami", {"status": 401}), ("whoami", {"status": 503, "times": 99}),
        ("/create", {"status": 403}), ("/create", {"status": 400}),
        ("/preupload/", {"status": 404}), ("/_lfs/put", {"status": 400}),
        ("/commit/", {"status": 500, "times": 99}), ("/commit/", {"drop": True, "times": 99}),
        ("validate-yaml", {"status": 400}),
    ]:  # fmt: skip
        fault = hub.fail(path, text=said_back, **values)
        with pytest.raises(HubError) as caught:
            push(hub, folder, token=token, say=said.append)
        shown += everything(caught.value)
        fault.times = 0
    done = push(hub, folder, token=token, say=said.append)
    captured = capfd.readouterr()
    shown += [*said, repr(done), captured.out, captured.err, *caplog.messages]
    assert token in hub.settings.tokens_seen
    assert "your token [token] is bad" in "\n".join(shown)
    assert not [text for text in shown if token in text]
    stored = [*hub.files(NAME).values(), *contents(folder).values()]
    assert not [content for content in stored if token.encode() in content]
    assert all(token not in commit.message + commit.title for commit in hub.history(NAME))


def test_a_mined_folder_is_no_publication(hub: LoopbackHub, tmp_path: Path) -> None:
    folder = publication(tmp_path / "set")
    shutil.rmtree(folder / "data")
    with pytest.raises(HubError, match="hf-hardneg run makes, from a recipe"):
        push(hub, folder)


@pytest.mark.parametrize(("change", "what"), [("changed", "changed"), ("gone", "missing"),
                                              ("more", "new")])  # fmt: skip
def test_data_that_is_not_what_the_card_tells_of(
    change: str, what: str, hub: LoopbackHub, folder: Path
) -> None:
    """The card and the audit stand for the files that they were written of."""
    paths = sorted((folder / "data").rglob("*.parquet"))
    listed = {
        path.relative_to(folder).as_posix(): {"sha256": sha256_of(path), "rows": 2}
        for path in paths
    }
    (folder / "hardneg" / "files.json").write_text(json.dumps({**listed, "versions": {}}))
    Publication.read(folder)
    if change == "changed":
        paths[0].write_bytes(paths[1].read_bytes())
    elif change == "gone":
        paths[0].rename(paths[0].with_suffix(".txt"))
    else:
        shutil.copy(paths[0], paths[0].with_name("more.parquet"))
    assert f"{what} since the card and the audit were written" in refused(hub, folder)
