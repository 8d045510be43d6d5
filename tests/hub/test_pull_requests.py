"""A push as a pull request: one, and only one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hub_server import LoopbackHub
from publications import NAME, contents, publication, push

from hf_hardneg.errors import HubError

FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("none", {}),
    ("/discussions", {"method": "POST", "status": 503}),
    ("/discussions", {"method": "POST", "lost": True}),
    ("/discussions", {"method": "POST", "lost": True, "status": 504}),
    ("/discussions", {"method": "GET", "drop": True}),
    ("/discussions/1", {"method": "GET", "status": 500}),
    ("/commit/", {"lost": True}),
    ("/commit/", {"status": 412}),
    ("/preupload/", {"status": 429}),
]


@pytest.mark.parametrize(("path", "values"), FAULTS)
def test_one_is_opened(path: str, values: dict[str, Any], hub: LoopbackHub, tmp_path: Path) -> None:
    """In a repository of somebody else, whatever fails."""
    old = publication(tmp_path / "old", note="old")
    push(hub, old, "bob/set", token="hf_bob")
    new = publication(tmp_path / "new", note="new")
    fault = hub.fail(path, **values)
    done = push(hub, new, "bob/set", create_pr=True)
    assert fault.hits == (path != "none")
    assert done.pull_request == f"{hub.url}/datasets/bob/set/discussions/1"
    assert done.revision == "refs/pr/1"
    assert len(hub.repo("bob/set").discussions) == 1
    assert hub.files("bob/set", "refs/pr/1") == contents(new)
    assert len(hub.history("bob/set", "refs/pr/1")) == 3
    assert hub.files("bob/set") == contents(old)


def test_the_same_again_is_the_same_one(hub: LoopbackHub, tmp_path: Path) -> None:
    push(hub, publication(tmp_path / "old", note="old"))
    new = publication(tmp_path / "new", note="new")
    first = push(hub, new, create_pr=True)
    again = push(hub, new, create_pr=True)
    assert again.unchanged
    assert (again.pull_request, again.commit) == (first.pull_request, first.commit)
    assert len(hub.repo(NAME).discussions) == 1
    hub.repo(NAME).discussions[0].status = "closed"
    other = push(hub, new, create_pr=True)
    assert other.revision == "refs/pr/2"


def test_other_content_is_another_one(hub: LoopbackHub, tmp_path: Path) -> None:
    push(hub, publication(tmp_path / "old", note="old"))
    push(hub, publication(tmp_path / "new", note="new"), create_pr=True)
    done = push(hub, publication(tmp_path / "newer", note="newer"), create_pr=True)
    assert done.revision == "refs/pr/2"
    assert b"newer" in hub.files(NAME, "refs/pr/2")["hardneg/recipe.yaml"]


def test_none_where_nothing_differs(hub: LoopbackHub, tmp_path: Path) -> None:
    folder = publication(tmp_path / "set")
    push(hub, folder)
    done = push(hub, folder, create_pr=True)
    assert done.unchanged
    assert done.pull_request is None
    assert not hub.repo(NAME).discussions


def test_what_it_needs(hub: LoopbackHub, tmp_path: Path) -> None:
    folder = publication(tmp_path / "set")
    with pytest.raises(HubError, match="There is no data set 'bob/set'"):
        push(hub, folder, "bob/set", create_pr=True)
    with pytest.raises(HubError, match="goes to main, and revision='v2'"):
        push(hub, folder, create_pr=True, revision="v2")
