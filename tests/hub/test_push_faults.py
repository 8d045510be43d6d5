"""Every request of a push fails in every way: the repository is wholly old or wholly new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hub_server import LoopbackHub
from publications import NAME, contents, publication, push

from hf_hardneg.errors import HubError
from hf_hardneg.hub.retries import TRIES

FAULTS: dict[str, dict[str, Any]] = {
    "503": {"status": 503},
    "429": {"status": 429, "headers": {"Retry-After": "0"}},
    "409": {"status": 409},
    "412": {"status": 412},
    "dropped": {"drop": True},
    "lost": {"lost": True},
    "lost, 504": {"lost": True, "status": 504},
}
STEPS = {
    "whoami": "^/api/whoami-v2",
    "repository": r"^/api/datasets/alice/set-[^/]+$",
    "head": "/revision/main",
    "tree": "/tree/",
    "card": "/resolve/.*/README.md",
    "validation": "^/api/validate-yaml",
    "preupload": "/preupload/",
    "large files": "/info/lfs/objects/batch",
    "upload": "^/_lfs/put/",
    "verification": "^/_lfs/verify/",
    "commit": "/commit/",
}


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two versions of a set; the old one has a shard more."""
    folder = tmp_path_factory.mktemp("versions")
    old = publication(folder / "old", shards=2, note="old")
    return old, publication(folder / "new", note="new")


@pytest.mark.parametrize("step", STEPS)
def test_a_failure_leaves_old_or_new_and_is_got_over(
    step: str, hub: LoopbackHub, versions: tuple[Path, Path]
) -> None:
    old, new = (contents(folder) for folder in versions)
    for number, (kind, values) in enumerate(FAULTS.items()):
        name = f"alice/set-{step.replace(' ', '-')}-{number}"
        hub.create(name)
        hub.put(name, old)
        for path in hub.store.folder.iterdir():  # as if nothing of the new version had been there
            if path.read_bytes() in new.values() and path.read_bytes() not in old.values():
                path.unlink()
        fault = hub.fail(STEPS[step], **values)
        done = push(hub, versions[1], name)
        assert fault.hits == 1, kind
        commits = hub.history(name)
        assert len(commits) == 3, kind
        assert hub.files_of(commits[1]) == old
        assert hub.files_of(commits[0]) == new, kind
        assert done.commit == commits[0].sha
        assert not done.unchanged


@pytest.mark.parametrize("kind", FAULTS)
def test_a_failure_while_it_is_created(
    kind: str, hub: LoopbackHub, versions: tuple[Path, Path]
) -> None:
    fault = hub.fail("^/api/repos/create", **FAULTS[kind])
    push(hub, versions[1])
    assert fault.hits == 1
    assert hub.files(NAME) == contents(versions[1])
    assert len(hub.history(NAME)) == 2


def test_a_conflict_keeps_the_commit_of_the_other(
    hub: LoopbackHub, versions: tuple[Path, Path]
) -> None:
    push(hub, versions[0])
    hub.fail("/commit/", interleave=True, times=3)
    done = push(hub, versions[1])
    assert done.tries == 4
    titles = [commit.title for commit in hub.history(NAME)]
    assert titles[1:4] == ["interleaved"] * 3
    files = hub.files(NAME)
    assert files.pop("foreign.txt")
    assert files == contents(versions[1])


def test_a_lost_commit_that_others_have_built_on_is_found(
    hub: LoopbackHub, versions: tuple[Path, Path]
) -> None:
    """Ours landed, its answer was lost, and somebody has replaced a file of it since."""
    push(hub, versions[0])
    fault = hub.fail("/commit/", lost=True)
    seen: list[str] = []

    def overwrite(_: int) -> float:
        seen.append(hub.history(NAME)[0].sha)
        hub.add(NAME, {"hardneg/recipe.yaml": "another"})
        return 0.0

    done = push(hub, versions[1], waits=overwrite)
    assert (fault.hits, done.tries, done.unchanged) == (1, 2, False)
    assert done.commit == seen[0]
    assert [one.author for one in hub.history(NAME)][:2] == ["mallory", "alice"]
    assert len(hub.requests("POST", "/commit/")) == 2


def test_tries_are_bounded_and_going_on_sends_nothing_twice(
    hub: LoopbackHub, versions: tuple[Path, Path]
) -> None:
    push(hub, versions[0])
    before = hub.history(NAME)
    fault = hub.fail("/commit/", status=503, times=1_000)
    with pytest.raises(HubError, match=f"{TRIES} tries are used up; the last: status 503"):
        push(hub, versions[1])
    assert fault.hits == TRIES
    assert hub.history(NAME) == before
    sent = hub.requests("PUT", "/_lfs/")
    fault.times = 0
    push(hub, versions[1])
    assert hub.requests("PUT", "/_lfs/") == sent
    assert hub.files(NAME) == contents(versions[1])


def test_an_interruption_is_gone_on_from(hub: LoopbackHub, versions: tuple[Path, Path]) -> None:
    hub.fail("/commit/", drop=True)

    def stop(_: int) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        push(hub, versions[1], waits=stop)
    sent = hub.requests("PUT", "/_lfs/")
    assert len(sent) == 3
    push(hub, versions[1])
    assert hub.requests("PUT", "/_lfs/") == sent
    assert len(hub.history(NAME)) == 2


def test_a_time_out_makes_one_commit(hub: LoopbackHub, versions: tuple[Path, Path]) -> None:
    """The server goes on with a commit after the client has given it up."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def impatient() -> Any:
        client = default_client_factory()
        client.timeout = 1.0
        return client

    push(hub, versions[0])
    hub.fail("/commit/", delay=1.5)
    set_client_factory(impatient)
    try:
        done = push(hub, versions[1])
    finally:
        set_client_factory(default_client_factory)
    assert done.tries >= 2
    assert len(hub.history(NAME)) == 3
    assert hub.files(NAME) == contents(versions[1])


def test_what_does_not_pass_is_not_tried_again(
    hub: LoopbackHub, versions: tuple[Path, Path]
) -> None:
    push(hub, versions[0])
    fault = hub.fail("/commit/", status=400, times=10, text="no such thing")
    with pytest.raises(HubError, match=r"The Hub refused 'alice/set'.*no such thing"):
        push(hub, versions[1])
    assert fault.hits == 1


def test_large_files_in_parts(tmp_path: Path, client: None, versions: tuple[Path, Path]) -> None:
    with LoopbackHub(tmp_path / "hub", multipart_over=400, page_size=2) as hub:
        hub.fail("^/_lfs/part/.*/2$", status=500)
        hub.fail("^/_lfs/complete/", lost=True)
        push(hub, versions[1])
        assert len(hub.requests("PUT", "/_lfs/part/")) > 4
        assert not hub.requests("PUT", "/_lfs/put/data")
        assert hub.files(NAME) == contents(versions[1])
        assert push(hub, versions[1]).unchanged
